//! Which stream a message goes to.
//!
//! With 5.0 each subscription has an identifier of its own, and a message goes to the streams whose identifiers it
//! carries; one that carries none of them goes, as before 5.0, to each stream with a filter that matches.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use opifex_packet::{Properties, QoS, Subscription as Asked, TopicFilter};

use crate::handle::inbound::Inbound;
use crate::handle::queue::Shared;
use crate::handle::received::{Owed, Received};
use crate::{AckToken, Message};

/// How long a message waits for a stream that takes it.
const UNCLAIMED_FOR: Duration = Duration::from_secs(10);
/// Messages that wait for one, at QoS 0.
const UNCLAIMED: usize = 1024;

/// A stream, and what it subscribed to.
pub(super) struct Route {
    pub(super) subscriptions: Vec<Asked<'static>>,
    pub(super) properties: Properties<'static>,
    pub(super) inbound: Arc<Inbound>,
    identifier: Option<u32>,
    batch: VecDeque<Received>,
    full: bool,
    chosen: bool,
}

#[derive(Default)]
pub(super) struct Routes {
    routes: Vec<Route>,
    /// The stream of what is for no other.
    rest: Option<Route>,
    unclaimed: VecDeque<(Instant, Received)>,
    next_identifier: u32,
    /// Messages that were dropped and not told of.
    pub(super) dropped: u64,
}

impl Route {
    fn new(
        subscriptions: Vec<Asked<'static>>,
        properties: Properties<'static>,
        inbound: Arc<Inbound>,
    ) -> Self {
        Route {
            identifier: properties.subscription_identifier(),
            subscriptions,
            properties,
            inbound,
            batch: VecDeque::new(),
            full: false,
            chosen: false,
        }
    }

    fn matches(&self, message: &Message) -> bool {
        self.subscriptions.iter().any(|asked| asked.filter.matches(&message.topic))
    }

    fn is_named_by(&self, message: &Message) -> bool {
        let mut named = message.properties.subscription_identifiers();
        self.identifier.is_some()
            && named.any(|named| Some(named) == self.identifier)
            && self.matches(message)
    }

    /// Hands the batch over. Gives back what nobody takes any more when the stream is left.
    fn flush(&mut self) -> Option<VecDeque<Received>> {
        if !self.batch.is_empty() {
            self.full = self.inbound.append(&mut self.batch);
        }
        self.inbound.reclaim().map(|mut left| {
            left.append(&mut self.batch);
            left
        })
    }
}

impl Routes {
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
        now: Instant,
    ) {
        // What a stream that was just dropped leaves behind may be for this one.
        self.flush(now);
        let mut route = Route::new(subscriptions, properties, inbound);
        self.claim(&mut route, Route::matches);
        self.routes.push(route);
    }

    /// Sets the stream of what is for no other.
    pub(super) fn set_rest(&mut self, inbound: Arc<Inbound>, now: Instant) {
        self.flush(now);
        let mut route = Route::new(Vec::new(), Properties::new(), inbound);
        self.claim(&mut route, |_, _| true);
        if let Some(earlier) = self.rest.replace(route) {
            earlier.inbound.end();
        }
    }

    fn claim(&mut self, route: &mut Route, takes: impl Fn(&Route, &Message) -> bool) {
        let waiting = std::mem::take(&mut self.unclaimed);
        for (since, received) in waiting {
            if takes(route, &received.message) {
                route.batch.push_back(received);
            } else {
                self.unclaimed.push_back((since, received));
            }
        }
    }

    /// The streams, as they are to be subscribed to again.
    pub(super) fn all(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter()
    }

    /// Removes a stream that was not granted, and ends it.
    pub(super) fn remove(&mut self, inbound: &Arc<Inbound>) {
        inbound.end();
        self.routes.retain(|route| !Arc::ptr_eq(&route.inbound, inbound));
    }

    /// Those filters are unsubscribed: streams without another end.
    pub(super) fn unsubscribed(&mut self, filters: &[TopicFilter<'_>]) {
        for route in &mut self.routes {
            route.subscriptions.retain(|asked| !filters.contains(&asked.filter));
            if route.subscriptions.is_empty() {
                route.flush();
                route.inbound.end();
            }
        }
        self.routes.retain(|route| !route.subscriptions.is_empty());
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
            route.batch.push_back(Received { message, dup, owed: owed.clone(), manual: None });
        }
    }

    fn leave_over(&mut self, received: Received, now: Instant) {
        match &mut self.rest {
            Some(rest) => rest.batch.push_back(received),
            None if received.message.qos == QoS::AtMostOnce && self.unclaimed.len() >= UNCLAIMED => {
                self.dropped += 1;
            }
            None => self.unclaimed.push_back((now, received)),
        }
    }

    /// Hands over all batches, and looks who has left.
    pub(super) fn flush(&mut self, now: Instant) {
        let mut left_over = VecDeque::new();
        self.routes.retain_mut(|route| match route.flush() {
            Some(mut left) => {
                left_over.append(&mut left);
                false
            }
            None => true,
        });
        if let Some(mut left) = self.rest.as_mut().and_then(Route::flush) {
            left_over.append(&mut left);
            self.rest = None;
        }
        for received in left_over {
            self.leave_over(received, now);
        }
    }

    /// Whether a stream holds as much as it should. The driver is nudged when that is over.
    pub(super) fn is_full(&mut self) -> bool {
        let mut full = false;
        for route in self.routes.iter_mut().chain(&mut self.rest) {
            if route.full {
                route.full = route.inbound.is_full();
            }
            full |= route.full;
        }
        full
    }

    /// Bytes of messages that were not taken.
    pub(super) fn unread_bytes(&self) -> usize {
        self.routes.iter().chain(&self.rest).map(|route| route.inbound.bytes()).sum()
    }

    /// When the oldest unclaimed message has waited long enough.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.unclaimed.front().map(|(since, _)| *since + UNCLAIMED_FOR)
    }

    /// Acknowledges and drops what nobody claims: in order as acknowledgements are, it would hold up all others.
    pub(super) fn give_up_unclaimed(&mut self, now: Instant, shared: &Shared) {
        while let Some((_, received)) =
            self.unclaimed.pop_front_if(|(since, _)| *since + UNCLAIMED_FOR <= now)
        {
            received.owed.pay(shared);
            self.dropped += 1;
        }
    }

    /// Nothing follows on any stream.
    pub(super) fn end(&mut self) {
        for route in self.routes.iter_mut().chain(&mut self.rest) {
            route.flush();
            route.inbound.end();
        }
        self.routes.clear();
        self.rest = None;
    }
}
