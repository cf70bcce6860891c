//! The end of a call that is under way: what a published message comes to.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use opifex_packet::{Properties, ReasonCode};

use crate::Error;
use crate::handle::queue::Shared;
use crate::handle::slots::{Answer, SlotId};

/// How a message was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// What the server said: `Success`, or `NoMatchingSubscribers`. Of QoS 0 it says nothing, which is `Success`.
    pub reason: ReasonCode,
    /// The properties of PUBACK, PUBREC or PUBCOMP (5.0).
    pub properties: Properties<'static>,
}

/// A message on its way: resolves at the end of its QoS's flow. QoS 0: when it is written to the transport; QoS 1: with
/// PUBACK; QoS 2: with PUBCOMP. It may be dropped; the message goes on.
#[derive(Debug)]
#[must_use = "a future; drop it when the end of the message does not matter"]
pub struct Delivery(pub(crate) Pending);

impl Future for Delivery {
    type Output = Result<Published, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match ready!(self.0.poll(cx)) {
            Ok(Answer::Published { reason, properties }) if reason.is_error() => {
                Err(Error::Rejected { reason, properties })
            }
            Ok(Answer::Published { reason, properties }) => Ok(Published { reason, properties }),
            Ok(_) => Ok(Published { reason: ReasonCode::Success, properties: Properties::new() }),
            Err(error) => Err(error),
        })
    }
}

/// A caller that waits for its answer.
#[derive(Debug)]
pub(crate) struct Pending {
    shared: Arc<Shared>,
    slot: Option<SlotId>,
}

impl Pending {
    pub(crate) fn new(shared: &Arc<Shared>, slot: SlotId) -> Self {
        Pending { shared: Arc::clone(shared), slot: Some(slot) }
    }

    pub(crate) fn poll(&mut self, cx: &Context<'_>) -> Poll<Result<Answer, Error>> {
        let slot = self.slot.expect("it is not polled after it was ready");
        let answer = ready!(self.shared.poll_slot(slot, cx));
        self.slot = None;
        Poll::Ready(answer)
    }

    pub(crate) async fn answer(mut self) -> Result<Answer, Error> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            self.shared.leave_slot(slot);
        }
    }
}
