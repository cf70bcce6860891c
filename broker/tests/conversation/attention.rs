//! Keeps paused time from passing while a store works.
//!
//! Paused time jumps to the next timer as soon as every task waits, and a store's own threads are no tasks: a time-out
//! would strike in the middle of a commit. The runtime lets time stand while a blocking task runs, so there is one for
//! as long as somebody waits for the store.

use std::future::Future;
use std::sync::{Arc, Condvar, Mutex};

use tokio::sync::oneshot;

/// Who waits for one store.
#[derive(Clone, Default)]
pub(crate) struct Attention {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Default)]
struct State {
    waiting: usize,
    /// The blocking task runs.
    attended: bool,
}

/// Somebody waits for the store.
struct Hold {
    shared: Arc<Shared>,
}

impl Attention {
    /// Runs something of the store's to its end, and lets time stand for so long. `None`: the runtime ended before.
    pub(crate) fn attend<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = Option<T>> + Send + 'static {
        let hold = self.hold();
        let (sender, done) = oneshot::channel();
        tokio::spawn(async move {
            let _ = sender.send(work.await);
            drop(hold);
        });
        async move { done.await.ok() }
    }

    /// Time stands until this is dropped.
    fn hold(&self) -> Hold {
        let mut state = self.shared.state.lock().unwrap();
        state.waiting += 1;
        if !state.attended {
            state.attended = true;
            let shared = self.shared.clone();
            tokio::task::spawn_blocking(move || shared.attend());
        }
        Hold { shared: self.shared.clone() }
    }
}

impl Shared {
    fn attend(&self) {
        let mut state = self.state.lock().unwrap();
        while state.waiting > 0 {
            state = self.ended.wait(state).unwrap();
        }
        state.attended = false;
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock().unwrap();
        state.waiting -= 1;
        if state.waiting == 0 {
            self.shared.ended.notify_one();
        }
    }
}
