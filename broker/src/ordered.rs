//! A batch that was ordered and delivered, on its way to being durable. What the broker has in memory of the sessions
//! that it queued messages for is ahead of the store until then: if the commit fails, they have to be read anew.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use opifex_storage::{Receipt, Result};

use crate::retaining::Change;
use crate::session::Session;

/// See the module's documentation. It is to be waited for, also when nobody needs to know any more.
#[must_use = "a commit that fails concerns the sessions that the batch was for"]
pub(crate) struct Ordered {
    receipt: Receipt,
    /// The durable sessions that have messages of it.
    targets: Vec<Arc<Session>>,
    /// It changes retained messages.
    change: Option<Change>,
}

impl Ordered {
    pub(crate) fn new(receipt: Receipt, targets: Vec<Arc<Session>>, change: Option<Change>) -> Ordered {
        Ordered { receipt, targets, change }
    }

    /// What became of each operation.
    pub(crate) fn outcomes(&self) -> &[opifex_storage::Outcome] {
        self.receipt.outcomes()
    }

    /// Whether it is durable. An error means that it never will be: then everybody whose session it was for has been
    /// told.
    pub(crate) fn poll_durable(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let Poll::Ready(result) = self.receipt.poll_durable(cx) else { return Poll::Pending };
        self.change = None;
        let targets = std::mem::take(&mut self.targets);
        if result.is_err() {
            targets.iter().for_each(|session| session.distrust());
        }
        Poll::Ready(result.map(drop))
    }

    /// Waits until it is durable, or has failed.
    pub(crate) async fn durable(mut self) -> Result<()> {
        poll_fn(|cx| self.poll_durable(cx)).await
    }
}

/// Waits for all of them; answers the first failure.
pub(crate) async fn all_durable(ordered: impl IntoIterator<Item = Ordered>) -> Result<()> {
    let mut all = Ok(());
    for ordered in ordered {
        all = all.and(ordered.durable().await);
    }
    all
}
