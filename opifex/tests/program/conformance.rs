//! `opifex conformance`: what it says of a broker, and how it ends where there is none.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use crate::child::{Program, file, refused, run};

#[test]
fn a_broker_that_holds_a_chapter_ends_it_with_0_and_a_table() {
    let program = Program::serve(&[]);
    let address = program.address().to_string();
    let json = file("conformance.json", "");
    let output = run(&["conformance", "--broker", &address, "--only", "connack::", "--json", &json], b"");
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stdout}{}", String::from_utf8_lossy(&output.stderr));
    assert!(stdout.contains("MQTT 3.1.1, statements by section"), "{stdout}");
    assert!(stdout.contains("MQTT 5.0, statements by section"), "{stdout}");
    assert!(stdout.contains(" 0 failed"), "{stdout}");
    let written = std::fs::read_to_string(json).unwrap();
    assert!(written.contains(r#""id": "connack::a_clean_start_finds_no_session""#), "{written}");
    program.stop();
}

#[test]
fn a_case_that_fails_ends_it_with_1_and_shows_what_was_said() {
    let program = Program::serve(&[]);
    let address = program.address().to_string();
    // Everybody is let in, which is not what this says.
    let descriptor = file("conformance.toml", "refuses_anonymous = true\n");
    let flags = ["--mqtt", "5.0", "--only", "credentials::nobody", "--descriptor", &descriptor];
    let output = run(&[&["conformance", "--broker", &address][..], &flags].concat(), b"");
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stdout}");
    assert!(stdout.contains("FAILED credentials::nobody_is_refused_where_users_are_asked_for"), "{stdout}");
    assert!(stdout.contains("[MQTT-3.1.4-2]"), "{stdout}");
    assert!(stdout.contains("a <- [5.0] Connack("), "{stdout}");
    program.stop();
}

#[test]
fn without_a_broker_it_ends_with_2_and_says_so() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let line = refused(&["conformance", "--broker", &address], 2);
    assert!(line.contains("nothing listens there"), "{line}");
}

/// Serves with this for as long as the test runs.
fn served_by(serve: fn(usize, TcpStream)) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            std::thread::spawn(move || serve(number, stream.unwrap()));
        }
    });
    address
}

#[test]
fn a_server_of_something_else_ends_it_with_2_and_is_shown() {
    let address = served_by(|_, mut stream| {
        let _ = stream.read(&mut [0; 64]);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    let line = refused(&["conformance", "--broker", &address], 2);
    assert!(line.contains("it speaks no MQTT") && line.contains("HTTP/1.1 400"), "{line}");
}

#[test]
fn a_broker_that_dies_in_the_middle_ends_it_with_1_and_the_case() {
    let address = served_by(|number, mut stream| {
        // The probes of both versions, and what is asked first.
        if number < 4 {
            let mut hello = [0; 64];
            let _ = stream.read(&mut hello);
            let connack: &[u8] = if hello[8] == 5 { &[0x20, 3, 0, 0, 0] } else { &[0x20, 2, 0, 0] };
            let _ = stream.write_all(connack);
        }
    });
    let descriptor = file("brief.toml", "patience_ms = 300\nsilence_ms = 20\n");
    let json = file("dead.json", "");
    let flags = ["--descriptor", &descriptor, "--only", "connack::", "--jobs", "1", "--json", &json];
    let output = run(&[&["conformance", "--broker", &address][..], &flags].concat(), b"");
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    let last = stderr.lines().last().unwrap();
    assert!(
        last.starts_with(&format!("error: {address}: the broker does not answer since connack::")),
        "{stderr}"
    );
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(stdout.contains("ended early, "), "{stdout}");
    let written = std::fs::read_to_string(json).unwrap();
    assert!(written.contains(r#""ended_early": "the broker does not answer since connack::"#), "{written}");
}

#[test]
fn a_version_that_is_refused_as_a_whole_ends_it_with_1() {
    let address = served_by(|_, mut stream| {
        let mut hello = [0; 64];
        let _ = stream.read(&mut hello);
        if hello[8] == 5 {
            let _ = stream.write_all(&[0x20, 2, 0, 1]);
            return;
        }
        let _ = stream.write_all(&[0x20, 2, 0, 0]);
        while stream.read(&mut hello).is_ok_and(|len| len > 0) {
            let _ = stream.write_all(&[0xd0, 0]);
        }
    });
    let output = run(&["conformance", "--broker", &address, "--only", "connect::a_valid"], b"");
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stdout}");
    assert!(stdout.contains(" 0 failed") && stdout.contains("MQTT 5.0 was refused as a whole"), "{stdout}");
}

#[test]
fn wrong_flags_are_refused_before_anybody_is_connected_to() {
    let conformance = |flags: &[&str]| refused(&[&["conformance"][..], flags].concat(), 2);
    for address in ["localhost", ":1883", "localhost:0", "localhost:70000", "localhost:mqtt"] {
        let line = conformance(&["--broker", address]);
        assert!(line.contains(address) && line.contains("expected HOST:PORT"), "{line}");
    }
    let there = ["--broker", "127.0.0.1:1"];
    for (flags, expected) in [
        (["--only", "MQTT-9"], "no case shows a statement that begins with \"MQTT-9\""),
        (["--only", "publsh::"], "no case shows"),
        (["--mqtt", "3.1"], "3.1.1, 5.0"),
        (["--jobs", "0"], "--jobs"),
        (["--json", "/nowhere/report.json"], "/nowhere/report.json"),
        (["--descriptor", "/nowhere/broker.toml"], "/nowhere/broker.toml"),
    ] {
        let line = conformance(&[&there[..], &flags].concat());
        assert!(line.contains(expected), "{flags:?}: {line}");
    }
}

#[test]
fn a_descriptor_with_an_unknown_key_is_refused() {
    let descriptor = file("unknown.toml", "patiense_ms = 1\n");
    let line = refused(&["conformance", "--broker", "127.0.0.1:1", "--descriptor", &descriptor], 2);
    assert!(line.contains("patiense_ms"), "{line}");
}
