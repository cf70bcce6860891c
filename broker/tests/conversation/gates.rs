//! What a slow, full or failing disk does, for a store that is told to: answers wait until they are let through, and
//! what grows is refused.

use opifex_conformance::faults::{At, Effect, Fault};
use opifex_storage::{Batch, ErrorKind, Op};

/// What is not let through.
#[derive(Copy, Clone, Default)]
pub(crate) struct Gates {
    /// Sessions are not opened (the answer waits; the session is open).
    pub(crate) hold_opens: bool,
    /// Batches that bring messages are not ordered.
    pub(crate) hold_orders: bool,
    /// Ordered batches do not become durable.
    pub(crate) hold_commits: bool,
    /// Batches that bring messages are refused like this.
    pub(crate) refuse: Option<ErrorKind>,
}

/// For `Faulty::set`.
impl IntoIterator for Gates {
    type Item = Fault;
    type IntoIter = std::iter::Flatten<std::array::IntoIter<Option<Fault>, 4>>;

    fn into_iter(self) -> Self::IntoIter {
        let grows = At::Batch(grows);
        let gates = [
            self.hold_opens.then(|| Fault::new(At::Open, Effect::HoldAnswer)),
            self.hold_orders.then(|| Fault::new(grows, Effect::Hold)),
            self.hold_commits.then(|| Fault::new(At::Batch(|_| true), Effect::HoldCommit)),
            self.refuse.map(|kind| Fault::new(grows, Effect::Refuse(kind))),
        ];
        gates.into_iter().flatten()
    }
}

/// Whether it brings messages.
fn grows(batch: &Batch) -> bool {
    batch.ops.iter().any(|op| matches!(op, Op::Enqueue { .. } | Op::Retain(_)))
}
