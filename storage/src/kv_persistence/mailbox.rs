//! The bounded way to a thread: senders are futures that wait for room in the order in which they came, the thread
//! takes everything that waits at once.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

/// How many are expected soon, and how long it is worth to wait for all of them.
#[derive(Copy, Clone)]
pub(super) struct Gathering {
    pub(super) expected: usize,
    pub(super) patience: Duration,
}

impl Gathering {
    /// Whoever comes first is taken at once.
    pub(super) const NONE: Gathering = Gathering { expected: 1, patience: Duration::ZERO };
}

/// A queue of requests with limits of count and bytes.
pub(super) struct Mailbox<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
    max_items: usize,
    max_bytes: usize,
}

struct State<T> {
    items: VecDeque<T>,
    bytes: usize,
    closed: bool,
    /// How many must be inside to wake the thread; `None` while it does not sleep.
    sleeps_until: Option<usize>,
    next_ticket: u64,
    /// Who waits for room, first come first.
    waiting: BTreeMap<u64, Waker>,
}

impl<T> Mailbox<T> {
    pub(super) fn new(max_items: usize, max_bytes: usize) -> Mailbox<T> {
        let state = State {
            items: VecDeque::new(),
            bytes: 0,
            closed: false,
            sleeps_until: None,
            next_ticket: 0,
            waiting: BTreeMap::new(),
        };
        Mailbox { state: Mutex::new(state), filled: Condvar::new(), max_items, max_bytes }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().expect("no holder of this lock panics")
    }

