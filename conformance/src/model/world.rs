//! What the words of a history mean at a moment: the model, the time, and what was ever seen of the store.

use std::sync::Arc;

use bytes::Bytes;
use opifex_packet::{Properties, Property, QoS, TopicFilter, TopicName};
use opifex_storage::{
    Author, Batch, Due, Durability, Epoch, Expectation, Guard, GuardedRecord, Message, NewWill, Op,
    OpenSession, Outcome, QueueLimits, RecordVersion, Restored, SessionExpiry, SessionId, SubscriptionRecord,
    Target, Timestamp,
};

use super::Model;
use super::declared::Declared;
use super::keyed::{WRITERS, Writer};
use super::step::{Expect, GuardWords, MessageWords, OpWords, Step, TargetWords, Who, Whose};
use crate::script::{START, filter, packet_id, topic};

const TOPICS: [&str; 7] = ["a", "a/b", "a/b/c", "a/", "b", "$s/b", "A"];
const FILTERS: [&str; 8] = ["#", "a", "a/+", "a/#", "+/b", "$share/g/a/#", "+", "$s/#"];

/// How many topics there are.
pub(super) const TOPIC_COUNT: u8 = TOPICS.len() as u8;
/// How many filters there are.
pub(super) const FILTER_COUNT: u8 = FILTERS.len() as u8;
/// How many clients there are.
pub(super) const CLIENTS: u8 = 3;

/// The topic of this number.
pub(super) fn topic_text(index: u8) -> &'static str {
    TOPICS[usize::from(index) % TOPICS.len()]
}

/// The filter of this number.
pub(super) fn filter_text(index: u8) -> &'static str {
    FILTERS[usize::from(index) % FILTERS.len()]
}

/// The client ids: one is the beginning of another, two differ in case.
pub(super) fn client_text(client: u8) -> &'static str {
    ["dev1", "dev10", "Dev1"][usize::from(client) % 3]
}

/// All filters that read retained messages.
pub(super) fn plain_filters() -> impl Iterator<Item = TopicFilter<'static>> {
    FILTERS.iter().filter(|text| !text.starts_with("$share")).map(|text| filter(text))
}

/// What a step asks of a store.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    Nothing,
    Reopen,
    Move,
    Open(OpenSession),
    /// The author of a claim carries the model's version.
    Submit(Batch),
    /// One that was applied, and what it answered then.
    SubmitAgain(Batch, Vec<Outcome>),
}

/// The model, and what a history's words refer to.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) model: Model,
    pub(crate) now: Timestamp,
    /// Of each client, what its connections were, in order.
    opened: Vec<Vec<(SessionId, Epoch)>>,
    /// Each item that was ever due at the end of a step, once.
    seen: Vec<Due>,
    /// The level that everything asks for.
    durability: Durability,
    /// What a store that counts chose last.
    last: u64,
    /// Who writes under keys.
    pub(super) writers: [Writer; WRITERS as usize],
}

impl World {
    pub(crate) fn new(durability: Durability, declared: Declared) -> World {
        let opened = vec![Vec::new(); usize::from(CLIENTS)];
        let model = Model { declared, ..Model::default() };
        World {
            model,
            now: START,
            opened,
            seen: Vec::new(),
            durability,
            last: 0,
            writers: Default::default(),
        }
    }

    /// The items that claims refer to.
    pub(crate) fn seen(&self) -> &[Due] {
        &self.seen
    }

    /// Every session that ever was, in order.
    pub(crate) fn sessions_ever(&self) -> Vec<SessionId> {
        let mut ids: Vec<_> = self.opened.iter().flatten().map(|(id, _)| *id).collect();
        ids.sort();
        ids.dedup();
        ids
    }

    /// Notes a connection, which later words refer to.
    pub(crate) fn note_open(&mut self, client: u8, id: SessionId, epoch: Epoch) {
        self.opened[usize::from(client)].push((id, epoch));
    }

