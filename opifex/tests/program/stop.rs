//! How the program stops: by SIGINT or SIGTERM, in order, with a line of figures; at once when asked again.

use crate::child::Program;

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
    Program::start(command.args(["serve", "--listen", &address]), 1).stop();
    drop(client);
}
