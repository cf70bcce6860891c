//! Messages to the server.

use opifex_packet::{Properties, Property, Puback, Pubcomp, Pubrec, Pubrel, Subscription, TopicFilter};

use super::*;
use crate::Refusal;

fn ids(packets: &[Packet<'_>]) -> Vec<(u16, bool)> {
    let publishes = packets.iter().map(|packet| match packet {
        Packet::Publish(packet) => (packet.delivery.packet_id().unwrap().get(), packet.dup),
        other => panic!("no PUBLISH: {other:?}"),
    });
    publishes.collect()
}

fn limited(property: Property<'_>) -> Client {
    let mut client = Client::new(Options::new(Version::V5_0, "c").resuming(3600));
    let properties = Properties::new().with(property);
    client.connect(Connack { properties, ..success() });
    client
}

#[test]
fn qos_1_is_done_with_puback() {
    let mut client = Client::connected();
    let token = client.publish(QoS::AtLeastOnce);
    assert_eq!(client.sent(), [publish(QoS::AtLeastOnce, 1, false)]);
    assert!(client.done().is_empty());
    client.gets(Puback::new(id(1)).with_reason(ReasonCode::NoMatchingSubscribers));
    assert_eq!(client.done(), [(token, ReasonCode::NoMatchingSubscribers)]);
    assert_eq!(client.machine.pending().count(), 0);
}

#[test]
fn qos_2_is_done_with_pubcomp() {
    let mut client = Client::connected();
    let token = client.publish(QoS::ExactlyOnce);
    assert_eq!(client.sent(), [publish(QoS::ExactlyOnce, 1, false)]);
    assert_eq!(client.gets(Pubrec::new(id(1))), [Packet::from(Pubrel::new(id(1)))]);
    assert!(client.done().is_empty());
    assert!(client.gets(Pubcomp::new(id(1))).is_empty());
    assert_eq!(client.done(), [(token, ReasonCode::Success)]);
}

#[test]
fn qos_2_is_over_with_a_pubrec_that_says_no() {
    let mut client = Client::connected();
    let token = client.publish(QoS::ExactlyOnce);
    client.sent();
    assert!(client.gets(Pubrec::new(id(1)).with_reason(ReasonCode::QuotaExceeded)).is_empty());
    assert_eq!(client.done(), [(token, ReasonCode::QuotaExceeded)]);
    assert!(client.reconnect(true).is_empty());
}

#[test]
fn never_more_is_under_way_than_the_receive_maximum() {
    let mut client = limited(Property::ReceiveMaximum(2));
    for _ in 0..4 {
        client.publish(QoS::ExactlyOnce);
    }
    assert_eq!(ids(&client.sent()), [(1, false), (2, false)]);
    // PUBREC does not make room, PUBCOMP does.
    assert_eq!(client.gets(Pubrec::new(id(1))), [Packet::from(Pubrel::new(id(1)))]);
    assert_eq!(ids(&client.gets(Pubcomp::new(id(1)))), [(3, false)]);
    // What is no PUBLISH passes by.
    let filter = Subscription::new(TopicFilter::new("f").unwrap(), QoS::AtMostOnce);
    client.machine.subscribe(vec![filter], Properties::new()).unwrap();
    assert!(matches!(client.sent()[..], [Packet::Subscribe(_)]));
}

#[test]
fn before_5_0_the_clients_own_maximum_counts() {
    let mut client = Client::new(Options { max_inflight: 1, ..Options::new(Version::V3_1_1, "c") });
    client.connect(success());
    client.publish(QoS::AtLeastOnce);
    client.publish(QoS::AtLeastOnce);
    assert_eq!(ids(&client.sent()), [(1, false)]);
    assert_eq!(ids(&client.gets(Puback::new(id(1)))), [(2, false)]);
}

#[test]
fn a_resumed_session_sends_all_again_in_order_with_dup_and_the_same_ids() {
    let mut client = limited(Property::ReceiveMaximum(4));
    for _ in 0..6 {
        client.publish(QoS::ExactlyOnce);
    }
    assert_eq!(client.sent().len(), 4);
    client.gets(Pubrec::new(id(3)));
    client.gets(Pubrec::new(id(1)));
    let sent = client.reconnect(true);
    // In the order of the PUBRECs, then of the messages; those that were never sent have no DUP.
    let (releases, publishes) = sent.split_at(2);
    assert_eq!(releases, [Packet::from(Pubrel::new(id(3))), Packet::from(Pubrel::new(id(1)))]);
    assert_eq!(ids(publishes), [(2, true), (4, true), (5, false), (6, false)]);
}

#[test]
fn a_retransmission_keeps_to_the_new_receive_maximum() {
    let mut client = Client::connected();
    for _ in 0..3 {
        client.publish(QoS::AtLeastOnce);
    }
    assert_eq!(client.sent().len(), 3);
    client.machine.connection_lost();
    let properties = Properties::new().with(Property::ReceiveMaximum(1));
    let sent = client.connect(Connack { session_present: true, properties, ..success() });
    assert_eq!(ids(&sent), [(1, true)]);
    assert_eq!(ids(&client.gets(Puback::new(id(1)))), [(2, true)]);
}

#[test]
fn without_a_session_messages_are_sent_anew_and_what_was_released_is_done() {
    let mut client = Client::connected();
    let released = client.publish(QoS::ExactlyOnce);
    client.publish(QoS::ExactlyOnce);
    client.publish(QoS::AtLeastOnce);
    client.sent();
    client.gets(Pubrec::new(id(1)));
    let sent = client.reconnect(false);
    assert_eq!(sent, [publish(QoS::ExactlyOnce, 2, false), publish(QoS::AtLeastOnce, 3, false)]);
    assert_eq!(client.done(), [(released, ReasonCode::Success)]);
}

#[test]
fn a_store_brings_messages_into_the_next_process() {
    let mut client = Client::connected();
    let first = client.publish(QoS::ExactlyOnce);
    let second = client.publish(QoS::AtLeastOnce);
    client.sent();
    client.gets(Pubrec::new(id(1)));
    let options = client.machine.options.clone();
    let machine = Machine::new(options, client.machine.store.clone()).unwrap();
    let mut client = Client { machine, now: client.now };
    assert_eq!(client.machine.pending().collect::<Vec<_>>(), [first, second]);
    let third = client.publish(QoS::AtLeastOnce);
    assert!(third > second);
    let sent = client.connect(Connack { session_present: true, ..success() });
    assert_eq!(sent[0], Packet::from(Pubrel::new(id(1))));
    assert_eq!(ids(&sent[1..]), [(2, true), (3, false)]);
}

#[test]
fn an_id_under_way_is_not_given_again() {
    let mut client = Client::connected();
    client.publish(QoS::AtLeastOnce);
    client.sent();
    client.gets(Puback::new(id(1)));
    client.publish(QoS::AtLeastOnce);
    let mut seen = std::collections::HashSet::from([2]);
    for _ in 0..10_000 {
        client.publish(QoS::AtLeastOnce);
        for (id, _) in ids(&client.sent()).into_iter().filter(|(id, _)| *id != 2) {
            assert!(seen.insert(id));
            client.gets(Puback::new(super::id(id)));
            seen.remove(&id);
        }
    }
    for _ in 0..60_000 {
        client.publish(QoS::AtLeastOnce);
        for packet in client.sent() {
            let Packet::Publish(packet) = packet else { continue };
            let id = packet.delivery.packet_id().unwrap();
            assert_ne!(id.get(), 2);
            client.gets(Puback::new(id));
        }
        client.events();
    }
}

#[test]
fn acknowledgements_of_nothing_are_violations() {
    let cases: [(QoS, Packet<'_>); 5] = [
        (QoS::AtLeastOnce, Packet::from(Puback::new(id(9)))),
        (QoS::ExactlyOnce, Packet::from(Puback::new(id(1)))),
        (QoS::AtLeastOnce, Packet::from(Pubrec::new(id(1)))),
        (QoS::ExactlyOnce, Packet::from(Pubcomp::new(id(1)))),
        (QoS::AtLeastOnce, Packet::from(Pubcomp::new(id(1)))),
    ];
    for (qos, packet) in cases {
        let mut client = Client::connected();
        client.publish(qos);
        client.sent();
        assert_eq!(client.gets(packet), [disconnect(ReasonCode::ProtocolError)]);
        assert!(client.violated().starts_with("MQTT-"));
    }
}

#[test]
fn a_pubrec_of_an_unknown_id_is_answered_that_it_is_unknown() {
    let mut client = Client::connected();
    let answer = Pubrel::new(id(5)).with_reason(ReasonCode::PacketIdentifierNotFound);
    assert_eq!(client.gets(Pubrec::new(id(5))), [Packet::from(answer)]);
    let unknown = Pubcomp::new(id(5)).with_reason(ReasonCode::PacketIdentifierNotFound);
    assert!(client.gets(unknown).is_empty());
    assert!(!client.machine.is_closing());
}

#[test]
fn what_connack_forbids_is_not_sent() {
    let refused = |client: &mut Client, message| match client.machine.publish(message) {
        Err(Refusal::Forbidden { statement, .. }) => statement,
        other => panic!("{other:?}"),
    };
    let mut client = limited(Property::MaximumQoS(1));
    assert_eq!(refused(&mut client, message(QoS::ExactlyOnce)), "MQTT-3.2.2-11");
    let mut client = limited(Property::RetainAvailable(false));
    let retained = Message { retain: true, ..message(QoS::AtMostOnce) };
    assert_eq!(refused(&mut client, retained), "MQTT-3.2.2-14");
    let mut client = limited(Property::MaximumPacketSize(8));
    assert_eq!(refused(&mut client, message(QoS::AtLeastOnce)), "MQTT-3.2.2-15");
    assert!(client.machine.publish(message(QoS::AtMostOnce)).is_ok());
    assert!(client.machine.pending().next().is_none());
}

#[test]
fn a_message_from_before_the_connection_that_connack_forbids_is_told_and_dropped() {
    let mut client = Client::new(Options::new(Version::V5_0, "c"));
    let token = client.publish(QoS::ExactlyOnce);
    client.publish(QoS::AtLeastOnce);
    let properties = Properties::new().with(Property::MaximumQoS(1));
    let sent = client.connect(Connack { properties, ..success() });
    assert_eq!(ids(&sent), [(2, false)]);
    let refused = client.events().into_iter().any(
        |event| matches!(event, Event::PublishRefused { token: it, refusal: Refusal::Forbidden { .. } } if it == token),
    );
    assert!(refused);
}

#[test]
fn topic_aliases_keep_to_the_maximum_and_end_with_the_connection() {
    let mut client = limited(Property::TopicAliasMaximum(1));
    let mut alias = |topic: &str| {
        client.machine.publish(Message::new(TopicName::new(topic).unwrap(), "m")).unwrap();
        let [Packet::Publish(packet)] = &client.sent()[..] else { panic!() };
        (packet.topic.as_ref().map(|topic| topic.as_str().to_owned()), packet.properties.topic_alias())
    };
    assert_eq!(alias("a"), (Some("a".into()), Some(1)));
    assert_eq!(alias("a"), (None, Some(1)));
    assert_eq!(alias("b"), (Some("b".into()), None));
    client.reconnect(false);
    client.machine.publish(Message::new(TopicName::new("a").unwrap(), "m")).unwrap();
    let [Packet::Publish(packet)] = &client.sent()[..] else { panic!() };
    assert!(packet.topic.is_some() && packet.properties.topic_alias().is_none());
}

#[test]
fn queues_have_ends() {
    let options = Options { max_pending: 2, max_buffered: 20, ..Options::new(Version::V3_1_1, "c") };
    let mut client = Client::new(options);
    assert!(matches!(client.machine.publish(message(QoS::AtMostOnce)), Err(Refusal::NotConnected)));
    client.connect(success());
    client.publish(QoS::AtLeastOnce);
    client.publish(QoS::AtLeastOnce);
    assert!(matches!(client.machine.publish(message(QoS::AtLeastOnce)), Err(Refusal::Full)));
    while client.machine.publish(message(QoS::AtMostOnce)).is_ok() {
        assert!(client.machine.out.len() < 40);
    }
    client.sent();
    assert!(client.machine.publish(message(QoS::AtMostOnce)).is_ok());
}

/// A client that has sent a QoS 2 message, and comes back to a server that takes QoS 1 at most. Returns the message.
fn demoted() -> (Client, Token) {
    let mut client = Client::connected();
    let token = client.publish(QoS::ExactlyOnce);
    client.sent();
    client.machine.connection_lost();
    client.events();
    let properties = Properties::new().with(Property::MaximumQoS(1));
    let sent = client.connect(Connack { session_present: true, properties, ..success() });
    // The server may have its id in use: that is ended first.
    assert_eq!(sent, [Packet::from(Pubrel::new(id(1)))]);
    (client, token)
}

fn refused(client: &mut Client) -> Option<Token> {
    client.events().into_iter().find_map(|event| match event {
        Event::PublishRefused { token, .. } => Some(token),
        _ => None,
    })
}

#[test]
fn the_id_of_a_message_that_the_server_may_have_is_released_before_it_is_used_again() {
    let (mut client, token) = demoted();
    assert_eq!(refused(&mut client), None);
    client.gets(Pubcomp::new(id(1)).with_reason(ReasonCode::PacketIdentifierNotFound));
    assert_eq!(refused(&mut client), Some(token));

    let (mut client, token) = demoted();
    client.gets(Pubcomp::new(id(1)));
    assert_eq!(client.done(), [(token, ReasonCode::Success)]);

    // The doubt outlives another connection.
    let (mut client, token) = demoted();
    assert_eq!(client.reconnect(true), [Packet::from(Pubrel::new(id(1)))]);
    assert!(client.reconnect(false).is_empty());
    assert_eq!(refused(&mut client), Some(token));
    assert_eq!(client.machine.pending().count(), 0);
}

#[test]
fn pending_bytes_have_an_end_and_a_large_message_goes_alone() {
    let options = Options { max_pending_bytes: 100, ..Options::new(Version::V3_1_1, "c") };
    let mut client = Client::new(options);
    client.connect(success());
    let large =
        |len: usize| Message::new(TopicName::new("t").unwrap(), vec![0; len]).with_qos(QoS::AtLeastOnce);
    assert!(client.machine.publish(large(1000)).is_ok());
    assert!(matches!(client.machine.publish(large(1)), Err(Refusal::Full)));
    client.sent();
    client.gets(Puback::new(id(1)));
    for _ in 0..2 {
        assert!(client.machine.publish(large(49)).is_ok());
    }
    assert!(matches!(client.machine.publish(large(0)), Err(Refusal::Full)));
}

#[test]
fn nothing_more_is_wanted_while_answers_wait_to_be_written() {
    let options = Options { max_buffered: 100, ..Options::new(Version::V5_0, "c").resuming(9) };
    let mut client = Client::new(options);
    client.connect(success());
    client.events();
    for number in 1..=20 {
        assert!(client.machine.wants_input(), "{number}");
        client.machine.received(Pubrec::new(id(number)).into(), client.now);
        client.machine.received(publish(QoS::AtLeastOnce, number, false), client.now);
        if client.machine.out.len() > 100 {
            assert!(!client.machine.wants_input());
            client.sent();
        }
        client.events();
    }
}
