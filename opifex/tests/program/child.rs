//! The built program as a child process: run to its end, or started, watched and stopped by its pid.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything here takes, shorter than a person waits.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the program to its end.
pub(crate) fn run(args: &[&str], input: &[u8]) -> Output {
    let mut child = piped(Command::new(env!("CARGO_BIN_EXE_opifex")).args(args));
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

/// Runs the program with arguments that it must refuse, and answers its one line.
pub(crate) fn refused(args: &[&str], exit_code: i32) -> String {
    let output = run(args, b"");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(exit_code), "{args:?}: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{args:?}: {stderr}");
    assert!(output.stdout.is_empty(), "{args:?}");
    stderr
}

/// A file of the tests' own with that text.
pub(crate) fn file(name: &str, text: &str) -> String {
    let path = format!("{}/{name}", env!("CARGO_TARGET_TMPDIR"));
    std::fs::write(&path, text).unwrap();
    path
}

pub(crate) fn piped(command: &mut Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// A running broker. Dropped, it is killed.
pub(crate) struct Program {
    child: Child,
    addresses: Vec<SocketAddr>,
    stdout: Lines,
    stderr: Lines,
}

impl Program {
    /// Starts `opifex serve` on a free port, with further flags, in memory: nothing is left behind.
    pub(crate) fn serve(flags: &[&str]) -> Program {
        let mut command = Command::new(env!("CARGO_BIN_EXE_opifex"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--storage", "memory"]);
        Program::start(command.args(flags), 1)
    }

    /// Starts a command that becomes the program, and waits until it listens on so many addresses.
    pub(crate) fn start(command: &mut Command, listeners: usize) -> Program {
        let mut child = piped(command);
        let (stdout, stderr) =
            (Lines::of(child.stdout.take().unwrap()), Lines::of(child.stderr.take().unwrap()));
        let mut program = Program { child, addresses: Vec::new(), stdout, stderr };
        for seen in 1..=listeners {
            program.stdout.wait(PATIENCE, |lines| lines.len() >= seen);
        }
        let address = |line: String| {
            let address = line.strip_prefix("listening on ").unwrap();
            address.strip_prefix("ws://").unwrap_or(address).parse().unwrap()
        };
        program.addresses = program.stdout.all().into_iter().map(address).collect();
        assert_eq!(program.addresses.len(), listeners, "{:?}", program.stderr.all());
        program
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.stderr.all()
    }

    /// Waits for a line of the log that contains that text, and answers it.
    pub(crate) fn wait_for_log(&self, text: &str) -> String {
        let contains = |line: &&String| line.contains(text);
        self.stderr.wait(PATIENCE, |lines| lines.iter().any(|line| contains(&line)));
        let found = self.stderr.all().iter().find(contains).cloned();
        found.unwrap_or_else(|| panic!("no log line contains {text:?}: {:#?}", self.stderr.all()))
    }

    pub(crate) fn signal(&self, name: &str) {
        let kill = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(kill.success());
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills it at once.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        // Nothing awaits a child with an end to its patience; the loop is for a child that hangs.
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end: {:#?}", self.stderr.all());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Stops it as an operator does, and expects a clean end.
    pub(crate) fn stop(mut self) -> Vec<String> {
        self.signal("TERM");
        let status = self.wait();
        assert_eq!(status.code(), Some(0), "{:#?}", self.stderr.all());
        self.stderr.wait(PATIENCE, |lines| lines.iter().any(|line| line.contains("stopped: ")));
        self.stderr.all()
    }

    /// Its open descriptors, from /proc.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// Waits until it has as many descriptors open as asked for.
    pub(crate) fn wait_for_descriptors(&self, enough: impl Fn(usize) -> bool) -> usize {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // /proc sends no events.
            let open = self.descriptors();
            if enough(open) {
                return open;
            }
            assert!(Instant::now() < deadline, "{open} open descriptors");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until it has given so much of its memory back. The allocator takes about ten seconds.
    pub(crate) fn wait_for_resident_bytes(&self, enough: impl Fn(u64) -> bool) -> u64 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // /proc sends no events.
            let bytes = self.resident_bytes();
            if enough(bytes) {
                return bytes;
            }
            assert!(Instant::now() < deadline, "{bytes} bytes resident");
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Memory that it has in use, from /proc.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1_024
    }

    /// The most memory that it has had in use, from /proc.
    pub(crate) fn peak_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1_024
    }

    /// Processor time that it has used, from /proc.
    pub(crate) fn cpu_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // The name, in parentheses, may hold anything; utime and stime are the 14th and 15th field.
        let fields = stat.rsplit_once(") ").unwrap().1.split(' ').skip(11).take(2);
        let ticks: u64 = fields.map(|field| field.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 10) // Linux counts for its users 100 ticks a second.
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines of a pipe as they come.
pub(crate) struct Lines {
    shared: Arc<(Mutex<Vec<String>>, Condvar)>,
}

impl Lines {
    pub(crate) fn of(pipe: impl Read + Send + 'static) -> Lines {
        let shared = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
        let filled = Arc::clone(&shared);
        // The reader's copy goes with the end of the pipe.
        thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                filled.0.lock().unwrap().push(line);
                filled.1.notify_all();
            }
        });
        Lines { shared }
    }

    /// Whether the pipe is read to its end.
    pub(crate) fn is_closed(&self) -> bool {
        Arc::strong_count(&self.shared) == 1
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.shared.0.lock().unwrap().clone()
    }

    pub(crate) fn wait(&self, patience: Duration, until: impl Fn(&[String]) -> bool) {
        let lines = self.shared.0.lock().unwrap();
        drop(self.shared.1.wait_timeout_while(lines, patience, |lines| !until(lines)).unwrap());
    }
}
