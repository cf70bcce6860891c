//! The numbers that a batch told before its commit failed: nothing else gets them while the store is open.
//!
//! The model counts on behind them. A store writes that down when it next writes the session, so until then its record may
//! show the number before; and one that is opened anew may have forgotten them, as everybody has who was told.

use std::collections::BTreeMap;

use opifex_storage::{
    Batch, Op, Outcome, Record, RecordKind, RecordVersion, Seq, SessionId, SessionRecord, TargetOutcome,
};

use super::run::Run;
use crate::Factory;

/// Sessions whose records may show a lower next number than the model has, and how low.
pub(crate) type Lagging = BTreeMap<SessionId, Seq>;

impl<F: Factory> Run<F> {
    /// Looks at what a batch told whose commit failed: it is what would have been right.
    pub(super) fn check_told(&self, batch: &Batch, outcomes: &[Outcome]) -> Result<(), String> {
        let versions = versions(outcomes);
        let mut given = versions.iter().copied();
        let next = &mut || given.next().unwrap_or(RecordVersion(u64::MAX));
        let expected = self.world.model.clone().submit(batch, next);
        if expected.as_deref() != Ok(outcomes) {
            return Err(format!(
                "a batch whose commit failed answered\n  {outcomes:?}\nand not\n  {expected:?}"
            ));
        }
        Ok(())
    }

    /// What the batch told is not there, and the store is still open.
    pub(super) fn spend(&mut self, batch: &Batch, outcomes: &[Outcome]) -> Result<(), String> {
        for (id, seq) in told(batch, outcomes) {
            if let Some(next) = self.world.model.skip_to(id, seq.next()) {
                self.lagging.entry(id).or_insert(next);
            }
        }
        self.note_versions(batch, &versions(outcomes))
    }

    /// The session was opened, or got an entry: its record says where it counts on.
    pub(super) fn caught_up(&mut self, id: SessionId) {
        self.lagging.remove(&id);
    }

    /// The sessions that got an entry have caught up.
    pub(super) fn note_told(&mut self, batch: &Batch, outcomes: &[Outcome]) {
        for (id, _) in told(batch, outcomes) {
            self.caught_up(id);
        }
    }

    /// The record as it will be shown when the store writes it again.
    pub(super) fn as_written_next(&self, mut record: Record) -> Record {
        if let Record::Session(session) | Record::Ended(session, _) = &mut record
            && let Some(next) = self.may_lag(session)
        {
            session.next_seq = next;
        }
        record
    }

    /// The next number of a session that its record may not show yet, and does not.
    fn may_lag(&self, shown: &SessionRecord) -> Option<Seq> {
        let low = self.lagging.get(&shown.id)?;
        let next = self.world.model.sessions.get(&shown.id)?.record().next_seq;
        (*low..next).contains(&shown.next_seq).then_some(next)
    }

    /// The store was opened anew: it goes on from what it shows.
    pub(super) async fn forget_told(&mut self) -> Result<(), String> {
        if self.lagging.is_empty() {
            return Ok(());
        }
        for kind in [RecordKind::Session, RecordKind::Ended] {
            for record in self.walk(kind).await? {
                let (Record::Session(shown) | Record::Ended(shown, _)) = record else { continue };
                if self.may_lag(&shown).is_some() {
                    self.world.model.go_back_to(shown.id, shown.next_seq);
                }
            }
        }
        self.lagging.clear();
        Ok(())
    }
}

/// The versions that a batch was told of.
fn versions(outcomes: &[Outcome]) -> Vec<RecordVersion> {
    let version = |outcome: &Outcome| match outcome {
        Outcome::Retained(version) => Some(*version),
        _ => None,
    };
    outcomes.iter().filter_map(version).collect()
}

/// The numbers of the entries that a batch was told of.
fn told<'a>(batch: &'a Batch, outcomes: &'a [Outcome]) -> impl Iterator<Item = (SessionId, Seq)> + 'a {
    batch.ops.iter().zip(outcomes).flat_map(|(op, outcome)| {
        let pairs = match (op, outcome) {
            (Op::Enqueue { targets, .. }, Outcome::Enqueued(outcomes)) => Some(targets.iter().zip(outcomes)),
            _ => None,
        };
        pairs.into_iter().flatten().filter_map(|(target, outcome)| match outcome {
            TargetOutcome::Queued { seq, .. } => Some((target.session, *seq)),
            _ => None,
        })
    })
}
