//! The readers: a few threads, each with a connection of its own. A read is one transaction, so a page is a snapshot.

use std::sync::Arc;

use opifex_storage::{ErrorKind, Result, StoreError};
use rusqlite::Connection;

use crate::answer::answer;
use crate::channel::Channel;
use crate::fault;
use crate::state::State;
use crate::tally::Tally;

/// A read that waits for a reader.
pub(crate) type Read = Box<dyn FnOnce(&Connection) + Send>;

/// The error of every call to a store that is closed.
pub(crate) fn closed() -> StoreError {
    StoreError::not_applied(ErrorKind::Closed, "the store is closed")
}

/// Reads until the queue is closed and empty.
pub(crate) fn run(db: &Connection, reads: &Channel<Read>) {
    // A reader that panics takes the others with it: nobody waits for a pool of none.
    let _alarm = Alarm(reads);
    while let Some(read) = reads.receive() {
        read(db);
    }
}

struct Alarm<'a>(&'a Channel<Read>);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.abandon();
        }
    }
}

/// Has a reader read, and waits for what it found.
pub(crate) async fn read<T: Send + 'static>(
    reads: &Arc<Channel<Read>>,
    read: impl FnOnce(State<'_>) -> fault::Result<T> + Send + 'static,
) -> Result<T> {
    let (asker, answer) = answer();
    let job: Read = Box::new(move |db| {
        let found = (|| {
            let snapshot = db.unchecked_transaction()?;
            let found = read(State::new(&snapshot, Tally::default()))?;
            snapshot.commit()?;
            Ok(found)
        })();
        asker.give(found.map_err(|fault: fault::Fault| fault.into()));
    });
    reads.send(1, job).await.map_err(|_| closed())?;
    answer.await.unwrap_or_else(|| Err(closed()))
}
