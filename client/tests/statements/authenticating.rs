//! 4.12 enhanced authentication.

use opifex_client::{Cause, Options, Refusal};
use opifex_packet::{Auth, Connack, Packet, Properties, Property, QoS, ReasonCode, Version};

use crate::peer::{Peer, field, lasting, packet, publish, publishes, success};
use crate::statements;

statements! { "authenticating";
    until_connack_only_auth_is_sent:
        v5 ["MQTT-3.1.2-30", "MQTT-3.15.2-1", "MQTT-3.15.2-2", "MQTT-3.15.2-3", "MQTT-4.12.0-3", "MQTT-4.12.0-5"];
    without_a_method_no_auth_is_sent: v5 ["MQTT-4.12.0-7", "U5-35"];
    a_re_authentication_keeps_its_method: v5 ["MQTT-4.12.1-1", "MQTT-4.12.0-5"];
    another_method_ends_the_connection: v5 ["MQTT-4.12.0-5"];
    an_empty_auth_is_success_without_a_method: v5 ["U5-36"];
    a_re_authentication_that_fails_ends_the_connection: v5 ["MQTT-4.12.1-2"];
    messages_flow_while_it_authenticates_again: v5 ["U5-40"];
}

fn method() -> Properties<'static> {
    Properties::new().with(Property::AuthenticationMethod("riddle"))
}

fn options(version: Version) -> Options {
    Options { properties: method(), ..lasting(version) }
}

/// The reason, the method and the data of the one packet that is sent, which is AUTH.
fn auth(packets: &[Packet<'_>]) -> (ReasonCode, Option<String>, Option<Vec<u8>>) {
    let [Packet::Auth(auth)] = packets else { panic!("expected AUTH alone: {packets:?}") };
    // Neither a reason string nor user properties, for which there might be no room.
    assert!(auth.properties.iter().count() <= 2);
    let method = auth.properties.authentication_method().map(str::to_owned);
    (auth.reason, method, auth.properties.authentication_data().map(<[u8]>::to_vec))
}

fn until_connack_only_auth_is_sent(version: Version) {
    let mut peer = Peer::new(options(version));
    peer.publish("early", QoS::AtLeastOnce);
    peer.machine.connect(std::time::Instant::now()).unwrap();
    assert!(matches!(peer.sent()[..], [Packet::Connect(_)]));
    for data in [&b"1"[..], b"2"] {
        assert_eq!(peer.gets(Auth::new(ReasonCode::ContinueAuthentication, method())), []);
        for other in [ReasonCode::ReAuthenticate, ReasonCode::Success] {
            assert!(matches!(peer.machine.authenticate(other, data), Err(Refusal::Forbidden { .. })));
        }
        peer.machine.authenticate(ReasonCode::ContinueAuthentication, data).unwrap();
        let expected = (ReasonCode::ContinueAuthentication, Some("riddle".to_owned()), Some(data.to_vec()));
        assert_eq!(auth(&peer.sent()), expected);
    }
    let sent = peer.gets(Connack { properties: method(), ..success() });
    assert_eq!(publishes(&sent).len(), 1);
}

fn without_a_method_no_auth_is_sent(version: Version) {
    let mut peer = Peer::new(lasting(version));
    peer.machine.connect(std::time::Instant::now()).unwrap();
    peer.sent();
    for reason in [ReasonCode::ContinueAuthentication, ReasonCode::ReAuthenticate] {
        assert!(matches!(peer.machine.authenticate(reason, b"d"), Err(Refusal::Forbidden { .. })));
        assert_eq!(peer.sent(), []);
    }
    peer.gets(success());
    for reason in [ReasonCode::ContinueAuthentication, ReasonCode::ReAuthenticate] {
        assert!(matches!(peer.machine.authenticate(reason, b"d"), Err(Refusal::Forbidden { .. })));
        assert_eq!(peer.sent(), []);
    }
}

fn a_re_authentication_keeps_its_method(version: Version) {
    let mut peer = Peer::accepted(options(version), Connack { properties: method(), ..success() });
    peer.machine.authenticate(ReasonCode::ReAuthenticate, b"again").unwrap();
    let expected = (ReasonCode::ReAuthenticate, Some("riddle".to_owned()), Some(b"again".to_vec()));
    assert_eq!(auth(&peer.sent()), expected);
}

/// A client that is connected, and has begun to authenticate again.
fn again(version: Version) -> Peer {
    let mut peer = Peer::accepted(options(version), Connack { properties: method(), ..success() });
    peer.machine.authenticate(ReasonCode::ReAuthenticate, b"again").unwrap();
    auth(&peer.sent());
    peer
}

/// AUTH of the server with that method.
fn auth_bytes(reason: u8, method: &str) -> Vec<u8> {
    let properties = [&[0x15][..], &field(method.as_bytes())].concat();
    packet(0xf0, &[&[reason, properties.len() as u8], &properties[..]].concat())
}

fn another_method_ends_the_connection(version: Version) {
    let wrong = Properties::new().with(Property::AuthenticationMethod("other"));
    for properties in [wrong, Properties::new()] {
        let mut peer = Peer::accepted(options(version), Connack { properties, ..success() });
        let cause = peer.cause();
        assert!(matches!(cause, Cause::Violation { statement: "MQTT-4.12.0-5", .. }), "{cause}");
    }
    for reason in [0x18, 0x00] {
        again(version).is_ended_by(&auth_bytes(reason, "other"), ReasonCode::ProtocolError);
        assert_eq!(again(version).arrives(&auth_bytes(reason, "riddle")), []);
    }
}

fn an_empty_auth_is_success_without_a_method(version: Version) {
    let cause = again(version).is_ended_by(&[0xf0, 0], ReasonCode::ProtocolError);
    assert!(matches!(cause, Cause::Violation { statement: "MQTT-4.12.0-5", .. }), "it is read: {cause}");
}

fn a_re_authentication_that_fails_ends_the_connection(version: Version) {
    // By the server's word, which nothing answers.
    let mut peer = again(version);
    assert_eq!(peer.arrives(&[0xe0, 1, 0x87]), []);
    let cause = peer.cause();
    assert!(matches!(cause, Cause::Server { reason: ReasonCode::NotAuthorized, .. }), "{cause}");
    // By an answer with another method, and by none.
    again(version).is_ended_by(&auth_bytes(0, "other"), ReasonCode::ProtocolError);
    let mut peer = again(version);
    let sent = peer.passes(40);
    assert!(matches!(&sent[..], [Packet::Disconnect(packet)] if packet.reason.is_error()), "{sent:?}");
    assert!(matches!(peer.cause(), Cause::Timeout(_)));
}

fn messages_flow_while_it_authenticates_again(version: Version) {
    let mut peer = again(version);
    peer.events();
    peer.publish("out", QoS::AtLeastOnce);
    assert_eq!(publishes(&peer.sent()).len(), 1);
    assert!(matches!(peer.gets(publish(QoS::AtLeastOnce, 1))[..], [Packet::Puback(_)]));
    assert_eq!(peer.messages(), 1);
}
