//! A store around a store: whoever stands between sees every call and hands it on, or not. No engine, and no opinion
//! on what is right.

use std::future::Future;

use opifex_packet::TopicFilter;
use opifex_storage::{
    Batch, Capabilities, Cursor, Due, OpenSession, OpenedSession, Page, PageLimit, Persistence, QueuePage,
    Receipt, Record, RecordKind, Result, Retained, Seq, SessionId, StoreError, Timestamp,
};

/// Stands between a store and whoever calls it. Each method hands its call on, unless it is written anew: a store that
/// does one thing differently is one method.
pub trait Intercept<P: Persistence>: Send + Sync + 'static {
    /// See [`Persistence::capabilities`].
    fn capabilities<'p>(&'p self, inner: &'p P) -> &'p Capabilities {
        inner.capabilities()
    }

    /// See [`Persistence::open_session`].
    fn open_session(
        &self,
        inner: &P,
        open: OpenSession,
    ) -> impl Future<Output = Result<OpenedSession>> + Send {
        inner.open_session(open)
    }

    /// See [`Persistence::submit`].
    fn submit(&self, inner: &P, batch: Batch) -> impl Future<Output = Result<Receipt>> + Send {
        inner.submit(batch)
    }

    /// See [`Persistence::queue`].
    fn queue(
        &self,
        inner: &P,
        session: SessionId,
        after: Seq,
        limit: PageLimit,
    ) -> impl Future<Output = Result<QueuePage>> + Send {
        inner.queue(session, after, limit)
    }

    /// See [`Persistence::retained`].
    fn retained(
        &self,
        inner: &P,
        filters: &[TopicFilter<'_>],
        cursor: Option<Cursor>,
        limit: PageLimit,
    ) -> impl Future<Output = Result<Page<Retained>>> + Send {
        inner.retained(filters, cursor, limit)
    }

    /// See [`Persistence::scan`].
    fn scan(
        &self,
        inner: &P,
        kind: RecordKind,
        cursor: Option<Cursor>,
        limit: PageLimit,
    ) -> impl Future<Output = Result<Page<Record>>> + Send {
        inner.scan(kind, cursor, limit)
    }

    /// See [`Persistence::due`].
    fn due(
        &self,
        inner: &P,
        now: Timestamp,
        cursor: Option<Cursor>,
        limit: PageLimit,
    ) -> impl Future<Output = Result<Page<Due>>> + Send {
        inner.due(now, cursor, limit)
    }

    /// See [`Persistence::close`].
    fn close(&self, inner: &P) -> impl Future<Output = Result<()>> + Send {
        inner.close()
    }
}

/// A store with somebody in between.
#[derive(Clone, Debug, Default)]
pub struct Intercepted<P, I> {
    inner: P,
    by: I,
}

impl<P: Persistence, I: Intercept<P>> Intercepted<P, I> {
    /// Calls go to `by` first.
    pub fn new(inner: P, by: I) -> Intercepted<P, I> {
        Intercepted { inner, by }
    }

    /// The store behind it.
    pub fn inner(&self) -> &P {
        &self.inner
    }

    /// Who stands between.
    pub fn by(&self) -> &I {
        &self.by
    }

    /// The store alone.
    pub fn into_inner(self) -> P {
        self.inner
    }
}

impl<P: Persistence, I: Intercept<P>> Persistence for Intercepted<P, I> {
    fn capabilities(&self) -> &Capabilities {
        self.by.capabilities(&self.inner)
    }

    fn open_session(&self, open: OpenSession) -> impl Future<Output = Result<OpenedSession>> + Send {
        self.by.open_session(&self.inner, open)
    }

    fn submit(&self, batch: Batch) -> impl Future<Output = Result<Receipt>> + Send {
        self.by.submit(&self.inner, batch)
    }

    fn queue(
        &self,
        session: SessionId,
        after: Seq,
        limit: PageLimit,
    ) -> impl Future<Output = Result<QueuePage>> + Send {
        self.by.queue(&self.inner, session, after, limit)
    }

    fn retained(
        &self,
        filters: &[TopicFilter<'_>],
        cursor: Option<Cursor>,
        limit: PageLimit,
    ) -> impl Future<Output = Result<Page<Retained>>> + Send {
        self.by.retained(&self.inner, filters, cursor, limit)
    }

    fn scan(
        &self,
        kind: RecordKind,
        cursor: Option<Cursor>,
        limit: PageLimit,
    ) -> impl Future<Output = Result<Page<Record>>> + Send {
        self.by.scan(&self.inner, kind, cursor, limit)
    }

    fn due(
        &self,
        now: Timestamp,
        cursor: Option<Cursor>,
        limit: PageLimit,
    ) -> impl Future<Output = Result<Page<Due>>> + Send {
        self.by.due(&self.inner, now, cursor, limit)
    }

    fn inspect(&self) -> impl Future<Output = Result<Vec<StoreError>>> + Send {
        self.inner.inspect()
    }

    fn close(&self) -> impl Future<Output = Result<()>> + Send {
        self.by.close(&self.inner)
    }
}
