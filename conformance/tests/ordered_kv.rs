//! The contract's cases on `KvPersistence` over the smallest engine there is: a `BTreeMap` behind a lock. What fails
//! here is the ordered-KV road itself and no engine's fault.

#[path = "ordered_kv/tree.rs"]
mod tree;

use opifex_conformance::{Factory, persistence_suite};
use opifex_storage::{KvPersistence, PageLimit, Persistence, RecordKind, Result};
use tree::Tree;

struct OverTree {
    quick_reads: bool,
}

impl Factory for OverTree {
    type Store = KvPersistence<Tree>;
    /// The rows, whether somebody has them open or not.
    type Place = Tree;

    fn place(&self) -> Tree {
        Tree::new(self.quick_reads)
    }

    async fn open(&self, place: &Tree) -> Result<KvPersistence<Tree>> {
        let store = KvPersistence::open(place.clone())?;
        // Rows are counted when a store opens: whatever a case has done, the counts are right.
        let sessions = store.scan(RecordKind::Session, None, PageLimit::items(1)).await?;
        assert_eq!(sessions.damaged, []);
        assert_eq!(store.inspect().await?, []);
        Ok(store)
    }

    fn name(&self) -> String {
        if self.quick_reads { "Tree, reads on the caller's thread" } else { "Tree" }.to_owned()
    }

    fn hold(&self, place: &Tree) -> Option<Box<dyn FnOnce() + Send>> {
        place.hold(true);
        let place = place.clone();
        Some(Box::new(move || place.hold(false)))
    }
}

mod with_reads_on_the_callers_thread {
    use super::*;

    persistence_suite!(OverTree { quick_reads: true });
}

mod with_reads_on_a_thread_of_their_own {
    use super::*;

    persistence_suite!(OverTree { quick_reads: false });
}
