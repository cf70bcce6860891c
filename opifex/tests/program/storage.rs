//! Which store the program takes, what it says of it, and what it refuses.

use std::process::Command;

use crate::child::{Program, file, refused, run};
use crate::peer::Peer;

/// A program in a directory of its own, where it may leave what it likes.
fn serve_in(directory: &tempfile::TempDir, flags: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_opifex"));
    command.args(["serve", "--listen", "127.0.0.1:0"]).args(flags).current_dir(directory);
    Program::start(&mut command, 1)
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn without_flags_it_is_sqlite_on_the_disk_in_opifex_data() {
    let here = directory();
    let program = serve_in(&here, &[]);
    let line = program.wait_for_log("survive power loss");
    for part in ["storage=sqlite", "data_dir=./opifex-data", "durability=disk"] {
        assert!(line.contains(part), "{line}");
    }
    assert!(here.path().join("opifex-data/opifex.db").exists());
    program.stop();
}

#[test]
fn the_log_says_what_survives_what() {
    let here = directory();
    for (flags, expected) in [
        (&["--durability", "process"][..], "survive the end of this process (kill -9), not power loss"),
        (&["--durability", "memory"], "can be lost with this process"),
        (&["--storage", "memory"], "can be lost with this process"),
        #[cfg(feature = "sled")]
        (&["--storage", "sled", "--data-dir", "s"], "survive"),
    ] {
        serve_in(&here, flags).wait_for_log(expected);
    }
}

#[test]
fn a_second_process_on_the_same_store_is_refused_with_the_directory_and_the_holder() {
    for storage in BACKENDS {
        let here = directory();
        let place = here.path().join("data");
        let place = place.to_str().unwrap();
        let first = serve_in(&here, &["--storage", storage, "--data-dir", place]);
        let second = ["serve", "--listen", "127.0.0.1:0", "--log", "error", "--storage", storage];
        let line = refused(&[&second[..], &["--data-dir", place]].concat(), 1);
        let holder = format!("process {}", first.id());
        for part in [place, &holder, "--data-dir"] {
            assert!(line.contains(part), "{storage}: {line}");
        }
        let line = refused(&["store", "check", "--storage", storage, "--data-dir", place], 1);
        assert!(line.contains(&holder), "{storage}: {line}");
        first.stop();
        serve_in(&here, &["--storage", storage, "--data-dir", place]).stop();
    }
}

/// The backends with files that this program was built with.
const BACKENDS: &[&str] = if cfg!(feature = "sled") { &["sqlite", "sled"] } else { &["sqlite"] };

#[test]
fn a_level_that_a_backend_does_not_offer_is_refused_with_its_highest() {
    let line = refused(&["serve", "--storage", "memory", "--durability", "process"], 2);
    assert!(line.contains("memory does not offer the durability process: its highest is memory"), "{line}");
    let path = file("level.toml", "[storage]\nbackend = \"memory\"\ndurability = \"disk\"\n");
    let line = refused(&["serve", "--config", &path], 2);
    assert!(line.contains("its highest is memory"), "{line}");
    let line = refused(&["serve", "--durability", "quorum"], 2);
    assert!(line.contains("expected disk, process or memory"), "{line}");
}

#[cfg(not(feature = "sled"))]
#[test]
fn a_backend_that_is_not_built_in_is_refused_with_the_feature_to_add() {
    let expected =
        "this program was built without sled; to have it: cargo install --path opifex --features sled";
    let line = refused(&["serve", "--storage", "sled"], 2);
    assert!(line.contains(expected), "{line}");
    let path = file("not-built.toml", "[storage]\nbackend = \"sled\"\n");
    let line = refused(&["serve", "--config", &path], 2);
    assert!(line.contains(&format!("not-built.toml:2:11: {expected}")), "{line}");
}

#[test]
fn the_file_says_it_too_and_flags_win() {
    let text = "[storage]\nbackend = \"memory\"\ndata_dir = \"/nowhere\"\n";
    let path = file("storage.toml", text);
    let printed = |flags: &[&str]| {
        let output = run(&[&["serve", "--config", &path, "--print-config"], flags].concat(), b"");
        String::from_utf8(output.stdout).unwrap()
    };
    let from_file = printed(&[]);
    for line in ["backend = \"memory\"", "data_dir = \"/nowhere\"", "durability = \"memory\""] {
        assert!(from_file.contains(line), "{from_file}");
    }
    let from_flags = printed(&["--storage", "sqlite", "--data-dir", "here", "--durability", "process"]);
    for line in ["backend = \"sqlite\"", "data_dir = \"here\"", "durability = \"process\""] {
        assert!(from_flags.contains(line), "{from_flags}");
    }
    let path = file("storage-unknown.toml", "[storage]\ndirectory = \"x\"\n");
    let line = refused(&["serve", "--config", &path], 2);
    assert!(line.contains("storage-unknown.toml:2:1: unknown field `directory`"), "{line}");
}

#[cfg(feature = "sled")]
#[test]
fn a_directory_with_the_store_of_another_backend_is_refused() {
    let here = directory();
    serve_in(&here, &["--data-dir", "data"]).stop();
    let place = here.path().join("data");
    let place = place.to_str().unwrap();
    let line = refused(&["serve", "--log", "error", "--storage", "sled", "--data-dir", place], 1);
    assert!(line.contains("holds a sqlite store") && line.contains("opifex store export"), "{line}");
}

#[test]
fn a_person_reads_the_database_while_the_broker_writes() {
    let here = directory();
    let program = serve_in(&here, &["--data-dir", "data"]);
    let mut peer = Peer::connect(program.address(), "c");
    let retained = opifex_packet::Publish {
        retain: true,
        delivery: opifex_packet::Delivery::AtLeastOnce(opifex_packet::PacketId::new(1).unwrap()),
        ..opifex_packet::Publish::new(opifex_packet::TopicName::new("a").unwrap(), &b"x"[..])
    };
    peer.send(retained);
    assert!(matches!(peer.receive(), Some(opifex_packet::Packet::Puback(_))));
    // Another process, as a person would start it; Python has SQLite's library wherever it is.
    let script = "import sqlite3, sys; db = sqlite3.connect('file:' + sys.argv[1] + '?mode=ro', uri=True); \
                  print(db.execute('SELECT topic FROM retained_messages').fetchall())";
    let database = here.path().join("data/opifex.db");
    let output = Command::new("python3").args(["-c", script]).arg(&database).output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(stdout.contains("('a',)"), "{stdout}{}", String::from_utf8_lossy(&output.stderr));
    program.stop();
}
