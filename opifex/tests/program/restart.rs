//! The program is killed and started again on the same directory: what was acknowledged is there, and clocks ran on.

use std::process::Command;
use std::time::{Duration, Instant};

use opifex_packet::{
    Connect, Delivery, Disconnect, Packet, PacketId, Property, Puback, Publish, Pubrec, Pubrel, QoS,
    Subscribe, Subscription, TopicFilter, TopicName, Version, Will,
};

use crate::child::Program;
use crate::peer::Peer;

const ID: PacketId = PacketId::new(7).unwrap();

fn serve(storage: &str, place: &tempfile::TempDir) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_opifex"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--storage", storage, "--data-dir"]);
    Program::start(command.arg(place.path().join("data")), 1)
}

/// A client whose session outlives its connection; answers whether it was there.
fn resume(program: &Program, client_id: &str, expiry_secs: u32, will: Option<Will<'_>>) -> (Peer, bool) {
    let mut peer = Peer::open(program.address());
    let mut connect = Connect::new(Version::V5_0, client_id);
    connect.clean_start = false;
    connect.properties.push(Property::SessionExpiryInterval(expiry_secs));
    connect.will = will;
    let connack = peer.log_in(connect);
    assert!(!connack.reason.is_error(), "{connack:?}");
    (peer, connack.session_present)
}

fn subscribe(peer: &mut Peer, filter: &str, qos: QoS) {
    let subscription = Subscription::new(TopicFilter::new(filter).unwrap(), qos);
    peer.send(Subscribe::new(ID, vec![subscription]));
    assert!(matches!(peer.receive(), Some(Packet::Suback(_))));
}

fn message(topic: &'static str, payload: &'static str, delivery: Delivery) -> Publish<'static> {
    Publish { delivery, ..Publish::new(TopicName::new(topic).unwrap(), payload.as_bytes()) }
}

/// Publishes and waits for the acknowledgement.
fn publish(peer: &mut Peer, publish: Publish<'_>) {
    peer.send(publish);
    match peer.receive() {
        Some(Packet::Puback(ack)) => assert!(!ack.reason.is_error()),
        Some(Packet::Pubrec(ack)) => assert!(!ack.reason.is_error()),
        other => panic!("expected an acknowledgement, not {other:?}"),
    }
}

/// The next message; the QoS 1 ones are acknowledged.
fn expect_message(peer: &mut Peer) -> (String, Publish<'static>) {
    match peer.receive() {
        Some(Packet::Publish(publish)) => {
            if let Delivery::AtLeastOnce(id) = publish.delivery {
                peer.send(Puback::new(id));
            }
            (String::from_utf8(publish.payload.to_vec()).unwrap(), publish)
        }
        other => panic!("expected PUBLISH, not {other:?}"),
    }
}

fn everything_is_there_after_kill_9(storage: &str) {
    let place = tempfile::tempdir().unwrap();
    let program = serve(storage, &place);

    let (mut offline, _) = resume(&program, "offline", 3600, None);
    subscribe(&mut offline, "a/#", QoS::AtLeastOnce);
    subscribe(&mut offline, "will/#", QoS::AtLeastOnce);
    offline.send(Disconnect::new(opifex_packet::ReasonCode::Success));
    assert_eq!(offline.receive(), None);

    let (mut brief, _) = resume(&program, "brief", 1, None);
    subscribe(&mut brief, "b", QoS::AtLeastOnce);
    brief.send(Disconnect::new(opifex_packet::ReasonCode::Success));
    assert_eq!(brief.receive(), None);

    let mut will = Will::new(TopicName::new("will/w").unwrap(), &b"delayed"[..]);
    will.qos = QoS::AtLeastOnce;
    will.properties.push(Property::WillDelayInterval(1));
    let (_dies, _) = resume(&program, "dies", 3600, Some(will));

    let (mut in_flight, _) = resume(&program, "in-flight", 3600, None);
    subscribe(&mut in_flight, "q", QoS::ExactlyOnce);

    let (mut publisher, _) = resume(&program, "publisher", 3600, None);
    publish(&mut publisher, message("a/1", "queued", Delivery::AtLeastOnce(ID)));
    publish(&mut publisher, Publish { retain: true, ..message("a/r", "kept", Delivery::AtLeastOnce(ID)) });
    publish(&mut publisher, message("q", "released", Delivery::ExactlyOnce(ID)));
    let Some(Packet::Publish(received)) = in_flight.receive() else { panic!("no PUBLISH") };
    let Delivery::ExactlyOnce(in_flight_id) = received.delivery else { panic!("{received:?}") };
    in_flight.send(Pubrec::new(in_flight_id));
    assert!(matches!(in_flight.receive(), Some(Packet::Pubrel(_))));
    let killed = Instant::now();
    program.kill();

    // Time that the broker is not there counts as well.
    std::thread::sleep(Duration::from_millis(1_500));
    let program = serve(storage, &place);
    let line = program.wait_for_log("recovered from the store");
    // Where the machine took more than its second to get here, one of the sessions was over before the kill.
    let (sessions, subscriptions) = match line.contains("sessions=4") {
        true => ("sessions=4", "subscriptions=3"),
        false => ("sessions=5", "subscriptions=4"),
    };
    for part in [sessions, "interrupted=3", subscriptions, "queued="] {
        assert!(line.contains(part), "{storage}: {line}");
    }
    let (_brief, present) = resume(&program, "brief", 1, None);
    assert!(!present, "{storage}: its second has passed");

    let (mut in_flight, present) = resume(&program, "in-flight", 3600, None);
    assert!(present);
    match in_flight.receive() {
        Some(Packet::Pubrel(pubrel)) => assert_eq!(pubrel.packet_id, in_flight_id),
        other => panic!("{storage}: expected PUBREL, not {other:?}"),
    }

    let (mut publisher, present) = resume(&program, "publisher", 3600, None);
    assert!(present);
    let again = message("q", "released", Delivery::ExactlyOnce(ID));
    publish(&mut publisher, Publish { dup: true, ..again });
    publisher.send(Pubrel::new(ID));
    match publisher.receive() {
        Some(Packet::Pubcomp(pubcomp)) => assert!(!pubcomp.reason.is_error(), "the id was known"),
        other => panic!("expected PUBCOMP, not {other:?}"),
    }
    in_flight.send(opifex_packet::Pubcomp::new(in_flight_id));
    publish(&mut publisher, message("q", "next", Delivery::AtLeastOnce(ID)));
    assert_eq!(expect_message(&mut in_flight).0, "next", "{storage}: the first one came once");

    let (mut offline, present) = resume(&program, "offline", 3600, None);
    assert!(present);
    let mut payloads: Vec<String> = (0..3).map(|_| expect_message(&mut offline).0).collect();
    assert_eq!(payloads[..2], ["queued", "kept"], "{storage}");
    assert_eq!(payloads.pop().unwrap(), "delayed", "{storage}: the will of who died with the broker");
    assert!(killed.elapsed() < Duration::from_secs(20), "{storage}");

    let (mut late, _) = resume(&program, "late", 0, None);
    subscribe(&mut late, "a/r", QoS::AtLeastOnce);
    let (payload, publish) = expect_message(&mut late);
    assert_eq!((payload.as_str(), publish.retain), ("kept", true), "{storage}");
    program.stop();
}

#[test]
fn sqlite_brings_everything_back_after_kill_9() {
    everything_is_there_after_kill_9("sqlite");
}

#[cfg(feature = "sled")]
#[test]
fn sled_brings_everything_back_after_kill_9() {
    everything_is_there_after_kill_9("sled");
}
