//! The configuration file: every key, flags that win over it, and the place of whatever is wrong in it.

use std::collections::BTreeSet;
use std::process::Command;

use crate::child::{Program, file, refused, run};
use opifex_broker::Limits;

const HASH: &str = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA";

/// What `--print-config` prints for that file and these flags.
fn printed(name: &str, text: &str, flags: &[&str]) -> String {
    let path = file(name, text);
    let output = run(&[&["serve", "--config", &path, "--print-config"], flags].concat(), b"");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_is_wrong_is_named_with_its_line_and_column() {
    let wrong = [
        (
            "[limits]\n  max_conections = 5\n",
            ":2:3: unknown field `max_conections`, expected one of `max_connections`",
        ),
        ("[lmits]\n", ":1:2: unknown field `lmits`"),
        ("[log]\nlevel = \"info\"\ncolour = true\n", ":3:1: unknown field `colour`"),
        ("[storage]\nbackend = \"disk\"\n", ":2:11: \"disk\" is no storage backend, expected one of sqlite"),
        ("[[listeners]]\naddress = \"localhost\"\n", ":2:11: \"localhost\" is no address to listen on"),
        (
            "[[listeners]]\nadress = \"localhost:1\"\n",
            ":2:1: unknown field `adress`, expected one of `address`, `protocol`, `origins`",
        ),
        ("[limits]\nconnect_timeout = 10\n", ":2:19: invalid type: integer `10`, expected a duration"),
        ("[limits]\nmax_packet_size = \"1 MB\"\n", ":2:19: \"1 MB\" is no size"),
        ("[limits]\nreceive_maximum = 0\n", ":2:19: invalid value: integer `0`"),
        ("[log]\nlevel = \"loud\"\n", ":2:9: \"loud\" is no log level"),
        ("workers = \n", ":1:11: "),
        ("[[users]]\nname = \"a\"\n", ":1:1: missing field `password_hash`"),
        ("allow_anonymous = \"ye\u{df}\" x\n", ":1:25: "),
    ];
    for (index, (text, expected)) in wrong.iter().enumerate() {
        let path = file(&format!("wrong-{index}.toml"), text);
        let line = refused(&["serve", "--config", &path], 2);
        assert!(line.starts_with(&format!("error: {path}{expected}")), "{text}: {line}");
    }
}

#[test]
fn a_plain_text_password_is_refused_and_not_repeated() {
    let path = file("plain.toml", "[[users]]\nname = \"alice\"\npassword_hash = \"hunter2\"\n");
    let line = refused(&["serve", "--config", &path], 2);
    assert!(line.contains("plain.toml:3:17: not a password hash"), "{line}");
    assert!(line.contains("`opifex hash-password` makes one"), "{line}");
    assert!(!line.contains("hunter2"), "{line}");
}

#[test]
fn a_user_that_is_listed_twice_and_a_rule_that_is_no_filter_are_refused() {
    let user = format!("[[users]]\nname = \"alice\"\npassword_hash = \"{HASH}\"\n");
    let twice = file("twice.toml", &format!("{user}{user}"));
    assert!(
        refused(&["serve", "--config", &twice], 2).contains("twice.toml:5:8: user \"alice\" is there twice")
    );
    let rule = file("rule.toml", &format!("{user}allow.publish = [\"a/#/b\"]\n"));
    assert!(refused(&["serve", "--config", &rule], 2).contains("rule \"a/#/b\" is not a topic filter"));
}

#[test]
fn a_file_that_cannot_be_read_is_one_line() {
    let line = refused(&["serve", "--config", "/nonexistent/opifex.toml"], 2);
    assert!(line.contains("cannot read the configuration file /nonexistent/opifex.toml"), "{line}");
    let line = refused(&["serve", "--config", env!("CARGO_MANIFEST_DIR")], 2);
    assert!(line.contains("cannot read the configuration file"), "{line}");
}

#[test]
fn listeners_come_from_the_file_and_flags_win_over_it() {
    let listeners = "[[listeners]]\naddress = \"127.0.0.1:0\"\n[[listeners]]\naddress = \"127.0.0.1:0\"\n";
    let path = file("listeners.toml", listeners);
    let mut command = Command::new(env!("CARGO_BIN_EXE_opifex"));
    Program::start(command.args(["serve", "--storage", "memory", "--config", &path]), 2).stop();
    Program::serve(&["--config", &path]).stop();
}

#[test]
fn every_flag_for_a_limit_wins_over_the_file() {
    let flags = [
        ("--max-connections", "7", "max_connections = 7"),
        ("--connect-timeout", "7s", "connect_timeout = \"7s\""),
        ("--max-packet-size", "7KiB", "max_packet_size = 7168"),
        ("--keep-alive-cap", "7", "max_keep_alive_secs = 7"),
        ("--receive-maximum", "7", "receive_maximum = 7"),
        ("--max-inflight", "7", "max_inflight = 7"),
        ("--max-qos", "1", "max_qos = 1"),
        ("--retain-available", "false", "retain_available = false"),
        ("--topic-alias-maximum", "7", "topic_alias_maximum = 7"),
        ("--max-sessions", "7", "max_sessions = 7"),
        ("--max-session-expiry", "7", "max_session_expiry_secs = 7"),
        ("--max-queued-messages", "7", "max_queued_messages = 7"),
        ("--max-queued-bytes", "7KiB", "max_queued_bytes = 7168"),
        ("--max-retained-messages", "7", "max_retained_messages = 7"),
        ("--shutdown-timeout", "7m", "shutdown_timeout = \"7m\""),
        ("--reason-strings", "true", "reason_strings = true"),
    ];
    let help = String::from_utf8(run(&["serve", "--help"], b"").stdout).unwrap();
    let limits = help.split_once("\nLimits").unwrap().1;
    assert_eq!(limits.matches("      --").count(), flags.len(), "each flag of the section stands here");
    let text = "[limits]\nmax_connections = 5\nmax_queued_bytes = \"5KiB\"\n";
    for (flag, value, expected) in flags {
        let printed = printed(&format!("flag{flag}.toml"), text, &[flag, value]);
        assert!(printed.lines().any(|line| line == expected), "{flag}: {printed}");
    }
    let untouched = printed("flag-none.toml", text, &[]);
    assert!(
        untouched.contains("\nmax_connections = 5\n") && untouched.contains("\nmax_queued_bytes = 5120\n")
    );
}

#[test]
fn other_flags_win_over_the_file_too() {
    let text = "workers = 3\nallow_anonymous = true\n[log]\nlevel = \"warn\"\nformat = \"json\"\n";
    let from_file = printed("others-file.toml", text, &[]);
    let from_flags = printed(
        "others-flags.toml",
        text,
        &[
            "--workers",
            "4",
            "--log",
            "debug",
            "--log-format",
            "text",
            "--storage",
            "memory",
            "--listen",
            "[::1]:7",
        ],
    );
    for (file, flags) in [
        ("workers = 3", "workers = 4"),
        ("level = \"warn\"", "level = \"debug\""),
        ("format = \"json\"", "format = \"text\""),
        ("address = \"127.0.0.1:1883\"", "address = \"[::1]:7\""),
    ] {
        assert!(from_file.contains(file) && from_flags.contains(flags), "{from_file}\n{from_flags}");
    }
}

/// Taken from `Limits` itself, so that a limit that nobody put into the file's format is found.
#[test]
fn every_field_of_the_brokers_limits_is_a_key_of_the_file() {
    let debug = format!("{:#?}", Limits::default());
    let fields = debug.lines().filter_map(|line| Some(line.strip_prefix("    ")?.split_once(": ")?.0));
    let mut fields: BTreeSet<&str> = fields.filter(|name| !name.starts_with(' ')).collect();
    assert!(fields.len() >= 20, "a line a field");
    assert!(fields.insert("max_retained_messages"), "the store's, not the broker's");
    let printed = printed("empty.toml", "", &[]);
    let keys = printed
        .split_once("[limits]\n")
        .unwrap()
        .1
        .lines()
        .filter_map(|line| Some(line.split_once(" = ")?.0));
    assert_eq!(fields, keys.collect());
}

#[test]
fn the_printed_configuration_is_a_configuration_file() {
    let text = format!(
        "[[users]]\nname = \"alice\"\npassword_hash = \"{HASH}\"\nallow.subscribe = []\n[anonymous]\npublish = [\"a/#\"]\n"
    );
    let once = printed("round-1.toml", &text, &[]);
    assert!(once.contains("subscribe = []") && once.contains("publish = [\"a/#\"]"), "{once}");
    assert_eq!(printed("round-2.toml", &once, &[]), once);
}

#[test]
fn the_example_of_the_readme_is_a_configuration_file() {
    let readme = include_str!("../../../README.md");
    let example = readme.split_once("```toml\n").unwrap().1.split_once("```").unwrap().0;
    let printed = printed("readme.toml", example, &[]);
    for line in ["max_packet_size = 1048576", "name = \"sensor\"", "subscribe = [\"sensors/#\"]"] {
        assert!(printed.contains(line), "{printed}");
    }
}

#[test]
fn a_listener_that_is_open_to_the_network_without_users_is_warned_of_unless_that_is_meant() {
    let warned = |listen: &str, flags: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_opifex"));
        let program =
            Program::start(command.args(["serve", "--storage", "memory", "--listen", listen]).args(flags), 1);
        program.stop().iter().any(|line| line.contains("no users are configured"))
    };
    assert!(warned("0.0.0.0:0", &[]));
    assert!(!warned("0.0.0.0:0", &["--allow-anonymous", "true"]));
    assert!(!warned("127.0.0.1:0", &[]));
}
