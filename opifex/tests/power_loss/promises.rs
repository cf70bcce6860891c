//! What the broker has promised by its acknowledgements so far, and whether a store keeps it. A pure type: it is fed
//! with packets, and asked about what was found.
//!
//! It knows durable sessions that never expire, topics with one publisher each, and no limits: nothing may be missing
//! for a reason of its own. What was received and not acknowledged may be there or not; what was acknowledged must be.

use std::collections::{BTreeMap, BTreeSet};

use opifex_packet::{Packet, QoS, filter_matches};
use opifex_storage::QueuedState;

use crate::found::{Found, FoundEntry, FoundSession};
use crate::token::Token;
use crate::trace::Passed;

/// See the module's documentation.
#[derive(Clone, Default)]
pub(crate) struct Promises {
    clients: BTreeMap<String, Client>,
    messages: BTreeMap<Token, Message>,
    /// What a topic may hold: the last acknowledged message, and those after it.
    retained: BTreeMap<String, Vec<Option<Token>>>,
}

/// Whether something is in the store.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum There {
    Yes,
    No,
    Maybe,
}

#[derive(Clone, Default)]
struct Client {
    /// Whether its CONNACK has left.
    open: bool,
    filters: BTreeMap<String, There>,
    /// Of SUBSCRIBE and UNSUBSCRIBE that are not answered.
    asked: BTreeMap<u16, Vec<String>>,
    /// What its will may be; empty: it has not been heard of.
    wills: Vec<Option<Token>>,
    connecting: Option<Option<Token>>,
    /// Its publishes that are not acknowledged.
    publishing: BTreeMap<u16, Publishing>,
    inbound: BTreeMap<u16, There>,
    /// What was sent to it under which packet id.
    sent: BTreeMap<u16, Token>,
    entries: BTreeMap<Token, Entry>,
}

#[derive(Clone)]
struct Publishing {
    token: Option<Token>,
    /// The topic that it is retained on.
    retained: Option<String>,
}

#[derive(Clone)]
struct Message {
    publisher: String,
    /// Of QoS 2: its packet id, until PUBREL is received.
    packet_id: Option<u16>,
    targets: Vec<String>,
}

/// How far the delivery of a message to a session has come, and where it is known to be.
#[derive(Copy, Clone)]
struct Entry {
    sure: bool,
    least: Stage,
    most: Stage,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Waiting,
    Assigned,
    Released,
    Gone,
}

impl Promises {
    /// Takes the next packet.
    pub(crate) fn take(&mut self, passed: &Passed) {
        let name = &passed.client;
        if let (false, Packet::Publish(_)) = (passed.left, &passed.packet) {
            return self.publish(passed);
        }
        let client = self.clients.entry(name.clone()).or_default();
        match (&passed.packet, passed.left) {
            (Packet::Connect(connect), false) => {
                let will =
                    connect.will.as_ref().map(|will| Token::of(&will.payload).expect("it has a token"));
                client.wills.push(will);
                client.connecting = Some(will);
                // An open ends nothing here: no test starts clean.
                assert!(!connect.clean_start, "the model knows sessions that go on");
            }
            (Packet::Connack(connack), true) if !connack.reason.is_error() => {
                client.open = true;
                client.wills = vec![client.connecting.take().expect("it asked")];
            }
            (Packet::Disconnect(_), false) => client.wills.push(None),
            (Packet::Subscribe(subscribe), false) => {
                let filters: Vec<String> =
                    subscribe.subscriptions.iter().map(|one| one.filter.as_str().to_owned()).collect();
                client.ask(subscribe.packet_id.get(), filters);
            }
            (Packet::Unsubscribe(unsubscribe), false) => {
                let filters = unsubscribe.filters.iter().map(|one| one.as_str().to_owned()).collect();
                client.ask(unsubscribe.packet_id.get(), filters);
            }
            (Packet::Suback(suback), true) => {
                client.answered(suback.packet_id.get(), There::Yes);
            }
            (Packet::Unsuback(unsuback), true) => {
                client.answered(unsuback.packet_id.get(), There::No);
            }
            (Packet::Puback(puback), true) => {
                assert!(!puback.reason.is_error(), "{puback:?}");
                self.published(name, puback.packet_id.get());
            }
            (Packet::Pubrec(pubrec), true) => {
                assert!(!pubrec.reason.is_error(), "{pubrec:?}");
                client.inbound.insert(pubrec.packet_id.get(), There::Yes);
                self.published(name, pubrec.packet_id.get());
            }
            (Packet::Pubrel(pubrel), false) => {
                let id = pubrel.packet_id.get();
                client.inbound.insert(id, There::Maybe);
                for message in self.messages.values_mut().filter(|message| message.publisher == *name) {
                    message.packet_id.take_if(|known| *known == id);
                }
            }
            (Packet::Pubcomp(pubcomp), true) => {
                client.inbound.insert(pubcomp.packet_id.get(), There::No);
            }
            (Packet::Publish(publish), true) => {
                let Some(id) = publish.delivery.packet_id() else { return };
                let Some(token) = Token::of(&publish.payload) else {
                    client.sent.remove(&id.get());
                    return;
                };
                client.sent.insert(id.get(), token);
                if publish.qos() == QoS::ExactlyOnce {
                    client.reached(id.get(), Stage::Assigned);
                }
            }
            (Packet::Pubrel(pubrel), true) => client.reached(pubrel.packet_id.get(), Stage::Released),
            (Packet::Puback(puback), false) => client.may_reach(puback.packet_id.get(), Stage::Gone),
            (Packet::Pubrec(pubrec), false) => client.may_reach(pubrec.packet_id.get(), Stage::Released),
            (Packet::Pubcomp(pubcomp), false) => client.may_reach(pubcomp.packet_id.get(), Stage::Gone),
            _ => {}
        }
    }

