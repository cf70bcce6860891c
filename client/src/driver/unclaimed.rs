//! Messages that no stream takes, yet or any more. Those of QoS 0 wait a while and are dropped. Others are never
//! acknowledged here, since nobody has them: they wait until somebody does, or until the client is ended for them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use opifex_packet::{QoS, TopicFilter, TopicName};

use crate::Message;
use crate::handle::queue::Shared;
use crate::handle::received::Received;
use crate::machine::after;

/// How long a QoS 0 message waits for a stream that takes it.
const DROPPED_AFTER: Duration = Duration::from_secs(10);
/// Messages that wait: above, those of QoS 0 are dropped, and nothing is read for the sake of others.
const MAX_MESSAGES: usize = 1024;
/// Filters that are remembered as unsubscribed.
const MAX_RENOUNCED: usize = 1024;

/// A filter that was unsubscribed, and the identifier that its subscription had, as far as this process knows.
pub(super) struct Renounced {
    pub(super) filter: TopicFilter<'static>,
    pub(super) identifier: Option<u32>,
}

impl Renounced {
    /// Whether a message came for that subscription alone. Where both carry identifiers, these say so; one that came for
    /// another subscription, too, perhaps of an earlier process, is that one's.
    fn brought(&self, message: &Message) -> bool {
        let is_its_own = |named| self.identifier.is_none_or(|own| own == named);
        self.filter.matches(&message.topic) && message.properties.subscription_identifiers().all(is_its_own)
    }
}

pub(super) struct Unclaimed {
    shared: Arc<Shared>,
    waiting: VecDeque<(Instant, Received)>,
    bytes: usize,
    /// Filters that the application wants nothing of any more. A server may still have messages of theirs on the way;
    /// they are acknowledged, so that they hold up no others.
    renounced: VecDeque<Renounced>,
    /// Messages that were dropped and not told of.
    pub(super) dropped: u64,
}

impl Unclaimed {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Unclaimed { shared, waiting: VecDeque::new(), bytes: 0, renounced: VecDeque::new(), dropped: 0 }
    }

    /// Takes a message that is for no stream.
    pub(super) fn put(&mut self, received: Received, now: Instant) {
        if self.renounced.iter().any(|renounced| renounced.brought(&received.message)) {
            received.owed.pay(&self.shared);
        } else if received.message.qos == QoS::AtMostOnce && self.waiting.len() >= MAX_MESSAGES {
            self.dropped += 1;
        } else {
            self.bytes += received.cost();
            self.waiting.push_back((now, received));
        }
    }

    /// Gives up those for which `takes` holds.
    pub(super) fn claim(&mut self, takes: impl Fn(&Message) -> bool) -> VecDeque<Received> {
        let mut claimed = VecDeque::new();
        for (since, received) in std::mem::take(&mut self.waiting) {
            if takes(&received.message) {
                self.bytes -= received.cost();
                claimed.push_back(received);
            } else {
                self.waiting.push_back((since, received));
            }
        }
        claimed
    }

    /// Those filters are unsubscribed.
    pub(super) fn renounce(&mut self, over: Vec<Renounced>) {
        let is_theirs = |message: &Message| over.iter().any(|renounced| renounced.brought(message));
        for received in self.claim(is_theirs) {
            received.owed.pay(&self.shared);
        }
        self.want(over.iter().map(|renounced| &renounced.filter));
        self.renounced.extend(over);
        let old = self.renounced.len().saturating_sub(MAX_RENOUNCED);
        self.renounced.drain(..old);
    }

    /// Those filters are subscribed to.
    pub(super) fn want<'a>(&mut self, filters: impl Iterator<Item = &'a TopicFilter<'static>>) {
        for filter in filters {
            self.renounced.retain(|renounced| renounced.filter != *filter);
        }
    }

    /// The server sends its QoS 1 messages again.
    pub(super) fn come_again(&mut self) {
        self.waiting.retain(|(_, received)| received.message.qos != QoS::AtLeastOnce);
        self.bytes = self.waiting.iter().map(|(_, received)| received.cost()).sum();
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= MAX_MESSAGES
    }

    fn oldest(&self, is_meant: impl Fn(QoS) -> bool) -> Option<&(Instant, Received)> {
        self.waiting.iter().find(|(_, received)| is_meant(received.message.qos))
    }

    /// When the oldest QoS 0 message has waited long enough, or the oldest other for that long.
    pub(super) fn deadline(&self, patience: Option<Duration>) -> Option<Instant> {
        if self.waiting.is_empty() {
            return None;
        }
        let qos_0 = self.oldest(|qos| qos == QoS::AtMostOnce).map(|(since, _)| *since + DROPPED_AFTER);
        let others = self.oldest(|qos| qos > QoS::AtMostOnce);
        let others = others.and_then(|(since, _)| patience.map(|patience| after(*since, patience)));
        qos_0.into_iter().chain(others).min()
    }

    /// Drops QoS 0 messages that have waited long enough; whether there were any.
    pub(super) fn drop_old(&mut self, now: Instant) -> bool {
        if self.deadline(None).is_none_or(|deadline| deadline > now) {
            return false;
        }
        let before = self.waiting.len();
        self.waiting.retain(|(since, received)| {
            let stays = received.message.qos > QoS::AtMostOnce || *since + DROPPED_AFTER > now;
            self.bytes -= if stays { 0 } else { received.cost() };
            stays
        });
        self.dropped += (before - self.waiting.len()) as u64;
        true
    }

    /// The topic of a message above QoS 0 that has waited that long.
    pub(super) fn overdue(&self, now: Instant, patience: Duration) -> Option<&TopicName<'static>> {
        let (since, received) = self.oldest(|qos| qos > QoS::AtMostOnce)?;
        (after(*since, patience) <= now).then_some(&received.message.topic)
    }
}
