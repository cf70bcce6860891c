//! Restarts of the broker, which end every connection: the cases that need one wait for each other, so that all of them
//! see the same. A case that has ended is waited for no longer.

use std::process::Stdio;
use std::sync::Arc;

use opifex_packet::Version;
use tokio::process::Command;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::descriptor::Descriptor;
use super::probe::{Found, probe};
use super::target::Target;

/// What the cases do, as the one who restarts sees it.
#[derive(Debug, Default)]
struct Gathering {
    /// Cases under way.
    places: usize,
    /// Those of them that wait for a restart.
    waiting: usize,
    /// Restarts so far.
    restarts: u64,
    /// The broker is being restarted.
    under_way: bool,
}

impl Gathering {
    fn is_complete(&self) -> bool {
        self.waiting > 0 && self.waiting == self.places
    }
}

/// The one who restarts.
pub(crate) struct Restarts {
    target: Arc<dyn Target>,
    descriptor: Arc<Descriptor>,
    version: Version,
    gathering: watch::Sender<Gathering>,
}

impl Restarts {
    /// The broker speaks this version.
    pub(crate) fn new(target: Arc<dyn Target>, descriptor: Arc<Descriptor>, version: Version) -> Restarts {
        Restarts { target, descriptor, version, gathering: watch::Sender::default() }
    }

    /// A place for a case; `None`: this broker cannot be restarted.
    pub(crate) fn place(&self) -> Option<Place> {
        if self.target.restart().is_none() && self.descriptor.restart.is_none() {
            return None;
        }
        self.gathering.send_modify(|gathering| gathering.places += 1);
        Some(Place(self.gathering.clone()))
    }

    /// Whether the broker may be away at this moment, or is about to be: no case may begin now.
    pub(crate) fn are_under_way(&self) -> bool {
        let gathering = self.gathering.borrow();
        gathering.under_way || gathering.is_complete()
    }

    /// Restarts whenever all cases wait for it. It ends, with what went wrong, when that fails.
    pub(crate) async fn conduct(&self, client_id: String) -> String {
        let mut gathering = self.gathering.subscribe();
        loop {
            // Whoever sends lives as long as this borrow.
            let _ = gathering.wait_for(Gathering::is_complete).await;
            self.gathering.send_modify(|gathering| gathering.under_way = true);
            let limit = self.descriptor.restart_limit();
            match timeout(limit, self.restart(&client_id)).await {
                Ok(Ok(())) => {}
                Ok(Err(why)) => return why,
                Err(_) => return format!("it does not answer again in {limit:?}"),
            }
            self.gathering.send_modify(|gathering| {
                gathering.waiting = 0;
                gathering.restarts += 1;
                gathering.under_way = false;
            });
        }
    }

    async fn restart(&self, client_id: &str) -> Result<(), String> {
        match (self.target.restart(), &self.descriptor.restart) {
            (Some(restarted), _) => restarted.await.map_err(|error| error.to_string())?,
            (None, Some(command)) => run(command).await?,
            (None, None) => return Err("there is no restart command".to_owned()),
        }
        loop {
            let found = probe(&self.target, &self.descriptor, self.version, client_id).await;
            if let Ok(Found::Accepted(_)) = found {
                return Ok(());
            }
            sleep(self.descriptor.patience() / 50).await;
        }
    }
}

/// Runs a command to its end. What it writes to standard error is for whoever reads ours; a broker that it starts keeps
/// none of our pipes.
async fn run(command: &str) -> Result<(), String> {
    let (shell, flag) = if cfg!(windows) { ("cmd", "/C") } else { ("sh", "-c") };
    let mut child = Command::new(shell);
    child.args([flag, command]).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    match child.status().await {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{command:?} ended with {status}")),
        Err(error) => Err(format!("{command:?} could not be run: {error}")),
    }
}

/// A case's place among those that are waited for.
pub(crate) struct Place(watch::Sender<Gathering>);

impl Place {
    /// Waits for the next restart.
    pub(crate) async fn restart(&self) {
        let mut gathering = self.0.subscribe();
        let waits = Waits { gathering: &self.0, restarts: gathering.borrow().restarts };
        self.0.send_modify(|gathering| gathering.waiting += 1);
        // Whoever restarts sends as long as the case runs.
        let _ = gathering.wait_for(|gathering| gathering.restarts > waits.restarts).await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.send_modify(|gathering| gathering.places -= 1);
    }
}

/// A case that waits, also one whose time is over before the restart comes.
struct Waits<'a> {
    gathering: &'a watch::Sender<Gathering>,
    restarts: u64,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.gathering.send_modify(|gathering| {
            if gathering.restarts == self.restarts {
                gathering.waiting -= 1;
            }
        });
    }
}
