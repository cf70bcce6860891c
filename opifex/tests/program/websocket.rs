//! `opifex serve --websocket`: MQTT over WebSocket beside MQTT over TCP. What a WebSocket is, `opifex-websocket` tests.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Instant;

use crate::child::{PATIENCE, Program, file, refused, run};
use crate::peer::Peer;

const REQUEST: &[u8] = b"GET /mqtt HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";

fn serve(flags: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_opifex"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--websocket", "127.0.0.1:0", "--storage", "memory"]);
    Program::start(command.args(flags), 2)
}

fn open(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Says this, and answers what comes until the end or up to so many bytes.
fn asked(stream: &mut TcpStream, say: &[u8], at_most: u64) -> Vec<u8> {
    stream.write_all(say).unwrap();
    let mut answer = Vec::new();
    stream.take(at_most).read_to_end(&mut answer).unwrap();
    answer
}

#[test]
fn a_client_over_websocket_is_served_beside_one_over_tcp() {
    let program = serve(&[]);
    let mut stream = open(program.addresses()[1]);
    let answer = asked(&mut stream, REQUEST, 159);
    let head = String::from_utf8(answer).unwrap();
    assert!(
        head.starts_with("HTTP/1.1 101 ") && head.ends_with("Sec-WebSocket-Protocol: mqtt\r\n\r\n"),
        "{head}"
    );
    // CONNECT of 3.1.1, and SUBSCRIBE to "t", in frames whose mask is nothing.
    let connect = [0x82, 0x8f, 0, 0, 0, 0, 0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 0, 0, 1, b'w'];
    assert_eq!(asked(&mut stream, &connect, 6), [0x82, 4, 0x20, 2, 0, 0]);
    let subscribe = [0x82, 0x88, 0, 0, 0, 0, 0x82, 6, 0, 1, 0, 1, b't', 0];
    assert_eq!(asked(&mut stream, &subscribe, 7), [0x82, 5, 0x90, 3, 0, 1, 0]);
    let mut peer = Peer::connect(program.address(), "p");
    peer.publish("t", b"x");
    assert_eq!(asked(&mut stream, b"", 8), [0x82, 6, 0x30, 4, 0, 1, b't', b'x']);
    // [MQTT-6.0.0-1] A text frame ends it.
    let end = asked(&mut stream, &[0x81, 0x80, 0, 0, 0, 0], 100);
    assert_eq!(end, [0x88, 2, 0x03, 0xeb]);
    program.stop();
}

#[test]
fn who_asks_for_something_else_is_told_in_http() {
    let program = serve(&[]);
    let mqtt = asked(&mut open(program.addresses()[1]), b"\x10\x0c\0\x04MQTT\x04\x02\0\0\0\0", 10_000);
    assert!(mqtt.starts_with(b"HTTP/1.1 400 "), "{}", String::from_utf8_lossy(&mqtt));
    let elsewhere = asked(&mut open(program.addresses()[1]), b"GET /index.html HTTP/1.1\r\n\r\n", 10_000);
    assert!(elsewhere.starts_with(b"HTTP/1.1 404 "), "{}", String::from_utf8_lossy(&elsewhere));
    program.stop();
}

/// The status that a browser hears which shows a page of this origin.
fn status(program: &Program, host: &str, origin: &str) -> String {
    let request = String::from_utf8(REQUEST.to_vec()).unwrap();
    let request = request.replace("Host: h", &format!("Host: {host}\r\nOrigin: {origin}"));
    let answer = asked(&mut open(program.addresses()[1]), request.as_bytes(), 12);
    String::from_utf8(answer).unwrap().split_off("HTTP/1.1 ".len())
}

#[test]
fn a_page_of_another_host_is_refused_unless_it_is_named() {
    let foreign = ("127.0.0.1:8083", "https://evil.example");
    // A name of the web that was made to stand for this machine.
    let rebound = ("evil.example:8083", "http://evil.example:8083");
    let own = ("localhost:8083", "http://localhost:3000");
    let app = ("127.0.0.1:8083", "https://app.example");
    let text = "[[listeners]]\naddress = \"127.0.0.1:0\"\n[[listeners]]\naddress = \"127.0.0.1:0\"\n\
        protocol = \"websocket\"\norigins = [\"https://app.example\"]\n";
    let path = file("origins.toml", text);
    let from_file = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_opifex"));
        Program::start(command.args(["serve", "--storage", "memory", "--config", &path]), 2)
    };
    for (program, served) in [
        (serve(&[]), vec![own]),
        (serve(&["--websocket-origin", "https://app.example"]), vec![own, app]),
        (from_file(), vec![own, app]),
        (serve(&["--websocket-origin", "*"]), vec![own, app, foreign, rebound]),
    ] {
        for (host, origin) in [own, app, foreign, rebound] {
            let expected = if served.contains(&(host, origin)) { "101" } else { "403" };
            assert_eq!(status(&program, host, origin), expected, "{host} {origin}");
        }
        program.stop();
    }
}

