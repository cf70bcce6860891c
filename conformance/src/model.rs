//! A small reference model of the whole contract: what a store must answer, written down with plain maps.
//!
//! It decides everything but the numbers that a store chooses (epochs, versions of retained messages): those it is
//! told. It has no pages, no durability and no errors but refusals, and shares no code with any backend: where a backend
//! and the model disagree, one of the two reads the contract wrongly.
//!
//! Reading order: this file (what there is), [`session`] and [`batch`] (what changes it), [`declared`] (what is too much),
//! [`due`], then how a store is held against it: [`step`] (a history in words), [`world`] (what the words mean at a moment),
//! [`keyed`] (batches that come again), [`history`] (histories at random), [`run`], [`moved`] (into another store) and
//! [`compare`]. What several threads saw: [`race`] and [`linear`]; calls that were dropped: [`dropped`]; what
//! became of calls in doubt: [`doubt`], and of the numbers that they told: [`spent`].

pub(crate) mod batch;
pub(crate) mod compare;
pub(crate) mod declared;
pub(crate) mod doubt;
pub(crate) mod dropped;
pub(crate) mod due;
pub(crate) mod history;
pub(crate) mod keyed;
pub(crate) mod linear;
pub(crate) mod moved;
pub(crate) mod queue;
pub(crate) mod race;
pub(crate) mod run;
pub(crate) mod session;
pub(crate) mod spent;
pub(crate) mod step;
pub(crate) mod world;

use std::collections::{BTreeMap, BTreeSet};

use opifex_packet::PacketId;
use opifex_storage::{
    Epoch, Queued, Retained, Seq, SessionId, SessionRecord, SubscriptionRecord, Timestamp, WillRecord,
};

/// Everything that a store holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    /// Sessions, and what ended ones left.
    pub(crate) sessions: BTreeMap<SessionId, Session>,
    /// Wills, by the session and the open that brought them.
    pub(crate) wills: BTreeMap<(SessionId, Epoch), WillRecord>,
    /// Retained messages by topic.
    pub(crate) retained: BTreeMap<String, Retained>,
    /// What the store declares.
    pub(crate) declared: declared::Declared,
}

/// A session, or what an ended one left: then something is.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// Its record, but for what is counted: see [`Session::record`].
    head: SessionRecord,
    /// When it ended.
    pub(crate) ended_at: Option<Timestamp>,
    pub(crate) queue: BTreeMap<Seq, Queued>,
    pub(crate) subscriptions: BTreeMap<String, SubscriptionRecord>,
    pub(crate) inbound: BTreeSet<PacketId>,
}

impl Session {
    /// The record with its counts.
    pub(crate) fn record(&self) -> SessionRecord {
        SessionRecord {
            queued_items: self.queue.len() as u64,
            queued_bytes: self.queued_bytes(),
            ..self.head.clone()
        }
    }

    /// The bytes of the messages that the queue still keeps.
    fn queued_bytes(&self) -> u64 {
        self.queue.values().map(queue::size).sum()
    }

    /// How many records hang on it.
    fn remains(&self) -> usize {
        self.queue.len() + self.subscriptions.len() + self.inbound.len()
    }
}

impl Model {
    /// The session, if it has not ended.
    pub(crate) fn live(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(&id).filter(|session| session.ended_at.is_none())
    }

    fn live_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.sessions.get_mut(&id).filter(|session| session.ended_at.is_none())
    }

    /// The client's session, if it has one.
    pub(crate) fn of_client(&self, client: &str) -> Option<SessionId> {
        let of_client = |session: &&Session| session.ended_at.is_none() && &*session.head.client_id == client;
        self.sessions.values().find(of_client).map(|session| session.head.id)
    }
}
