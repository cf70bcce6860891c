//! Somebody who looks after a flush that takes long.
//!
//! When a write of sled's own threads fails, sled keeps the error for whoever comes next, and does not always wake who
//! waits for that write already. A second flush sees the error and wakes everybody.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use opifex_storage::{ErrorKind, Result, StoreError};

use crate::guard::guarded;

/// How long a flush takes before somebody looks.
const INTERVAL: Duration = Duration::from_millis(250);

#[derive(Copy, Clone, PartialEq, Eq)]
enum State {
    Idle,
    Flushing,
    Over,
}

/// The thread that looks, until this is dropped.
pub(crate) struct Watch {
    shared: Arc<(Mutex<State>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    pub(crate) fn start(db: &sled::Db) -> Result<Watch> {
        let shared = Arc::new((Mutex::new(State::Idle), Condvar::new()));
        let (seen, db) = (Arc::clone(&shared), db.clone());
        let thread =
            thread::Builder::new().name("sled-watch".to_owned()).spawn(move || look_after(&db, &seen));
        let thread = thread.map_err(|error| {
            StoreError::not_applied(ErrorKind::Fatal, format!("no thread for the store: {error}"))
        })?;
        Ok(Watch { shared, thread: Some(thread) })
    }

    /// Flushes, looked after.
    pub(crate) fn flush(&self, db: &sled::Db) -> Result<()> {
        self.set(State::Flushing);
        let flushed = guarded("flush", || db.flush());
        self.set(State::Idle);
        flushed.map(|_bytes| ())
    }

    fn set(&self, state: State) {
        *lock(&self.shared.0) = state;
        // Who looks is woken for its end alone: a flush is mostly over before anybody would look.
        if state == State::Over {
            self.shared.1.notify_all();
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.set(State::Over);
        if let Some(thread) = self.thread.take() {
            // It does nothing that panics outside of a guarded call.
            let _ = thread.join();
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("no holder of this lock panics")
}

fn look_after(db: &sled::Db, (state, changed): &(Mutex<State>, Condvar)) {
    let mut now = lock(state);
    while *now != State::Over {
        (now, _) = changed.wait_timeout(now, INTERVAL).expect("no holder of this lock panics");
        if *now == State::Flushing && db.context.global_error().is_err() {
            drop(now);
            // It fails at once, and wakes the one that waits.
            let _ = guarded("flush", || db.flush());
            now = lock(state);
        }
    }
}
