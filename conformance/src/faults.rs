//! Stores that fail on command: [`Faulty`] wraps any store and refuses, delays, or answers `Unknown` at the k-th call of
//! a kind; [`Intercept`] is the wrapper below it, for whatever else a store may do differently. What a caller has to make
//! of a failure is not here.
//!
//! ```
//! use opifex_conformance::faults::{At, Effect, Fault, Faulty};
//! use opifex_storage::{ErrorKind, Op, Persistence};
//!
//! # fn tested<P: Persistence>(store: P) {
//! let store = Faulty::over(store);
//! // The third batch that retains something is refused; the disk is full.
//! let retains = At::Batch(|batch| batch.ops.iter().any(|op| matches!(op, Op::Retain(_))));
//! store.set([Fault::new(retains, Effect::Refuse(ErrorKind::Full)).after(2).once()]);
//! // ...
//! let struck = store.mend();
//! # }
//! ```

#[cfg(feature = "suite")]
pub(crate) mod factory;
mod intercept;

pub use intercept::{Intercept, Intercepted};

use std::fmt;
use std::future::{Future, poll_fn};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use opifex_packet::TopicFilter;
use opifex_storage::{
    Batch, Cursor, Due, ErrorKind, OpenSession, OpenedSession, Page, PageLimit, Persistence, QueuePage,
    Receipt, Record, RecordKind, Result, Retained, Seq, SessionId, StoreError, Timestamp,
};

/// A store that fails as it is told to. Clones are handles to the same faults.
pub type Faulty<P> = Intercepted<P, Faults>;

impl<P: Persistence> Faulty<P> {
    /// A store that does not fail yet.
    pub fn over(inner: P) -> Faulty<P> {
        Intercepted::new(inner, Faults::default())
    }

    /// From here on these faults strike, and none that was set before. What was held by those is let through, unless one
    /// of these holds it.
    pub fn set(&self, faults: impl IntoIterator<Item = Fault>) {
        self.by().set(faults);
    }

    /// Fails no more; answers how often it has since [`Faulty::set`].
    pub fn mend(&self) -> usize {
        self.by().set([])
    }
}

/// One way to fail, at one kind of call.
#[derive(Copy, Clone, Debug)]
pub struct Fault {
    at: At,
    effect: Effect,
    after: usize,
    times: usize,
}

impl Fault {
    /// Strikes at each such call.
    pub fn new(at: At, effect: Effect) -> Fault {
        Fault { at, effect, after: 0, times: usize::MAX }
    }

    /// Lets so many such calls pass first.
    pub fn after(self, calls: usize) -> Fault {
        Fault { after: calls, ..self }
    }

    /// Strikes once, and no more.
    pub fn once(self) -> Fault {
        Fault { times: 1, ..self }
    }
}

/// Which calls a fault is about.
#[derive(Copy, Clone)]
pub enum At {
    /// Any call.
    Any,
    /// Opening a session.
    Open,
    /// A batch for which this is true.
    Batch(fn(&Batch) -> bool),
    /// Reading a queue.
    Queue,
    /// Reading retained messages.
    Retained,
    /// Reading all records of a kind.
    Scan,
    /// Asking what is due.
    Due,
    /// Closing.
    Close,
}

impl fmt::Debug for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            At::Any => "Any",
            At::Open => "Open",
            At::Batch(_) => "Batch",
            At::Queue => "Queue",
            At::Retained => "Retained",
            At::Scan => "Scan",
            At::Due => "Due",
            At::Close => "Close",
        })
    }
}

/// What happens.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing is done, and the error says so.
    Refuse(ErrorKind),
    /// Nothing is done, and the error leaves open whether it was.
    Lose(ErrorKind),
    /// It is done, and the error leaves open whether it was.
    Hide(ErrorKind),
    /// The batch is ordered, and its receipt says that it will never be durable; the error leaves open whether it is.
    FailCommit(ErrorKind),
    /// Nothing is done before other faults are set.
    Hold,
    /// It is done, and the answer waits until other faults are set.
    HoldAnswer,
    /// The batch is ordered, and is not said to be durable before other faults are set.
    HoldCommit,
}

impl Effect {
    fn moment(self) -> Moment {
        match self {
            Effect::Refuse(_) | Effect::Lose(_) | Effect::Hold => Moment::Call,
            Effect::Hide(_) | Effect::HoldAnswer => Moment::Answer,
            Effect::FailCommit(_) => Moment::Order,
            Effect::HoldCommit => Moment::Commit,
        }
    }

    /// The error that is answered; `None`: it waits.
    fn error(self) -> Option<StoreError> {
        let message = "told to fail";
        match self {
            Effect::Refuse(kind) => Some(StoreError::not_applied(kind, message)),
            Effect::Lose(kind) | Effect::Hide(kind) | Effect::FailCommit(kind) => {
                Some(StoreError::unknown(kind, message))
            }
            Effect::Hold | Effect::HoldAnswer | Effect::HoldCommit => None,
        }
    }
}

