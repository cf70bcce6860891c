//! CONNECT, CONNACK, keep-alive, DISCONNECT, AUTH.

use std::io;

use opifex_packet::{Auth, DecodeError, Disconnect, Properties, Property, Puback, Subscribe};

use super::*;
use crate::{Refusal, SessionStore, StoredMessage, StoredSession};

#[test]
fn the_first_packet_says_what_the_options_say() {
    let mut options = Options::new(Version::V5_0, "c").resuming(7);
    options.user_name = Some("u".into());
    options.receive_maximum = 9;
    let mut client = Client::new(options);
    client.machine.connect(client.now).unwrap();
    let [Packet::Connect(connect)] = &client.sent()[..] else { panic!() };
    assert_eq!((connect.version, &*connect.client_id, connect.clean_start), (Version::V5_0, "c", false));
    assert_eq!((connect.keep_alive_secs, connect.user_name.as_deref()), (60, Some("u")));
    assert_eq!(connect.properties.session_expiry_interval(), Some(7));
    assert_eq!(connect.properties.receive_maximum(), Some(9));
}

#[test]
fn options_that_cannot_be_are_refused() {
    let v3 = || Options::new(Version::V3_1_1, "");
    let of = |options| Machine::new(options, MemoryStore::default()).err();
    assert!(of(v3()).is_none());
    assert!(matches!(of(v3().resuming(0)), Some(Refusal::Option(_))));
    assert!(matches!(of(Options { password: Some(vec![1]), ..v3() }), Some(Refusal::Option(_))));
    assert!(of(Options { version: Version::V5_0, password: Some(vec![1]), ..v3() }).is_none());
    let twice = Properties::new().with(Property::ReceiveMaximum(1));
    assert!(matches!(
        of(Options { properties: twice, ..Options::new(Version::V5_0, "c") }),
        Some(Refusal::Option(_))
    ));
}

#[test]
fn anything_in_front_of_connack_is_a_violation() {
    let mut client = Client::new(Options::new(Version::V5_0, "c"));
    client.machine.connect(client.now).unwrap();
    client.sent();
    assert!(client.gets(Packet::Pingresp).is_empty());
    assert_eq!(client.violated(), "MQTT-3.2.0-1");
}

#[test]
fn a_second_connack_is_a_violation_that_5_0_is_told_of() {
    let mut client = Client::connected();
    assert_eq!(client.gets(success()), [disconnect(ReasonCode::ProtocolError)]);
    assert_eq!(client.violated(), "MQTT-3.2.0-2");
    let mut client = Client::new(Options::new(Version::V3_1_1, "c"));
    client.connect(success());
    assert!(client.gets(success()).is_empty());
    assert_eq!(client.violated(), "MQTT-3.2.0-2");
}

#[test]
fn a_session_after_a_clean_start_is_a_violation() {
    let mut client = Client::new(Options::new(Version::V5_0, "c"));
    client.connect(Connack { session_present: true, ..success() });
    assert_eq!(client.violated(), "MQTT-3.2.2-2");
}

#[test]
fn a_refusal_is_told_with_its_reason_and_the_next_attempt_is_free() {
    let mut client = Client::new(Options::new(Version::V3_1_1, "c"));
    assert!(client.connect(Connack::new(ReasonCode::NotAuthorized)).is_empty());
    assert!(matches!(client.cause(), Cause::Refused { reason: ReasonCode::NotAuthorized, .. }));
    client.connect(success());
    assert!(matches!(client.events()[..], [Event::Connected { session_present: false, .. }]));
}

#[test]
fn in_5_0_only_the_first_connection_starts_clean_and_in_3_1_1_all_do() {
    for (version, again) in [(Version::V5_0, false), (Version::V3_1_1, true)] {
        let mut client = Client::new(Options { session_expiry_secs: 9, ..Options::new(version, "c") });
        client.connect(success());
        client.machine.connection_lost();
        client.machine.connect(client.now).unwrap();
        let [Packet::Connect(connect)] = &client.sent()[..] else { panic!() };
        assert_eq!(connect.clean_start, again);
    }
}

