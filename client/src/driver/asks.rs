//! SUBSCRIBE and UNSUBSCRIBE that wait for a connection or for their answer.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use hashbrown::HashMap;
use opifex_packet::{Properties, Subscription as Asked, TopicFilter};

use crate::Token;
use crate::handle::inbound::Inbound;
use crate::handle::queue::bytes_of;
use crate::handle::slots::SlotId;

/// Those that wait, at most.
const WAITING: usize = 1024;
/// Their bytes.
const WAITING_BYTES: usize = 4 * 1024 * 1024;

/// One call.
pub(super) struct Ask {
    /// Its place among all.
    pub(super) nth: u64,
    pub(super) what: What,
    pub(super) properties: Properties<'static>,
    /// Who waits; nobody when the client subscribes again of its own.
    pub(super) slot: Option<SlotId>,
    /// When who waits is told that no answer came.
    pub(super) deadline: Option<Instant>,
}

#[derive(Clone)]
pub(super) enum What {
    Subscribe {
        subscriptions: Vec<Asked<'static>>,
        inbound: Arc<Inbound>,
    },
    Unsubscribe {
        filters: Vec<TopicFilter<'static>>,
    },
    /// To the topic of responses.
    Responses {
        subscription: Asked<'static>,
    },
}

impl What {
    fn bytes(&self) -> usize {
        match self {
            What::Subscribe { subscriptions, .. } => {
                bytes_of(subscriptions.iter().map(|asked| &asked.filter))
            }
            What::Unsubscribe { filters } => bytes_of(filters.iter()),
            What::Responses { .. } => 0,
        }
    }

    pub(super) fn answer(&self) -> &'static str {
        match self {
            What::Subscribe { .. } | What::Responses { .. } => "SUBACK",
            What::Unsubscribe { .. } => "UNSUBACK",
        }
    }
}

#[derive(Default)]
pub(super) struct Asks {
    /// Not sent on this connection, in order.
    pub(super) waiting: VecDeque<Ask>,
    /// Sent.
    pub(super) asked: HashMap<Token, Ask>,
    next: u64,
}

impl Asks {
    /// Adds one behind all.
    pub(super) fn push(
        &mut self,
        what: What,
        properties: Properties<'static>,
        slot: Option<SlotId>,
        deadline: Option<Instant>,
    ) {
        self.next += 1;
        self.waiting.push_back(Ask { nth: self.next, what, properties, slot, deadline });
    }

    /// Has one sent again, in its old place.
    pub(super) fn again(&mut self, ask: Ask) {
        let at = self.waiting.partition_point(|waiting| waiting.nth < ask.nth);
        self.waiting.insert(at, ask);
    }

    /// Whether an UNSUBSCRIBE from that filter waits that was asked for behind that place.
    pub(super) fn ends(&self, filter: &TopicFilter<'_>, behind: u64) -> bool {
        self.waiting.iter().filter(|ask| ask.nth > behind).any(|ask| match &ask.what {
            What::Unsubscribe { filters } => filters.contains(filter),
            What::Subscribe { .. } | What::Responses { .. } => false,
        })
    }

    pub(super) fn has_room(&self) -> bool {
        let bytes: usize = self.waiting.iter().map(|ask| ask.what.bytes()).sum();
        self.waiting.len() < WAITING && bytes < WAITING_BYTES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.asked.is_empty()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        if self.is_empty() {
            return None;
        }
        self.waiting.iter().chain(self.asked.values()).filter_map(|ask| ask.deadline).min()
    }

    /// Those whose time is up.
    pub(super) fn expired(&mut self, now: Instant) -> Vec<Ask> {
        if self.deadline().is_none_or(|deadline| deadline > now) {
            return Vec::new();
        }
        let is_over = |ask: &Ask| ask.deadline.is_some_and(|deadline| deadline <= now);
        let mut expired: Vec<Ask> =
            self.asked.extract_if(|_, ask| is_over(ask)).map(|(_, ask)| ask).collect();
        for ask in std::mem::take(&mut self.waiting) {
            if is_over(&ask) { expired.push(ask) } else { self.waiting.push_back(ask) }
        }
        expired
    }
}