    /// A message was received: from now on it may be stored.
    fn publish(&mut self, passed: &Passed) {
        let Packet::Publish(publish) = &passed.packet else { return };
        let topic = publish.topic.as_ref().expect("no aliases here").as_str();
        let token = Token::of(&publish.payload);
        let id = publish.delivery.packet_id().expect("no QoS 0 here").get();
        let exactly_once = publish.qos() == QoS::ExactlyOnce;
        let client = self.clients.entry(passed.client.clone()).or_default();
        if exactly_once && client.inbound.get(&id).is_none_or(|there| *there == There::No) {
            client.inbound.insert(id, There::Maybe);
        }
        let retained = publish.retain.then(|| topic.to_owned());
        client.publishing.insert(id, Publishing { token, retained: retained.clone() });
        if let Some(topic) = retained {
            self.retained.entry(topic).or_insert_with(|| vec![None]).push(token);
        }
        let Some(token) = token else { return };
        let mut targets = Vec::new();
        for (name, client) in &mut self.clients {
            let matches =
                |(filter, there): (&String, &There)| *there == There::Yes && filter_matches(filter, topic);
            if client.filters.iter().any(matches) {
                targets.push(name.clone());
                let entry = Entry { sure: false, least: Stage::Waiting, most: Stage::Assigned };
                client.entries.entry(token).or_insert(entry);
            }
        }
        let packet_id = exactly_once.then_some(id);
        self.messages.insert(token, Message { publisher: passed.client.clone(), packet_id, targets });
    }

    /// A message was acknowledged: from now on it must be stored.
    fn published(&mut self, name: &str, id: u16) {
        let Some(done) = self.clients.get_mut(name).and_then(|client| client.publishing.remove(&id)) else {
            return;
        };
        if let Some(candidates) = done.retained.and_then(|topic| self.retained.get_mut(&topic)) {
            let place =
                candidates.iter().rposition(|candidate| *candidate == done.token).expect("it was received");
            candidates.drain(..place);
        }
        let Some(token) = done.token else { return };
        for target in self.messages[&token].targets.clone() {
            let entry = self.clients.get_mut(&target).and_then(|client| client.entries.get_mut(&token));
            entry.expect("it is a target").sure = true;
        }
    }

    /// What of it the store does not keep, or holds wrongly.
    pub(crate) fn broken_by(&self, found: &Found) -> Vec<String> {
        let mut broken = found.damaged.clone();
        let nothing = FoundSession::default();
        for (name, client) in &self.clients {
            let session = found.sessions.get(name);
            if client.open && session.is_none() {
                broken.push(format!("{name}: the session is gone"));
            }
            client.check(session.unwrap_or(&nothing), &mut |what| broken.push(format!("{name}: {what}")));
        }
        for name in found.sessions.keys().filter(|name| !self.clients.contains_key(*name)) {
            broken.push(format!("{name}: nobody opened this session"));
        }
        for (topic, candidates) in &self.retained {
            let held = found.retained.get(topic).copied().flatten();
            if !candidates.contains(&held) || found.retained.get(topic) == Some(&None) {
                broken.push(format!("{topic}: retains {held:?}, none of {candidates:?}"));
            }
        }
        for topic in found.retained.keys().filter(|topic| !self.retained.contains_key(*topic)) {
            broken.push(format!("{topic}: nobody published to it"));
        }
        self.check_whole(found, &mut broken);
        broken
    }

    /// A message is with all of its targets or with none, and a QoS 2 message's packet id with it: else its resend
    /// would be lost, or doubled.
    fn check_whole(&self, found: &Found, broken: &mut Vec<String>) {
        let tokens = |session: &FoundSession| session.queue.iter().filter_map(|entry| entry.token).collect();
        let held: BTreeMap<&str, BTreeSet<Token>> =
            found.sessions.iter().map(|(name, session)| (name.as_str(), tokens(session))).collect();
        let holds = |name: &str, token: &Token| held.get(name).is_some_and(|queue| queue.contains(token));
        for (token, message) in &self.messages {
            let kept = |name: &&String| {
                let entry = &self.clients[*name].entries[token];
                entry.most < Stage::Released
            };
            let targets: Vec<&String> = message.targets.iter().filter(kept).collect();
            let with: Vec<bool> = targets.iter().map(|name| holds(name, token)).collect();
            if with.iter().any(|held| *held != with[0]) {
                broken.push(format!("{token:?} is with some of {targets:?} only: {with:?}"));
            }
            if let (Some(id), Some(held)) = (message.packet_id, with.first()) {
                let session = found.sessions.get(&message.publisher);
                let recorded = session.is_some_and(|session| session.inbound.contains(&id));
                if recorded != *held {
                    broken.push(format!("{token:?} is stored: {held}, its packet id {id}: {recorded}"));
                }
            }
        }
    }
}

