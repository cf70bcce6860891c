//! The stream of a subscription's messages.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use opifex_packet::{Properties, ReasonCode};

use crate::handle::inbound::Inbound;
use crate::handle::queue::Shared;
use crate::handle::received::{Owed, Received};

/// The messages of a subscription, as a `Stream` and by [`next`](Subscription::next). It ends (`None`) when the client
/// ends, or when the server does not grant the subscription any more after a reconnect.
///
/// A QoS 1 or 2 message is acknowledged when it is taken from here, or by [`Received::ack`] with
/// [`Options::manual_acks`](crate::Options::manual_acks). A stream that nobody reads fills up, and then nothing more is
/// read from the server, unless the client waits for an answer of the server's: see
/// [`Builder::subscription_capacity`](crate::Builder::subscription_capacity). When a session is resumed, the server sends
/// its QoS 1 messages again; those that were not taken are not there twice.
///
/// Dropping it unsubscribes, and acknowledges what was not taken, when the session ends with the connection. In a session
/// that is kept the subscription stays, and messages that come for it then are [nobody's](crate::Client::unclaimed), which
/// the client bears for a while only: end it with [`Client::unsubscribe`](crate::Client::unsubscribe) first.
#[derive(Debug)]
pub struct Subscription {
    pub(crate) shared: Arc<Shared>,
    pub(crate) inbound: Arc<Inbound>,
    pub(crate) reasons: Vec<ReasonCode>,
    pub(crate) properties: Properties<'static>,
    pub(crate) manual: bool,
}

impl Subscription {
    /// A stream that holds so many messages.
    pub(crate) fn new(shared: &Arc<Shared>, capacity: usize, manual: bool) -> Self {
        shared.enter();
        Subscription {
            shared: Arc::clone(shared),
            inbound: Inbound::new(capacity),
            reasons: Vec::new(),
            properties: Properties::new(),
            manual,
        }
    }

    /// The next message. Nothing is lost when the future is dropped before it is ready.
    pub async fn next(&mut self) -> Option<Received> {
        std::future::poll_fn(|cx| self.poll_received(cx)).await
    }

    /// What the server granted: a QoS, or a reason of 0x80 or more, for each filter in their order. Empty of a stream that
    /// the builder began.
    pub fn reasons(&self) -> &[ReasonCode] {
        &self.reasons
    }

    /// The properties of SUBACK (5.0).
    pub fn properties(&self) -> &Properties<'static> {
        &self.properties
    }

    fn poll_received(&mut self, cx: &mut Context<'_>) -> Poll<Option<Received>> {
        self.inbound.poll_next(cx).map(|next| {
            let (mut received, room) = next?;
            if self.manual {
                received.manual = Some(Arc::clone(&self.shared));
            } else {
                std::mem::replace(&mut received.owed, Owed::Nothing).pay(&self.shared);
            }
            if room {
                self.shared.nudge();
            }
            Some(received)
        })
    }
}

impl Stream for Subscription {
    type Item = Received;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Received>> {
        self.get_mut().poll_received(cx)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // Of a stream that had ended, at the application's wish or with its session, nothing comes again.
        for received in self.inbound.leave() {
            received.owed.pay(&self.shared);
        }
        self.shared.nudge();
        self.shared.go();
    }
}
