//! The command line: help, exit codes, and one clear line for whatever is wrong.

use crate::child::{Program, refused, run};

#[test]
fn help_has_examples_and_goes_to_standard_output() {
    for args in [
        &["--help"][..],
        &["-h"],
        &["serve", "--help"],
        &["serve", "-h"],
        &["hash-password", "--help"],
        &["store", "--help"],
        &["store", "check", "-h"],
        &["pub", "--help"],
        &["sub", "--help"],
        &["rr", "--help"],
        &["bench", "--help"],
    ] {
        let output = run(args, b"");
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert!(stdout.contains("Examples:\n  opifex "), "{args:?}: {stdout}");
    }
}

#[test]
fn the_version_is_the_packages() {
    assert_eq!(run(&["--version"], b"").stdout, format!("opifex {}\n", env!("CARGO_PKG_VERSION")).as_bytes());
}

#[test]
fn without_a_command_there_is_help_and_exit_code_2() {
    let output = run(&[], b"");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("opifex serve"));
}

#[test]
fn a_wrong_flag_is_one_line_and_exit_code_2() {
    let wrong: [(&[&str], &str); 12] = [
        (&["serv"], "unrecognized subcommand 'serv'"),
        (&["serve", "--lisen", "127.0.0.1:0"], "a similar argument exists: '--listen'"),
        (&["serve", "surplus"], "unexpected argument 'surplus'"),
        (&["serve", "--listen", "1883"], "expected HOST:PORT"),
        (&["serve", "--listen"], "a value is required"),
        (&["serve", "--storage", "disk"], "\"disk\" is no storage backend, expected one of sqlite"),
        (&["serve", "--log", "loud"], "\"loud\" is no log level"),
        (&["serve", "--max-qos", "3"], "expected 0, 1 or 2"),
        (&["serve", "--max-packet-size", "300MiB"], "expected at most 268435460"),
        (&["serve", "--connect-timeout", "10"], "expected one such as 10s"),
        (&["serve", "--workers", "0"], "--workers"),
        (&["serve", "--allow-anonymous", "false"], "nobody could connect"),
    ];
    for (args, expected) in wrong {
        let line = refused(args, 2);
        assert!(line.starts_with("error: ") && line.contains(expected), "{args:?}: {line}");
    }
}

#[test]
fn port_0_listens_on_a_free_port_and_prints_it() {
    let program = Program::serve(&["--log", "off"]);
    assert_eq!(program.address().ip().to_string(), "127.0.0.1");
    assert_ne!(program.address().port(), 0);
    std::net::TcpStream::connect(program.address()).unwrap();
}

#[test]
fn every_listener_of_the_command_line_listens() {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_opifex"));
    let program = Program::start(
        command.args(["serve", "--storage", "memory", "-l", "127.0.0.1:0", "-l", "127.0.0.1:0"]),
        2,
    );
    for address in program.addresses() {
        std::net::TcpStream::connect(address).unwrap();
    }
    assert_ne!(program.addresses()[0], program.addresses()[1]);
}

#[test]
fn an_address_in_use_is_one_line_that_suggests_a_free_port() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(&["serve", "--storage", "memory", "--log", "warn", "--listen", &address], b"");
    let expected = format!(
        "error: cannot listen on {address}: the address is in use; for a free port: --listen 127.0.0.1:0\n"
    );
    assert_eq!(String::from_utf8(output.stderr).unwrap(), expected);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn log_lines_have_their_time_in_rfc_3339() {
    let log = Program::serve(&[]).stop();
    assert!(!log.is_empty());
    for line in log {
        let time = line.split(' ').next().unwrap();
        let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
        assert_eq!(shape, "9999-99-99T99:99:99.999999Z", "{line}");
    }
}

#[test]
fn the_log_level_is_obeyed() {
    let mut program = Program::serve(&["--log", "error"]);
    program.signal("TERM");
    assert_eq!(program.wait().code(), Some(0));
    assert_eq!(program.log(), Vec::<String>::new());
}

#[test]
fn a_json_log_is_an_object_a_line() {
    let log = Program::serve(&["--log-format", "json"]).stop();
    for line in log {
        assert!(line.starts_with("{\"timestamp\":\"") && line.ends_with('}'), "{line}");
    }
}
