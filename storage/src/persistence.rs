//! The contract that every backend implements, and the broker is generic over.

use std::future::Future;
use std::sync::Arc;

use opifex_packet::TopicFilter;

use crate::{
    Batch, Capabilities, Cursor, Due, OpenSession, OpenedSession, Page, PageLimit, QueuePage, Receipt,
    Record, RecordKind, Result, Retained, Seq, SessionId, StoreError, Timestamp,
};

/// A store of broker state. See the crate's documentation for the rules that bind all methods.
///
/// - *All or nothing*: a batch is applied whole or not at all, at every crash point.
/// - *Durability is a prefix*: when a receipt is durable, so is every batch ordered before it that touches one of its
///   sessions or topics. When a commit fails, every ordered and not yet durable batch fails with it.
/// - *A number that was told is given once*: the numbers of queue entries, the epochs and the versions that a failed
///   transaction told somebody are given to nothing else while the store is open, so that what is on its way for them
///   (`Settle`, `Assign`, a guard) finds nothing, and never something else. Of entries those that were told are left out,
///   and no others: the next entry has the number behind them, an open of the session shows it, and pages that follow are
///   final up to there.
/// - *Back-pressure*: a full backend makes `submit` wait; its queue and its tasks are bounded.
/// - *Cancellation*: a dropped future leaves the state before or after the call, never one between.
/// - Absent is `Ok` with `None` or an outcome, never an error.
/// - *Damage stays where it is*: a record whose bytes are not those that were written is never answered as if they were.
///   Reads go past it and name it in `damaged`; a write that needs it fails as `Corrupt`, not applied, naming it. A read
///   fails as `Corrupt` only when the damage hides what else there is.
pub trait Persistence: Send + Sync + 'static {
    /// What this backend declares about itself.
    fn capabilities(&self) -> &Capabilities;

    /// Takes the client's session over, or creates one, and bumps its epoch: from then on batches of earlier epochs
    /// are `Fenced`.
    ///
    /// Durable when it returns, at the level asked for. Not idempotent: each call takes the next epoch. It includes
    /// every batch ordered before it. A client without stored state gets a new session; a session whose expiry has
    /// passed at `now` is ended like one that clean start ends. (A connection that still stands closes at `now`: its
    /// session ends if its expiry is 0.)
    ///
    /// The will of the connection that is taken over is cancelled when the session continues and the will has a
    /// delay that has not passed; else it becomes due under the old session's id (MQTT 5.0, 3.1.3.2.2;
    /// [MQTT-3.1.2-8]).
    fn open_session(&self, open: OpenSession) -> impl Future<Output = Result<OpenedSession>> + Send;

    /// Applies a batch. Returns when its place in the order and its outcomes are fixed (*ordered*); the receipt tells
    /// when it is durable. Batches of one author are ordered as they were submitted.
    fn submit(&self, batch: Batch) -> impl Future<Output = Result<Receipt>> + Send;

    /// Entries of the session's queue after `after`, in order of their numbers. Those of an ended session are read until
    /// they are removed; a session that is not there has none.
    fn queue(
        &self,
        session: SessionId,
        after: Seq,
        limit: PageLimit,
    ) -> impl Future<Output = Result<QueuePage>> + Send;

    /// Retained messages that match any of the filters (without `$share/.../`), each once, by topic in an order of
    /// the backend's own. Expired ones may be among them. Costs what matches and the distinct values at each wildcard
    /// level, never a walk of everything.
    fn retained(
        &self,
        filters: &[TopicFilter<'_>],
        cursor: Option<Cursor>,
        limit: PageLimit,
    ) -> impl Future<Output = Result<Page<Retained>>> + Send;

    /// All records of one kind.
    fn scan(
        &self,
        kind: RecordKind,
        cursor: Option<Cursor>,
        limit: PageLimit,
    ) -> impl Future<Output = Result<Page<Record>>> + Send;

    /// What is due at `now`, earliest first, as a walk like the others: who goes on from a cursor goes past what was
    /// shown, whether it was dealt with or not. Each walk shows again what nobody has claimed. The time may be a later one
    /// with each page; what comes to stand before the cursor meanwhile is shown by the next walk.
    fn due(
        &self,
        now: Timestamp,
        cursor: Option<Cursor>,
        limit: PageLimit,
    ) -> impl Future<Output = Result<Page<Due>>> + Send;

    /// What is wrong of that which no walk of records comes by, for a person who asks (`opifex store check`): bodies that
    /// nobody refers to, counts of references that are not theirs, what the engine says of its files. It changes nothing,
    /// looks at everything, and may hold writers up for as long. Empty also where a backend has nothing of the kind.
    fn inspect(&self) -> impl Future<Output = Result<Vec<StoreError>>> + Send {
        async { Ok(Vec::new()) }
    }

    /// Refuses new batches, makes all ordered ones durable, and returns. Every later call answers `Closed`.
    fn close(&self) -> impl Future<Output = Result<()>> + Send;
}

/// A store that is shared with whoever wants to look at it while a broker uses it.
impl<P: Persistence> Persistence for Arc<P> {
    fn capabilities(&self) -> &Capabilities {
        P::capabilities(self)
    }

    fn open_session(&self, open: OpenSession) -> impl Future<Output = Result<OpenedSession>> + Send {
        P::open_session(self, open)
    }

    fn submit(&self, batch: Batch) -> impl Future<Output = Result<Receipt>> + Send {
        P::submit(self, batch)
    }

    fn queue(
        &self,
        session: SessionId,
        after: Seq,
        limit: PageLimit,
    ) -> impl Future<Output = Result<QueuePage>> + Send {
        P::queue(self, session, after, limit)
    }

    fn retained(
        &self,
        filters: &[TopicFilter<'_>],
        cursor: Option<Cursor>,
        limit: PageLimit,
    ) -> impl Future<Output = Result<Page<Retained>>> + Send {
        P::retained(self, filters, cursor, limit)
    }

    fn scan(
        &self,
        kind: RecordKind,
        cursor: Option<Cursor>,
        limit: PageLimit,
    ) -> impl Future<Output = Result<Page<Record>>> + Send {
        P::scan(self, kind, cursor, limit)
    }

    fn due(
        &self,
        now: Timestamp,
        cursor: Option<Cursor>,
        limit: PageLimit,
    ) -> impl Future<Output = Result<Page<Due>>> + Send {
        P::due(self, now, cursor, limit)
    }

    fn inspect(&self) -> impl Future<Output = Result<Vec<StoreError>>> + Send {
        P::inspect(self)
    }

    fn close(&self) -> impl Future<Output = Result<()>> + Send {
        P::close(self)
    }
}
