//! Ends of connections that the store could not take down: tried again until it does, so that the session's clocks
//! start. What a process that dies leaves is not here: recovery finds it.

use hashbrown::HashMap;
use opifex_storage::{Author, Batch, Epoch, ErrorKind, Op, Persistence, Result, SessionId};
use parking_lot::Mutex;

use crate::shared::Shared;

/// The last words of connections, one a session.
#[derive(Default)]
pub(crate) struct Unrecorded {
    ends: Mutex<HashMap<SessionId, (Epoch, Vec<Op>)>>,
}

impl Unrecorded {
    /// To be written under this epoch. Once somebody has opened the session again it concerns nobody any more.
    pub(crate) fn add(&self, id: SessionId, epoch: Epoch, ops: Vec<Op>) {
        self.ends.lock().insert(id, (epoch, ops));
    }

    /// Tries again what is left, until the store fails. What a damaged record keeps from being written holds up none of the
    /// others, and is the error when all are tried.
    pub(crate) async fn retry<P: Persistence>(&self, shared: &Shared<P>) -> Result<()> {
        let left: Vec<_> = self.ends.lock().iter().map(|(id, end)| (*id, end.clone())).collect();
        let mut damaged = None;
        for (id, (epoch, ops)) in left {
            let mut batch = Batch::new(Author::Session(id, epoch), shared.durability, shared.now());
            batch.ops = ops;
            let written = match shared.store.submit(batch).await {
                Ok(receipt) => receipt.durable().await.map(drop),
                Err(error) => Err(error),
            };
            match written {
                Err(error) if error.kind() == ErrorKind::Corrupt => damaged = Some(error),
                Err(error) if !is_final(error.kind()) => return Err(error),
                _ => self.forget(id, epoch),
            }
        }
        damaged.map_or(Ok(()), Err)
    }

    fn forget(&self, id: SessionId, epoch: Epoch) {
        let mut ends = self.ends.lock();
        if ends.get(&id).is_some_and(|(of, _)| *of == epoch) {
            ends.remove(&id);
        }
    }
}

/// Whether it would be the same the next time.
fn is_final(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Fenced | ErrorKind::Closed | ErrorKind::Fatal | ErrorKind::Unsupported)
}
