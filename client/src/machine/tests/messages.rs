//! Messages from the server.

use opifex_packet::{Properties, Property, Puback, Pubcomp, Pubrec, Pubrel};

use super::*;
use crate::AckToken;

fn manual() -> Client {
    let options = Options::new(Version::V5_0, "c").resuming(3600);
    let mut client = Client::new(Options { manual_acks: true, receive_maximum: 2, ..options });
    client.connect(success());
    client.events();
    client
}

fn acks(client: &mut Client) -> Vec<AckToken> {
    let events = client.events().into_iter();
    events
        .filter_map(|event| match event {
            Event::Message { ack, .. } => ack,
            _ => None,
        })
        .collect()
}

fn messages(client: &mut Client) -> usize {
    client.events().iter().filter(|event| matches!(event, Event::Message { .. })).count()
}

#[test]
fn each_qos_has_its_answer() {
    let mut client = Client::connected();
    assert!(client.gets(publish(QoS::AtMostOnce, 1, false)).is_empty());
    assert_eq!(client.gets(publish(QoS::AtLeastOnce, 1, false)), [Packet::from(Puback::new(id(1)))]);
    assert_eq!(client.gets(publish(QoS::ExactlyOnce, 1, false)), [Packet::from(Pubrec::new(id(1)))]);
    assert_eq!(client.gets(Pubrel::new(id(1))), [Packet::from(Pubcomp::new(id(1)))]);
    assert_eq!(messages(&mut client), 3);
}

#[test]
fn qos_2_is_handed_on_once_until_pubrel_also_over_a_reconnect() {
    let mut client = Client::connected();
    client.gets(publish(QoS::ExactlyOnce, 7, false));
    assert_eq!(messages(&mut client), 1);
    assert_eq!(client.gets(publish(QoS::ExactlyOnce, 7, true)), [Packet::from(Pubrec::new(id(7)))]);
    client.reconnect(true);
    client.events();
    assert_eq!(client.gets(publish(QoS::ExactlyOnce, 7, true)), [Packet::from(Pubrec::new(id(7)))]);
    assert_eq!(messages(&mut client), 0);
    client.gets(Pubrel::new(id(7)));
    client.gets(publish(QoS::ExactlyOnce, 7, false));
    assert_eq!(messages(&mut client), 1);
}

#[test]
fn without_a_session_an_id_means_a_new_message() {
    let mut client = Client::connected();
    client.gets(publish(QoS::ExactlyOnce, 7, false));
    client.reconnect(false);
    client.events();
    client.gets(publish(QoS::ExactlyOnce, 7, false));
    assert_eq!(messages(&mut client), 1);
}

#[test]
fn a_qos_1_message_that_is_sent_again_is_handed_on_again() {
    let mut client = Client::connected();
    client.gets(publish(QoS::AtLeastOnce, 7, false));
    client.reconnect(true);
    client.events();
    assert_eq!(client.gets(publish(QoS::AtLeastOnce, 7, true)), [Packet::from(Puback::new(id(7)))]);
    assert!(matches!(client.events()[..], [Event::Message { dup: true, .. }]));
}

#[test]
fn an_unknown_pubrel_is_answered_that_it_is_unknown() {
    let mut client = Client::connected();
    let answer = Pubcomp::new(id(3)).with_reason(ReasonCode::PacketIdentifierNotFound);
    assert_eq!(client.gets(Pubrel::new(id(3))), [Packet::from(answer)]);
}

#[test]
fn acknowledgements_of_the_application_leave_in_the_order_of_the_messages() {
    let mut client = manual();
    assert!(client.gets(publish(QoS::AtLeastOnce, 1, false)).is_empty());
    assert!(client.gets(publish(QoS::ExactlyOnce, 2, false)).is_empty());
    let acks = acks(&mut client);
    client.machine.acknowledge(acks[1]);
    assert!(client.sent().is_empty());
    client.machine.acknowledge(acks[0]);
    assert_eq!(client.sent(), [Packet::from(Puback::new(id(1))), Packet::from(Pubrec::new(id(2)))]);
}

