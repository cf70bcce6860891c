//! The thread that reads for those who must not block: each read has a snapshot of its own.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use super::mailbox::Mailbox;
use super::{closed, no_thread, oneshot};
use crate::{ErrorKind, OrderedKv, Result, StoreError};

/// Reads that may wait for the thread.
const MAX_WAITING: usize = 1024;

type Job<K> = Box<dyn FnOnce(&K) + Send>;

/// A handle to the thread, which ends with it.
pub(super) struct Reader<K> {
    jobs: Arc<Mailbox<Job<K>>>,
    thread: Option<JoinHandle<()>>,
}

impl<K: OrderedKv> Reader<K> {
    pub(super) fn start(kv: &Arc<K>, name: &str) -> Result<Reader<K>> {
        let jobs = Arc::new(Mailbox::<Job<K>>::new(MAX_WAITING, usize::MAX));
        let (kv, todo) = (Arc::clone(kv), CloseWhenGone(Arc::clone(&jobs)));
        let run = move || {
            while let Some((jobs, _)) = todo.0.take_all() {
                jobs.into_iter().for_each(|job| job(&kv));
            }
        };
        let thread = thread::Builder::new().name(format!("{name}-reader")).spawn(run);
        Ok(Reader { jobs, thread: Some(thread.map_err(|error| no_thread(&error))?) })
    }

    /// Reads on the thread.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&K::Snapshot<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (sender, receiver) = oneshot::channel();
        let job: Job<K> = Box::new(move |kv| sender.send(kv.snapshot().and_then(|rows| read(&rows))));
        self.jobs.send(job, 0).await.map_err(|_| closed())?;
        receiver.await.unwrap_or_else(|| {
            Err(StoreError::not_applied(ErrorKind::Fatal, "the engine panicked while it was read"))
        })
    }
}

impl<K> Drop for Reader<K> {
    fn drop(&mut self) {
        self.jobs.close(None);
        if let Some(thread) = self.thread.take() {
            // A reader that panicked has answered everybody; there is nobody left to tell.
            let _ = thread.join();
        }
    }
}

/// Nobody waits for a thread that has ended, however it ended.
pub(super) struct CloseWhenGone<T>(pub(super) Arc<Mailbox<T>>);

impl<T> Drop for CloseWhenGone<T> {
    fn drop(&mut self) {
        self.0.close(None);
        self.0.clear();
    }
}
