//! The client commands as child processes, at a broker of the test's own.

use std::io::Write as _;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::child::{Lines, PATIENCE, Program, piped, run};

/// The flags of a command for that broker, `command` first.
pub(crate) fn at<'a>(broker: &'a Address, command: &'a str, flags: &[&'a str]) -> Vec<&'a str> {
    [&[command, "-h", "127.0.0.1", "-p", broker.0.as_str()], flags].concat()
}

/// Where a broker listens.
pub(crate) struct Address(pub(crate) String);

impl From<&Program> for Address {
    fn from(broker: &Program) -> Address {
        Address(broker.address().port().to_string())
    }
}

/// Runs a command to its end, and expects that exit code. The output: what it printed, and what it said.
pub(crate) fn ends(
    broker: impl Into<Address>,
    exit_code: i32,
    command: &str,
    flags: &[&str],
    input: &[u8],
) -> (Vec<u8>, String) {
    let address = broker.into();
    let Output { status, stdout, stderr } = run(&at(&address, command, flags), input);
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(exit_code), "{command} {flags:?}: {stderr}");
    (stdout, stderr)
}

/// The same for a command that has to succeed without a word.
pub(crate) fn succeeds(broker: impl Into<Address>, command: &str, flags: &[&str], input: &[u8]) -> Vec<u8> {
    let (stdout, stderr) = ends(broker, 0, command, flags, input);
    assert_eq!(stderr, "", "{command} {flags:?}");
    stdout
}

/// A command that runs, with `--debug`.
pub(crate) struct Tool {
    child: Child,
    stdout: Lines,
    stderr: Lines,
}

impl Tool {
    /// Starts it. Its standard input stays open.
    pub(crate) fn start(broker: impl Into<Address>, command: &str, flags: &[&str]) -> Tool {
        let mut program = Command::new(env!("CARGO_BIN_EXE_opifex"));
        let address = broker.into();
        let mut child = piped(program.args(at(&address, command, flags)).arg("--debug"));
        let stdout = Lines::of(child.stdout.take().unwrap());
        let stderr = Lines::of(child.stderr.take().unwrap());
        Tool { child, stdout, stderr }
    }

    /// `opifex sub` that has its subscriptions.
    pub(crate) fn subscribed(broker: impl Into<Address>, flags: &[&str]) -> Tool {
        let tool = Tool::start(broker, "sub", flags);
        tool.said("subscribed to ");
        tool
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Gives it all of its standard input.
    pub(crate) fn give(&mut self, input: &[u8]) {
        self.child.stdin.take().unwrap().write_all(input).unwrap();
    }

    /// Waits for a line on standard error that has that text in it.
    pub(crate) fn said(&self, text: &str) -> String {
        let has = |line: &String| line.contains(text);
        self.stderr.wait(PATIENCE, |lines| lines.iter().any(has));
        let all = self.stderr.all();
        all.iter().find(|line| has(line)).unwrap_or_else(|| panic!("no {text:?} in {all:#?}")).clone()
    }

    /// Waits for so many lines on standard output.
    pub(crate) fn printed(&self, lines: usize) -> Vec<String> {
        self.stdout.wait(PATIENCE, |all| all.len() >= lines);
        self.stdout.all()
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill").args(["-s", name, &id]).stdout(Stdio::null()).status().unwrap().success()
        );
    }

    /// Waits for its end; answers what it printed.
    pub(crate) fn ended(mut self, exit_code: i32) -> Vec<String> {
        let status = self.wait();
        assert_eq!(status.code(), Some(exit_code), "{:#?}", self.stderr.all());
        // The pipe may be read to its end a moment after the child's.
        let deadline = Instant::now() + PATIENCE;
        while !self.stdout.is_closed() {
            assert!(Instant::now() < deadline, "its output does not end");
            thread::sleep(Duration::from_millis(1));
        }
        self.stdout.all()
    }

    fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        // Nothing awaits a child with an end to its patience; the loop is for a child that hangs.
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end: {:#?}", self.stderr.all());
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
