//! The two moments of a batch: ordered, when `submit` returns, and durable.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::{Durability, Outcome, Result};

/// A batch that has its place in the order: its outcomes are known, its durability may be awaited.
pub struct Receipt {
    outcomes: Vec<Outcome>,
    durable: Durable,
}

/// Proof that a batch reached its durability level.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The level reached.
    pub durability: Durability,
}

type DurableFuture = Pin<Box<dyn Future<Output = Result<Commit>> + Send>>;

enum Durable {
    Now(Result<Commit>),
    Later(DurableFuture),
}

impl Receipt {
    /// A batch that was durable as soon as it was ordered.
    pub fn committed(outcomes: Vec<Outcome>, commit: Commit) -> Receipt {
        Receipt { outcomes, durable: Durable::Now(Ok(commit)) }
    }

    /// A batch whose durability the future resolves to. Dropping the receipt does not take the batch back.
    pub fn pending(
        outcomes: Vec<Outcome>,
        durable: impl Future<Output = Result<Commit>> + Send + 'static,
    ) -> Receipt {
        Receipt { outcomes, durable: Durable::Later(Box::pin(durable)) }
    }

    /// One outcome an operation, in order.
    pub fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    /// Waits until the batch, and every batch ordered before it that touches one of its sessions or topics, has
    /// reached the level that it asked for. An error means that it is not, and will never be.
    pub async fn durable(mut self) -> Result<Commit> {
        poll_fn(|cx| self.poll_durable(cx)).await
    }

    /// The same as a poll; after `Ready` it answers the same again.
    pub fn poll_durable(&mut self, cx: &mut Context<'_>) -> Poll<Result<Commit>> {
        if let Durable::Later(future) = &mut self.durable {
            match future.as_mut().poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(result) => self.durable = Durable::Now(result),
            }
        }
        match &self.durable {
            Durable::Now(result) => Poll::Ready(result.clone()),
            Durable::Later(_) => Poll::Pending,
        }
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt").field("outcomes", &self.outcomes).finish_non_exhaustive()
    }
}
