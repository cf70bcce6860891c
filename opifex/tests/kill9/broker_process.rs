//! The broker as a child process: started on a directory, killed without warning, and its log.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// Longer than any start on what a round leaves. A broker that takes longer breaks promise 6.
const START_PATIENCE: Duration = Duration::from_secs(20);

/// A line of the log comes through a pipe.
const LOG_PATIENCE: Duration = Duration::from_secs(5);

/// A broker that runs.
pub(crate) struct BrokerProcess {
    child: Arc<Mutex<Child>>,
    address: SocketAddr,
    started_in: Duration,
    log: Arc<(Mutex<Vec<String>>, Condvar)>,
}

/// Ends one broker, at once.
#[derive(Clone)]
pub(crate) struct Killer(Arc<Mutex<Child>>);

impl Killer {
    pub(crate) fn kill(&self) {
        self.0.lock().expect("nobody panics with it").kill().expect("one that is gone is none to kill");
    }

    /// Whether both mean the same broker.
    pub(crate) fn is(&self, other: &Killer) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl BrokerProcess {
    /// Starts the command and waits until it listens.
    pub(crate) fn start(command: &mut Command) -> Result<BrokerProcess, String> {
        let begun = Instant::now();
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
        let log = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
        if let Some(stderr) = child.stderr.take() {
            let log = Arc::clone(&log);
            std::thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    log.0.lock().expect("nobody panics with it").push(line);
                    log.1.notify_all();
                }
            });
        }
        let stdout = child.stdout.take().expect("it is piped");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let address = address(&lines);
        let child = Arc::new(Mutex::new(child));
        let mut process =
            BrokerProcess { child, address: ([127, 0, 0, 1], 0).into(), started_in: begun.elapsed(), log };
        match address {
            Ok(address) => {
                process.address = address;
                Ok(process)
            }
            Err(why) => Err(format!("the broker does not start: {why}: {:#?}", process.log())),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From its start to the line that it listens.
    pub(crate) fn started_in(&self) -> Duration {
        self.started_in
    }

    pub(crate) fn killer(&self) -> Killer {
        Killer(Arc::clone(&self.child))
    }

    /// Waits for the end of one that is being killed.
    pub(crate) fn wait(&self) {
        let mut child = self.child.lock().expect("nobody panics with it");
        // Whoever is about to do it waits for the lock.
        child.kill().expect("it is not waited for");
        child.wait().expect("it was started");
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.0.lock().expect("nobody panics with it").clone()
    }

    /// Its log, when it holds that, or when that does not come.
    pub(crate) fn log_with(&self, text: &str) -> Vec<String> {
        let log = self.log.0.lock().expect("nobody panics with it");
        let lacks = |log: &mut Vec<String>| !log.iter().any(|line| line.contains(text));
        let waited = self.log.1.wait_timeout_while(log, LOG_PATIENCE, lacks);
        waited.expect("nobody panics with it").0.clone()
    }
}

impl Drop for BrokerProcess {
    fn drop(&mut self) {
        // It may have ended already.
        if let Ok(mut child) = self.child.lock() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn address(lines: &Receiver<String>) -> Result<SocketAddr, String> {
    let deadline = Instant::now() + START_PATIENCE;
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                let address = line.split_once("listening on ").and_then(|(_, address)| address.parse().ok());
                if let Some(address) = address {
                    return Ok(address);
                }
            }
            Err(RecvTimeoutError::Timeout) => return Err(format!("not within {START_PATIENCE:?}")),
            Err(RecvTimeoutError::Disconnected) => return Err("it ended".to_owned()),
        }
    }
}
