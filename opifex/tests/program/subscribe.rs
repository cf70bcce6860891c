//! `opifex sub`: every flag, with messages that `opifex pub` publishes.

use crate::child::{Program, refused};
use crate::tool::{Tool, ends, succeeds};

fn broker() -> Program {
    Program::serve(&["--log", "warn"])
}

/// A broker that keeps one message for each of these topics: the topic itself.
fn keeping(topics: &[&str]) -> Program {
    let broker = broker();
    for topic in topics {
        succeeds(&broker, "pub", &["-t", topic, "-m", topic, "-r", "-q", "1"], b"");
    }
    broker
}

fn printed(broker: &Program, flags: &[&str]) -> String {
    String::from_utf8(succeeds(broker, "sub", flags, b"")).unwrap()
}

/// What it prints of messages that are there, in time enough for a machine that is busy.
fn lines(broker: &Program, exit_code: i32, flags: &[&str]) -> Vec<String> {
    let (stdout, _) = ends(broker, exit_code, "sub", flags, b"");
    let mut lines: Vec<String> = String::from_utf8(stdout).unwrap().lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn messages_are_printed_as_the_flags_ask() {
    let broker = keeping(&["a"]);
    assert_eq!(printed(&broker, &["-t", "a", "-C", "1"]), "a\n");
    assert_eq!(printed(&broker, &["-t", "a", "-C", "1", "-v"]), "a a\n");
    assert_eq!(printed(&broker, &["-t", "a", "-C", "1", "-N"]), "a");
    assert_eq!(printed(&broker, &["-t", "a", "-C", "1", "-F", r"%t\t%5p|%q|%r|%l|@@"]), "a\t    a|0|1|1|@\n");
    let json = printed(&broker, &["-t", "a", "-C", "1", "--json"]);
    assert!(
        json.ends_with("\"topic\":\"a\",\"qos\":0,\"retain\":1,\"payloadlen\":1,\"payload\":\"a\"}\n"),
        "{json}"
    );
    assert!(printed(&broker, &["-t", "a", "-C", "1", "--json", "--pretty"]).starts_with("{\n"));
}

#[test]
fn a_payload_that_should_be_json_and_is_not_is_told_and_passed_over() {
    let broker = keeping(&["a"]);
    let (stdout, stderr) = ends(&broker, 0, "sub", &["-t", "a", "-C", "1", "-F", "%J"], b"");
    assert_eq!((&stdout[..], stderr.as_str()), (&b""[..], "warning: the payload is not JSON: a\n"));
}

#[test]
fn a_count_ends_it_and_so_does_the_time() {
    let broker = keeping(&["a", "b"]);
    assert_eq!(lines(&broker, 0, &["-t", "a", "-t", "b", "-C", "2"]), ["a", "b"]);
    assert_eq!(lines(&broker, 27, &["-t", "#", "-W", "4"]), ["a", "b"]);
    assert_eq!(lines(&broker, 27, &["-t", "#", "-W", "4", "-C", "3"]), ["a", "b"]);
}

#[test]
fn some_messages_are_left_out() {
    let broker = keeping(&["a/1", "a/2", "b/1"]);
    assert_eq!(lines(&broker, 0, &["-t", "#", "-T", "a/+", "-C", "1"]), ["b/1"]);
    assert_eq!(lines(&broker, 27, &["-t", "#", "-T", "a/1", "-T", "b/#", "-W", "4"]), ["a/2"]);
    assert_eq!(lines(&broker, 27, &["-t", "#", "-R", "-W", "1"]), [""; 0]);
    assert_eq!(lines(&broker, 27, &["-t", "#", "--retain-handling", "never", "-W", "1"]), [""; 0]);

    let live = Tool::subscribed(&broker, &["-t", "#", "--retained-only"]);
    assert_eq!(live.printed(3).len(), 3);
    succeeds(&broker, "pub", &["-t", "c", "-m", "not retained"], b"");
    assert_eq!(live.ended(0).len(), 3);
}

#[test]
fn retained_messages_are_removed_on_request() {
    let broker = keeping(&["a/1", "a/2", "b/1"]);
    let flags = ["-t", "#", "-T", "b/#", "--remove-retained", "-q", "1", "-C", "2"];
    assert_eq!(lines(&broker, 0, &flags), ["a/1", "a/2"]);
    assert_eq!(lines(&broker, 27, &["-t", "#", "-W", "4"]), ["b/1"]);
}

#[test]
fn the_retain_flag_stays_as_published_on_request() {
    let broker = broker();
    for (flags, expected) in [(&["-V", "5"][..], "0"), (&["--retain-as-published"], "1")] {
        let subscriber =
            Tool::subscribed(&broker, &[&["-t", "a", "-R", "-C", "1", "-F", "%r"], flags].concat());
        if expected == "1" {
            // -R goes by the flag.
            succeeds(&broker, "pub", &["-t", "a", "-r", "-m", "x"], b"");
            succeeds(&broker, "pub", &["-t", "a", "-m", "x"], b"");
            assert_eq!(subscriber.ended(0), ["0"]);
        } else {
            succeeds(&broker, "pub", &["-t", "a", "-r", "-m", "x"], b"");
            assert_eq!(subscriber.ended(0), [expected]);
        }
    }
    let subscriber =
        Tool::subscribed(&broker, &["-t", "b", "--retain-as-published", "--no-local", "-C", "1", "-F", "%r"]);
    succeeds(&broker, "pub", &["-t", "b", "-r", "-m", "x"], b"");
    assert_eq!(subscriber.ended(0), ["1"]);
}

#[test]
fn a_session_that_is_kept_collects_until_somebody_comes_for_it() {
    let broker = broker();
    for version in ["311", "5"] {
        let (a, b) = (format!("{version}/a"), format!("{version}/b"));
        let session = ["-i", version, "-c", "-q", "1", "-V", version];
        let set_up = [&["-t", &a, "-t", &b, "-E"], &session[..]].concat();
        assert_eq!(printed(&broker, &set_up), "");
        succeeds(&broker, "pub", &["-t", &a, "-m", "one", "-q", "1"], b"");
        succeeds(&broker, "pub", &["-t", &b, "-m", "two", "-q", "1"], b"");
        // Subscriptions of the session bring their messages, also those that are not asked for again.
        let go_on = [&["-t", &a, "-C", "2"], &session[..]].concat();
        assert_eq!(lines(&broker, 0, &go_on), ["one", "two"], "{version}");
        // One of them is ended.
        let end = [&["-U", &a, "-E"], &session[..]].concat();
        assert_eq!(printed(&broker, &end), "");
        succeeds(&broker, "pub", &["-t", &a, "-m", "three", "-q", "1"], b"");
        succeeds(&broker, "pub", &["-t", &b, "-m", "four", "-q", "1"], b"");
        assert_eq!(
            lines(&broker, 27, &[&["-t", "nothing", "-W", "4"], &session[..]].concat()),
            ["four"],
            "{version}"
        );
    }
}

#[test]
fn a_session_ends_with_its_expiry() {
    let broker = broker();
    let set_up = |expiry| ["-i", "s", "-c", "-x", expiry, "-q", "1", "-t", "a", "-E"];
    let go_on = ["-i", "s", "-c", "-q", "1", "-t", "b", "-W", "4", "-V", "5"];
    for (expiry, expected) in [("0", &[][..]), ("100", &["x"]), ("-1", &["x"])] {
        printed(&broker, &set_up(expiry));
        succeeds(&broker, "pub", &["-t", "a", "-m", "x", "-q", "1"], b"");
        assert_eq!(lines(&broker, 27, &go_on), expected, "{expiry}");
        // A clean start ends it.
        printed(&broker, &["-i", "s", "-t", "a", "-E", "-V", "5"]);
    }
}

#[test]
fn a_subscription_identifier_is_shown_when_it_was_asked_for() {
    let broker = keeping(&["a"]);
    assert_eq!(printed(&broker, &["-t", "a", "-C", "1", "-V", "5", "-F", "[%S]"]), "[]\n");
    let flags = ["-t", "a", "-C", "1", "-D", "subscribe", "subscription-identifier", "7", "-F", "[%S]"];
    assert_eq!(printed(&broker, &flags), "[7]\n");
}

#[test]
fn a_signal_ends_it_cleanly() {
    let broker = broker();
    let will = ["--will-topic", "will", "--will-payload", "lost"];
    let watcher = Tool::subscribed(&broker, &["-t", "will", "-t", "done", "-C", "1"]);
    for (signal, flags, exit_code) in
        [("INT", &[][..], 0), ("TERM", &[], 0), ("INT", &["-C", "5"], 130), ("TERM", &["-C", "5"], 143)]
    {
        let subscriber = Tool::subscribed(&broker, &[&["-t", "a"], &will[..], flags].concat());
        succeeds(&broker, "pub", &["-t", "a", "-m", "x"], b"");
        assert_eq!(subscriber.printed(1), ["x"]);
        subscriber.signal(signal);
        assert_eq!(subscriber.ended(exit_code), ["x"]);
    }
    succeeds(&broker, "pub", &["-t", "done", "-m", "no will was published"], b"");
    assert_eq!(watcher.ended(0), ["no will was published"]);
}

#[test]
fn it_ends_when_nobody_reads_it_any_more() {
    let broker = broker();
    let address = broker.address().port().to_string();
    let script = r#""$0" sub -p "$1" -h 127.0.0.1 -t a --debug | head -n 1"#;
    let mut shell = std::process::Command::new("bash");
    let shell =
        shell.args(["-c", &format!("set -o pipefail; {script}"), env!("CARGO_BIN_EXE_opifex"), &address]);
    let mut child = crate::child::piped(shell);
    let said = crate::child::Lines::of(child.stderr.take().unwrap());
    said.wait(crate::child::PATIENCE, |lines| lines.iter().any(|line| line.contains("subscribed to a")));
    succeeds(&broker, "pub", &["-t", "a", "-m", "first"], b"");
    // `head` is gone by the time of one of these.
    let deadline = std::time::Instant::now() + crate::child::PATIENCE;
    let status = loop {
        succeeds(&broker, "pub", &["-t", "a", "-m", "more"], b"");
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(std::time::Instant::now() < deadline, "it does not end");
    };
    assert_eq!(status.code(), Some(0), "{:?}", said.all());
}

#[test]
fn a_lost_connection_is_made_again_and_subscribed_again() {
    let broker = broker();
    let subscriber = Tool::subscribed(&broker, &["-i", "s", "-t", "a", "-C", "1", "-V", "311"]);
    // A takeover closes the connection without a word before 5.0.
    let taker = Tool::subscribed(&broker, &["-i", "s", "-t", "b", "-V", "311"]);
    subscriber.said("connection lost");
    taker.signal("KILL");
    subscriber.said("connected again");
    let deadline = std::time::Instant::now() + crate::child::PATIENCE;
    // The subscription follows the connection a moment later.
    while subscriber.printed(0).is_empty() {
        succeeds(&broker, "pub", &["-t", "a", "-m", "x"], b"");
        assert!(std::time::Instant::now() < deadline, "it does not subscribe again");
    }
    assert_eq!(subscriber.ended(0), ["x"]);
}

#[test]
fn wrong_flags_are_one_line_and_exit_code_2() {
    let wrong: [(&[&str], &str); 11] = [
        (&[], "there is no topic: add -t FILTER"),
        (&["-t", "a#"], "'a#' for '--topic <FILTER>'"),
        (&["-t", "a", "-C", "0"], "'0' for '--count <N>'"),
        (&["-t", "a", "-W", "0"], "'0' for '--timeout <SECS>'"),
        (&["-t", "a", "-F", "%z"], "%z is no part of a message"),
        (&["-t", "a", "-F", "%t", "-v"], "cannot be used with"),
        (&["-t", "a", "--json", "-v"], "cannot be used with"),
        (&["-t", "a", "-R", "--retained-only"], "cannot be used with"),
        (&["-t", "a", "--no-local", "-V", "311"], "--no-local needs MQTT 5.0"),
        (&["-t", "a", "-D", "publish", "content-type", "x"], "sends no PUBLISH"),
        (&["-t", "a", "-T", "#/a"], "'#/a' for '--filter-out <FILTER>'"),
    ];
    for (flags, expected) in wrong {
        let line = refused(&[&["sub"], flags].concat(), 2);
        assert!(line.starts_with("error: ") && line.contains(expected), "{flags:?}: {line}");
    }
}