#[test]
fn an_assigned_client_id_is_used_from_then_on() {
    let mut client = Client::new(Options::new(Version::V5_0, ""));
    let properties = Properties::new().with(Property::AssignedClientIdentifier("made-up"));
    client.connect(Connack { properties, ..success() });
    client.machine.connection_lost();
    client.machine.connect(client.now).unwrap();
    let [Packet::Connect(connect)] = &client.sent()[..] else { panic!() };
    assert_eq!(connect.client_id, "made-up");
}

#[test]
fn silence_is_ended_by_pingreq_and_no_answer_ends_the_connection() {
    let mut client = Client::new(Options::new(Version::V3_1_1, "c"));
    client.connect(success());
    assert!(client.passes(59).is_empty());
    assert_eq!(client.passes(1), [Packet::Pingreq]);
    client.gets(Packet::Pingresp);
    assert!(client.passes(59).is_empty());
    assert_eq!(client.passes(1), [Packet::Pingreq]);
    assert!(client.passes(29).is_empty());
    assert!(!client.machine.is_closing());
    client.passes(1);
    assert!(matches!(client.cause(), Cause::Timeout("PINGRESP")));
}

#[test]
fn a_server_that_says_nothing_is_asked_though_the_client_goes_on_sending() {
    let mut client = Client::connected();
    for _ in 0..3 {
        client.machine.publish(message(QoS::AtMostOnce)).unwrap();
        assert_eq!(client.passes(19).len(), 1);
    }
    client.machine.publish(message(QoS::AtMostOnce)).unwrap();
    assert!(client.passes(3).contains(&Packet::Pingreq));
}

#[test]
fn the_servers_keep_alive_counts() {
    let mut client = Client::new(Options::new(Version::V5_0, "c"));
    let properties = Properties::new().with(Property::ServerKeepAlive(5));
    client.connect(Connack { properties, ..success() });
    assert!(client.passes(4).is_empty());
    assert_eq!(client.passes(1), [Packet::Pingreq]);
}

#[test]
fn a_server_that_never_answers_connect_is_given_up() {
    let mut client = Client::new(Options::new(Version::V5_0, "c"));
    client.machine.connect(client.now).unwrap();
    client.sent();
    assert_eq!(client.machine.deadline(), Some(client.now + Duration::from_secs(30)));
    assert!(client.passes(30).is_empty());
    assert!(matches!(client.cause(), Cause::Timeout("CONNACK")));
}

#[test]
fn nothing_is_sent_behind_disconnect() {
    let mut client = Client::connected();
    client.machine.disconnect(ReasonCode::DisconnectWithWill, Properties::new()).unwrap();
    assert!(matches!(client.machine.publish(message(QoS::AtMostOnce)), Err(Refusal::NotConnected)));
    client.publish(QoS::AtLeastOnce);
    let sent = client.gets(publish(QoS::AtLeastOnce, 1, false));
    assert_eq!(sent, [disconnect(ReasonCode::DisconnectWithWill)]);
    assert!(client.sent().is_empty());
    assert!(matches!(client.cause(), Cause::Asked));
}

#[test]
fn a_session_that_ends_with_its_connection_is_not_prolonged() {
    let mut client = Client::new(Options::new(Version::V5_0, "c"));
    client.connect(success());
    let longer = Properties::new().with(Property::SessionExpiryInterval(1));
    let refused = client.machine.disconnect(ReasonCode::Success, longer);
    assert!(matches!(refused, Err(Refusal::Forbidden { statement: "MQTT5 3.14.2.2.2", .. })));
}

#[test]
fn the_servers_disconnect_is_told_and_not_answered() {
    let mut client = Client::connected();
    assert!(client.gets(Disconnect::new(ReasonCode::SessionTakenOver)).is_empty());
    assert!(matches!(client.cause(), Cause::Server { reason: ReasonCode::SessionTakenOver, .. }));
}

#[test]
fn bytes_that_are_no_packet_end_the_connection_with_their_reason() {
    let mut client = Client::connected();
    let error: DecodeError = decode(&[0xff, 0], &client.machine.decode_options()).unwrap_err();
    client.machine.malformed(error);
    assert_eq!(client.sent(), [disconnect(ReasonCode::MalformedPacket)]);
    assert!(matches!(client.cause(), Cause::Malformed(_)));
}