#[test]
fn origins_that_say_nothing_are_refused() {
    let listener = "[[listeners]]\naddress = \"127.0.0.1:0\"\n";
    let idle = file("origins-idle.toml", &format!("{listener}origins = [\"*\"]\n"));
    let line = refused(&["serve", "--config", &idle], 2);
    assert!(line.contains("origins of pages for 127.0.0.1:0, which is no WebSocket listener"), "{line}");
    let path = format!("{listener}protocol = \"websocket\"\norigins = [\"https://app.example/\"]\n");
    let path = file("origins-path.toml", &path);
    let line = refused(&["serve", "--config", &path], 2);
    assert!(line.contains(":4:12: \"https://app.example/\" is no origin of pages"), "{line}");
}

#[test]
fn a_handshake_takes_no_longer_than_a_connect_may() {
    let program = serve(&["--connect-timeout", "300ms"]);
    assert_eq!(asked(&mut open(program.addresses()[1]), b"GET /mqtt HT", 100), b"");
    program.stop();
}

#[test]
fn a_stop_does_not_wait_for_handshakes() {
    let program = serve(&["--connect-timeout", "1h", "--shutdown-timeout", "1h"]);
    let mut stream = open(program.addresses()[1]);
    stream.write_all(b"GET /mqtt HT").unwrap();
    // Whoever came later is served: so is this one.
    asked(&mut open(program.addresses()[1]), REQUEST, 1);
    let begun = Instant::now();
    program.stop();
    assert!(begun.elapsed() < PATIENCE);
    let _ = stream.read(&mut [0]);
}

#[test]
fn the_file_names_the_protocol_of_a_listener_and_flags_replace_those_of_their_own() {
    let listeners = "[[listeners]]\naddress = \"127.0.0.1:1\"\n[[listeners]]\naddress = \"127.0.0.1:2\"\nprotocol = \"websocket\"\n";
    let path = file("protocols.toml", listeners);
    let printed = |flags: &[&str]| {
        let output = run(&[&["serve", "--config", &path, "--print-config"], flags].concat(), b"");
        let printed = String::from_utf8(output.stdout).unwrap();
        let is_of_listeners = |line: &&str| line.starts_with("address") || line.starts_with("protocol");
        printed.lines().filter(is_of_listeners).collect::<Vec<_>>().join(" ")
    };
    let of = |port: u16, protocol: &str| format!("address = \"127.0.0.1:{port}\" protocol = \"{protocol}\"");
    assert_eq!(printed(&[]), format!("{} {}", of(1, "mqtt"), of(2, "websocket")));
    assert_eq!(printed(&["--websocket", "127.0.0.1:3"]), format!("{} {}", of(1, "mqtt"), of(3, "websocket")));
    assert_eq!(printed(&["--listen", "127.0.0.1:3"]), format!("{} {}", of(2, "websocket"), of(3, "mqtt")));
}