#[test]
fn an_acknowledgement_between_two_connections_counts_when_the_message_comes_again() {
    let mut client = manual();
    client.gets(publish(QoS::ExactlyOnce, 2, false));
    let ack = acks(&mut client)[0];
    client.machine.connection_lost();
    client.machine.acknowledge(ack);
    client.connect(Connack { session_present: true, ..success() });
    client.events();
    assert_eq!(client.gets(publish(QoS::ExactlyOnce, 2, true)), [Packet::from(Pubrec::new(id(2)))]);
    assert_eq!(messages(&mut client), 0);
}

#[test]
fn a_message_without_its_acknowledgement_is_not_handed_on_twice_at_qos_2() {
    let mut client = manual();
    client.gets(publish(QoS::ExactlyOnce, 2, false));
    let ack = acks(&mut client)[0];
    client.reconnect(true);
    client.events();
    assert!(client.gets(publish(QoS::ExactlyOnce, 2, true)).is_empty());
    assert_eq!(messages(&mut client), 0);
    client.machine.acknowledge(ack);
    assert_eq!(client.sent(), [Packet::from(Pubrec::new(id(2)))]);
}

#[test]
fn a_server_above_the_receive_maximum_is_told_so() {
    let mut client = manual();
    client.gets(publish(QoS::AtLeastOnce, 1, false));
    client.gets(publish(QoS::ExactlyOnce, 2, false));
    let sent = client.gets(publish(QoS::AtLeastOnce, 3, false));
    assert_eq!(sent, [disconnect(ReasonCode::ReceiveMaximumExceeded)]);
    assert_eq!(client.violated(), "MQTT-3.3.4-9");
}

#[test]
fn a_completed_qos_2_message_makes_room() {
    let mut client = manual();
    for _ in 0..5 {
        client.gets(publish(QoS::ExactlyOnce, 2, false));
        let ack = acks(&mut client)[0];
        client.machine.acknowledge(ack);
        client.sent();
        client.gets(Pubrel::new(id(2)));
    }
    assert!(!client.machine.is_closing());
}

#[test]
fn a_pubrel_before_pubrec_and_an_id_in_use_are_violations() {
    let mut client = manual();
    client.gets(publish(QoS::ExactlyOnce, 2, false));
    client.gets(Pubrel::new(id(2)));
    assert_eq!(client.violated(), "MQTT-4.3.3-4");
    let mut client = manual();
    client.gets(publish(QoS::AtLeastOnce, 2, false));
    client.gets(publish(QoS::AtLeastOnce, 2, false));
    assert_eq!(client.violated(), "MQTT-2.2.1-4");
}

#[test]
fn aliases_of_the_server_are_resolved_and_kept_to_the_maximum() {
    let mut client = Client::connected();
    client.events();
    let aliased = |topic: Option<&'static str>, alias| {
        let mut packet = Publish::new(TopicName::new("x").unwrap(), &b"m"[..]);
        packet.topic = topic.map(|topic| TopicName::new(topic).unwrap());
        packet.properties =
            Properties::new().with(Property::TopicAlias(alias)).with(Property::ContentType("t"));
        packet
    };
    client.gets(aliased(Some("a"), 16));
    client.gets(aliased(None, 16));
    for event in client.events() {
        let Event::Message { message, .. } = event else { panic!() };
        assert_eq!(message.topic.as_str(), "a");
        assert_eq!(message.properties, Properties::new().with(Property::ContentType("t")));
    }
    for (topic, alias, reason) in
        [(None, 1, ReasonCode::ProtocolError), (Some("a"), 17, ReasonCode::TopicAliasInvalid)]
    {
        let mut client = Client::connected();
        assert_eq!(client.gets(aliased(topic, alias)), [disconnect(reason)]);
        assert!(client.violated().starts_with("MQTT5 3."));
    }
}
