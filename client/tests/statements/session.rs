//! 3.1.2.4 and 4.1: the client's side of the session, what it is kept by and how it ends.

use opifex_client::{Cause, Options};
use opifex_packet::{Connack, Packet, Properties, Property, Publish, Pubrec, Pubrel, QoS, Version};

use crate::peer::{Peer, id, publish, publishes, success};
use crate::statements;

statements! { "session";
    a_session_outlives_its_connection_under_its_client_id:
        v4 ["MQTT-3.1.2-4", "MQTT-3.1.3-2", "MQTT-4.1.0-1", "MQTT-4.1.0-2"],
        v5 ["MQTT-3.1.2-23", "MQTT-3.1.3-2", "MQTT-4.1.0-1"];
    the_id_that_the_server_assigned_is_the_sessions: v5 ["MQTT-3.1.3-2"];
    a_clean_session_is_not_gone_on_with: v4 ["MQTT-3.1.2-6"], v5 ["MQTT-3.1.2-4"];
}

/// Begins a connection: whether CONNECT asks for a new session, and its client id.
fn asks(peer: &mut Peer) -> (bool, String) {
    peer.machine.connect(std::time::Instant::now()).unwrap();
    let [Packet::Connect(connect)] = &peer.sent()[..] else { panic!("CONNECT alone") };
    (connect.clean_start, connect.client_id.to_string())
}

/// A QoS 2 message in each direction, and one that was released; the ids of the two that were sent.
fn under_way(peer: &mut Peer) -> (u16, u16) {
    peer.gets(publish(QoS::ExactlyOnce, 7));
    peer.publish("released", QoS::ExactlyOnce);
    peer.publish("sent", QoS::ExactlyOnce);
    let sent = publishes(&peer.sent());
    peer.gets(Pubrec::new(id(sent[0].1)));
    peer.events();
    (sent[0].1, sent[1].1)
}

fn a_session_outlives_its_connection_under_its_client_id(version: Version) {
    for asked in [false, true] {
        let mut peer = Peer::connected(version);
        let (released, sent) = under_way(&mut peer);
        if asked {
            peer.machine.disconnect(opifex_packet::ReasonCode::Success, Properties::new()).unwrap();
            peer.sent();
        }
        peer.machine.connection_lost();
        assert_eq!(asks(&mut peer), (false, "c".to_owned()));
        let again = peer.gets(Connack { session_present: true, ..success() });
        assert_eq!(again[0], Packet::from(Pubrel::new(id(released))));
        assert_eq!(publishes(&again), [("sent".to_owned(), sent, true)]);
        peer.events();
        let dup = Publish { dup: true, ..publish(QoS::ExactlyOnce, 7) };
        assert!(matches!(peer.gets(dup)[..], [Packet::Pubrec(_)]));
        assert_eq!(peer.messages(), 0);
    }
}

fn the_id_that_the_server_assigned_is_the_sessions(version: Version) {
    let mut peer = Peer::new(Options::new(version, "").resuming(3_600));
    assert_eq!(asks(&mut peer).1, "");
    let properties = Properties::new().with(Property::AssignedClientIdentifier("given"));
    peer.gets(Connack { properties, ..success() });
    peer.machine.connection_lost();
    assert_eq!(asks(&mut peer), (false, "given".to_owned()));
}

fn a_clean_session_is_not_gone_on_with(version: Version) {
    let mut peer = Peer::accepted(Options::new(version, "c"), success());
    let (_, _) = under_way(&mut peer);
    peer.machine.connection_lost();
    assert!(asks(&mut peer).0);
    let sent = peer.gets(success());
    assert!(!sent.iter().any(|packet| matches!(packet, Packet::Pubrel(_))), "{sent:?}");
    assert!(publishes(&sent).iter().all(|(_, _, dup)| !dup), "what is sent is new: {sent:?}");
    peer.events();
    peer.gets(publish(QoS::ExactlyOnce, 7));
    assert_eq!(peer.messages(), 1, "the id is not known from before");
    // And a server that goes on with one nevertheless is not believed.
    let mut peer = Peer::new(Options::new(version, "c"));
    peer.connect(Connack { session_present: true, ..success() });
    assert!(matches!(peer.cause(), Cause::Violation { statement: "MQTT-3.2.2-2", .. }));
}
