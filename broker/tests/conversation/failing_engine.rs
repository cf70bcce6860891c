//! An engine on the ordered-KV road whose writes fail when they are told to: the batches were ordered, and their commit
//! fails, as on a disk that is full.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex};

use bytes::Bytes;
use opifex_storage::{
    Durability, ErrorKind, KvCapabilities, KvRange, KvSnapshot, OrderedKv, Result, StoreError, WriteBatch,
};

type Rows = BTreeMap<Bytes, Bytes>;

/// See the module's documentation. Clones are handles to the same engine.
#[derive(Clone, Default)]
pub(crate) struct FailingEngine {
    state: Arc<Mutex<State>>,
    let_go: Arc<Condvar>,
}

#[derive(Default)]
struct State {
    rows: Arc<Rows>,
    /// So many of the next writes.
    fails: usize,
    holds: bool,
    failed: usize,
}

/// The rows as they were.
pub(crate) struct Seen(Arc<Rows>);

impl FailingEngine {
    /// From here on every write fails, or none.
    pub(crate) fn fail(&self, fails: bool) {
        self.state.lock().unwrap().fails = if fails { usize::MAX } else { 0 };
    }

    /// The next write fails, or the one that waits, and no other.
    pub(crate) fn fail_once(&self) {
        self.state.lock().unwrap().fails = 1;
    }

    /// From here on every write waits, or none does any more.
    pub(crate) fn hold(&self, holds: bool) {
        self.state.lock().unwrap().holds = holds;
        self.let_go.notify_all();
    }

    /// How many writes have failed.
    pub(crate) fn failed(&self) -> usize {
        self.state.lock().unwrap().failed
    }
}

impl OrderedKv for FailingEngine {
    type Snapshot<'a> = Seen;

    fn capabilities(&self) -> KvCapabilities {
        KvCapabilities { quick_reads: true, ..KvCapabilities::new("failing", Durability::Process) }
    }

    fn snapshot(&self) -> Result<Seen> {
        Ok(Seen(self.state.lock().unwrap().rows.clone()))
    }

    fn has_room(&self, _: usize) -> bool {
        // It finds out when it writes.
        true
    }

    fn write(&self, batch: &WriteBatch) -> Result<()> {
        let state = self.state.lock().unwrap();
        let mut state = self.let_go.wait_while(state, |state| state.holds).unwrap();
        if state.fails > 0 {
            state.fails -= usize::from(state.fails != usize::MAX);
            state.failed += 1;
            return Err(StoreError::not_applied(ErrorKind::Full, "no space left on device"));
        }
        let rows = Arc::make_mut(&mut state.rows);
        for (key, value) in batch.changes() {
            match value {
                Some(value) => rows.insert(key.clone(), value.clone()),
                None => rows.remove(key),
            };
        }
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }
}

impl KvSnapshot for Seen {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        Ok(self.0.get(key).cloned())
    }

    fn range(&self, from: &[u8], to: &[u8]) -> KvRange<'_> {
        let bounds = Bytes::copy_from_slice(from)..Bytes::copy_from_slice(to);
        if bounds.is_empty() {
            return Box::new(std::iter::empty());
        }
        Box::new(self.0.range(bounds).map(|(key, value)| Ok((key.clone(), value.clone()))))
    }
}
