//! What the flags of a session and of its pace come to on the wire, as a server of the test's own sees it.

use std::time::Duration;

use opifex_packet::{Connack, Packet, Puback, Pubcomp, Pubrec, ReasonCode, Version};

use crate::server::{Guest, Server};
use crate::tool::Tool;

const V5: Version = Version::V5_0;

/// Longer than a client needs for what it may send without an answer.
const SILENCE: Duration = Duration::from_millis(400);

/// The end of a command that publishes at QoS 0, or has nothing to publish.
fn good_bye(mut guest: Guest, tool: Tool) {
    loop {
        match guest.receive() {
            Some(Packet::Disconnect(_)) => break,
            Some(Packet::Publish(_)) => {}
            other => panic!("expected DISCONNECT, not {other:?}"),
        }
    }
    tool.ended(0);
}

#[test]
fn keep_alive_client_id_and_clean_session_are_those_of_the_flags() {
    let connect = |flags: &[&str]| {
        let server = Server::new(Version::V3_1_1);
        let tool = Tool::start(&server, "pub", &[&["-t", "t", "-m", "x"], flags].concat());
        let guest = server.accept();
        let (connect, id) = (guest.connect.clone(), tool.id());
        good_bye(guest, tool);
        (connect, id)
    };
    let (plain, _) = connect(&[]);
    assert_eq!((plain.keep_alive_secs, plain.clean_start), (60, true));
    assert!(plain.client_id.starts_with("opifex-pub-"), "{}", plain.client_id);
    for flag in ["-k", "--keepalive"] {
        assert_eq!(connect(&[flag, "17"]).0.keep_alive_secs, 17);
    }
    for flag in ["-I", "--id-prefix"] {
        let (connect, id) = connect(&[flag, "gauge-"]);
        assert_eq!(connect.client_id, format!("gauge-{id}"));
    }
    for flag in ["-c", "--keep-session", "--disable-clean-session"] {
        let (connect, _) = connect(&[flag, "-i", "me"]);
        assert_eq!((connect.clean_start, &*connect.client_id), (false, "me"), "{flag}");
    }
}

#[test]
fn no_more_messages_are_on_their_way_than_the_flag_allows() {
    let input: String = (0..50).map(|number| format!("{number}\n")).collect();
    // The flag, or what stands without it: 20 before 5.0, and then what a server says.
    let cases: [(Version, &[&str], usize); 4] = [
        (Version::V3_1_1, &["-V", "311", "-M", "7"], 7),
        (Version::V3_1_1, &["-V", "311"], 20),
        (V5, &["-V", "5", "--max-inflight", "9"], 9),
        (V5, &["-V", "5"], 50),
    ];
    for (version, flags, window) in cases {
        let server = Server::new(version);
        let mut tool = Tool::start(&server, "pub", &[&["-t", "t", "-l", "-q", "1"], flags].concat());
        tool.give(input.as_bytes());
        let mut guest = server.accept();
        let mut under_way = Vec::new();
        while let Some(Some(packet)) = guest.receive_within(SILENCE) {
            match packet {
                Packet::Publish(publish) => under_way.push(publish.delivery.packet_id().unwrap()),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(under_way.len(), window, "{flags:?}");
        under_way.into_iter().for_each(|id| guest.send(Puback::new(id)));
        for _ in window..50 {
            let id = guest.published().delivery.packet_id().unwrap();
            guest.send(Puback::new(id));
        }
        good_bye(guest, tool);
    }
}

#[test]
fn a_qos_2_message_of_5_0_is_ended_over_a_new_connection_and_not_sent_anew() {
    // What goes on until it is told to end has a session that outlives a long outage.
    for (command, flags, secs) in [("pub", &["-m", "x"][..], 300), ("pub", &["-l"], 86_400)] {
        let server = Server::new(V5);
        let mut tool = Tool::start(&server, command, &[&["-t", "t", "-q", "2", "-V", "5"], flags].concat());
        tool.give(b"x\n");
        let mut first = server.accept();
        assert!(first.connect.clean_start);
        assert_eq!(first.connect.properties.session_expiry_interval(), Some(secs));
        let id = first.published().delivery.packet_id().unwrap();
        first.send(Pubrec::new(id));
        assert!(matches!(first.receive(), Some(Packet::Pubrel(_))));
        drop(first);
        let mut second = server.meet();
        assert!(!second.connect.clean_start);
        second.send(Connack { session_present: true, ..Connack::new(ReasonCode::Success) });
        match second.receive() {
            Some(Packet::Pubrel(pubrel)) => assert_eq!(pubrel.packet_id, id),
            other => panic!("expected PUBREL, not {other:?}"),
        }
        second.send(Pubcomp::new(id));
        // Nothing of it stays at the server.
        match second.receive() {
            Some(Packet::Disconnect(disconnect)) => {
                assert_eq!(disconnect.properties.session_expiry_interval(), Some(0));
            }
            other => panic!("expected DISCONNECT, not {other:?}"),
        }
        tool.ended(0);
    }
}

#[test]
fn a_session_of_its_own_is_left_as_the_flags_ask() {
    let expiry = |flags: &[&str]| {
        let server = Server::new(V5);
        let tool = Tool::start(&server, "pub", &[&["-t", "t", "-m", "x", "-V", "5"], flags].concat());
        let mut guest = server.accept();
        let asked = guest.connect.properties.session_expiry_interval();
        loop {
            match guest.receive() {
                Some(Packet::Disconnect(disconnect)) => {
                    tool.ended(0);
                    return (asked, disconnect.properties.session_expiry_interval());
                }
                Some(Packet::Publish(publish)) => {
                    if let Some(id) = publish.delivery.packet_id() {
                        guest.send(Pubrec::new(id));
                    }
                }
                Some(Packet::Pubrel(pubrel)) => guest.send(Pubcomp::new(pubrel.packet_id)),
                other => panic!("{other:?}"),
            }
        }
    };
    assert_eq!(expiry(&[]), (None, None));
    assert_eq!(expiry(&["-q", "2", "-x", "9"]), (Some(9), None));
    assert_eq!(expiry(&["-q", "2", "-x", "0"]), (None, None));
    assert_eq!(expiry(&["-q", "2", "-i", "me", "-c"]), (Some(u32::MAX), None));
    let own = ["-q", "2", "-D", "disconnect", "session-expiry-interval", "3"];
    assert_eq!(expiry(&own).1, Some(3));
}