/// When a call can be struck.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Moment {
    /// Before the store is asked.
    Call,
    /// When it has answered.
    Answer,
    /// When a batch is ordered.
    Order,
    /// When it is durable.
    Commit,
}

/// A call, as far as faults tell calls apart.
#[derive(Copy, Clone)]
enum Call<'a> {
    Open,
    Batch(&'a Batch),
    Queue,
    Retained,
    Scan,
    Due,
    Close,
}

impl At {
    fn is(&self, call: Call<'_>) -> bool {
        match (self, call) {
            (At::Any, _)
            | (At::Open, Call::Open)
            | (At::Queue, Call::Queue)
            | (At::Retained, Call::Retained)
            | (At::Scan, Call::Scan)
            | (At::Due, Call::Due)
            | (At::Close, Call::Close) => true,
            (At::Batch(is), Call::Batch(batch)) => is(batch),
            _ => false,
        }
    }
}

/// The faults of a [`Faulty`] store.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    faults: Vec<Fault>,
    /// How often faults were set.
    generation: u64,
    struck: usize,
    /// Who waits for other faults.
    held: Vec<Waker>,
}

impl State {
    /// The first fault that strikes this call at this moment.
    fn strike(&mut self, moment: Moment, call: Call<'_>) -> Option<Effect> {
        for fault in &mut self.faults {
            if fault.effect.moment() != moment || !fault.at.is(call) || fault.times == 0 {
                continue;
            }
            if fault.after > 0 {
                fault.after -= 1;
                continue;
            }
            fault.times -= usize::from(fault.times != usize::MAX);
            self.struck += 1;
            return Some(fault.effect);
        }
        None
    }
}

impl Faults {
    fn state(&self) -> MutexGuard<'_, State> {
        // A test that panicked left nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets other faults; answers how often those before have struck.
    fn set(&self, faults: impl IntoIterator<Item = Fault>) -> usize {
        let faults = faults.into_iter().collect();
        let mut state = self.state();
        let generation = state.generation + 1;
        let before = std::mem::replace(&mut *state, State { faults, generation, ..State::default() });
        drop(state);
        before.held.into_iter().for_each(Waker::wake);
        before.struck
    }

    /// Waits as long as this call is held at this moment, then fails if it is to.
    async fn pass(&self, moment: Moment, call: Call<'_>) -> Result<()> {
        let mut held_in = None;
        poll_fn(|cx| {
            let mut state = self.state();
            if held_in != Some(state.generation) {
                match state.strike(moment, call).map(Effect::error) {
                    None => return Poll::Ready(Ok(())),
                    Some(Some(error)) => return Poll::Ready(Err(error)),
                    Some(None) => held_in = Some(state.generation),
                }
            }
            state.held.push(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Makes a call, and strikes it.
    async fn around<T>(&self, call: Call<'_>, answer: impl Future<Output = Result<T>>) -> Result<T> {
        self.pass(Moment::Call, call).await?;
        let answer = answer.await?;
        self.pass(Moment::Answer, call).await?;
        Ok(answer)
    }
}

impl<P: Persistence> Intercept<P> for Faults {
    async fn open_session(&self, inner: &P, open: OpenSession) -> Result<OpenedSession> {
        self.around(Call::Open, inner.open_session(open)).await
    }

    async fn submit(&self, inner: &P, batch: Batch) -> Result<Receipt> {
        self.pass(Moment::Call, Call::Batch(&batch)).await?;
        let receipt = inner.submit(batch.clone()).await?;
        let ordered = self.pass(Moment::Order, Call::Batch(&batch)).await;
        self.pass(Moment::Answer, Call::Batch(&batch)).await?;
        let faults = self.clone();
        Ok(Receipt::pending(receipt.outcomes().to_vec(), async move {
            let commit = receipt.durable().await;
            faults.pass(Moment::Commit, Call::Batch(&batch)).await?;
            ordered.and(commit)
        }))
    }

    async fn queue(&self, inner: &P, session: SessionId, after: Seq, limit: PageLimit) -> Result<QueuePage> {
        self.around(Call::Queue, inner.queue(session, after, limit)).await
    }

    async fn retained(
        &self,
        inner: &P,
        filters: &[TopicFilter<'_>],
        cursor: Option<Cursor>,
        limit: PageLimit,
    ) -> Result<Page<Retained>> {
        self.around(Call::Retained, inner.retained(filters, cursor, limit)).await
    }

    async fn scan(
        &self,
        inner: &P,
        kind: RecordKind,
        cursor: Option<Cursor>,
        limit: PageLimit,
    ) -> Result<Page<Record>> {
        self.around(Call::Scan, inner.scan(kind, cursor, limit)).await
    }

    async fn due(
        &self,
        inner: &P,
        now: Timestamp,
        cursor: Option<Cursor>,
        limit: PageLimit,
    ) -> Result<Page<Due>> {
        self.around(Call::Due, inner.due(now, cursor, limit)).await
    }

    async fn close(&self, inner: &P) -> Result<()> {
        self.around(Call::Close, inner.close()).await
    }
}