#[test]
fn a_packet_that_only_clients_send_is_a_violation() {
    let mut client = Client::connected();
    client.gets(Subscribe::new(id(1), Vec::new()));
    assert_eq!(client.violated(), "MQTT5 2.1.2");
}

#[test]
fn authentication_keeps_to_its_method() {
    let method = || Properties::new().with(Property::AuthenticationMethod("m"));
    let mut client = Client::new(Options { properties: method(), ..Options::new(Version::V5_0, "c") });
    client.machine.connect(client.now).unwrap();
    client.sent();
    assert!(client.gets(Auth::new(ReasonCode::ContinueAuthentication, method())).is_empty());
    assert!(matches!(client.events()[..], [Event::Auth { reason: ReasonCode::ContinueAuthentication, .. }]));
    client.machine.authenticate(ReasonCode::ContinueAuthentication, b"d").unwrap();
    let [Packet::Auth(auth)] = &client.sent()[..] else { panic!() };
    assert_eq!(auth.properties.authentication_method(), Some("m"));
    client.gets(Connack { properties: method(), ..success() });
    let other = Properties::new().with(Property::AuthenticationMethod("n"));
    client.gets(Auth::new(ReasonCode::Success, other));
    assert_eq!(client.violated(), "MQTT-4.12.0-5");
}

#[test]
fn auth_needs_a_method() {
    let mut client = Client::connected();
    let refused = client.machine.authenticate(ReasonCode::ReAuthenticate, b"d");
    assert!(matches!(refused, Err(Refusal::Forbidden { statement: "MQTT-4.12.0-7", .. })));
}

#[test]
fn a_session_that_this_side_knows_nothing_of_ends_the_connection_or_is_adopted() {
    let present = || Connack { session_present: true, ..success() };
    let mut client = Client::new(Options::new(Version::V5_0, "c").resuming(60));
    client.connect(present());
    assert_eq!(client.violated(), "MQTT-3.2.2-4");
    // It knows no more the next time.
    client.machine.connection_lost();
    client.connect(present());
    assert_eq!(client.violated(), "MQTT-3.2.2-4");

    let adopting = || Options { adopt_session: true, ..Options::new(Version::V5_0, "c").resuming(60) };
    let first_id = |options| {
        let mut client = Client::new(options);
        client.connect(present());
        client.publish(QoS::ExactlyOnce);
        let [Packet::Publish(packet)] = &client.sent()[..] else { panic!() };
        packet.delivery.packet_id().unwrap()
    };
    // Ids begin anywhere, since the server may have the first ones in use.
    let ids: Vec<PacketId> = (0..8).map(|_| first_id(adopting())).collect();
    assert!(ids.iter().any(|id| *id != ids[0]), "{ids:?}");
    // 3.1.1 leaves it to the client.
    first_id(Options { version: Version::V3_1_1, ..Options::new(Version::V5_0, "c").resuming(60) });
}

#[test]
fn a_session_whose_connack_was_lost_is_known() {
    let mut client = Client::new(Options::new(Version::V5_0, "c").resuming(60));
    client.machine.connect(client.now).unwrap();
    client.sent();
    client.reconnect(true);
    assert!(!client.machine.is_closing());
}

#[test]
fn a_session_that_the_store_has_begun_is_gone_on_with() {
    let mut client = Client::new(Options::new(Version::V5_0, "c").resuming(60));
    client.connect(success());
    let store = client.machine.store.clone();
    let mut next = Client::new(Options::new(Version::V5_0, "c").resuming(60));
    next.machine = Machine::new(Options::new(Version::V5_0, "c").resuming(60), store).unwrap();
    next.connect(Connack { session_present: true, ..success() });
    assert!(matches!(next.events()[..], [Event::Connected { session_present: true, .. }]));
}

#[test]
fn before_5_0_a_disconnect_with_will_closes_without_disconnect() {
    let mut client = Client::new(Options::new(Version::V3_1_1, "c"));
    client.connect(success());
    client.machine.disconnect(ReasonCode::DisconnectWithWill, Properties::new()).unwrap();
    assert!(client.sent().is_empty());
    assert!(client.machine.is_closing());
    assert!(matches!(client.cause(), Cause::Asked));

    let mut client = Client::new(Options::new(Version::V3_1_1, "c"));
    client.connect(success());
    let words = Properties::new().with(Property::ReasonString("bye"));
    assert!(client.machine.disconnect(ReasonCode::Success, words).is_err());
}

