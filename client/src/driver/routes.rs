//! Which stream a message goes to, and how much all of them hold.
//!
//! With 5.0 each subscription has an identifier of its own, and a message goes to the streams whose identifiers it
//! carries; one that carries none of them goes, as before 5.0, to each stream with a filter that matches.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use opifex_packet::{Properties, Subscription as Asked, TopicFilter};

use super::unclaimed::{Renounced, Unclaimed};
use crate::handle::inbound::Inbound;
use crate::handle::queue::Shared;
use crate::handle::received::{Owed, Received};
use crate::{AckToken, Message};

/// A stream, and what it subscribed to.
pub(super) struct Route {
    pub(super) subscriptions: Vec<Asked<'static>>,
    pub(super) properties: Properties<'static>,
    pub(super) inbound: Arc<Inbound>,
    /// The place of its SUBSCRIBE among all that was asked for.
    pub(super) asked: u64,
    identifier: Option<u32>,
    batch: VecDeque<Received>,
    /// What the messages in `batch` cost.
    batch_bytes: usize,
    /// Some of them are to be acknowledged.
    batch_owes: bool,
    full: bool,
    chosen: bool,
}

/// How much the streams hold.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Fill {
    /// There is room.
    Room,
    /// Nothing is to be read but for the sake of an answer.
    Full,
    /// Nothing is to be read.
    TooMuch,
}

pub(super) struct Routes {
    routes: Vec<Route>,
    /// The stream of what is for no other.
    rest: Option<Route>,
    pub(super) unclaimed: Unclaimed,
    /// What dropped streams had subscribed to, and no other has.
    pub(super) left: Vec<TopicFilter<'static>>,
    next_identifier: u32,
    /// Bytes that were not taken when they were last counted, and what was handed over since.
    held: usize,
    max_held: usize,
    /// There may be something to flush.
    touched: bool,
    /// Somebody was woken who takes messages that are to be acknowledged.
    pub(super) acks_follow: bool,
}

impl Route {
    fn new(
        subscriptions: Vec<Asked<'static>>,
        properties: Properties<'static>,
        inbound: Arc<Inbound>,
        asked: u64,
    ) -> Self {
        Route {
            identifier: properties.subscription_identifier(),
            subscriptions,
            properties,
            inbound,
            asked,
            batch: VecDeque::new(),
            batch_bytes: 0,
            batch_owes: false,
            full: false,
            chosen: false,
        }
    }

    fn filters(&self) -> impl Iterator<Item = &TopicFilter<'static>> {
        self.subscriptions.iter().map(|asked| &asked.filter)
    }

    fn matches(&self, message: &Message) -> bool {
        self.filters().any(|filter| filter.matches(&message.topic))
    }

    fn is_named_by(&self, message: &Message) -> bool {
        let mut named = message.properties.subscription_identifiers();
        self.identifier.is_some()
            && named.any(|named| Some(named) == self.identifier)
            && self.matches(message)
    }

    fn put(&mut self, received: Received) {
        self.batch_bytes += received.cost();
        self.batch_owes |= !matches!(received.owed, Owed::Nothing);
        self.batch.push_back(received);
    }

    /// Hands the batch over. Gives back what nobody takes any more when the stream is left.
    fn flush(&mut self, acks_follow: &mut bool) -> Option<VecDeque<Received>> {
        let bytes = std::mem::take(&mut self.batch_bytes);
        let owes = std::mem::take(&mut self.batch_owes);
        let handed = self.inbound.append(&mut self.batch, bytes);
        self.full |= handed.full;
        *acks_follow |= handed.woken && owes;
        handed.left
    }
}

impl Routes {
    /// `max_held`: bytes that nobody has taken, above which the streams are full.
    pub(super) fn new(shared: Arc<Shared>, max_held: usize) -> Self {
        Routes {
            routes: Vec::new(),
            rest: None,
            unclaimed: Unclaimed::new(shared),
            left: Vec::new(),
            next_identifier: 0,
            held: 0,
            max_held,
            touched: false,
            acks_follow: false,
        }
    }

