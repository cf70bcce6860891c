//! The commit of a group, which all of its receipts wait for: one place for all of them, and one round of wake-ups.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Poll, Waker};

use super::writer_is_gone;
use crate::{Commit, Durability, Result};

enum State {
    Waiting(Vec<Waker>),
    Over(Result<Durability>),
}

/// What a receipt holds: it waits for the commit of its group.
#[derive(Clone)]
pub(super) struct Commitment(Arc<Mutex<State>>);

/// The writer's end. Dropping it without an answer answers that the writer is gone.
pub(super) struct Pledge(Commitment);

impl Pledge {
    pub(super) fn new() -> Pledge {
        Pledge(Commitment(Arc::new(Mutex::new(State::Waiting(Vec::new())))))
    }

    pub(super) fn commitment(&self) -> Commitment {
        self.0.clone()
    }

    /// Answers everybody. The first answer counts.
    pub(super) fn resolve(&self, result: Result<Durability>) {
        let mut state = self.0.lock();
        let State::Waiting(wakers) = &mut *state else { return };
        let wakers = std::mem::take(wakers);
        *state = State::Over(result);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Pledge {
    fn drop(&mut self) {
        self.resolve(Err(writer_is_gone()));
    }
}

impl Commitment {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no holder of this lock panics")
    }

    pub(super) async fn wait(self) -> Result<Commit> {
        // Who is polled again replaces the waker that it left.
        let mut place = None;
        poll_fn(|cx| match &mut *self.lock() {
            State::Over(result) => Poll::Ready(result.clone().map(|durability| Commit { durability })),
            State::Waiting(wakers) => {
                match place {
                    Some(place) => {
                        let waker: &mut Waker = &mut wakers[place];
                        waker.clone_from(cx.waker());
                    }
                    None => {
                        place = Some(wakers.len());
                        wakers.push(cx.waker().clone());
                    }
                }
                Poll::Pending
            }
        })
        .await
    }
}
