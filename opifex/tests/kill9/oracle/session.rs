//! One client's session as that client knows it: what it subscribed to, what came, what it has acknowledged, what has
//! to come first on its next connection.

use std::collections::{BTreeSet, HashMap};

use opifex_packet::QoS;

use super::message::Message;
use super::subscription::Subscription;
use super::{CLOCK_SLACK, Tick};
use crate::event::{Ack, Arrival, Client, Ending, MessageId, Millis, NEVER, Recovered, Violation};

/// Whose messages on which topic, published and delivered at which QoS: these come in order.
type Stream = (Client, String, QoS, QoS);

#[derive(Default)]
pub(super) struct Session {
    expiry_secs: u32,
    stored: Stored,
    connected: bool,
    /// A CONNECT that is not answered: when it left, and whether it ends the session.
    connecting: Option<(Millis, bool)>,
    /// When DISCONNECT left.
    leaving: Option<Millis>,
    /// When the connection ended at the earliest.
    offline_from: Option<Millis>,
    /// By when the broker had written down that it is offline.
    offline_by: Option<Millis>,
    /// The connection ended because the broker was killed.
    interrupted: bool,
    /// Whether the broker started anew since the last connection.
    restarted: bool,

    subscriptions: Vec<Subscription>,
    got: HashMap<MessageId, Got>,
    /// QoS 2 messages whose PUBREL is awaited, by packet id.
    unreleased: HashMap<u16, MessageId>,
    /// The last QoS 2 message that was released, by packet id; `None` once all was settled.
    released: HashMap<u16, Option<MessageId>>,
    /// QoS 1 messages whose PUBACK has not left.
    unacknowledged: Vec<(u16, MessageId)>,
    /// What has to come again before anything new does.
    window: Vec<(u16, MessageId)>,
    last_of: HashMap<Stream, MessageId>,
    /// Acknowledgements on this connection: since the last SUBSCRIBE, between the last two, and before.
    acks: [Vec<MessageId>; 3],
    /// SUBSCRIBE to topics on which there are retained messages, since all was settled.
    replays: u64,
}

/// Whether the broker has the session.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
enum Stored {
    #[default]
    No,
    Maybe,
    Yes,
}

/// What came of one message.
#[derive(Copy, Clone, Debug, Default)]
struct Got {
    /// Times without DUP.
    fresh: u64,
    /// Times that a QoS 2 message was handed to the application.
    deliveries: u64,
    /// The broker has the acknowledgement that ends it, durably.
    settled: bool,
}

impl Session {
    pub(super) fn listening(&mut self, now: Millis) {
        (self.restarted, self.interrupted) = (true, false);
        if !self.connected {
            self.offline_by.get_or_insert(now);
        }
    }

