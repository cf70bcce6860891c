//! The program over the kit's recorder, which lies between it and its files and sockets. What the record means is not
//! here, but with the tests that read it.

use std::path::{Path, PathBuf};
use std::process::Command;

use opifex_conformance::power::shim;

mod client;

pub(crate) use client::{Answer, Client, durable, refusal};
pub(crate) use opifex_conformance::power::control::{Control, Order};
pub(crate) use opifex_conformance::power::record::{Call, Event, Object, Phase, read};

/// A directory of a test's own, in which all that the program does below `data` is watched.
pub(crate) struct Watched {
    dir: tempfile::TempDir,
    root: PathBuf,
    control: Control,
    logs: Vec<PathBuf>,
}

impl Watched {
    pub(crate) fn new() -> Watched {
        let dir = tempfile::Builder::new().prefix("opifex-shim-").tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("disk")).unwrap();
        let control = Control::create(&root.join("control"));
        Watched { dir, root, control, logs: Vec::new() }
    }

    /// The directory that is watched; it was there before anything began.
    pub(crate) fn disk(&self) -> PathBuf {
        self.root.join("disk")
    }

    /// The program's data directory, one level down, so that the program makes it.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.disk().join("data")
    }

    /// Orders for the shim, and its counters: of all processes since the last reset.
    pub(crate) fn control(&self) -> &Control {
        &self.control
    }

    /// `opifex serve` on a free port over the data directory, with further flags, watched and obeying the orders.
    pub(crate) fn serve(&self, flags: &[&str]) -> Command {
        self.watched(flags, None)
    }

    fn watched(&self, flags: &[&str], log: Option<&Path>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_opifex"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(self.data_dir()).args(flags);
        shim::watch(&mut command, &self.disk(), Some(&self.root.join("control")), log).unwrap();
        command
    }

    /// The same, with a record.
    pub(crate) fn serve_recorded(&mut self, flags: &[&str]) -> Command {
        let log = self.root.join(format!("record-{}", self.logs.len()));
        let command = self.watched(flags, Some(&log));
        self.logs.push(log);
        command
    }

    /// What the recorded processes did, one after the other.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.logs.iter().enumerate().flat_map(|(run, log)| read(run, &std::fs::read(log).unwrap())).collect()
    }

    /// Keeps the directory for a person to look at.
    #[allow(dead_code, reason = "for whoever reduces a failure")]
    pub(crate) fn keep(self) -> PathBuf {
        self.dir.keep()
    }
}
