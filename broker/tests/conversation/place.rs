//! The places at which a store can fail the broker, and the ways, for one that is told to.

use opifex_conformance::faults::{self, At, Effect};
use opifex_storage::{Batch, Certainty, ErrorKind, Op};

/// Where a call of the store, or its commit, fails.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Open,
    /// A batch with such an operation.
    GoOffline,
    EndSession,
    Subscribe,
    Unsubscribe,
    Enqueue,
    Retain,
    PutInbound,
    DeleteInbound,
    Assign,
    Release,
    Settle,
    /// A batch with guards: retained messages for a new subscription.
    Replay,
    /// A read.
    Retained,
    Queue,
    Due,
    Scan,
}

/// How.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) place: Place,
    pub(crate) kind: ErrorKind,
    pub(crate) certainty: Certainty,
    /// The batch is ordered, and its commit fails.
    pub(crate) at_commit: bool,
}

/// It fails like this as long as nothing else is set: for `Faulty::set`.
impl IntoIterator for Fault {
    type Item = faults::Fault;
    type IntoIter = std::iter::Once<faults::Fault>;

    fn into_iter(self) -> Self::IntoIter {
        let effect = match (self.at_commit, self.certainty) {
            (true, _) => Effect::FailCommit(self.kind),
            (false, Certainty::NotApplied) => Effect::Refuse(self.kind),
            (false, Certainty::Unknown) => Effect::Lose(self.kind),
        };
        std::iter::once(faults::Fault::new(self.place.at(), effect))
    }
}

impl Place {
    fn at(self) -> At {
        fn any(batch: &Batch, wanted: fn(&Op) -> bool) -> bool {
            batch.ops.iter().any(wanted)
        }
        match self {
            Place::Open => At::Open,
            Place::GoOffline => At::Batch(|batch| any(batch, |op| matches!(op, Op::GoOffline))),
            Place::EndSession => At::Batch(|batch| any(batch, |op| matches!(op, Op::EndSession(_)))),
            Place::Subscribe => At::Batch(|batch| any(batch, |op| matches!(op, Op::Subscribe(_)))),
            Place::Unsubscribe => At::Batch(|batch| any(batch, |op| matches!(op, Op::Unsubscribe(_)))),
            Place::Enqueue => At::Batch(|batch| {
                batch.guards.is_empty() && any(batch, |op| matches!(op, Op::Enqueue { .. }))
            }),
            Place::Retain => {
                At::Batch(|batch| any(batch, |op| matches!(op, Op::Retain(_) | Op::Unretain(_))))
            }
            Place::PutInbound => At::Batch(|batch| any(batch, |op| matches!(op, Op::PutInbound(_)))),
            Place::DeleteInbound => At::Batch(|batch| any(batch, |op| matches!(op, Op::DeleteInbound(_)))),
            Place::Assign => At::Batch(|batch| any(batch, |op| matches!(op, Op::Assign { .. }))),
            Place::Release => At::Batch(|batch| any(batch, |op| matches!(op, Op::Release(_)))),
            Place::Settle => At::Batch(|batch| any(batch, |op| matches!(op, Op::Settle(_)))),
            Place::Replay => At::Batch(|batch| !batch.guards.is_empty()),
            Place::Retained => At::Retained,
            Place::Queue => At::Queue,
            Place::Due => At::Due,
            Place::Scan => At::Scan,
        }
    }
}
