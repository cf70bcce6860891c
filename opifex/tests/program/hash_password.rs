//! `opifex hash-password`: what it prints is what the broker takes.

use crate::child::run;
use opifex_broker::PasswordHash;

fn hash(input: &[u8]) -> String {
    let output = run(&["hash-password"], input);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_password_from_standard_input_becomes_an_argon2id_hash() {
    let printed = hash(b"correct horse\n");
    assert_eq!(printed.lines().count(), 1);
    let parsed = PasswordHash::new(printed.trim_end()).unwrap();
    assert!(parsed.verify(b"correct horse"));
    assert!(!parsed.verify(b"correct horse\n"));
}

#[test]
fn the_end_of_the_line_is_not_part_of_the_password() {
    for input in [&b"x"[..], b"x\n", b"x\r\n"] {
        assert!(PasswordHash::new(hash(input).trim_end()).unwrap().verify(b"x"), "{input:?}");
    }
}

#[test]
fn each_hash_has_a_salt_of_its_own() {
    assert_ne!(hash(b"x"), hash(b"x"));
}

#[test]
fn no_password_and_two_lines_are_refused() {
    for (input, expected) in [(&b""[..], "empty"), (b"\n", "empty"), (b"a\nb\n", "more than one line")] {
        let output = run(&["hash-password"], input);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr.contains(expected) && stderr.lines().count() == 1, "{stderr}");
        assert!(output.stdout.is_empty());
    }
}