    /// Notes what is due at the end of a step.
    pub(crate) fn note_due(&mut self) {
        for due in self.model.due(self.now) {
            if !self.seen.iter().any(|seen| seen.item == due.item && seen.version == due.version) {
                self.seen.push(due);
            }
        }
    }

    /// No word refers to what was due any more.
    pub(super) fn forget_due(&mut self) {
        self.seen.clear();
    }

    /// The next number of a store that counts.
    pub(crate) fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// The session that the words mean.
    pub(super) fn session(&self, whose: Whose) -> SessionId {
        let mut ids: Vec<_> = self.opened[usize::from(whose.client)].iter().map(|(id, _)| *id).collect();
        ids.dedup();
        let index = ids.len().checked_sub(1 + usize::from(whose.back));
        index.map_or(SessionId(1 << 40), |index| ids[index])
    }

    /// The author that the words mean, if there is one.
    pub(super) fn author(&self, who: Who) -> Option<Author> {
        match who {
            Who::Broker => Some(Author::Broker),
            Who::Client { client, back } => {
                let opened = &self.opened[usize::from(client)];
                let (id, epoch) = opened[opened.len().checked_sub(1 + usize::from(back))?];
                Some(Author::Session(id, epoch))
            }
            Who::Claim(index) => Some(Author::Claim(self.seen.get(usize::from(index))?.clone())),
        }
    }

    /// What a step asks of a store now. `None`: what it speaks of never was.
    pub(crate) fn call(&self, step: &Step) -> Option<Call> {
        match step {
            Step::Wait(_) => Some(Call::Nothing),
            Step::Reopen => Some(Call::Reopen),
            Step::Move => Some(Call::Move),
            Step::Again { writer, back } => {
                let (batch, first) = self.writers[usize::from(*writer)].sent(*back)?;
                Some(Call::SubmitAgain(Batch { now: self.now, ..batch.clone() }, first.clone()))
            }
            Step::Open { client, clean_start, expiry, will } => {
                let will = will.as_ref().map(|will| NewWill {
                    message: Arc::new(Message { expires_at: None, ..self.message(will.message) }),
                    retain: will.retain,
                    delay_secs: will.delay_secs,
                    expiry_secs: will.message.expires_in,
                });
                Some(Call::Open(OpenSession {
                    client_id: client_text(*client).into(),
                    clean_start: *clean_start,
                    expiry: *expiry,
                    will,
                    durability: self.durability,
                    now: self.now,
                }))
            }
            Step::Batch { author, guards, ops, writer } => {
                let author = self.author(*author)?;
                let mut batch = Batch::new(author, self.durability, self.now);
                batch.guards = guards.iter().map(|guard| self.guard(guard)).collect();
                batch.ops = ops.iter().map(|op| self.op(&batch.author, op)).collect();
                batch.key = writer.map(|writer| self.writers[usize::from(writer)].next_key(writer));
                Some(Call::Submit(batch))
            }
        }
    }

    fn message(&self, words: MessageWords) -> Message {
        let properties = match words.properties {
            0 => Properties::default(),
            1 => Properties::default().with(Property::ContentType("text")),
            _ => Properties::default()
                .with(Property::UserProperty("k", "1"))
                .with(Property::UserProperty("k", "1"))
                .with(Property::UserProperty("K", "")),
        };
        let mut payload = words.tag.to_be_bytes().to_vec();
        payload.resize(2 + usize::from(words.padding), b'.');
        Message {
            topic: topic(topic_text(words.topic)),
            qos: if words.tag.is_multiple_of(2) { QoS::AtLeastOnce } else { QoS::ExactlyOnce },
            properties,
            payload: Bytes::from(payload),
            expires_at: words.expires_in.map(|secs| self.now.plus_secs(secs)),
        }
    }

