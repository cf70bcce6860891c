//! A run of messages of one topic on their way to everybody who gets them: encoded once for each kind of subscriber,
//! then appended to each outbox under one lock a subscriber and run.

use std::sync::Arc;

use bytes::Bytes;
use opifex_packet::{
    DecodeOptions, Decoded, Delivery, Packet, PacketId, Properties, Property, Publish, QoS, Role, TopicName,
    Version,
};
use opifex_storage::{Message, Seq, Timestamp};

use crate::outbox::{EncodedRun, Item, SHARE_PAYLOAD_FROM_BYTES, Step};
use crate::pending::{Pending, SubscriptionIds};
use crate::router::{Match, Matches};
use crate::session::Session;
use crate::share::Share;
use crate::stats::DropCause;

/// Encoded runs from this size on are shared by their subscribers and not copied to each.
const SHARE_RUN_FROM_BYTES: usize = 512;
/// A run is delivered when it has grown to this size.
const RUN_BYTES: usize = 64 * 1024;

/// A run of messages with one topic, QoS and RETAIN flag, of which nothing has to be stored. Reused from run to run.
#[derive(Default)]
pub(crate) struct Fanout {
    pub(crate) matches: Matches,
    /// For each single match its kind; `NOT_LIVE`: it has no connection.
    kind_of: Vec<u32>,
    kinds: Vec<Kind>,
    /// How many of `kinds` are in use; the rest are kept for their buffers.
    used: usize,
    /// The messages as they are stored, where shared subscriptions matched: each goes to one member, who may have gone
    /// before it is acknowledged.
    for_shares: Vec<Arc<Message>>,
    qos: Option<QoS>,
    retain: bool,
    messages: usize,
    bytes: usize,
}

const NOT_LIVE: u32 = u32::MAX;
/// How many kinds are looked through for one that fits. Subscribers that all have an identifier of their own are all of
/// their own kind: looking through them would be quadratic.
const KINDS_COMPARED: usize = 32;

/// Subscribers to whom a message is the same bytes, but for the packet id.
struct Kind {
    v5: bool,
    qos: QoS,
    retain: bool,
    ids: SubscriptionIds,
    subscribers: usize,
    run: EncodedRun,
    messages: Vec<Option<Arc<Message>>>,
}

impl Fanout {
    /// Begins a run for the sessions in `self.matches`.
    pub(crate) fn begin(&mut self, qos: QoS, retain: bool) {
        self.qos = Some(qos);
        self.retain = retain;
        self.messages = 0;
        self.bytes = 0;
        self.used = 0;
        self.kind_of.clear();
        self.for_shares.clear();
        for index in 0..self.matches.singles.len() {
            let kind = match self.matches.singles[index].session.version() {
                Some(version) => self.kind_for(index, version),
                None => NOT_LIVE,
            };
            self.kind_of.push(kind);
        }
    }

    fn kind_for(&mut self, index: usize, version: Version) -> u32 {
        let found = &self.matches.singles[index];
        let qos = found.effective_qos(self.qos.unwrap_or(QoS::AtMostOnce));
        let retain = self.retain && found.retain_as_published;
        let v5 = version.is_v5();
        let ids = if v5 { &found.ids } else { &None };
        let known = self.kinds[..self.used.min(KINDS_COMPARED)]
            .iter()
            .position(|kind| kind.v5 == v5 && kind.qos == qos && kind.retain == retain && kind.ids == *ids);
        if let Some(known) = known {
            self.kinds[known].subscribers += 1;
            return known as u32;
        }
        let ids = ids.clone();
        if self.used == self.kinds.len() {
            self.kinds.push(Kind {
                v5,
                qos,
                retain,
                ids,
                subscribers: 1,
                run: EncodedRun::default(),
                messages: Vec::new(),
            });
        } else {
            let kind = &mut self.kinds[self.used];
            (kind.v5, kind.qos, kind.retain, kind.ids, kind.subscribers) = (v5, qos, retain, ids, 1);
            kind.run.clear();
            kind.messages.clear();
        }
        self.used += 1;
        self.used as u32 - 1
    }