    /// An identifier for a new subscription.
    pub(super) fn identifier(&mut self) -> u32 {
        // 1 to 268,435,455.
        self.next_identifier = self.next_identifier % 268_435_455 + 1;
        self.next_identifier
    }

    /// Adds a stream. What waits for it goes to it.
    pub(super) fn add(
        &mut self,
        subscriptions: Vec<Asked<'static>>,
        properties: Properties<'static>,
        inbound: Arc<Inbound>,
        asked: u64,
        now: Instant,
    ) {
        // What a stream that was just dropped leaves behind may be for this one.
        self.flush(now);
        let mut route = Route::new(subscriptions, properties, inbound, asked);
        self.unclaimed.want(route.filters());
        for received in self.unclaimed.claim(|message| route.matches(message)) {
            route.put(received);
        }
        self.routes.push(route);
        self.touched = true;
    }

    /// Sets the stream of what is for no other.
    pub(super) fn set_rest(&mut self, inbound: Arc<Inbound>, now: Instant) {
        self.flush(now);
        let mut route = Route::new(Vec::new(), Properties::new(), inbound, 0);
        self.unclaimed.claim(|_| true).into_iter().for_each(|received| route.put(received));
        self.touched = true;
        if let Some(earlier) = self.rest.replace(route) {
            earlier.inbound.end();
        }
    }

    /// The streams, as they are to be subscribed to again.
    pub(super) fn all(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter()
    }

    /// The same, to be changed before they are subscribed to.
    pub(super) fn name_all(&mut self) {
        let mut next = self.next_identifier;
        for route in self.routes.iter_mut().filter(|route| route.identifier.is_none()) {
            next = next % 268_435_455 + 1;
            route.properties.push(opifex_packet::Property::SubscriptionIdentifier(next));
            route.identifier = Some(next);
        }
        self.next_identifier = next;
    }

    /// Removes a stream that was not granted, and ends it. What it holds may still be read, or is nobody's when the
    /// stream was never given out.
    pub(super) fn remove(&mut self, inbound: &Arc<Inbound>, given_out: bool, now: Instant) {
        self.flush(now);
        self.routes.retain(|route| !Arc::ptr_eq(&route.inbound, inbound));
        if !given_out {
            for received in inbound.take_all() {
                self.leave_over(received, now);
            }
        }
        inbound.end();
    }

