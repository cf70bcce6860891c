//! A broker as a child process on one port and one directory, over as many lives as a check wants.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use opifex_client::Address;

/// Longer than a start takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What mosquitto announces, and may have under way to a client that sets no limit. Its own 20 are fewer than it sends in fact.
pub(crate) const MOSQUITTO_IN_FLIGHT: usize = 1000;

/// Which broker it is.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// This repository's.
    Opifex,
    /// Eclipse mosquitto.
    Mosquitto,
}

/// A broker that runs. Dropped, it is killed.
pub(crate) struct Broker {
    kind: Kind,
    program: PathBuf,
    port: u16,
    place: tempfile::TempDir,
    child: Child,
}

impl Broker {
    pub(crate) fn start(kind: Kind, program: PathBuf) -> Broker {
        let place = tempfile::tempdir().unwrap();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let child = run(kind, &program, port, &place);
        Broker { kind, program, port, place, child }
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn address(&self) -> Address {
        Address::new("127.0.0.1", self.port)
    }

    /// Stops it as an operator does.
    pub(crate) fn stop(&mut self) {
        self.signal("TERM");
        self.child.wait().unwrap();
    }

    /// Has it stand still, as behind a network that stalls: what is sent to it is taken, and nothing comes.
    pub(crate) fn stall(&self) {
        self.signal("STOP");
    }

    /// Has it go on.
    pub(crate) fn go_on(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let signalled =
            Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(signalled.success());
    }

    /// Stops it as a crash does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it anew where it was.
    pub(crate) fn again(&mut self) {
        self.child = run(self.kind, &self.program, self.port, &self.place);
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(kind: Kind, program: &PathBuf, port: u16, place: &tempfile::TempDir) -> Child {
    let mut command = Command::new(program);
    match kind {
        Kind::Opifex => {
            let listen = format!("127.0.0.1:{port}");
            command.args(["serve", "--log", "warn", "--listen", &listen, "--data-dir"]);
            command.arg(place.path().join("data"));
        }
        Kind::Mosquitto => {
            let settings = place.path().join("mosquitto.conf");
            let here = place.path().display();
            let text = format!(
                "listener {port} 127.0.0.1\nallow_anonymous true\nuser root\nmax_queued_messages 0\n\
                 max_inflight_messages {MOSQUITTO_IN_FLIGHT}\n\
                 persistence true\npersistence_location {here}/\nlog_dest none\n"
            );
            std::fs::write(&settings, text).unwrap();
            command.arg("-c").arg(settings);
        }
    }
    let child = command.stdout(Stdio::null()).spawn().unwrap();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let begin = Instant::now();
    // A broker that listens says so in as many ways as there are brokers.
    while TcpStream::connect_timeout(&address, PATIENCE).is_err() {
        assert!(begin.elapsed() < PATIENCE, "{program:?} does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}
