//! 3.1.2.10 keep-alive.

use opifex_client::Options;
use opifex_packet::{Connack, Packet, Properties, Property, QoS, Version};

use crate::peer::{Peer, message, success};
use crate::statements;

statements! { "keep_alive";
    silence_ends_with_pingreq: v4 ["MQTT-3.1.2-23"], v5 ["MQTT-3.1.2-20"];
    an_answer_that_is_late_is_no_reason_for_silence: v4 ["MQTT-3.1.2-23"], v5 ["MQTT-3.1.2-20"];
    the_servers_keep_alive_counts: v5 ["MQTT-3.1.2-21", "MQTT-3.2.2-21"];
}

fn silence_ends_with_pingreq(version: Version) {
    let options = Options { keep_alive_secs: 10, ..Options::new(version, "c") };
    let mut peer = Peer::accepted(options, success());
    for _ in 0..3 {
        assert_eq!(peer.passes(9), []);
        assert_eq!(peer.passes(1), [Packet::Pingreq]);
        peer.gets(Packet::Pingresp);
    }
    // A packet of another kind counts as well.
    peer.passes(9);
    peer.machine.publish(message("m", QoS::AtMostOnce)).unwrap();
    assert!(matches!(peer.sent()[..], [Packet::Publish(_)]));
    peer.gets(Packet::Pingresp);
    assert_eq!(peer.passes(9), []);
    assert_eq!(peer.passes(1), [Packet::Pingreq]);
}

fn an_answer_that_is_late_is_no_reason_for_silence(version: Version) {
    let options = Options { keep_alive_secs: 10, ..Options::new(version, "c") };
    let mut peer = Peer::accepted(options, success());
    // PINGRESP stands behind a large packet that arrives slowly.
    for _ in 0..10 {
        peer.gets_a_part();
        assert_eq!(peer.passes(9), []);
        assert_eq!(peer.passes(1), [Packet::Pingreq]);
    }
    // One answer is a sign of life, whichever it is of.
    peer.gets(Packet::Pingresp);
    assert_eq!(peer.passes(10), [Packet::Pingreq]);
    // A dead server is found out, however often it was asked meanwhile.
    let asked: Vec<_> = (0..29).flat_map(|_| peer.passes(1)).collect();
    assert_eq!(asked, [Packet::Pingreq, Packet::Pingreq]);
    assert!(peer.machine.is_connected());
    peer.passes(1);
    assert!(!peer.machine.is_connected());
}

fn the_servers_keep_alive_counts(version: Version) {
    for (own, servers) in [(60, 5), (5, 60)] {
        let options = Options { keep_alive_secs: own, ..Options::new(version, "c") };
        let properties = Properties::new().with(Property::ServerKeepAlive(servers));
        let mut peer = Peer::accepted(options, Connack { properties, ..success() });
        assert_eq!(peer.passes(u64::from(servers) - 1), []);
        assert_eq!(peer.passes(1), [Packet::Pingreq]);
    }
}
