//! `opifex conformance`: what it says of a broker, and how it ends where there is none.

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

#[test]
fn a_descriptor_with_an_unknown_key_is_refused() {
    let descriptor = file("unknown.toml", "patiense_ms = 1\n");
    let line = refused(&["conformance", "--broker", "127.0.0.1:1", "--descriptor", &descriptor], 2);
    assert!(line.contains("patiense_ms"), "{line}");
}
