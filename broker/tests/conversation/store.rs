//! A store of the backend that the test runs on, in a directory of its own.
//!
//! It adds nothing to its engine but that paused time stands while the engine works, be it on a call or on what it
//! ordered and has not made durable yet.

use std::path::Path;
use std::sync::Arc;

use opifex_packet::TopicFilter;
use opifex_storage::{
    Batch, Capabilities, Cursor, Due, Durability, ErrorKind, KvPersistence, OpenSession, OpenedSession, Page,
    PageLimit, Persistence, QueuePage, Receipt, Record, RecordKind, Result, Retained, Seq, SessionId,
    StoreError, Timestamp,
};
use opifex_storage_memory::{MemoryOptions, MemoryStore};
use opifex_storage_sled::{SledOptions, SledStore};
use opifex_storage_sqlite::{SqliteOptions, SqliteStore};
use tempfile::TempDir;

use crate::attention::Attention;
use crate::backend::Backend;
use crate::failing_engine::FailingEngine;

/// See the module's documentation. Clones are handles to the same open store.
#[derive(Clone)]
pub(crate) struct Store {
    engine: Arc<Engine>,
    attention: Attention,
    /// Goes after the engine.
    place: Option<Arc<TempDir>>,
    /// The most retained messages.
    max_retained: usize,
}

enum Engine {
    Memory(MemoryStore),
    Sqlite(SqliteStore),
    Sled(Box<SledStore>),
    Failing(Box<KvPersistence<FailingEngine>>),
}

impl Store {
    /// An empty store.
    pub(crate) fn new() -> Store {
        Store::with_at_most(10_000_000)
    }

    /// The same for so many retained messages.
    pub(crate) fn with_at_most(max_retained: usize) -> Store {
        let place = match Backend::current() {
            Backend::Memory => None,
            Backend::Sqlite | Backend::Sled => Some(Arc::new(place())),
        };
        let engine = match &place {
            None => {
                let options =
                    MemoryOptions { max_retained_messages: max_retained, ..MemoryOptions::default() };
                Engine::Memory(MemoryStore::with_options(options))
            }
            Some(place) => Engine::open(place.path(), max_retained),
        };
        Store { engine: Arc::new(engine), attention: Attention::default(), place, max_retained }
    }

    /// A store on the ordered-KV road over this engine.
    pub(crate) fn over(engine: FailingEngine) -> Store {
        let store = KvPersistence::open(engine).unwrap();
        let engine = Arc::new(Engine::Failing(Box::new(store)));
        Store { engine, attention: Attention::default(), place: None, max_retained: usize::MAX }
    }

    /// Whether somebody else has it, too.
    pub(crate) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.engine) > 1
    }

    /// Opens it again, when everybody else who had it is gone.
    pub(crate) fn reopen(self) -> Store {
        assert!(!self.is_shared(), "somebody else has the store");
        let engine = Arc::into_inner(self.engine).expect("nobody else has the store");
        let engine = match (engine, &self.place) {
            (Engine::Memory(store), _) => Engine::Memory(store.reopen()),
            (engine, Some(place)) => {
                drop(engine);
                Engine::open(place.path(), self.max_retained)
            }
            (_, None) => unreachable!("what is not in memory has a place"),
        };
        Store { engine: Arc::new(engine), attention: Attention::default(), ..self }
    }
}

/// A directory in memory where the system has one: what is tested here is not the disk.
fn place() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { TempDir::new_in(memory).unwrap() } else { TempDir::new().unwrap() }
}

impl Engine {
    fn open(directory: &Path, max_retained: usize) -> Engine {
        let max_retained_messages = Some(max_retained);
        match Backend::current() {
            Backend::Memory => unreachable!("a store in memory has no directory"),
            Backend::Sqlite => {
                let durability = Durability::Process;
                let options =
                    SqliteOptions { durability, max_retained_messages, ..SqliteOptions::new(directory) };
                Engine::Sqlite(SqliteStore::open(options).unwrap())
            }
            Backend::Sled => {
                let options = SledOptions {
                    cache_bytes: 1 << 20,
                    reserve_bytes: 0,
                    max_retained_messages,
                    ..SledOptions::default()
                };
                Engine::Sled(Box::new(SledStore::open_with(directory.join("sled"), options).unwrap()))
            }
        }
    }
}

/// Asks the engine while time stands: in a task of its own, since who asks may not look for the answer.
macro_rules! ask {
    ($self:ident, $store:ident => $call:expr) => {{
        match &*$self.engine {
            Engine::Memory($store) => $call.await,
            Engine::Sqlite(_) | Engine::Sled(_) | Engine::Failing(_) => {
                let engine = $self.engine.clone();
                let answer = $self.attention.attend(async move {
                    match &*engine {
                        Engine::Memory($store) => $call.await,
                        Engine::Sqlite($store) => $call.await,
                        Engine::Sled($store) => $call.await,
                        Engine::Failing($store) => $call.await,
                    }
                });
                answer.await.unwrap_or_else(|| Err(cut_off()))
            }
        }
    }};
}

fn cut_off() -> StoreError {
    StoreError::unknown(ErrorKind::Closed, "the runtime has ended")
}

impl Persistence for Store {
    fn capabilities(&self) -> &Capabilities {
        match &*self.engine {
            Engine::Memory(store) => store.capabilities(),
            Engine::Sqlite(store) => store.capabilities(),
            Engine::Sled(store) => store.capabilities(),
            Engine::Failing(store) => store.capabilities(),
        }
    }

    async fn open_session(&self, open: OpenSession) -> Result<OpenedSession> {
        ask!(self, store => store.open_session(open))
    }

    async fn submit(&self, batch: Batch) -> Result<Receipt> {
        if let Engine::Memory(store) = &*self.engine {
            return store.submit(batch).await;
        }
        let receipt = ask!(self, store => store.submit(batch))?;
        let outcomes = receipt.outcomes().to_vec();
        let commit = self.attention.attend(receipt.durable());
        Ok(Receipt::pending(outcomes, async move { commit.await.unwrap_or_else(|| Err(cut_off())) }))
    }

    async fn queue(&self, session: SessionId, after: Seq, limit: PageLimit) -> Result<QueuePage> {
        ask!(self, store => store.queue(session, after, limit))
    }

    async fn retained(
        &self,
        filters: &[TopicFilter<'_>],
        cursor: Option<Cursor>,
        limit: PageLimit,
    ) -> Result<Page<Retained>> {
        let filters: Vec<_> = filters.iter().map(|filter| filter.clone().into_owned()).collect();
        ask!(self, store => store.retained(&filters, cursor, limit))
    }

    async fn scan(&self, kind: RecordKind, cursor: Option<Cursor>, limit: PageLimit) -> Result<Page<Record>> {
        ask!(self, store => store.scan(kind, cursor, limit))
    }

    async fn due(&self, now: Timestamp, cursor: Option<Cursor>, limit: PageLimit) -> Result<Page<Due>> {
        ask!(self, store => store.due(now, cursor, limit))
    }

    async fn close(&self) -> Result<()> {
        ask!(self, store => store.close())
    }
}
