//! Ends of connections that the store could not take down: tried again until it does, so that the session's clocks
//! start. What a process that dies leaves is not here: recovery finds it.

use hashbrown::HashMap;
use opifex_storage::{Author, Batch, Epoch, ErrorKind, Op, Persistence, Result, SessionId, StoreError};
use parking_lot::Mutex;

use crate::pause::Pause;
use crate::shared::Shared;

/// So many are on their way to the disk together.
const TOGETHER: usize = 256;

/// The last words of connections, one a session.
#[derive(Default)]
pub(crate) struct Unrecorded {
    ends: Mutex<HashMap<SessionId, End>>,
}

#[derive(Clone)]
struct End {
    epoch: Epoch,
    ops: Vec<Op>,
    pause: Pause,
}

impl Unrecorded {
    /// To be written under this epoch. Once somebody has opened the session again it concerns nobody any more.
    pub(crate) fn add(&self, id: SessionId, epoch: Epoch, ops: Vec<Op>) {
        self.ends.lock().insert(id, End { epoch, ops, pause: Pause::default() });
    }

    /// Tries again what has paused for long enough, until the store fails. What is refused for a reason of its own, such as a
    /// damaged record, holds up none of the others. Answers with an error of those that are left.
    pub(crate) async fn retry<P: Persistence>(&self, shared: &Shared<P>) -> Result<()> {
        let mut left = None;
        for ends in self.to_be_tried().chunks(TOGETHER) {
            let (mut under_way, mut refused) = (Vec::new(), Vec::new());
            for (id, end) in ends {
                let mut batch = Batch::new(Author::Session(*id, end.epoch), shared.durability, shared.now());
                batch.ops.clone_from(&end.ops);
                match shared.store.submit(batch).await {
                    Ok(receipt) => under_way.push((*id, end.epoch, receipt)),
                    Err(error) => {
                        let store_fails = is_of_the_store(error.kind());
                        refused.push((*id, end.epoch, error));
                        if store_fails {
                            break;
                        }
                    }
                }
            }
            for (id, epoch, receipt) in under_way {
                match receipt.durable().await {
                    Ok(_) => self.forget(id, epoch),
                    Err(error) => refused.push((id, epoch, error)),
                }
            }
            let mut store_fails = false;
            for (id, epoch, error) in refused {
                if self.is_left(id, epoch, &error) {
                    store_fails |= is_of_the_store(error.kind());
                    left = Some(error);
                }
            }
            if store_fails {
                break;
            }
        }
        left.map_or(Ok(()), Err)
    }

    /// Tries all of them a last time, whatever they wait for: what is not written down now is found by recovery, which
    /// does not know how a connection ended.
    pub(crate) async fn retry_all<P: Persistence>(&self, shared: &Shared<P>) -> Result<()> {
        self.ends.lock().values_mut().for_each(|end| end.pause = Pause::default());
        self.retry(shared).await
    }

    fn to_be_tried(&self) -> Vec<(SessionId, End)> {
        let ends = self.ends.lock();
        ends.iter().filter(|(_, end)| end.pause.is_over()).map(|(id, end)| (*id, end.clone())).collect()
    }

    /// An end was refused: answers whether it is to be tried again.
    fn is_left(&self, id: SessionId, epoch: Epoch, error: &StoreError) -> bool {
        if is_final(error.kind()) {
            self.forget(id, epoch);
            return false;
        }
        if let Some(end) = self.ends.lock().get_mut(&id).filter(|end| end.epoch == epoch) {
            end.pause.prolong(error);
        }
        true
    }

    fn forget(&self, id: SessionId, epoch: Epoch) {
        let mut ends = self.ends.lock();
        if ends.get(&id).is_some_and(|end| end.epoch == epoch) {
            ends.remove(&id);
        }
    }
}

/// Whether the others would be refused, too.
fn is_of_the_store(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Retry | ErrorKind::Full)
}

/// Whether it would be the same the next time.
fn is_final(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Fenced | ErrorKind::Closed | ErrorKind::Fatal | ErrorKind::Unsupported)
}