    fn guard(&self, words: &GuardWords) -> Guard {
        let (record, version, expect) = match words {
            GuardWords::Session(whose, expect) => {
                let id = self.session(*whose);
                let epoch = self.model.live(id).map_or(0, |session| session.record().epoch.0);
                (GuardedRecord::Session(id), epoch, expect)
            }
            GuardWords::Retained(index, expect) => {
                let name: TopicName<'static> = topic(topic_text(*index));
                let version = self.model.retained.get(name.as_str()).map_or(0, |found| found.version.0);
                (GuardedRecord::Retained(name), version, expect)
            }
        };
        let other = |right: bool| if right { version } else { version + 1 };
        let expect = match *expect {
            Expect::Exists => Expectation::Exists,
            Expect::Absent => Expectation::Absent,
            Expect::Epoch { right } => Expectation::AtEpoch(Epoch(other(right))),
            Expect::Version { right } => Expectation::AtVersion(RecordVersion(other(right))),
        };
        Guard { record, expect }
    }

    fn op(&self, author: &Author, words: &OpWords) -> Op {
        match words {
            OpWords::SetExpiry(expiry) => Op::SetExpiry(*expiry),
            OpWords::GoOffline => Op::GoOffline,
            OpWords::EndSession(whose) => Op::EndSession(self.session(*whose)),
            OpWords::EndOwn => Op::EndSession(author.session().unwrap_or(SessionId(1 << 40))),
            OpWords::Subscribe { filter: index, qos, identifier } => {
                let qos = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][usize::from(*qos) % 3];
                Op::Subscribe(SubscriptionRecord {
                    filter: filter(filter_text(*index)),
                    options: qos.into(),
                    identifier: *identifier,
                })
            }
            OpWords::Unsubscribe(index) => Op::Unsubscribe(filter(filter_text(*index))),
            OpWords::Enqueue(message, targets) => {
                Op::Enqueue { message: Arc::new(self.message(*message)), targets: self.targets(targets) }
            }
            OpWords::Assign { seq, packet_id: id } => {
                Op::Assign { seq: opifex_storage::Seq(*seq), packet_id: packet_id(*id) }
            }
            OpWords::Release(seq) => Op::Release(opifex_storage::Seq(*seq)),
            OpWords::Settle(seq) => Op::Settle(opifex_storage::Seq(*seq)),
            OpWords::PutInbound(id) => Op::PutInbound(packet_id(*id)),
            OpWords::DeleteInbound(id) => Op::DeleteInbound(packet_id(*id)),
            OpWords::Retain(message) => Op::Retain(Arc::new(self.message(*message))),
            OpWords::Unretain(index) => Op::Unretain(topic(topic_text(*index))),
            OpWords::TakeWill => Op::TakeWill,
            OpWords::Purge(limit) => Op::Purge { limit: *limit },
            OpWords::Restore => {
                let inbound = opifex_storage::Inbound { session: SessionId(1), packet_id: packet_id(1) };
                let record = opifex_storage::Record::Inbound(inbound);
                Op::Restore(Box::new(Restored { record, same_message_as: None }))
            }
        }
    }

    /// Each session once, and once more for the share.
    fn targets(&self, words: &[TargetWords]) -> Vec<Target> {
        let mut targets: Vec<Target> = Vec::new();
        for words in words {
            let target = Target {
                session: self.session(words.whose),
                qos: if words.qos2 { QoS::ExactlyOnce } else { QoS::AtLeastOnce },
                retain: words.retain,
                subscription_ids: (1..=u32::from(words.subscription_ids)).rev().collect(),
                share: words.shared.then(|| Arc::from("$share/g/a/#")),
                limits: QueueLimits {
                    items: words.items.unwrap_or(u64::MAX),
                    bytes: words.bytes.unwrap_or(u64::MAX),
                    policy: words.policy,
                },
            };
            let same = |other: &Target| other.session == target.session && other.share == target.share;
            if !targets.iter().any(same) {
                targets.push(target);
            }
        }
        targets
    }

    /// Whether the session's expiry makes a difference to nobody: for strategies that like sessions to live.
    pub(super) fn lives(&self, client: u8) -> bool {
        let id = self.session(Whose { client, back: 0 });
        self.model.live(id).is_some_and(|session| session.record().expiry != SessionExpiry::WITH_CONNECTION)
    }
}