#[test]
fn a_client_that_has_an_id_keeps_it_whatever_the_server_assigns() {
    let mut client = Client::new(Options::new(Version::V5_0, "mine"));
    let properties = Properties::new().with(Property::AssignedClientIdentifier("other"));
    client.connect(Connack { properties, ..success() });
    assert_eq!(client.machine.client_id(), "mine");
}

#[test]
fn the_longest_time_outs_are_no_panic() {
    let options = Options {
        response_timeout: Duration::MAX,
        ack_timeout: Duration::MAX,
        ..Options::new(Version::V5_0, "c")
    };
    let mut client = Client::new(options);
    client.connect(success());
    client.publish(QoS::AtLeastOnce);
    client.passes(60);
    assert!(client.machine.deadline().is_some());
}

#[test]
fn pingresp_may_come_behind_a_long_packet() {
    let mut client = Client::connected();
    assert_eq!(client.passes(60), [Packet::Pingreq]);
    for _ in 0..5 {
        client.now += Duration::from_secs(20);
        client.machine.arrived(client.now);
        client.machine.tick(client.now);
    }
    assert!(!client.machine.is_closing());
    client.passes(30);
    assert!(matches!(client.cause(), Cause::Timeout("PINGRESP")));
}

#[test]
fn nothing_is_missed_while_nothing_is_read() {
    let mut client = Client::connected();
    client.publish(QoS::AtLeastOnce);
    client.sent();
    for _ in 0..10 {
        client.now += Duration::from_secs(29);
        client.machine.not_reading(client.now);
        client.machine.tick(client.now);
        client.sent();
    }
    assert!(!client.machine.is_closing());
}

#[test]
fn a_server_that_acknowledges_nothing_is_given_up_and_one_that_goes_on_is_not() {
    let mut client = Client::connected();
    for _ in 0..3 {
        client.publish(QoS::AtLeastOnce);
    }
    client.sent();
    // It answers PINGREQ, and one message in a while.
    for answered in 1..3 {
        client.passes(59);
        client.gets(Packet::Pingresp);
        client.gets(Puback::new(id(answered)));
    }
    client.passes(59);
    client.gets(Packet::Pingresp);
    assert!(!client.machine.is_closing());
    client.passes(1);
    assert!(matches!(client.cause(), Cause::Timeout("acknowledgement")));
}

#[test]
fn a_reauthentication_without_answer_ends_the_connection() {
    let method = || Properties::new().with(Property::AuthenticationMethod("m"));
    let mut client = Client::new(Options { properties: method(), ..Options::new(Version::V5_0, "c") });
    client.connect(Connack { properties: method(), ..success() });
    client.machine.authenticate(ReasonCode::ReAuthenticate, b"d").unwrap();
    client.sent();
    client.passes(30);
    assert!(matches!(client.cause(), Cause::Timeout("AUTH")));
}

/// A store whose disk is full.
#[derive(Default)]
struct Full(MemoryStore);

impl SessionStore for Full {
    fn load(&mut self) -> io::Result<StoredSession> {
        self.0.load()
    }
    fn set_begun(&mut self, _: bool) {}
    fn set_accepted(&mut self) {}
    fn set_client_id(&mut self, _: &str) {}
    fn put_outgoing(&mut self, _: &StoredMessage) {}
    fn release(&mut self, _: PacketId, _: u64) {}
    fn remove_outgoing(&mut self, _: PacketId) {}
    fn put_incoming(&mut self, _: PacketId) {}
    fn remove_incoming(&mut self, _: PacketId) {}
    fn flush(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::StorageFull.into())
    }
}

#[test]
fn a_store_that_fails_without_a_connection_is_told_once() {
    let mut machine = Machine::new(Options::new(Version::V5_0, "c"), Full::default()).unwrap();
    machine.publish(message(QoS::AtLeastOnce)).unwrap();
    let now = Instant::now();
    for _ in 0..3 {
        assert!(!machine.poll_transmit(now, &mut Vec::new()));
    }
    assert!(matches!(machine.poll_event(), Some(Event::StoreFailed { .. })));
    assert!(machine.poll_event().is_none());
}

