//! Batches under keys, and what a writer gets that submits one again.

use opifex_storage::{Batch, IdempotencyKey, Outcome};

use super::world::World;

/// How many batches a writer has in mind.
const KEPT: usize = 3;

/// How many writers there are.
pub(super) const WRITERS: u8 = 2;

/// Who writes under keys.
#[derive(Clone, Debug, Default)]
pub(super) struct Writer {
    /// The number of its last batch.
    n: u64,
    /// Its last batches that were applied, and what they answered.
    sent: Vec<(Batch, Vec<Outcome>)>,
}

impl Writer {
    /// The key of its next batch: it knows the outcomes of all that it has not in mind any more.
    pub(super) fn next_key(&self, writer: u8) -> IdempotencyKey {
        let n = self.n + 1;
        let in_mind = self.sent.iter().filter_map(|(batch, _)| Some(batch.key?.n)).min();
        IdempotencyKey { writer: u64::from(writer) + 1, n, known_below: in_mind.unwrap_or(n) }
    }

    /// The last batch, or one so many before, and what it answered.
    pub(super) fn sent(&self, back: u8) -> Option<&(Batch, Vec<Outcome>)> {
        self.sent.iter().rev().nth(usize::from(back))
    }
}

impl World {
    /// Notes what a batch answered; `None`: it was refused, which its writer does not try again.
    pub(crate) fn note_sent(&mut self, batch: &Batch, outcomes: Option<&[Outcome]>) {
        let Some(key) = batch.key else { return };
        let writer = &mut self.writers[key.writer as usize - 1];
        // One that comes again is in mind already.
        if key.n <= writer.n {
            return;
        }
        writer.n = key.n;
        if let Some(outcomes) = outcomes {
            writer.sent.push((batch.clone(), outcomes.to_vec()));
            let over = writer.sent.len().saturating_sub(KEPT);
            writer.sent.drain(..over);
        }
    }

    /// Another store knows nothing of them.
    pub(super) fn forget_sent(&mut self) {
        self.writers.iter_mut().for_each(|writer| writer.sent.clear());
    }
}
