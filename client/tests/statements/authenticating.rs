//! 4.12 enhanced authentication.

use opifex_client::{Options, Refusal};
use opifex_packet::{Auth, Connack, Packet, Properties, Property, QoS, ReasonCode, Version};

use crate::peer::{Peer, lasting, publishes, success};
use crate::statements;

statements! { "authenticating";
    until_connack_only_auth_is_sent: v5 ["MQTT-3.1.2-30", "MQTT-4.12.0-3"];
    without_a_method_no_auth_is_sent: v5 ["MQTT-4.12.0-7", "U5-35"];
    a_re_authentication_keeps_its_method: v5 ["MQTT-4.12.1-1"];
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
