//! What a store holds, as far as histories write it: read from a store, or kept up by a history.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use opifex_storage::{Page, PageLimit, Persistence, Queued, QueuedState, Record, RecordKind, Seq, SessionId};

/// How many items a page of the walks here has.
const PAGE_ITEMS: usize = 200;

/// A message's content: a number that no other message of the store has, and a length.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Body {
    pub(crate) n: u64,
    pub(crate) len: usize,
}

impl Body {
    /// Its bytes: the number and the length, and then bytes that are not the same in the next message.
    pub(crate) fn payload(self) -> Bytes {
        let mut payload = format!("{} {} ", self.n, self.len).into_bytes();
        payload.resize(self.len.max(payload.len()), b'a' + (self.n % 26) as u8);
        payload.into()
    }

    /// The body whose bytes these are.
    fn of(payload: &[u8]) -> Result<Body, String> {
        let mut words = payload.splitn(3, |byte| *byte == b' ').map(|word| std::str::from_utf8(word).ok());
        let mut number = || words.next()??.parse().ok();
        let body = number().zip(number()).map(|(n, len)| Body { n, len: len as usize });
        match body {
            Some(body) if body.payload() == payload => Ok(body),
            _ => Err(format!("a payload that nobody wrote: {:?}", String::from_utf8_lossy(payload))),
        }
    }
}

/// An entry of a queue.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Entry {
    /// `None` once it was released.
    pub(crate) body: Option<Body>,
    pub(crate) qos: u8,
    pub(crate) progress: Progress,
}

/// How far an entry's delivery has come.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Progress {
    Waiting,
    Assigned(u16),
    Released(u16),
}

/// A session with all that hangs on it. Id and epoch are 0 while nobody has told them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Session {
    pub(crate) id: u64,
    pub(crate) epoch: u64,
    pub(crate) is_offline: bool,
    pub(crate) next_seq: u64,
    pub(crate) queue: BTreeMap<u64, Entry>,
    pub(crate) inbound: BTreeSet<u16>,
    pub(crate) subscriptions: BTreeMap<String, u8>,
    pub(crate) will: Option<Body>,
}

impl Session {
    pub(crate) fn new() -> Session {
        Session {
            id: 0,
            epoch: 0,
            is_offline: false,
            next_seq: 1,
            queue: BTreeMap::new(),
            inbound: BTreeSet::new(),
            subscriptions: BTreeMap::new(),
            will: None,
        }
    }
}

/// Everything: sessions by client, retained messages by topic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Books {
    pub(crate) sessions: BTreeMap<String, Session>,
    pub(crate) retained: BTreeMap<String, Body>,
}

impl Books {
    /// Reads a store that nobody writes to.
    ///
    /// # Errors
    /// What cannot be read, or does not fit together: in itself a finding.
    pub(crate) async fn read(store: &impl Persistence) -> Result<Books, String> {
        let mut books = Books::default();
        let mut clients = BTreeMap::new();
        for record in scan(store, RecordKind::Session).await? {
            let Record::Session(record) = record else { return Err(strange(&record)) };
            let (client, id) = (String::from(record.client_id), record.id);
            let mut session = Session {
                id: id.0,
                epoch: record.epoch.0,
                is_offline: record.offline_since.is_some(),
                next_seq: record.next_seq.0,
                ..Session::new()
            };
            session.queue = queue(store, id).await?;
            let (counted, there) = (record.queued_items, session.queue.len() as u64);
            if counted != there {
                return Err(format!("{client}'s record counts {counted} entries, {there} are there"));
            }
            if clients.insert(id, client.clone()).is_some() {
                return Err(format!("two sessions have the id {id}"));
            }
            if books.sessions.insert(client.clone(), session).is_some() {
                return Err(format!("{client} has two sessions"));
            }
        }
        for kind in [RecordKind::Subscription, RecordKind::Inbound, RecordKind::Will, RecordKind::Retained] {
            for record in scan(store, kind).await? {
                books.put(record, &clients)?;
            }
        }
        Ok(books)
    }

