//! How the program stops: by SIGINT or SIGTERM, in order, with a line of figures; at once when asked again.

use opifex_packet::{Packet, ReasonCode};

use crate::child::Program;
use crate::peer::Peer;

#[test]
fn sigterm_and_sigint_stop_it_cleanly_with_a_line_of_figures() {
    for signal in ["TERM", "INT"] {
        let mut program = Program::serve(&[]);
        program.signal(signal);
        assert_eq!(program.wait().code(), Some(0), "{signal}");
        program.wait_for_log("stopped: ");
        program.wait_for_log(&format!("signal=\"SIG{signal}\""));
    }
}

#[test]
fn a_stopped_broker_leaves_its_port_to_the_next() {
    let program = Program::serve(&[]);
    let address = program.address().to_string();
    let client = std::net::TcpStream::connect(program.address()).unwrap();
    program.stop();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_opifex"));
    Program::start(command.args(["serve", "--storage", "memory", "--listen", &address]), 1).stop();
    drop(client);
}

#[test]
fn a_client_of_5_0_is_told_that_the_broker_stops() {
    let program = Program::serve(&[]);
    let mut peer = Peer::connect(program.address(), "c1");
    program.stop();
    match peer.receive() {
        Some(Packet::Disconnect(disconnect)) => assert_eq!(disconnect.reason, ReasonCode::ServerShuttingDown),
        other => panic!("expected DISCONNECT, not {other:?}"),
    }
    assert_eq!(peer.receive(), None);
}

#[test]
fn a_second_signal_stops_it_at_once_with_exit_code_1() {
    let mut program = Program::serve(&[]);
    // A client that never reads what it subscribed to: stopping in order gives it some time to.
    let mut deaf = Peer::connect(program.address(), "deaf");
    deaf.subscribe("flood");
    let mut publisher = Peer::connect(program.address(), "publisher");
    for _ in 0..200 {
        publisher.publish("flood", &[0; 100_000]);
    }
    publisher.send(Packet::Pingreq);
    assert_eq!(publisher.receive(), Some(Packet::Pingresp));
    program.signal("TERM");
    program.wait_for_log("stopping");
    program.signal("INT");
    assert_eq!(program.wait().code(), Some(1));
    program.wait_for_log("error: SIGINT again: stopped at once");
}
