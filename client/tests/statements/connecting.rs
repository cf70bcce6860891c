//! 3.2 CONNACK: what the client makes of Session Present; and a packet that is none.

use opifex_client::{Cause, Event};
use opifex_packet::{Connack, Disconnect, Packet, Pubrec, QoS, ReasonCode, Version};

use crate::peer::{Peer, id, lasting, publish, publishes, success};
use crate::statements;

statements! { "connecting";
    a_session_that_it_knows_nothing_of_ends_the_connection: v5 ["MQTT-3.2.2-4"];
    a_session_that_the_server_has_lost_is_dropped: v5 ["MQTT-3.2.2-5"];
    a_malformed_packet_ends_the_connection: v5 ["U5-42"];
}

fn a_session_that_it_knows_nothing_of_ends_the_connection(version: Version) {
    let mut peer = Peer::new(lasting(version));
    peer.connect(Connack { session_present: true, ..success() });
    let cause = peer.cause();
    assert!(matches!(cause, Cause::Violation { statement: "MQTT-3.2.2-4", .. }), "{cause}");
}

fn a_session_that_the_server_has_lost_is_dropped(version: Version) {
    let mut peer = Peer::connected(version);
    peer.gets(publish(QoS::ExactlyOnce, 7));
    peer.publish("released", QoS::ExactlyOnce);
    let [(_, released, _)] = publishes(&peer.sent())[..] else { panic!() };
    assert!(matches!(peer.gets(Pubrec::new(id(released)))[..], [Packet::Pubrel(_)]));
    let sent = peer.reconnect(false);
    assert!(sent.is_empty(), "PUBREL would be of a session that is not there: {sent:?}");
    // The id was the old session's, and means a new message.
    peer.gets(publish(QoS::ExactlyOnce, 7));
    assert_eq!(peer.messages(), 1);
}

fn a_malformed_packet_ends_the_connection(version: Version) {
    // PUBLISH with QoS 3, and SUBACK without a packet id.
    for bytes in [&[0x36, 3, 0, 1, b't'][..], &[0x90, 1, 0]] {
        let mut peer = Peer::connected(version);
        let sent = peer.gets_bytes(bytes);
        assert_eq!(sent, [Packet::from(Disconnect::new(ReasonCode::MalformedPacket))]);
        assert!(peer.machine.is_closing());
        let last = peer.events().pop();
        assert!(matches!(last, Some(Event::Disconnected { cause: Cause::Malformed(_) })), "{last:?}");
    }
}
