//! What a store holds, as the promises speak of it.

use std::collections::{BTreeMap, BTreeSet};

use opifex_conformance::block_on;
use opifex_packet::QoS;
use opifex_storage::{Message, PageLimit, Persistence, QueuedState, Record, RecordKind, Result, SessionId};

use crate::token::Token;

/// Everything in a store, by client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) sessions: BTreeMap<String, FoundSession>,
    /// By topic; a retained message that no test published has no token.
    pub(crate) retained: BTreeMap<String, Option<Token>>,
    /// Records that are there and cannot be read, a line each.
    pub(crate) damaged: Vec<String>,
}

/// A session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FoundSession {
    pub(crate) filters: BTreeSet<String>,
    /// In the queue's order.
    pub(crate) queue: Vec<FoundEntry>,
    pub(crate) inbound: BTreeSet<u16>,
    pub(crate) will: Option<Token>,
}

/// A queue entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FoundEntry {
    /// `None` once it was released.
    pub(crate) token: Option<Token>,
    pub(crate) topic: String,
    pub(crate) qos: QoS,
    pub(crate) state: QueuedState,
}

/// Reads all of a store.
pub(crate) fn read(store: &impl Persistence) -> Result<Found> {
    let mut found = Found::default();
    let mut clients: BTreeMap<SessionId, String> = BTreeMap::new();
    for record in scan(store, RecordKind::Session, &mut found.damaged)? {
        let Record::Session(session) = record else { continue };
        clients.insert(session.id, session.client_id.to_string());
        found.sessions.insert(session.client_id.into(), FoundSession::default());
    }
    let kinds = [RecordKind::Subscription, RecordKind::Queued, RecordKind::Inbound, RecordKind::Will];
    for kind in kinds {
        for record in scan(store, kind, &mut found.damaged)? {
            let id = match &record {
                Record::Subscription(id, _) | Record::Queued(id, _) => *id,
                Record::Inbound(inbound) => inbound.session,
                Record::Will(will) => will.session,
                Record::Session(_) | Record::Retained(_) | Record::Ended(..) => continue,
            };
            let Some(session) = clients.get(&id).and_then(|client| found.sessions.get_mut(client)) else {
                continue;
            };
            match record {
                Record::Subscription(_, record) => {
                    session.filters.insert(record.filter.as_str().to_owned());
                }
                // What clears a retained message bears no token.
                Record::Queued(_, entry)
                    if entry.message.as_ref().is_some_and(|body| body.payload.is_empty()) => {}
                Record::Queued(_, entry) => session.queue.push(FoundEntry {
                    token: entry.message.as_deref().and_then(token),
                    topic: entry.message.map(|message| message.topic.as_str().to_owned()).unwrap_or_default(),
                    qos: entry.qos,
                    state: entry.state,
                }),
                Record::Inbound(inbound) => {
                    session.inbound.insert(inbound.packet_id.get());
                }
                Record::Will(will) => session.will = token(&will.will.message),
                Record::Session(_) | Record::Retained(_) | Record::Ended(..) => {}
            }
        }
    }
    for record in scan(store, RecordKind::Retained, &mut found.damaged)? {
        let Record::Retained(retained) = record else { continue };
        found.retained.insert(retained.message.topic.as_str().to_owned(), token(&retained.message));
    }
    Ok(found)
}

fn token(message: &Message) -> Option<Token> {
    Token::of(&message.payload)
}

fn scan(store: &impl Persistence, kind: RecordKind, damaged: &mut Vec<String>) -> Result<Vec<Record>> {
    let (mut records, mut cursor) = (Vec::new(), None);
    loop {
        let page = block_on(store.scan(kind, cursor, PageLimit { items: 4096, bytes: 16 << 20 }))?;
        records.extend(page.items);
        damaged.extend(page.damaged.iter().map(ToString::to_string));
        cursor = page.next;
        if cursor.is_none() {
            return Ok(records);
        }
    }
}
