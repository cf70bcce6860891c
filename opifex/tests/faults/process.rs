//! The program as a process that may refuse to start, die, or go on: its two outputs go to files, which can be read
//! whatever becomes of it. Dropped, it is killed.

use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything may take: what takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// See the module's documentation.
pub(crate) struct Process {
    child: Child,
    dir: tempfile::TempDir,
    address: Option<SocketAddr>,
}

impl Process {
    /// Starts a command that is the program, and waits until it listens or has ended.
    pub(crate) fn start(command: &mut Command) -> Process {
        let dir = tempfile::tempdir().unwrap();
        let output = |name| File::create(dir.path().join(name)).unwrap();
        let child = command.stdout(output("stdout")).stderr(output("stderr")).spawn().unwrap();
        let mut process = Process { child, dir, address: None };
        process.wait_until(|process| {
            let stdout = process.read("stdout");
            let line = stdout.strip_suffix('\n').and_then(|line| line.strip_prefix("listening on "));
            process.address = line.map(|address| address.parse().unwrap());
            process.address.is_some() || process.has_ended()
        });
        process
    }

    /// Where it listens; `None`: it has refused to start.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Everything that it has said on its standard error.
    pub(crate) fn said(&self) -> String {
        self.read("stderr")
    }

    /// Waits until it has said something that contains one of the words, and answers that line.
    pub(crate) fn wait_for_line(&mut self, words: &[&str]) -> String {
        let found = |said: &str| {
            said.lines().find(|line| words.iter().any(|word| line.contains(word))).map(str::to_owned)
        };
        self.wait_until(|process| found(&process.said()).is_some());
        found(&self.said()).expect("it was there")
    }

    /// The exit code of one that has ended by itself.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Asks it to stop, as an operator does, and answers its exit code.
    pub(crate) fn stop(&mut self) -> Option<i32> {
        let kill = Command::new("kill").args(["-s", "TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(kill.success());
        self.wait_until(Process::has_ended);
        self.exit_code()
    }

    fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    fn read(&self, name: &str) -> String {
        let path: PathBuf = self.dir.path().join(name);
        String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned()
    }

    /// Files and processes send no events: it is looked at again and again, with an end to the patience.
    pub(crate) fn wait_until(&mut self, mut reached: impl FnMut(&mut Process) -> bool) {
        let begun = Instant::now();
        while !reached(self) {
            assert!(begun.elapsed() < PATIENCE, "it hangs; it has said:\n{}", self.said());
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
