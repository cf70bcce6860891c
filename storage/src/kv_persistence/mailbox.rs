//! The bounded way to a thread: senders are futures that wait for room in the order in which they came, the thread
//! takes everything that waits at once.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::task::{Poll, Waker};
use std::time::Instant;

/// How long who takes waits for more.
#[derive(Copy, Clone)]
pub(super) enum Wait {
    No,
    Until(Instant),
    /// Until it is nudged.
    UntilNudged,
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

    /// Whether nothing is inside.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().items.is_empty()
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
    pub(super) fn take_all(&self) -> Option<(VecDeque<T>, usize)> {
        let mut state = self.lock();
        while state.items.is_empty() {
            if state.closed {
                return None;
            }
            state.sleeps_until = Some(1);
            state = self.filled.wait(state).expect("no holder of this lock panics");
        }
        Some(self.take(state))
    }

    fn take(&self, mut state: MutexGuard<'_, State<T>>) -> (VecDeque<T>, usize) {
        state.sleeps_until = None;
        let items = std::mem::take(&mut state.items);
        let bytes = std::mem::take(&mut state.bytes);
        let next = self.next_to_wake(&mut state);
        drop(state);
        if let Some(waker) = next {
            waker.wake();
        }
        (items, bytes)
    }

    /// Takes what is inside, also nothing: when so many are inside, somebody waits for room, or it is not worth to `wait` any
    /// more. Whoever makes it so nudges.
    pub(super) fn take_more(&self, enough: usize, wait: impl Fn() -> Wait) -> (VecDeque<T>, usize) {
        let mut state = self.lock();
        while state.items.len() < enough.min(self.max_items) && state.waiting.is_empty() && !state.closed {
            state.sleeps_until = Some(enough);
            state = match wait() {
                Wait::No => break,
                Wait::Until(end) => {
                    let left = end.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        break;
                    }
                    self.filled.wait_timeout(state, left).expect("no holder of this lock panics").0
                }
                Wait::UntilNudged => self.filled.wait(state).expect("no holder of this lock panics"),
            };
        }
        self.take(state)
    }

    /// Lets the thread look again whether it is worth to wait.
    pub(super) fn nudge(&self) {
        // Who has looked and does not wait yet holds the lock.
        drop(self.lock());
        self.filled.notify_all();
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
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, mpsc};
    use std::task::Context;
    use std::thread;
    use std::time::Duration;

    use super::*;

    fn put(mailbox: &Mailbox<u32>, item: u32) {
        let sent = pin!(mailbox.send(item, 1)).poll(&mut Context::from_waker(Waker::noop()));
        assert!(sent.is_ready());
    }

    #[test]
    fn as_many_as_are_expected_are_taken_together() {
        let mailbox = Arc::new(Mailbox::new(8, 100));
        let taken = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || mailbox.take_more(3, || Wait::UntilNudged))
        };
        (0..3).for_each(|item| put(&mailbox, item));
        assert_eq!(taken.join().unwrap().0, [0, 1, 2]);
    }

    #[test]
    fn who_is_expected_and_does_not_come_is_waited_for_only_so_long() {
        let mailbox = Mailbox::new(8, 100);
        put(&mailbox, 0);
        let end = Instant::now() + Duration::from_millis(1);
        assert_eq!(mailbox.take_more(3, || Wait::Until(end)), ([0].into(), 1));
        assert_eq!(mailbox.take_more(3, || Wait::No), ([].into(), 0));
    }

    #[test]
    fn nobody_waits_for_room_while_more_are_expected() {
        let mailbox = Mailbox::new(8, 2);
        put(&mailbox, 0);
        put(&mailbox, 1);
        let mut third = pin!(mailbox.send(2, 1));
        assert!(third.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(mailbox.take_more(3, || Wait::UntilNudged), ([0, 1].into(), 2));
    }

    #[test]
    fn who_waits_for_more_ends_when_it_is_nudged_and_worth_it_no_more() {
        let mailbox = Arc::new(Mailbox::new(8, 100));
        put(&mailbox, 0);
        let (looked, has_looked) = mpsc::channel();
        let busy = Arc::new(AtomicBool::new(true));
        let taken = {
            let (mailbox, busy) = (Arc::clone(&mailbox), Arc::clone(&busy));
            thread::spawn(move || {
                mailbox.take_more(3, || {
                    looked.send(()).unwrap();
                    if busy.load(Ordering::SeqCst) { Wait::UntilNudged } else { Wait::No }
                })
            })
        };
        has_looked.recv().unwrap();
        busy.store(false, Ordering::SeqCst);
        mailbox.nudge();
        assert_eq!(taken.join().unwrap().0, [0]);
    }

    #[test]
    fn who_waits_for_more_ends_when_the_mailbox_is_closed() {
        let mailbox = Arc::new(Mailbox::new(8, 100));
        put(&mailbox, 0);
        let taken = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || mailbox.take_more(3, || Wait::UntilNudged))
        };
        mailbox.close(Some(1));
        assert_eq!(taken.join().unwrap().0, [0, 1]);
    }
}
