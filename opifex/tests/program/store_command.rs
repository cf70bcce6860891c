//! `opifex store`: from a broker's store to a file, into another store, and looked through.

use std::path::Path;
use std::process::{Command, Output};

use opifex_packet::{
    Connect, Delivery, Disconnect, Packet, PacketId, Property, Publish, QoS, ReasonCode, Subscribe,
    Subscription, TopicFilter, TopicName, Version,
};

use crate::child::{Program, refused, run};
use crate::peer::Peer;

const BACKENDS: &[&str] = if cfg!(feature = "sled") { &["sqlite", "sled"] } else { &["sqlite"] };

fn serve(storage: &str, place: &Path) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_opifex"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--storage", storage, "--data-dir"]);
    Program::start(command.arg(place), 1)
}

fn resume(program: &Program, client_id: &str) -> (Peer, bool) {
    let mut peer = Peer::open(program.address());
    let mut connect = Connect::new(Version::V5_0, client_id);
    connect.clean_start = false;
    connect.properties.push(Property::SessionExpiryInterval(3600));
    let connack = peer.log_in(connect);
    (peer, connack.session_present)
}

/// A store with a session that has messages, and a retained one.
fn fill(storage: &str, place: &Path) {
    let program = serve(storage, place);
    let id = PacketId::new(1).unwrap();
    let (mut peer, _) = resume(&program, "c");
    let subscription = Subscription::new(TopicFilter::new("a/#").unwrap(), QoS::AtLeastOnce);
    peer.send(Subscribe::new(id, vec![subscription]));
    assert!(matches!(peer.receive(), Some(Packet::Suback(_))));
    peer.send(Disconnect::new(ReasonCode::Success));
    assert_eq!(peer.receive(), None);
    let mut publisher = Peer::connect(program.address(), "p");
    for payload in ["1", "2", "3"] {
        publisher.send(Publish {
            retain: true,
            delivery: Delivery::AtLeastOnce(id),
            ..Publish::new(TopicName::new("a/b").unwrap(), payload.as_bytes())
        });
        assert!(matches!(publisher.receive(), Some(Packet::Puback(_))));
    }
    drop(publisher);
    program.stop();
}

fn store(what: &str, storage: &str, place: &Path, file: &[&str], input: &[u8]) -> Output {
    let place = place.to_str().unwrap();
    run(&[&["store", what, "--storage", storage, "--data-dir", place], file].concat(), input)
}

fn succeeds(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    stderr
}

#[test]
fn a_store_moves_between_backends_and_clients_find_what_they_left() {
    let here = tempfile::tempdir().unwrap();
    for from in BACKENDS {
        let old = here.path().join(format!("old-{from}"));
        fill(from, &old);
        for to in BACKENDS {
            let new = here.path().join(format!("{from}-{to}"));
            let exported = store("export", from, &old, &["-"], b"");
            let line = succeeds(&exported);
            let expected = "sessions=1 subscriptions=1 queued=3 inbound=0 wills=0 retained=1 ended=0";
            assert!(line.contains(&format!("exported: {expected}")), "{line}");
            let line = succeeds(&store("import", to, &new, &["-"], &exported.stdout));
            assert!(line.contains(&format!("imported: {expected}")), "{line}");
            let line = succeeds(&store("check", to, &new, &[], b""));
            assert!(line.contains(&format!("checked: {expected}")), "{line}");

            let program = serve(to, &new);
            let (mut peer, present) = resume(&program, "c");
            assert!(present, "{from} to {to}");
            let payloads: Vec<_> = (0..3).map(|_| peer.expect_message()).collect();
            assert_eq!(payloads, [b"1", b"2", b"3"], "{from} to {to}");
            program.stop();
        }
    }
}

#[test]
fn a_file_appears_when_it_is_whole_and_is_refused_when_it_is_not() {
    let here = tempfile::tempdir().unwrap();
    let (place, file) = (here.path().join("data"), here.path().join("backup"));
    let name = file.to_str().unwrap();
    fill("sqlite", &place);
    succeeds(&store("export", "sqlite", &place, &[name], b""));
    let whole = std::fs::read(&file).unwrap();
    assert_eq!(std::fs::read_dir(here.path()).unwrap().count(), 2, "no temporary file is left");

    let imported = |bytes: &[u8], name: &str| {
        let output = store("import", "sqlite", &here.path().join(name), &["-"], bytes);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, line) = imported(&whole[..whole.len() - 1], "short");
    assert!(code == Some(1) && line.contains("the file ends within it"), "{line}");
    assert!(line.contains("the store is incomplete, remove it"), "{line}");
    let (code, line) = imported(&whole[..20], "shorter");
    assert!(code == Some(1) && line.contains("frame 0 is damaged"), "{line}");
    let mut flipped = whole.clone();
    flipped[40] ^= 1;
    let (code, line) = imported(&flipped, "flipped");
    assert!(code == Some(1) && line.contains("is damaged: its checksum differs"), "{line}");
    let (code, line) = imported(b"hello", "foreign");
    assert!(code == Some(1) && line.contains("not an export of an opifex store"), "{line}");
}

#[test]
fn an_import_adds_to_nothing() {
    let here = tempfile::tempdir().unwrap();
    let place = here.path().join("data");
    fill("sqlite", &place);
    let exported = store("export", "sqlite", &place, &["-"], b"").stdout;
    let output = store("import", "sqlite", &place, &["-"], &exported);
    let line = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{line}");
    assert!(line.starts_with("error: the store is not empty"), "{line}");
}

#[test]
fn what_is_not_there_is_neither_exported_nor_made() {
    let here = tempfile::tempdir().unwrap();
    let place = here.path().join("data");
    let name = place.to_str().unwrap();
    for what in [&["store", "check"][..], &["store", "export", "-"]] {
        let line = refused(&[what, &["--data-dir", name]].concat(), 1);
        assert!(line.contains(&format!("there is no sqlite store in {name}")), "{line}");
    }
    assert!(!place.exists());
    let line = refused(&["store", "check", "--storage", "memory"], 2);
    assert!(line.contains("a store in memory ends with its process"), "{line}");
}
