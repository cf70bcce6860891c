//! The readers: a few threads, each with a connection of its own. A read is one transaction, so a page is a snapshot.
//!
//! A connection is lent to its reader for a read; between reads the writer may take it away and give another.

use std::sync::Arc;

use opifex_storage::{ErrorKind, Result, StoreError};
use rusqlite::Connection;

use crate::answer::answer;
use crate::channel::Channel;
use crate::engine::Slot;
use crate::fault::{self, Fault};
use crate::state::State;
use crate::tally::Tally;

/// A read that waits for a reader.
pub(crate) type Read = Box<dyn FnOnce(Option<&Connection>) + Send>;

/// The error of every call to a store that is closed.
pub(crate) fn closed() -> StoreError {
    StoreError::not_applied(ErrorKind::Closed, "the store is closed")
}

/// Nothing is read while the writer has closed the database after a failure.
fn closed_for_now() -> Fault {
    let what = "the database was closed after a failure of the disk, and cannot be opened again yet";
    StoreError::not_applied(ErrorKind::Retry, what).into()
}

/// Reads until the queue is closed and empty, and gives up the connection.
pub(crate) fn run(slot: &Slot, reads: &Channel<Read>) {
    // A reader that panics takes the others with it: nobody waits for a pool of none.
    let _alarm = Alarm(reads);
    while let Some(read) = reads.receive() {
        read(slot.lock().as_ref());
    }
    slot.lock().take();
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
            let snapshot = db.ok_or_else(closed_for_now)?.unchecked_transaction()?;
            let found = read(State::new(&snapshot, Tally::default()))?;
            snapshot.commit()?;
            Ok(found)
        })();
        asker.give(found.map_err(|fault: Fault| fault.into()));
    });
    reads.send(1, job).await.map_err(|_| closed())?;
    answer.await.unwrap_or_else(|| Err(closed()))
}
