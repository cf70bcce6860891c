//! The negative control: a broker whose store says "durable" at once, and hands what it was given to the engine some
//! time later. Everything else of it is the product. The harness has to find out what it loses.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use opifex_broker::{Broker, Peer};
use opifex_conformance::faults::{Intercept, Intercepted};
use opifex_storage::{
    Author, Batch, Commit, Op, OpenSession, OpenedSession, Outcome, PageLimit, Persistence, QueuePage,
    Receipt, Record, RecordKind, Result, Seq, SessionId, TargetOutcome,
};
use opifex_storage_sqlite::SqliteStore;
use tokio::net::TcpListener;
use tokio::sync::Mutex;

/// How long what was acknowledged is in memory alone.
const LATE: Duration = Duration::from_millis(30);

/// Makes a store acknowledge before it commits.
struct EarlyAcks {
    behind: Arc<Mutex<Behind>>,
}

/// What the engine has not seen, and what it would say.
#[derive(Default)]
struct Behind {
    batches: Vec<Batch>,
    next_seq: HashMap<SessionId, Seq>,
}

impl EarlyAcks {
    /// Over a store; needs a runtime.
    async fn over<P: Persistence>(inner: P) -> Result<Intercepted<Arc<P>, EarlyAcks>> {
        let (inner, mut behind, mut cursor) = (Arc::new(inner), Behind::default(), None);
        loop {
            let page = inner.scan(RecordKind::Session, cursor, PageLimit::items(1_000)).await?;
            for record in page.items {
                if let Record::Session(session) = record {
                    behind.next_seq.insert(session.id, session.next_seq);
                }
            }
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        let behind = Arc::new(Mutex::new(behind));
        let early = EarlyAcks { behind: Arc::clone(&behind) };
        let store = Intercepted::new(Arc::clone(&inner), early);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(LATE).await;
                behind.lock().await.catch_up(&*inner).await;
            }
        });
        Ok(store)
    }

    /// Does something that holds the lock in a task of its own: a caller that is not polled keeps nobody waiting.
    async fn by_itself<P: Persistence, T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        &self,
        inner: &Arc<P>,
        work: impl FnOnce(Arc<P>, Arc<Mutex<Behind>>) -> F,
    ) -> T {
        let work = work(Arc::clone(inner), Arc::clone(&self.behind));
        tokio::spawn(work).await.expect("it does not panic")
    }
}

impl Behind {
    /// Hands the engine what it has not seen.
    async fn catch_up<P: Persistence>(&mut self, inner: &P) {
        for batch in self.batches.drain(..) {
            // Whoever sent it was told that it is stored: there is nobody left to tell of an error.
            let _ = inner.submit(batch).await;
        }
    }

    /// What the engine will most likely say; `None` for what only the engine knows.
    fn foresee(&mut self, batch: &Batch) -> Option<Vec<Outcome>> {
        let known = |op: &Op| match op {
            Op::Enqueue { targets, .. } => targets.iter().all(|of| self.next_seq.contains_key(&of.session)),
            Op::Assign { .. } | Op::Release(_) | Op::Settle(_) | Op::PutInbound(_) | Op::DeleteInbound(_) => {
                true
            }
            _ => false,
        };
        if matches!(batch.author, Author::Claim(_))
            || !batch.guards.is_empty()
            || !batch.ops.iter().all(known)
        {
            return None;
        }
        let mut queued = |session: &SessionId| {
            let next = self.next_seq.entry(*session).or_insert(Seq::ZERO);
            let seq = *next;
            *next = seq.next();
            TargetOutcome::Queued { seq, displaced: Vec::new() }
        };
        let outcome = |op: &Op| match op {
            Op::Enqueue { targets, .. } => {
                Outcome::Enqueued(targets.iter().map(|of| queued(&of.session)).collect())
            }
            _ => Outcome::Done,
        };
        Some(batch.ops.iter().map(outcome).collect())
    }

    /// What the engine said.
    fn learn(&mut self, batch: &[Op], outcomes: &[Outcome]) {
        for (op, outcome) in batch.iter().zip(outcomes) {
            let (Op::Enqueue { targets, .. }, Outcome::Enqueued(of_targets)) = (op, outcome) else {
                continue;
            };
            for (target, outcome) in targets.iter().zip(of_targets) {
                if let TargetOutcome::Queued { seq, .. } = outcome {
                    self.next_seq.insert(target.session, seq.next());
                }
            }
        }
    }
}

impl<P: Persistence> Intercept<Arc<P>> for EarlyAcks {
    async fn open_session(&self, inner: &Arc<P>, open: OpenSession) -> Result<OpenedSession> {
        self.by_itself(inner, |inner, behind| async move {
            let mut behind = behind.lock().await;
            behind.catch_up(&*inner).await;
            let opened = inner.open_session(open).await?;
            behind.next_seq.insert(opened.session.id, opened.session.next_seq);
            Ok(opened)
        })
        .await
    }

    async fn submit(&self, inner: &Arc<P>, batch: Batch) -> Result<Receipt> {
        self.by_itself(inner, |inner, behind| async move {
            let commit = Commit { durability: batch.durability };
            let mut behind = behind.lock().await;
            if let Some(outcomes) = behind.foresee(&batch) {
                behind.batches.push(batch);
                return Ok(Receipt::committed(outcomes, commit));
            }
            behind.catch_up(&*inner).await;
            let ops = batch.ops.clone();
            let receipt = inner.submit(batch).await?;
            behind.learn(&ops, receipt.outcomes());
            Ok(Receipt::committed(receipt.outcomes().to_vec(), commit))
        })
        .await
    }

    async fn queue(
        &self,
        inner: &Arc<P>,
        session: SessionId,
        after: Seq,
        limit: PageLimit,
    ) -> Result<QueuePage> {
        self.by_itself(inner, |inner, behind| async move {
            behind.lock().await.catch_up(&*inner).await;
            inner.queue(session, after, limit).await
        })
        .await
    }

    async fn close(&self, inner: &Arc<P>) -> Result<()> {
        self.behind.lock().await.catch_up(&**inner).await;
        inner.close().await
    }
}

/// Serves a directory until it is killed.
pub(crate) fn serve(directory: &Path) {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = EarlyAcks::over(SqliteStore::open(directory).unwrap()).await.unwrap();
        let broker = Broker::builder(store).start().await.unwrap();
        tracing::info!("a broker has started that acknowledges too early");
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        println!("listening on {}", listener.local_addr().unwrap());
        loop {
            let (stream, peer) = listener.accept().await.unwrap();
            let broker = broker.clone();
            tokio::spawn(async move { broker.serve(stream, Peer::Network(peer)).await });
        }
    });
}