    /// Answers the shared subscriptions that may end with this.
    pub(super) fn connecting(
        &mut self,
        clean_start: bool,
        expiry_secs: u32,
        now: Millis,
        tick: Tick,
    ) -> Vec<&'static str> {
        self.connecting = Some((now, clean_start));
        self.expiry_secs = expiry_secs;
        let before = if expiry_secs == 0 { Stored::Yes } else { Stored::No };
        if self.stored == before {
            self.stored = Stored::Maybe;
        }
        if !clean_start {
            return Vec::new();
        }
        self.forget();
        self.subscriptions.iter_mut().for_each(|subscription| subscription.ending(tick));
        self.shared_filters().collect()
    }

    pub(super) fn connecting_at(&self) -> Millis {
        self.connecting.map_or(0, |(at, _)| at)
    }

    /// Answers whether it was certain what CONNACK had to say of an expiry.
    pub(super) fn connected(&mut self, present: bool, now: Millis, tick: Tick) -> (bool, Vec<Violation>) {
        let (connecting_at, clean_start) = self.connecting.take().unwrap_or((now, false));
        let lifetime = match self.expiry_secs {
            NEVER => None,
            secs => Some(Millis::from(secs) * 1_000),
        };
        let lives = match (lifetime, self.offline_from) {
            (Some(lifetime), Some(from)) => now + CLOCK_SLACK < from + lifetime,
            (lifetime, _) => lifetime.is_none(),
        };
        let expired = match (lifetime, self.offline_by) {
            (Some(lifetime), Some(by)) => connecting_at > by + lifetime + CLOCK_SLACK,
            _ => false,
        };
        let mut broken = Vec::new();
        let mut violated = |what: &str| {
            let what = format!("{what}, offline from {:?} by {:?} ms", self.offline_from, self.offline_by);
            broken.push(Violation { promise: 4, what });
        };
        let must = !clean_start && self.stored == Stored::Yes && lives;
        let must_not = clean_start || self.stored == Stored::No || expired;
        if must && !present {
            violated("its session is gone");
        } else if must_not && present {
            violated("a session is present that has ended");
        }
        let told = lifetime.is_some() && !clean_start && self.stored == Stored::Yes && (lives || expired);

        if !present {
            self.forget();
            for subscription in &mut self.subscriptions {
                subscription.ending(tick);
                subscription.left(tick);
            }
        }
        self.window = self.unreleased.iter().map(|(id, message)| (*id, *message)).collect();
        if self.restarted {
            // They may get other ids.
            self.unacknowledged.clear();
        }
        self.window.extend(&self.unacknowledged);
        self.stored = if self.expiry_secs == 0 { Stored::No } else { Stored::Yes };
        (self.connected, self.restarted) = (true, false);
        (self.offline_from, self.offline_by) = (None, None);
        self.acks = Default::default();
        (told, broken)
    }

    pub(super) fn leaving(&mut self, now: Millis) {
        self.leaving = Some(now);
    }

    pub(super) fn ended(&mut self, how: Ending, since: Millis) {
        let leaving = self.leaving.take();
        if self.connected {
            // A client learns that its DISCONNECT was heard some time after it was.
            self.offline_from = Some(leaving.unwrap_or(since));
            // One that goes by itself may have been heard.
            self.interrupted = how == Ending::Lost;
        }
        // A CONNECT that was not answered may have been heard: the clock may have begun again.
        self.offline_by = None;
        self.connecting = None;
        self.connected = false;
        self.acks = Default::default();
    }

    /// What the client held of a session that it ends.
    fn forget(&mut self) {
        self.got.clear();
        self.unreleased.clear();
        self.released.clear();
        self.unacknowledged.clear();
        self.window.clear();
        self.last_of.clear();
    }

    pub(super) fn subscribing(&mut self, filter: &'static str, qos: QoS, tick: Tick) {
        let stands = |of: &Subscription| of.filter == filter && of.leaving.is_none();
        if !self.subscriptions.iter().any(stands) {
            self.subscriptions.push(Subscription::asked(filter, qos, tick));
        }
        self.replays += u64::from(filter.starts_with("ret/") || filter == "#");
        let [since, between, before] = &mut self.acks;
        before.append(between);
        between.append(since);
    }

    pub(super) fn subscribed(&mut self, filter: &str, tick: Tick) {
        let asked = self.subscriptions.iter_mut().rev().find(|of| of.filter == filter);
        if let Some(subscription) = asked {
            subscription.granted(tick);
        }
        // What was sent before the SUBSCRIBE before this one was written down before it.
        for message in self.acks[2].drain(..) {
            if let Some(got) = self.got.get_mut(&message) {
                got.settled = true;
            }
        }
    }

    pub(super) fn unsubscribing(&mut self, filter: &str, tick: Tick) {
        self.subscriptions.iter_mut().filter(|of| of.filter == filter).for_each(|of| of.leaving(tick));
    }

    pub(super) fn unsubscribed(&mut self, filter: &str, tick: Tick) {
        let left = |of: &&mut Subscription| of.filter == filter && of.leaving.is_some();
        self.subscriptions.iter_mut().filter(left).for_each(|of| of.left(tick));
    }

    /// Takes an arrival by its packet id, the message unseen; answers whether it is not one that the receiver knows.
    pub(super) fn received(&mut self, arrival: Arrival, resent: bool, broken: &mut Vec<Violation>) -> bool {
        let Arrival { qos, packet_id, dup, .. } = arrival;
        // What was retained may come any number of times.
        let id = if arrival.retain { MessageId::NONE } else { arrival.message };
        let mut violated = |what: String| broken.push(Violation { promise: 5, what });
        if !dup && !self.window.is_empty() {
            violated(format!("{id:?} comes before {:?}, which were on their way", self.window));
            self.window.clear();
        }
        match self.window.iter().position(|entry| *entry == (packet_id, id)) {
            Some(at) => {
                self.window.swap_remove(at);
            }
            None if !resent && id != MessageId::NONE && self.window.iter().any(|(_, waits)| *waits == id) => {
                violated(format!("{id:?} comes again as {packet_id}, not one of {:?}", self.window));
            }
            None => {}
        }
        let other = |(used, of): (u16, MessageId)| used == packet_id && of != id;
        let held_by_qos_1 = self.unacknowledged.iter().copied().find(|held| other(*held));
        if let Some((_, holder)) = held_by_qos_1 {
            violated(format!("{id:?} comes as {packet_id}, which {holder:?} has at QoS 1"));
        }
        if qos != QoS::ExactlyOnce {
            if let Some(holder) = self.unreleased.get(&packet_id) {
                violated(format!("{id:?} comes at QoS 1 as {packet_id}, which {holder:?} has"));
            }
            if !self.unacknowledged.contains(&(packet_id, id)) {
                self.unacknowledged.push((packet_id, id));
            }
            return true;
        }
        self.released.remove(&packet_id);
        match self.unreleased.insert(packet_id, id) {
            Some(former) if former != id => {
                violated(format!("{id:?} comes as {packet_id}, which {former:?} has"));
                true
            }
            Some(_) => {
                if !dup {
                    violated(format!("{id:?} comes again without DUP"));
                }
                false
            }
            None => true,
        }
    }

    /// Takes a message that was received, and answers whether it is the first time. `by_broker`: somebody else than its
    /// publisher may have sent it again.
    pub(super) fn arrived(
        &mut self,
        arrival: Arrival,
        message: &Message,
        by_broker: bool,
        broken: &mut Vec<Violation>,
    ) -> bool {
        let Arrival { message: id, qos, dup, .. } = arrival;
        let mut violated = |promise, what: String| broken.push(Violation { promise, what });
        let new = !self.got.contains_key(&id);
        let got = self.got.entry(id).or_default();
        got.fresh += u64::from(!dup);
        got.deliveries += u64::from(qos == QoS::ExactlyOnce);
        if got.deliveries > 1 {
            violated(2, format!("{id:?} is delivered {} times", got.deliveries));
        } else if got.settled && message.sends <= 1 {
            violated(5, format!("{id:?} comes again after its acknowledgement was stored"));
        } else if got.fresh > message.sends && !by_broker {
            violated(5, format!("{id:?} comes {} times without DUP", got.fresh));
        }
        if new && !message.will && self.shared_filter(message).is_none() {
            let publication = &message.publication;
            let stream = (publication.publisher, publication.topic.clone(), publication.qos, qos);
            // One that was sent first before we subscribed may come when it is sent again.
            let from_its_first = self.subscriptions.iter().any(|of| of.stands_since(message));
            let last = self.last_of.entry(stream).or_insert(id);
            if *last > id && from_its_first {
                violated(3, format!("{id:?} comes after {last:?}"));
            }
            *last = id.max(*last);
        }
        new
    }

    pub(super) fn released(&mut self, packet_id: u16) -> Vec<Violation> {
        self.window.retain(|(id, _)| *id != packet_id);
        if let Some(message) = self.unreleased.remove(&packet_id) {
            self.released.insert(packet_id, Some(message));
            return Vec::new();
        }
        let settled = match self.released.get(&packet_id) {
            Some(Some(message)) => self.got.get(message).is_some_and(|got| got.settled),
            Some(None) => true,
            None => false,
        };
        let what = format!("PUBREL {packet_id} comes again after its PUBCOMP was stored");
        settled.then_some(Violation { promise: 5, what }).into_iter().collect()
    }

    pub(super) fn acked(&mut self, ack: Ack, packet_id: u16) {
        let message = match ack {
            Ack::Puback => {
                let at = self.unacknowledged.iter().position(|(id, _)| *id == packet_id);
                at.map(|at| self.unacknowledged.remove(at).1)
            }
            Ack::Pubrec => None,
            Ack::Pubcomp => self.released.get(&packet_id).copied().flatten(),
        };
        self.acks[0].extend(message);
    }

    pub(super) fn has(&self, message: MessageId) -> bool {
        self.got.contains_key(&message)
    }

    pub(super) fn is_connected(&self) -> bool {
        self.connected
    }

    /// Whether the broker has it for certain.
    pub(super) fn is_stored(&self, now: Millis) -> bool {
        let lifetime = Millis::from(self.expiry_secs) * 1_000;
        let lives = self.expiry_secs == NEVER || self.offline_from.is_none_or(|from| now < from + lifetime);
        self.stored == Stored::Yes && (self.connected || lives)
    }

    pub(super) fn may_be_stored(&self) -> bool {
        self.stored != Stored::No
    }

    /// What a broker that starts finds of it, at least and at most; but its queue.
    pub(super) fn recoverable(&self, now: Millis) -> (Recovered, Recovered) {
        let (mut least, mut most) = (Recovered::default(), Recovered::default());
        let distinct = |filters: &mut dyn Iterator<Item = &Subscription>| {
            filters.map(|of| of.filter).collect::<BTreeSet<_>>().len() as u64
        };
        if self.is_stored(now) {
            least.sessions = 1;
            least.interrupted = u64::from(self.interrupted);
            least.subscriptions = distinct(&mut self.subscriptions.iter().filter(|of| of.stands()));
        }
        if self.may_be_stored() {
            most.sessions = 1;
            // Whom a broker that started before has found offline, it has written down as such.
            most.interrupted = u64::from(self.offline_by.is_none() || self.connecting.is_some());
            most.subscriptions = distinct(&mut self.subscriptions.iter().filter(|of| of.left.is_none()));
        }
        (least, most)
    }

    /// Whether it may be in the queue.
    pub(super) fn may_hold(&self, id: MessageId, message: &Message) -> bool {
        let settled = self.got.get(&id).is_some_and(|got| got.settled) && message.sends <= 1;
        !settled && self.subscriptions.iter().any(|of| of.may_cover(message))
    }

    pub(super) fn replays(&self) -> u64 {
        self.replays
    }

    pub(super) fn must_get(&self, message: &Message) -> bool {
        self.stored == Stored::Yes
            && self.expiry_secs != 0
            && self.subscriptions.iter().any(|of| !of.is_shared() && !of.is_ending() && of.covers(message))
    }

    pub(super) fn may_get(&self, message: &Message, qos: QoS) -> bool {
        let at = |of: &Subscription| of.qos.min(message.publication.qos) == qos;
        self.subscriptions.iter().any(|of| at(of) && of.may_cover(message))
    }

    pub(super) fn covers_shared(&self, filter: &str, message: &Message) -> bool {
        self.expiry_secs != 0 && self.subscriptions.iter().any(|of| of.filter == filter && of.covers(message))
    }

    /// The shared subscription that may have brought the message.
    pub(super) fn shared_filter(&self, message: &Message) -> Option<&'static str> {
        self.subscriptions.iter().find(|of| of.is_shared() && of.may_cover(message)).map(|of| of.filter)
    }

    pub(super) fn shared_filters(&self) -> impl Iterator<Item = &'static str> {
        self.subscriptions.iter().filter(|of| of.is_shared()).map(|of| of.filter)
    }

    /// Forgets all messages but these.
    pub(super) fn close(&mut self, kept: &BTreeSet<MessageId>) {
        self.got.retain(|id, _| kept.contains(id));
        self.released.values_mut().for_each(|message| *message = None);
        self.subscriptions.retain(|of| of.left.is_none());
        self.replays = 0;
    }
}