    /// Adds a message. `topic` is its topic with an alias resolved.
    pub(crate) fn push(&mut self, topic: &TopicName<'_>, publish: &Publish<'_>, now: Timestamp) {
        self.messages += 1;
        self.bytes += publish.payload.len() + topic.as_str().len();
        let properties = without_alias(&publish.properties);
        for kind in &mut self.kinds[..self.used] {
            let out = Publish {
                dup: false,
                retain: kind.retain,
                delivery: placeholder(kind.qos),
                topic: Some(topic.borrow()),
                properties: match (&kind.ids, kind.v5) {
                    (None, true) => properties.borrow(),
                    (Some(ids), true) => {
                        let with = |all: Properties<'static>, id: &u32| {
                            all.with(Property::SubscriptionIdentifier(*id))
                        };
                        ids.iter().fold(properties.clone().into_owned(), with)
                    }
                    (_, false) => Properties::new(),
                },
                payload: publish.payload.as_ref().into(),
            };
            kind.run.push(&out, if kind.v5 { Version::V5_0 } else { Version::V3_1_1 });
        }
        if !self.matches.shares.is_empty() {
            // All messages of a run have one topic.
            let topic = match self.for_shares.last() {
                Some(message) => message.topic.clone(),
                None => topic.clone().into_owned(),
            };
            self.for_shares.push(Arc::new(owned_message(topic, publish, now)));
        }
    }

    /// Whether the run is long enough to be delivered before more is added.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= RUN_BYTES
    }

    /// Appends the run to everybody's outbox and forgets it. Who was given something is added to `touched`, once.
    pub(crate) fn deliver(&mut self, touched: &mut Vec<Arc<Session>>, step: &mut Step<'_>) {
        if self.messages == 0 {
            return;
        }
        for kind in &mut self.kinds[..self.used] {
            kind.messages.clear();
            kind.messages.resize(kind.run.len(), None);
            kind.run.share(kind.subscribers > 1 && kind.run.len_bytes() >= SHARE_RUN_FROM_BYTES);
        }
        for (found, kind) in self.matches.singles.iter().zip(&self.kind_of) {
            let Some(kind) = self.kinds.get_mut(*kind as usize) else { continue };
            let Kind { run, messages, qos, retain, ids, v5, .. } = kind;
            let mut pending = |run: &EncodedRun, index: usize| Pending {
                message: Some(
                    messages[index]
                        .get_or_insert_with(|| Arc::new(message_of(run, index, *v5, step.now)))
                        .clone(),
                ),
                qos: *qos,
                retain: *retain,
                ids: ids.clone(),
                share: None,
                seq: Seq::ZERO,
                packet_id: None,
                dup: false,
            };
            let mut outbox = found.session.outbox.lock();
            let mut step = Step { limits: step.limits, now: step.now, tally: &mut *step.tally };
            outbox.append_run(run, *v5, *qos, &mut pending, &mut step);
            if outbox.touch() {
                touched.push(found.session.clone());
            }
        }
        for message in self.for_shares.drain(..) {
            for share in &self.matches.shares {
                deliver_to_member(share, &message, self.retain, touched, step);
            }
        }
        self.messages = 0;
        self.bytes = 0;
        for kind in &mut self.kinds[..self.used] {
            kind.run.clear();
        }
    }
}

/// Hands a message to one member of a shared subscription without durable members.
fn deliver_to_member(
    share: &Share,
    message: &Arc<Message>,
    retain: bool,
    touched: &mut Vec<Arc<Session>>,
    step: &mut Step<'_>,
) {
    for _ in 0..share.tries() {
        // Where receiving is checked, shares take the store's road.
        let Some(chosen) = share.choose(message.qos, |_| true) else { return };
        if deliver_one(chosen, message, retain, touched, step) {
            return;
        }
    }
    step.tally.drop(DropCause::SessionEnded);
}