impl Client {
    fn ask(&mut self, id: u16, filters: Vec<String>) {
        for filter in &filters {
            self.filters.insert(filter.clone(), There::Maybe);
        }
        self.asked.insert(id, filters);
    }

    fn answered(&mut self, id: u16, there: There) {
        for filter in self.asked.remove(&id).unwrap_or_default() {
            self.filters.insert(filter, there);
        }
    }

    fn entry(&mut self, id: u16) -> Option<&mut Entry> {
        self.entries.get_mut(self.sent.get(&id)?)
    }

    /// A packet has left that says that delivery has come so far.
    fn reached(&mut self, id: u16, stage: Stage) {
        if let Some(entry) = self.entry(id) {
            entry.sure = true;
            entry.least = entry.least.max(stage);
            entry.most = entry.most.max(stage);
        }
    }

    /// A packet came in that lets delivery come so far.
    fn may_reach(&mut self, id: u16, stage: Stage) {
        if let Some(entry) = self.entry(id) {
            entry.most = entry.most.max(stage);
        }
    }

    fn check(&self, found: &FoundSession, broken: &mut dyn FnMut(String)) {
        for (filter, there) in &self.filters {
            let held = found.filters.contains(filter);
            if held && *there == There::No || !held && *there == There::Yes {
                broken(format!("subscription {filter}: found: {held}, should be there: {there:?}"));
            }
        }
        for filter in found.filters.iter().filter(|filter| !self.filters.contains_key(*filter)) {
            broken(format!("subscription {filter}: nobody asked for it"));
        }
        if !self.wills.is_empty() && !self.wills.contains(&found.will) && (self.open || found.will.is_some())
        {
            broken(format!("its will is {:?}, none of {:?}", found.will, self.wills));
        }
        for (id, there) in &self.inbound {
            let held = found.inbound.contains(id);
            if held && *there == There::No || !held && *there == There::Yes {
                broken(format!("inbound id {id}: found: {held}, should be there: {there:?}"));
            }
        }
        for id in found.inbound.iter().filter(|id| !self.inbound.contains_key(id)) {
            broken(format!("inbound id {id}: nobody sent it"));
        }
        self.check_queue(found, broken);
    }

    fn check_queue(&self, found: &FoundSession, broken: &mut dyn FnMut(String)) {
        let mut places: BTreeMap<Token, &FoundEntry> = BTreeMap::new();
        let mut latest: BTreeMap<(u16, &str, QoS), Token> = BTreeMap::new();
        let mut released = BTreeSet::new();
        for entry in &found.queue {
            match (entry.token, entry.state) {
                (None, QueuedState::Released(id)) => drop(released.insert(id.get())),
                (None, state) => broken(format!("an entry {state:?} whose message is damaged")),
                (Some(token), _) => {
                    if places.insert(token, entry).is_some() {
                        broken(format!("{token:?} twice"));
                    }
                    let lane = (token.publisher, entry.topic.as_str(), entry.qos);
                    if let Some(before) = latest.insert(lane, token).filter(|before| *before > token) {
                        broken(format!("{token:?} behind {before:?}"));
                    }
                }
            }
        }
        for token in places.keys().filter(|token| !self.entries.contains_key(token)) {
            broken(format!("{token:?} is not for it"));
        }
        let ids: BTreeMap<Token, u16> = self.sent.iter().map(|(id, token)| (*token, *id)).collect();
        for (token, entry) in &self.entries {
            let stage = match places.get(token) {
                Some(place) => match place.state {
                    QueuedState::Waiting => Stage::Waiting,
                    QueuedState::Assigned(id) => {
                        if place.qos == QoS::ExactlyOnce
                            && ids.get(token).is_some_and(|sent| *sent != id.get())
                        {
                            broken(format!("{token:?} was sent as {:?}, not as {id:?}", ids.get(token)));
                        }
                        Stage::Assigned
                    }
                    QueuedState::Released(_) => Stage::Released,
                },
                None if ids.get(token).is_some_and(|id| released.contains(id)) => Stage::Released,
                None => Stage::Gone,
            };
            let absent = stage == Stage::Gone;
            if absent && !entry.sure {
                continue;
            }
            if stage < entry.least || stage > entry.most {
                let Entry { least, most, .. } = entry;
                broken(format!("{token:?} is {stage:?}, should be {least:?} to {most:?}"));
            }
        }
    }
}

#[cfg(test)]
mod tests;
