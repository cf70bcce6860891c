//! `opifex pub`: every flag, seen by `opifex sub` or a client of the test's own.

use serde_json::Value;

use crate::child::{Program, file, refused, run};
use crate::tool::{Tool, ends, succeeds};

fn broker() -> Program {
    Program::serve(&["--log", "warn"])
}

/// What a subscriber prints of the messages that those flags publish.
fn received(count: usize, publish: &[&str], input: &[u8]) -> Vec<Value> {
    let broker = broker();
    let subscriber =
        Tool::subscribed(&broker, &["-t", "t/#", "-q", "2", "-C", &count.to_string(), "--json", "-V", "5"]);
    assert!(succeeds(&broker, "pub", &[&["-t", "t"], publish].concat(), input).is_empty());
    subscriber.ended(0).iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn payloads(count: usize, publish: &[&str], input: &[u8]) -> Vec<Value> {
    received(count, publish, input).into_iter().map(|mut message| message["payload"].take()).collect()
}

#[test]
fn a_message_comes_from_the_command_line_a_file_or_standard_input() {
    let path = file("payload", "from\na file\n");
    let cases: [(&[&str], &[u8], &str); 7] = [
        (&["-m", "text"], b"", "text"),
        (&["--message", "-5"], b"", "-5"),
        (&["-m", ""], b"", ""),
        (&["-n"], b"", ""),
        (&["-f", &path], b"", "from\na file\n"),
        (&["-s"], b"a\n\nb", "a\n\nb"),
        (&["--stdin-file"], b"\n", "\n"),
    ];
    for (flags, input, payload) in cases {
        assert_eq!(payloads(1, flags, input), [payload], "{flags:?}");
    }
}

#[test]
fn each_line_of_standard_input_is_a_message() {
    assert_eq!(payloads(5, &["-l"], b"a\n\nb\r\n c \nlast"), ["a", "", "b\r", " c ", "last"]);
    let broker = broker();
    assert!(succeeds(&broker, "pub", &["-t", "t", "--stdin-line"], b"").is_empty());
}

#[test]
fn bytes_that_are_no_text_arrive_as_they_are() {
    let broker = broker();
    let subscriber = Tool::subscribed(&broker, &["-t", "t", "-C", "1", "-F", "%x"]);
    succeeds(&broker, "pub", &["-t", "t", "-s"], b"\xff\0\x80\n");
    assert_eq!(subscriber.ended(0), ["ff00800a"]);
}

#[test]
fn thousands_of_lines_arrive_in_their_order_however_few_may_be_under_way() {
    let input: String = (0..3_000).map(|number| format!("{number}\n")).collect();
    let expected: Vec<Value> = (0..3_000).map(|number| Value::from(number.to_string())).collect();
    for flags in [&["-q", "1"][..], &["-q", "2", "-M", "1"], &["-q", "2", "-V", "5", "-M", "7"], &["-q", "0"]]
    {
        assert_eq!(payloads(3_000, &[&["-l"], flags].concat(), input.as_bytes()), expected, "{flags:?}");
    }
}

#[test]
fn the_flags_of_a_message_are_those_that_arrive() {
    let message = &received(1, &["-m", "x", "-q", "2"], b"")[0];
    assert_eq!(
        (&message["qos"], &message["retain"], message.get("properties")),
        (&2.into(), &0.into(), None)
    );
    let flags = [
        ["-D", "publish", "content-type", "text/plain"].as_slice(),
        &["-D", "PUBLISH", "message-expiry-interval", "100"],
        &["-D", "publish", "payload-format-indicator", "1"],
        &["--property", "publish", "response-topic", "a/b"],
        &["-D", "publish", "correlation-data", "-n"],
        &["-D", "publish", "user-property", "k", "v"],
        &["-D", "publish", "user-property", "k", "-m"],
        &["-m", "-D"],
    ]
    .concat();
    let message = &received(1, &flags, b"")[0];
    assert_eq!(message["payload"], "-D");
    let expected = serde_json::json!({
        "payload-format-indicator": 1, "message-expiry-interval": 100, "content-type": "text/plain",
        "response-topic": "a/b", "correlation-data": "-n", "user-properties": [["k", "v"], ["k", "-m"]]
    });
    assert_eq!(message["properties"], expected);
}

#[test]
fn a_retained_message_stays_until_it_is_taken_away() {
    let broker = broker();
    succeeds(&broker, "pub", &["-t", "t", "-m", "kept", "-r"], b"");
    assert_eq!(succeeds(&broker, "sub", &["-t", "t", "-C", "1", "-F", "%r %p"], b""), b"1 kept\n");
    succeeds(&broker, "pub", &["-t", "t", "--retain", "-n"], b"");
    assert_eq!(ends(&broker, 27, "sub", &["-t", "t", "-W", "1"], b"").0, b"");
}

#[test]
fn a_message_is_repeated_as_often_as_asked() {
    assert_eq!(
        payloads(3, &["-m", "x", "--repeat", "3", "--repeat-delay", "0.01", "-q", "1"], b""),
        ["x", "x", "x"]
    );
}

#[test]
fn a_url_says_where_who_and_what() {
    let broker = broker();
    let subscriber = Tool::subscribed(&broker, &["-t", "#", "-C", "2", "-v"]);
    for url in [format!("mqtt://{}/a/b%20c", broker.address()), format!("mqtt://{}//", broker.address())] {
        assert_eq!(run(&["pub", "-L", &url, "-m", "x"], b"").status.code(), Some(0), "{url}");
    }
    assert_eq!(subscriber.ended(0), ["a/b%20c x", "/ x"]);
}

#[test]
fn all_versions_are_spoken() {
    for version in ["5", "5.0", "mqttv5", "311", "3.1.1", "mqttv311", "31", "3.1", "mqttv31"] {
        assert_eq!(payloads(1, &["-m", "x", "-q", "1", "-V", version], b""), ["x"], "{version}");
    }
}

#[test]
fn a_client_that_is_stopped_disconnects_and_its_will_is_not_published() {
    let broker = broker();
    let will = ["--will-topic", "t/will", "--will-payload", "lost", "--will-qos", "1", "--will-retain"];
    for (signal, exit_code) in [("INT", 130), ("TERM", 143)] {
        let publisher = Tool::start(&broker, "pub", &[&["-t", "t", "-l"], &will[..]].concat());
        publisher.said("connected to ");
        publisher.signal(signal);
        publisher.ended(exit_code);
    }
    assert_eq!(ends(&broker, 27, "sub", &["-t", "t/will", "-W", "1"], b"").0, b"");
    // One that is lost has its will published.
    let publisher = Tool::start(&broker, "pub", &[&["-t", "t", "-l"], &will[..]].concat());
    publisher.said("connected to ");
    let subscriber = Tool::subscribed(&broker, &["-t", "t/will", "-C", "1", "-q", "1", "-F", "%p %q"]);
    publisher.signal("KILL");
    assert_eq!(subscriber.ended(0), ["lost 1"]);
}

#[test]
fn wrong_flags_are_one_line_and_exit_code_2() {
    let wrong: [(&[&str], &str); 21] = [
        (&["-m", "x"], "there is no topic: add -t TOPIC"),
        (&["-t", "t"], "there is no message: add -m TEXT"),
        (&["-t", "a/#", "-m", "x"], "'a/#' for '--topic <TOPIC>'"),
        (&["-t", "", "-m", "x"], "for '--topic <TOPIC>'"),
        (&["-t", "t", "-m", "x", "-n"], "cannot be used with '--null-message'"),
        (&["-t", "t", "-l", "-s"], "cannot be used with"),
        (&["-t", "t", "-l", "--repeat", "2"], "cannot be used with"),
        (&["-t", "t", "-m", "x", "--repeat", "0"], "'0' for '--repeat <N>'"),
        (&["-t", "t", "-m", "x", "-q", "3"], "3 is no QoS"),
        (&["-t", "t", "-m", "x", "-p", "0"], "'0' for '--port <PORT>'"),
        (&["-t", "t", "-m", "x", "-V", "4"], "expected 5, 311 or 31"),
        (&["-t", "t", "-m", "x", "-V", "311", "-x", "5"], "-x needs MQTT 5.0"),
        (&["-t", "t", "-m", "x", "-x", "soon"], "-1 for ever"),
        (&["-t", "t", "-m", "x", "-D", "publish", "colour", "red"], "'publish colour red'"),
        (&["-t", "t", "-m", "x", "-D", "subscribe", "user-property", "a", "b"], "sends no SUBSCRIBE"),
        (&["-t", "t", "-m", "x", "-D", "publish", "topic-alias", "1"], "gives topic aliases itself"),
        (&["-t", "t", "-m", "x", "-V", "31", "-D", "publish", "content-type", "x"], "-D needs MQTT 5.0"),
        (&["-t", "t", "-m", "x", "-c"], "needs a client id: add -i"),
        (&["-t", "t", "-m", "x", "-P", "secret"], "a password needs a user name"),
        (&["-t", "t", "-m", "x", "--will-retain"], "--will-topic"),
        (&["-t", "t", "-m", "x", "-L", "mqtts://h/t"], "mqtt://"),
    ];
    for (flags, expected) in wrong {
        let line = refused(&[&["pub"], flags].concat(), 2);
        assert!(line.starts_with("error: ") && line.contains(expected), "{flags:?}: {line}");
    }
}

#[test]
fn what_cannot_be_published_is_one_line_and_exit_code_1() {
    let line = refused(&["pub", "-h", "127.0.0.1", "-p", "1", "-t", "t", "-m", "x"], 1);
    assert!(line.starts_with("error: no connection to 127.0.0.1:1: "), "{line}");
    let line = refused(&["pub", "-t", "t", "-f", "/no/such/file"], 1);
    assert!(line.starts_with("error: cannot read /no/such/file: "), "{line}");
    let line = refused(&["pub", "-t", "t", "-s"], 1);
    assert!(line.contains("standard input is empty; for a message of no bytes: -n"), "{line}");
    let output = run(&["pub", "-h", "127.0.0.1", "-p", "1", "-t", "t", "-m", "x", "--quiet"], b"");
    assert_eq!((output.status.code(), output.stderr), (Some(1), Vec::new()));
}

#[test]
fn what_the_server_refuses_is_the_exit_code() {
    let hash = run(&["hash-password"], b"secret\n").stdout;
    let users = format!(
        "[[users]]\nname = \"me\"\npassword_hash = \"{}\"\nallow.publish = [\"mine/#\"]\nallow.subscribe = [\"mine/#\"]\n",
        String::from_utf8(hash).unwrap().trim()
    );
    let broker = Program::serve(&["--log", "warn", "--config", &file("publish-users.toml", &users)]);
    let password = file("publish-password", "secret\nand more\n");
    let login = ["-u", "me", "-P", "secret"];

    succeeds(&broker, "pub", &[&["-t", "mine/a", "-m", "x", "-q", "1"], &login[..]].concat(), b"");
    succeeds(
        &broker,
        "pub",
        &["-t", "mine/a", "-m", "x", "-q", "1", "-u", "me", "--password-file", &password],
        b"",
    );
    for version in ["5", "311"] {
        let (_, said) = ends(
            &broker,
            134,
            "pub",
            &["-t", "mine/a", "-m", "x", "-V", version, "-u", "me", "-P", "no"],
            b"",
        );
        assert!(said.contains("refused the connection: Bad User Name or Password"), "{said}");
    }
    let flags = [&["-t", "theirs/a", "-V", "5", "-q", "1"], &login[..]].concat();
    let (_, said) = ends(&broker, 135, "pub", &[&flags[..], &["-m", "x"]].concat(), b"");
    assert!(said.contains("Not authorized"), "{said}");
    let (_, said) = ends(&broker, 135, "pub", &[&flags[..], &["-l"]].concat(), b"a\nb\n");
    assert!(
        said.contains("warning: line 2: Not authorized") && said.contains("refused 2 of 2 lines"),
        "{said}"
    );
    let (_, said) = ends(&broker, 135, "sub", &[&["-t", "theirs/a", "-V", "5"], &login[..]].concat(), b"");
    assert!(said.contains("nothing was subscribed to: the server said no: Not authorized"), "{said}");
}