    /// Waits for room and puts the request in; gives it back when the mailbox is closed.
    pub(super) async fn send(&self, item: T, bytes: usize) -> Result<(), T> {
        let mut item = Some(item);
        let mut place = Place { mailbox: self, ticket: None };
        poll_fn(|cx| {
            let mut state = self.lock();
            let item_now = item.take().expect("a future is not polled after it was ready");
            if state.closed {
                return Poll::Ready(Err(item_now));
            }
            let room = self.has_room(&state, bytes);
            let behind_others = state.waiting.keys().next().is_some_and(|ticket| {
                // Somebody who came before and has not been woken yet goes first.
                place.ticket.is_none_or(|own| *ticket < own)
            });
            if room && !behind_others {
                state.items.push_back(item_now);
                state.bytes += bytes;
                if let Some(ticket) = place.ticket.take() {
                    state.waiting.remove(&ticket);
                }
                let next = self.next_to_wake(&mut state);
                let enough = state.sleeps_until.is_some_and(|count| state.items.len() >= count);
                drop(state);
                if enough {
                    self.filled.notify_one();
                }
                if let Some(waker) = next {
                    waker.wake();
                }
                return Poll::Ready(Ok(()));
            }
            item = Some(item_now);
            // Nobody is to wait for room while the thread waits for more.
            if state.sleeps_until.is_some() {
                self.filled.notify_one();
            }
            let ticket = *place.ticket.get_or_insert_with(|| {
                state.next_ticket += 1;
                state.next_ticket
            });
            state.waiting.insert(ticket, cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    fn has_room(&self, state: &State<T>, bytes: usize) -> bool {
        let fits = state.items.len() < self.max_items && state.bytes.saturating_add(bytes) <= self.max_bytes;
        fits || state.items.is_empty()
    }

    /// The first who waits, if there may be room for it. It keeps its place until it has used it.
    fn next_to_wake(&self, state: &mut State<T>) -> Option<Waker> {
        if state.items.len() >= self.max_items {
            return None;
        }
        state.waiting.values().next().cloned()
    }

    /// Waits for requests and takes them all, and says how many bytes they have; `None` when the mailbox is closed and empty.
    pub(super) fn take_all(&self, gathering: Gathering) -> Option<(VecDeque<T>, usize)> {
        let mut state = self.gather(self.lock(), gathering);
        while state.items.is_empty() {
            if state.closed {
                return None;
            }
            state.sleeps_until = Some(1);
            state = self.filled.wait(state).expect("no holder of this lock panics");
        }
        state.sleeps_until = None;
        let items = std::mem::take(&mut state.items);
        let bytes = std::mem::take(&mut state.bytes);
        let next = self.next_to_wake(&mut state);
        drop(state);
        if let Some(waker) = next {
            waker.wake();
        }
        Some((items, bytes))
    }

    /// Waits until as many are inside as are expected, somebody waits for room, or patience has ended.
    fn gather<'a>(
        &self,
        mut state: MutexGuard<'a, State<T>>,
        Gathering { expected, patience }: Gathering,
    ) -> MutexGuard<'a, State<T>> {
        let expected = expected.min(self.max_items);
        let start = Instant::now();
        while state.items.len() < expected && state.waiting.is_empty() && !state.closed {
            let Some(left) = patience.checked_sub(start.elapsed()).filter(|left| !left.is_zero()) else {
                break;
            };
            state.sleeps_until = Some(expected);
            (state, _) = self.filled.wait_timeout(state, left).expect("no holder of this lock panics");
        }
        state
    }

    /// Refuses further requests; those inside, and then this last one, are still taken. Answers whether it was open:
    /// if not, the last one is dropped.
    pub(super) fn close(&self, last: Option<T>) -> bool {
        let mut state = self.lock();
        let was_open = !std::mem::replace(&mut state.closed, true);
        if was_open {
            state.items.extend(last);
        }
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        self.filled.notify_all();
        waiting.into_values().for_each(Waker::wake);
        was_open
    }

    /// Drops what is inside, when nobody will take it any more.
    pub(super) fn clear(&self) {
        let items = std::mem::take(&mut self.lock().items);
        drop(items);
    }
}

/// The place of a future that waits: given up when the future is dropped, and whoever is next is woken.
struct Place<'a, T> {
    mailbox: &'a Mailbox<T>,
    ticket: Option<u64>,
}

impl<T> Drop for Place<'_, T> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let mut state = self.mailbox.lock();
        state.waiting.remove(&ticket);
        let next = self.mailbox.next_to_wake(&mut state);
        drop(state);
        if let Some(waker) = next {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::Context;
    use std::thread;

    use super::*;

    /// Longer than any test waits: an end of the wait has another cause.
    const FOREVER: Duration = Duration::from_secs(600);

    fn put(mailbox: &Mailbox<u32>, item: u32) {
        let sent = pin!(mailbox.send(item, 1)).poll(&mut Context::from_waker(Waker::noop()));
        assert!(sent.is_ready());
    }

    #[test]
    fn as_many_as_are_expected_are_taken_together() {
        let mailbox = Arc::new(Mailbox::new(8, 100));
        let taken = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || mailbox.take_all(Gathering { expected: 3, patience: FOREVER }))
        };
        (0..3).for_each(|item| put(&mailbox, item));
        assert_eq!(taken.join().unwrap().unwrap().0, [0, 1, 2]);
    }

    #[test]
    fn who_is_expected_and_does_not_come_is_waited_for_only_so_long() {
        let mailbox = Mailbox::new(8, 100);
        put(&mailbox, 0);
        let patience = Duration::from_millis(1);
        assert_eq!(mailbox.take_all(Gathering { expected: 3, patience }).unwrap(), ([0].into(), 1));
    }

    #[test]
    fn nobody_waits_for_room_while_more_are_expected() {
        let mailbox = Mailbox::new(8, 2);
        put(&mailbox, 0);
        put(&mailbox, 1);
        let mut third = pin!(mailbox.send(2, 1));
        assert!(third.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(
            mailbox.take_all(Gathering { expected: 3, patience: FOREVER }).unwrap(),
            ([0, 1].into(), 2)
        );
    }

    #[test]
    fn who_waits_for_more_ends_when_the_mailbox_is_closed() {
        let mailbox = Arc::new(Mailbox::new(8, 100));
        put(&mailbox, 0);
        let taken = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || mailbox.take_all(Gathering { expected: 3, patience: FOREVER }))
        };
        mailbox.close(Some(1));
        assert_eq!(taken.join().unwrap().unwrap().0, [0, 1]);
    }
}
