//! A session as the rest of the broker holds it: a name, a lock around its outbox, and a few facts that routing reads
//! without the lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering::Relaxed};

use opifex_packet::Version;
use opifex_storage::SessionId;
use parking_lot::Mutex;

use crate::filters::Filters;
use crate::outbox::{Command, DurableQueue, Outbox};

/// A session. It lives from its creation to its end; a durable one outlives its connections.
pub(crate) struct Session {
    pub(crate) client_id: Box<str>,
    /// It belongs to the process itself: access control is not asked.
    pub(crate) trusted: bool,
    /// Its identity in the store, for a durable session.
    pub(crate) stored: Option<SessionId>,
    pub(crate) outbox: Mutex<Outbox>,
    /// Its filters, as they are subscribed to.
    pub(crate) subscriptions: Mutex<Filters>,
    /// The protocol level of its connection; 0: it has none.
    level: AtomicU8,
    /// Set when the session ended: whoever still holds it drops what is meant for it.
    ended: AtomicBool,
    /// The store has lost something that memory has: the session is read anew when it is opened again.
    distrusted: AtomicBool,
    /// The tick (seconds since the broker's start) of the last sign of life.
    pub(crate) last_seen_secs: AtomicU32,
    /// Since which tick its connection waits for the store; 0: it does not.
    pub(crate) store_wait_since_secs: AtomicU32,
    /// Silence, in seconds, after which the connection is closed; 0: never.
    pub(crate) silence_limit_secs: AtomicU32,
}

impl Session {
    /// A session that ends with its connection.
    pub(crate) fn transient(client_id: Box<str>, trusted: bool) -> Arc<Session> {
        Session::new(client_id, trusted, None, Outbox::default())
    }

    /// A session that the store keeps.
    pub(crate) fn durable(client_id: Box<str>, id: SessionId, queue: DurableQueue) -> Arc<Session> {
        Session::new(client_id, false, Some(id), Outbox::for_durable(queue))
    }

    fn new(client_id: Box<str>, trusted: bool, stored: Option<SessionId>, outbox: Outbox) -> Arc<Session> {
        Arc::new(Session {
            client_id,
            trusted,
            stored,
            outbox: Mutex::new(outbox),
            subscriptions: Mutex::default(),
            level: AtomicU8::new(0),
            ended: AtomicBool::new(false),
            distrusted: AtomicBool::new(false),
            last_seen_secs: AtomicU32::new(0),
            store_wait_since_secs: AtomicU32::new(0),
            silence_limit_secs: AtomicU32::new(0),
        })
    }

    /// The version that its connection speaks, if it has one. A hint: the truth is under the outbox's lock.
    pub(crate) fn version(&self) -> Option<Version> {
        match self.level.load(Relaxed) {
            3 => Some(Version::V3_1),
            4 => Some(Version::V3_1_1),
            5 => Some(Version::V5_0),
            _ => None,
        }
    }

    pub(crate) fn set_version(&self, version: Option<Version>) {
        self.level.store(version.map_or(0, |version| version.level()), Relaxed);
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.level.load(Relaxed) != 0
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Relaxed)
    }

    pub(crate) fn set_ended(&self) {
        self.ended.store(true, Relaxed);
    }

    /// What memory has of a durable session may be ahead of the store: its connection ends, and whoever opens it next
    /// has it read anew.
    pub(crate) fn distrust(&self) {
        if self.stored.is_some() {
            self.distrusted.store(true, Relaxed);
            self.command(Command::StoreFailed);
        }
    }

    pub(crate) fn is_distrusted(&self) -> bool {
        self.distrusted.load(Relaxed)
    }

    /// It is about to be read anew; answers whether it has to be.
    pub(crate) fn take_distrust(&self) -> bool {
        self.distrusted.swap(false, Relaxed)
    }

    /// Whether its connection was silent, or waits for the store, for too long at this tick.
    pub(crate) fn overdue(&self, now_secs: u32, store_timeout_secs: u32) -> Option<Command> {
        if !self.is_connected() {
            return None;
        }
        let since = self.store_wait_since_secs.load(Relaxed);
        if since != 0 && now_secs.saturating_sub(since) > store_timeout_secs {
            return Some(Command::StoreTimeout);
        }
        let limit = self.silence_limit_secs.load(Relaxed);
        // A client that we do not read cannot be blamed: its last sign of life lies in the future.
        let silent = now_secs.saturating_sub(self.last_seen_secs.load(Relaxed));
        (limit != 0 && silent > limit).then_some(Command::KeepAliveTimeout)
    }

    /// Tells the session's connection to end.
    pub(crate) fn command(&self, command: Command) {
        if let Some(link) = &mut self.outbox.lock().link {
            link.command(command);
        }
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("client_id", &self.client_id).field("stored", &self.stored).finish()
    }
}