    fn put(&mut self, record: Record, clients: &BTreeMap<SessionId, String>) -> Result<(), String> {
        let of = |id: &SessionId| {
            clients.get(id).ok_or_else(|| format!("a record of session {id}, which is not there"))
        };
        let known = "each of these clients has a session";
        match &record {
            Record::Subscription(id, subscription) => {
                let session = self.sessions.get_mut(of(id)?).expect(known);
                let (filter, qos) = (subscription.filter.as_str().to_owned(), subscription.options.qos as u8);
                session.subscriptions.insert(filter, qos);
            }
            Record::Inbound(inbound) => {
                let session = self.sessions.get_mut(of(&inbound.session)?).expect(known);
                session.inbound.insert(inbound.packet_id.get());
            }
            // Wills of sessions that ended are due, and nobody publishes them here.
            Record::Will(will) => {
                if let Some(client) = clients.get(&will.session) {
                    let session = self.sessions.get_mut(client).expect(known);
                    if session.will.replace(Body::of(&will.will.message.payload)?).is_some() {
                        return Err(format!("{client} has two wills"));
                    }
                }
            }
            Record::Retained(retained) => {
                let (topic, payload) = (retained.message.topic.as_str(), &retained.message.payload);
                if self.retained.insert(topic.to_owned(), Body::of(payload)?).is_some() {
                    return Err(format!("{topic} has two retained messages"));
                }
            }
            Record::Session(_) | Record::Queued(..) | Record::Ended(..) => return Err(strange(&record)),
        }
        Ok(())
    }

    /// The part that one writer writes: clients and topics begin with its name.
    pub(crate) fn part(&self, writer: &str) -> Books {
        let sessions = self.sessions.iter().filter(|(client, _)| client.starts_with(writer));
        let retained = self.retained.iter().filter(|(topic, _)| topic.starts_with(writer));
        Books {
            sessions: sessions.map(|(client, session)| (client.clone(), session.clone())).collect(),
            retained: retained.map(|(topic, body)| (topic.clone(), *body)).collect(),
        }
    }
}

fn strange(record: &Record) -> String {
    format!("a walk shows what it should not: {record:?}")
}

async fn queue(store: &impl Persistence, id: SessionId) -> Result<BTreeMap<u64, Entry>, String> {
    let (mut entries, mut after) = (BTreeMap::new(), Seq::ZERO);
    loop {
        let page = store.queue(id, after, PageLimit::items(PAGE_ITEMS)).await;
        let page = page.map_err(|error| format!("the queue of session {id} cannot be read: {error}"))?;
        if let Some(damaged) = page.damaged.first() {
            return Err(format!("an entry of session {id} is damaged: {damaged}"));
        }
        for item in page.items {
            if item.seq.0 <= entries.last_key_value().map_or(0, |(seq, _)| *seq) {
                return Err(format!("the queue of session {id} is out of order at {}", item.seq));
            }
            entries.insert(item.seq.0, entry(&item)?);
        }
        if !page.more {
            return Ok(entries);
        }
        if page.final_up_to <= after {
            return Err(format!("the queue of session {id} does not go on behind {after}"));
        }
        after = page.final_up_to;
    }
}

fn entry(queued: &Queued) -> Result<Entry, String> {
    let body = queued.message.as_ref().map(|message| Body::of(&message.payload)).transpose()?;
    let progress = match queued.state {
        QueuedState::Waiting => Progress::Waiting,
        QueuedState::Assigned(id) => Progress::Assigned(id.get()),
        QueuedState::Released(id) => Progress::Released(id.get()),
    };
    Ok(Entry { body, qos: queued.qos as u8, progress })
}

async fn scan(store: &impl Persistence, kind: RecordKind) -> Result<Vec<Record>, String> {
    let (mut records, mut cursor) = (Vec::new(), None);
    loop {
        let page = store.scan(kind, cursor.clone(), PageLimit::items(PAGE_ITEMS)).await;
        let Page { items, next, damaged, .. } =
            page.map_err(|error| format!("a walk of {kind:?} fails: {error}"))?;
        if let Some(damaged) = damaged.first() {
            return Err(format!("a record of {kind:?} is damaged: {damaged}"));
        }
        records.extend(items);
        if next.is_none() {
            return Ok(records);
        }
        // Said before all memory is full of the same page.
        if next == cursor {
            return Err(format!("a walk of {kind:?} does not end"));
        }
        cursor = next;
    }
}
