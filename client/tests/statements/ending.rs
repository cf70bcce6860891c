//! 3.14 DISCONNECT.

use opifex_client::{Cause, Options, Refusal};
use opifex_packet::{Connack, Packet, Properties, Property, QoS, ReasonCode, Version};

use crate::peer::{Peer, message, publish, success};
use crate::statements;

statements! { "ending";
    the_connection_is_closed_and_nothing_follows_disconnect:
        v4 ["MQTT-3.14.4-1", "MQTT-3.14.4-2"], v5 ["MQTT-3.14.4-1", "MQTT-3.14.4-2"];
    words_that_the_server_has_no_room_for_are_not_sent: v5 ["MQTT-3.14.2-3", "MQTT-3.14.2-4"];
    a_session_that_ends_with_its_connection_is_not_given_an_expiry: v5 ["U5-13"];
    only_reasons_of_clients_are_sent: v5 ["MQTT-3.14.2-1", "U5-33"];
}

fn the_connection_is_closed_and_nothing_follows_disconnect(version: Version) {
    let mut peer = Peer::connected(version);
    peer.publish("before", QoS::AtLeastOnce);
    peer.machine.disconnect(ReasonCode::Success, Properties::new()).unwrap();
    peer.publish("behind", QoS::AtLeastOnce);
    assert!(matches!(peer.machine.publish(message("m", QoS::AtMostOnce)), Err(Refusal::NotConnected)));
    let sent = peer.gets(publish(QoS::AtLeastOnce, 1));
    assert!(matches!(sent[..], [Packet::Publish(_), Packet::Disconnect(_)]), "{sent:?}");
    assert!(matches!(peer.cause(), Cause::Asked));
    assert_eq!(peer.passes(600), []);
}

fn a_session_that_ends_with_its_connection_is_not_given_an_expiry(version: Version) {
    let mut peer = Peer::accepted(Options::new(version, "c"), success());
    let expiry = Properties::new().with(Property::SessionExpiryInterval(5));
    let refused = peer.machine.disconnect(ReasonCode::Success, expiry);
    assert!(matches!(refused, Err(Refusal::Forbidden { .. })), "{refused:?}");
    assert_eq!(peer.sent(), []);
}

fn words_that_the_server_has_no_room_for_are_not_sent(version: Version) {
    let words = "w".repeat(40);
    for property in [Property::ReasonString(&words), Property::UserProperty("why", &words)] {
        let properties = Properties::new().with(Property::MaximumPacketSize(40));
        let mut peer = Peer::accepted(Options::new(version, "c"), Connack { properties, ..success() });
        let refused = peer.machine.disconnect(ReasonCode::Success, Properties::new().with(property));
        assert!(matches!(refused, Err(Refusal::Forbidden { .. })), "{refused:?}");
        assert_eq!(peer.sent(), []);
        // What there is room for goes out without them.
        peer.machine.disconnect(ReasonCode::Success, Properties::new()).unwrap();
        assert!(matches!(peer.sent()[..], [Packet::Disconnect(_)]));
    }
}

fn only_reasons_of_clients_are_sent(version: Version) {
    let of_clients = [0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99];
    for code in 0..=u8::MAX {
        let Ok(reason) = ReasonCode::try_from(code) else { continue };
        let mut peer = Peer::connected(version);
        let sent = peer.machine.disconnect(reason, Properties::new());
        assert_eq!(sent.is_ok(), of_clients.contains(&code), "{code:#04x}: {sent:?}");
    }
}