    /// Those filters are unsubscribed: streams without another end. `asked`: the place of the UNSUBSCRIBE; a stream that
    /// was asked for behind it has its filters anew.
    pub(super) fn unsubscribed(&mut self, filters: &[TopicFilter<'static>], asked: u64, now: Instant) {
        self.flush(now);
        let identifiers: Vec<_> = filters.iter().map(|filter| self.identifier_of(filter)).collect();
        for route in self.routes.iter_mut().filter(|route| route.asked < asked) {
            route.subscriptions.retain(|asked| !filters.contains(&asked.filter));
            if route.subscriptions.is_empty() {
                route.inbound.end();
            }
        }
        self.routes.retain(|route| !route.subscriptions.is_empty());
        let all = filters.iter().zip(identifiers);
        let over = all.filter(|(filter, _)| !self.has(filter)).map(|(filter, identifier)| {
            let filter = filter.clone();
            Renounced { filter, identifier }
        });
        self.unclaimed.renounce(over.collect());
    }

    /// The identifier of the subscription to that filter: the last one's, which took the place of others.
    fn identifier_of(&self, filter: &TopicFilter<'_>) -> Option<u32> {
        let mut has_it =
            self.routes.iter().rev().filter(|route| route.filters().any(|known| known == filter));
        has_it.next().and_then(|route| route.identifier)
    }

    /// Whether some stream has that filter.
    fn has(&self, filter: &TopicFilter<'_>) -> bool {
        self.routes.iter().any(|route| route.filters().any(|known| known == filter))
    }

    /// Puts a message into the batches of its streams.
    pub(super) fn deliver(&mut self, message: Message, dup: bool, token: Option<AckToken>, now: Instant) {
        let mut count = 0;
        let mut choose = |routes: &mut [Route], takes: fn(&Route, &Message) -> bool| {
            for route in routes {
                route.chosen = takes(route, &message);
                count += usize::from(route.chosen);
            }
            count
        };
        if choose(&mut self.routes, Route::is_named_by) == 0 && choose(&mut self.routes, Route::matches) == 0
        {
            let owed = token.map_or(Owed::Nothing, Owed::One);
            return self.leave_over(Received { message, dup, owed, manual: None }, now);
        }
        let owed = token.map_or(Owed::Nothing, |token| Owed::shared_by(token, count));
        let mut chosen = self.routes.iter_mut().filter(|route| route.chosen).peekable();
        let mut message = Some(message);
        while let Some(route) = chosen.next() {
            // The last has the message itself: there is one in nearly all cases.
            let one = if chosen.peek().is_some() { message.clone() } else { message.take() };
            let Some(message) = one else { return };
            let received = Received { message, dup, owed: owed.clone(), manual: None };
            self.held += received.cost();
            route.put(received);
        }
        self.touched = true;
    }

    fn leave_over(&mut self, received: Received, now: Instant) {
        self.held += received.cost();
        match &mut self.rest {
            Some(rest) => {
                rest.put(received);
                self.touched = true;
            }
            None => self.unclaimed.put(received, now),
        }
    }

    /// Somebody may have left.
    pub(super) fn touch(&mut self) {
        self.touched = true;
    }

    /// Hands over what there is since the last time. Whoever leaves a stream says so, by [`touch`](Routes::touch).
    pub(super) fn flush_touched(&mut self, now: Instant) {
        if self.touched {
            self.flush(now);
        }
    }

    /// Hands over all batches, and looks who has left.
    fn flush(&mut self, now: Instant) {
        self.touched = false;
        let mut left_over = VecDeque::new();
        let mut left = Vec::new();
        self.routes.retain_mut(|route| match route.flush(&mut self.acks_follow) {
            Some(mut messages) => {
                left_over.append(&mut messages);
                left.extend(route.filters().cloned());
                false
            }
            None => true,
        });
        left.retain(|filter| !self.has(filter));
        self.left.append(&mut left);
        if let Some(mut messages) = self.rest.as_mut().and_then(|rest| rest.flush(&mut self.acks_follow)) {
            left_over.append(&mut messages);
            self.rest = None;
        }
        for received in left_over {
            self.leave_over(received, now);
        }
    }

    /// The server goes on with the session, and sends QoS 1 messages again that were not acknowledged: what is not taken
    /// of them would be there twice.
    pub(super) fn come_again(&mut self, now: Instant) {
        self.flush(now);
        for route in self.routes.iter().chain(&self.rest) {
            route.inbound.come_again();
        }
        self.unclaimed.come_again();
        self.count();
    }

    /// How much the streams hold. The driver is nudged when that is less.
    pub(super) fn fill(&mut self) -> Fill {
        let mut full = self.unclaimed.is_full();
        for route in self.routes.iter_mut().chain(&mut self.rest) {
            if route.full {
                route.full = route.inbound.is_full();
            }
            full |= route.full;
        }
        if self.held >= self.max_held {
            self.count();
        }
        if self.held >= self.max_held.saturating_mul(2) {
            Fill::TooMuch
        } else if full || self.held >= self.max_held {
            Fill::Full
        } else {
            Fill::Room
        }
    }

    /// Whether one more message is too much for streams that are full.
    pub(super) fn is_too_much(&mut self, message: &Message) -> bool {
        let more = Received::cost_of(message);
        if self.held + more > self.max_held {
            self.count();
        }
        self.held + more > self.max_held
    }

    fn count(&mut self) {
        let all = self.routes.iter().chain(&self.rest);
        let held = |route: &Route| route.batch_bytes + route.inbound.bytes_until_half();
        self.held = all.map(held).sum::<usize>() + self.unclaimed.bytes();
    }

    /// Nothing follows on any stream.
    pub(super) fn end(&mut self) {
        for route in self.routes.iter_mut().chain(&mut self.rest) {
            route.flush(&mut self.acks_follow);
            route.inbound.end();
        }
        self.routes.clear();
        self.rest = None;
    }
}
