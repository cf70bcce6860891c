//! How the client commands end when something is in the way: a flood, a server that does not answer, a failure, a reader
//! that has gone.

use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use opifex_packet::{Disconnect, Packet, Puback, Publish, ReasonCode, Suback, TopicName, Version};

use crate::child::{PATIENCE, Program, piped};
use crate::server::Server;
use crate::tool::{Address, Tool, at, ends};

const V5: Version = Version::V5_0;

/// `opifex sub` at a server that sends more than it can print, its output nowhere.
fn flooded(flags: &[&str]) -> std::process::Child {
    let server = Server::new(Version::V3_1_1);
    let address = Address::from(&server);
    let mut command = Command::new(env!("CARGO_BIN_EXE_opifex"));
    // It takes longer to print a message than to receive it.
    let format = "%j".repeat(16);
    let flags = [&["-t", "t", "-F", &format], flags].concat();
    let command = command.args(at(&address, "sub", &flags)).stdout(Stdio::null()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let mut guest = server.accept();
    guest.grant();
    // Ends with the child.
    thread::spawn(move || guest.flood(Publish::new(TopicName::new("t").unwrap(), &b"x"[..])));
    child
}

fn ended(mut child: std::process::Child) -> Option<i32> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("it does not end");
        }
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_signal_ends_a_subscriber_that_has_more_to_print_than_it_can() {
    for (signal, flags, exit_code) in [("INT", &[][..], 0), ("TERM", &["-C", "1000000000"], 143)] {
        let child = flooded(flags);
        // So long that its stream is full.
        thread::sleep(Duration::from_millis(300));
        let id = child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
        assert_eq!(ended(child), Some(exit_code), "{signal}");
    }
}

#[test]
fn the_time_ends_a_subscriber_that_has_more_to_print_than_it_can() {
    assert_eq!(ended(flooded(&["-W", "1"])), Some(27));
}

#[test]
fn the_time_begins_with_the_command_and_not_with_the_connection() {
    let commands: [&[&str]; 2] = [&["sub", "-t", "a"], &["rr", "-t", "a", "-e", "b", "-m", "x"]];
    for command in commands {
        // It listens, and says nothing.
        let server = Server::new(V5);
        let (_, said) = ends(&server, 27, command[0], &[&command[1..], &["-W", "1"]].concat(), b"");
        assert!(said.starts_with("error: ") && said.contains("time"), "{said}");
    }
}

#[test]
fn who_fails_says_good_bye_and_its_will_is_not_published() {
    let disconnects = |server: Server,
                       command: &str,
                       flags: &[&str],
                       exit_code,
                       refuse: fn(Packet<'_>) -> Packet<'static>| {
        let will = ["--will-topic", "will", "-V", "5"];
        let tool = Tool::start(&server, command, &[flags, &will].concat());
        let mut guest = server.accept();
        assert!(guest.connect.will.is_some());
        let asked = guest.receive().unwrap();
        guest.send(refuse(asked));
        assert_eq!(guest.receive(), Some(Packet::Disconnect(Disconnect::default())), "{command} {flags:?}");
        tool.ended(exit_code);
    };
    let no_subscription = |packet: Packet<'_>| match packet {
        Packet::Subscribe(subscribe) => {
            Packet::from(Suback::new(subscribe.packet_id, vec![ReasonCode::NotAuthorized]))
        }
        other => panic!("{other:?}"),
    };
    let no_message = |packet: Packet<'_>| match packet {
        Packet::Publish(publish) => {
            let id = publish.delivery.packet_id().unwrap();
            Packet::from(Puback::new(id).with_reason(ReasonCode::NotAuthorized))
        }
        other => panic!("{other:?}"),
    };
    disconnects(Server::new(V5), "sub", &["-t", "a"], 135, no_subscription);
    disconnects(Server::new(V5), "rr", &["-t", "a", "-e", "b", "-m", "x"], 135, no_subscription);
    disconnects(Server::new(V5), "pub", &["-t", "a", "-m", "x", "-q", "1"], 135, no_message);
}

#[test]
fn a_line_that_the_server_does_not_take_costs_none_of_the_others() {
    let broker = Program::serve(&["--log", "warn", "--max-packet-size", "1KiB"]);
    let subscriber = Tool::subscribed(&broker, &["-t", "t", "-C", "2", "-q", "1"]);
    let lines = ["first".to_owned(), "x".repeat(2000), "last".to_owned()].join("\n");
    let flags = ["-t", "t", "-l", "-q", "1", "-V", "5"];
    let (_, said) = ends(&broker, 1, "pub", &flags, lines.as_bytes());
    assert!(said.contains("warning: line 2: ") && said.contains("1 of 3 lines"), "{said}");
    assert_eq!(subscriber.ended(0), ["first", "last"]);
}

#[test]
fn an_answer_that_nobody_reads_any_more_is_no_failure() {
    let server = Server::new(Version::V3_1_1);
    let address = Address::from(&server);
    // Its reader is gone before the answer comes.
    let script = r#"set -o pipefail; "$0" rr -h 127.0.0.1 -p "$1" -t a -e b -m x -V 311 | true"#;
    let mut shell = Command::new("bash");
    let child = piped(shell.args(["-c", script, env!("CARGO_BIN_EXE_opifex"), &address.0]));
    let mut guest = server.accept();
    guest.grant();
    guest.published();
    let deadline = Instant::now() + PATIENCE;
    // `true` is the only other child of the shell.
    let children = format!("/proc/{0}/task/{0}/children", child.id());
    while std::fs::read_to_string(&children).unwrap().split(' ').filter(|id| !id.trim().is_empty()).count()
        > 1
    {
        assert!(Instant::now() < deadline, "true does not end");
        thread::sleep(Duration::from_millis(5));
    }
    guest.send(Publish::new(TopicName::new("b").unwrap(), &b"answer"[..]));
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), said.as_str()), (Some(0), ""));
}