/// Hands one message, of which nothing is stored for this match, to the match's session; `false`: that has no connection.
pub(crate) fn deliver_one(
    found: Match,
    message: &Arc<Message>,
    retain: bool,
    touched: &mut Vec<Arc<Session>>,
    step: &mut Step<'_>,
) -> bool {
    let qos = found.effective_qos(message.qos);
    let pending = Pending {
        message: Some(message.clone()),
        qos,
        retain: retain && found.retain_as_published,
        ids: found.ids,
        share: found.share,
        seq: Seq::ZERO,
        packet_id: None,
        dup: false,
    };
    let mut outbox = found.session.outbox.lock();
    if !outbox.is_connected() {
        return false;
    }
    if qos == QoS::AtMostOnce {
        outbox.send_at_most_once(message, &pending, step);
    } else {
        outbox.send_or_enqueue(pending, step);
    }
    if outbox.touch() {
        drop(outbox);
        touched.push(found.session);
    }
    true
}

/// The message of a PUBLISH as it is stored.
pub(crate) fn owned_message(topic: TopicName<'static>, publish: &Publish<'_>, now: Timestamp) -> Message {
    let expires_at = publish.properties.message_expiry_interval().map(|secs| now.plus_secs(secs));
    Message {
        topic,
        qos: publish.qos(),
        properties: passed_on(&publish.properties),
        payload: Bytes::copy_from_slice(&publish.payload),
        expires_at,
    }
}

/// The properties that are stored and passed on: the rest belongs to one hop, or is made anew.
pub(crate) fn passed_on(properties: &Properties<'_>) -> Properties<'static> {
    if properties.is_empty() {
        return Properties::new();
    }
    properties.retain(|property| {
        !matches!(
            property,
            Property::TopicAlias(_)
                | Property::SubscriptionIdentifier(_)
                | Property::MessageExpiryInterval(_)
        )
    })
}

fn without_alias<'a>(properties: &'a Properties<'_>) -> Properties<'a> {
    if properties.is_empty() || properties.topic_alias().is_none() {
        return properties.borrow();
    }
    properties.retain(|property| !matches!(property, Property::TopicAlias(_)))
}

fn placeholder(qos: QoS) -> Delivery {
    match qos {
        QoS::AtMostOnce => Delivery::AtMostOnce,
        QoS::AtLeastOnce => Delivery::AtLeastOnce(PacketId::MAX),
        QoS::ExactlyOnce => Delivery::ExactlyOnce(PacketId::MAX),
    }
}

/// The stored form of a message that was only encoded so far: it must wait after all.
fn message_of(run: &EncodedRun, index: usize, v5: bool, now: Timestamp) -> Message {
    let options = DecodeOptions::new(if v5 { Version::V5_0 } else { Version::V3_1_1 }, Role::Client);
    match opifex_packet::decode(run.item_bytes(index), &options) {
        Ok(Decoded::Packet { packet: Packet::Publish(publish), .. }) => {
            let topic = publish.topic.clone().expect("a run is encoded with its topic");
            owned_message(topic.into_owned(), &publish, now)
        }
        other => unreachable!("a run holds whole PUBLISH packets, not {other:?}"),
    }
}

impl EncodedRun {
    fn push(&mut self, publish: &Publish<'_>, version: Version) {
        let buffer = self.buffer();
        let start = buffer.len();
        let id_at = publish.encode_with_id_offset(version, buffer).unwrap_or(0);
        let end = buffer.len();
        let payload_at =
            if publish.payload.len() >= SHARE_PAYLOAD_FROM_BYTES { end - publish.payload.len() } else { end };
        self.push_item(Item {
            start: start as u32,
            id_at: id_at as u32,
            payload_at: payload_at as u32,
            end: end as u32,
        });
    }
}