#[test]
fn a_refusal_begins_no_session() {
    for refusal in [
        Packet::from(Connack::new(ReasonCode::ServerUnavailable)),
        Packet::from(Disconnect::new(ReasonCode::ServerBusy)),
    ] {
        let mut client = Client::new(Options::new(Version::V5_0, "c").resuming(60));
        client.machine.connect(client.now).unwrap();
        client.sent();
        client.gets(refusal);
        client.machine.connection_lost();
        client.events();
        client.connect(Connack { session_present: true, ..Connack::new(ReasonCode::Success) });
        assert_eq!(client.violated(), "MQTT-3.2.2-4");
    }
}

#[test]
fn ids_of_a_session_that_may_be_older_are_not_those_that_every_process_begins_with() {
    let ids = |answered: bool| {
        let options = Options { adopt_session: answered, ..Options::new(Version::V5_0, "c").resuming(60) };
        let mut client = Client::new(options);
        // Accepted before there is a connection, and never sent.
        for _ in 0..3 {
            client.publish(QoS::ExactlyOnce);
        }
        if !answered {
            // CONNACK gets lost, if the server sent it: the session is one that it begins, or an older one.
            client.machine.connect(client.now).unwrap();
            client.sent();
            client.machine.connection_lost();
            client.events();
        }
        let present = Connack { session_present: true, ..Connack::new(ReasonCode::Success) };
        let ids: Vec<_> = client.connect(present).iter().map(id_of).collect();
        let stored = client.machine.store.load().unwrap().outgoing;
        assert_eq!(stored.iter().map(|stored| stored.packet_id).collect::<Vec<_>>(), ids);
        assert_eq!(ids.len(), 3);
        ids
    };
    for answered in [true, false] {
        let first: std::collections::BTreeSet<_> = (0..8).map(|_| ids(answered)[0]).collect();
        assert!(first.len() > 3, "{first:?}");
    }
}

#[test]
fn a_process_that_died_before_connack_leaves_no_session_whose_ids_are_known() {
    let options = || Options::new(Version::V5_0, "c").resuming(60);
    let present = Connack { session_present: true, ..Connack::new(ReasonCode::Success) };
    let ids = |died_before_connack: bool| {
        let mut before = Client::new(options());
        for _ in 0..3 {
            before.publish(QoS::ExactlyOnce);
        }
        before.machine.connect(before.now).unwrap();
        before.sent();
        if !died_before_connack {
            before.gets(Connack::new(ReasonCode::Success));
        }
        let mut next = Client::new(options());
        next.machine = Machine::new(options(), before.machine.store.clone()).unwrap();
        next.connect(present.clone()).iter().map(id_of).collect::<Vec<_>>()
    };
    let first: std::collections::BTreeSet<_> = (0..8).map(|_| ids(true)[0]).collect();
    assert!(first.len() > 3, "{first:?}");
    // Those of a session that was accepted are kept: they are sent again.
    assert_eq!(ids(false), [id(1), id(2), id(3)]);
}

fn id_of(packet: &Packet<'_>) -> PacketId {
    let Packet::Publish(publish) = packet else { panic!("{packet:?}") };
    publish.delivery.packet_id().unwrap()
}

#[test]
fn an_assigned_client_id_is_that_of_the_next_process_and_a_store_is_no_other_clients() {
    let next = |client: Client, id: &str| {
        let options = Options::new(Version::V5_0, id).resuming(60);
        Machine::new(options, client.machine.store).map(|machine| Client { machine, now: client.now })
    };
    let mut client = Client::new(Options::new(Version::V5_0, "").resuming(60));
    let properties = Properties::new().with(Property::AssignedClientIdentifier("lamp-7"));
    client.connect(Connack { properties, ..success() });
    let mut client = next(client, "").unwrap();
    client.machine.connect(client.now).unwrap();
    let [Packet::Connect(connect)] = &client.sent()[..] else { panic!() };
    assert_eq!(connect.client_id, "lamp-7");
    let client = next(client, "lamp-7").unwrap();
    let Err(Refusal::Store(error)) = next(client, "lamp-8") else { panic!("it is somebody else's") };
    assert!(error.to_string().contains("lamp-7"), "{error}");
}
