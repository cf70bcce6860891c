//! A bounded queue from async callers to a thread of ours: who finds it full waits, first come, first served.
//!
//! No runtime: a sender is woken by its waker, a receiver by a condition variable. Bounded by items and by their weight,
//! so that neither many small nor few large ones fill the memory.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

/// The queue.
pub(crate) struct Channel<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
    max_items: usize,
    max_weight: usize,
}

struct State<T> {
    items: VecDeque<(usize, T)>,
    weight: usize,
    /// Senders that wait, in the order in which they came.
    waiting: VecDeque<(u64, Waker)>,
    next_ticket: u64,
    closed: bool,
}

/// How long a receiver waits for an item.
pub(crate) enum Wait {
    No,
    /// Until an item comes or somebody calls [`Channel::wake_receiver`].
    UntilWoken,
    Until(Instant),
}

/// The queue is closed.
#[derive(Debug)]
pub(crate) struct Closed;

/// What a wait with an end came to.
pub(crate) enum Received<T> {
    Item(T),
    /// Nothing came until then.
    Nothing,
    /// The queue is closed and empty.
    Closed,
}

impl<T> Channel<T> {
    pub(crate) fn new(max_items: usize, max_weight: usize) -> Channel<T> {
        let state = State {
            items: VecDeque::new(),
            weight: 0,
            waiting: VecDeque::new(),
            next_ticket: 0,
            closed: false,
        };
        Channel {
            state: Mutex::new(state),
            filled: Condvar::new(),
            max_items: max_items.max(1),
            max_weight: max_weight.max(1),
        }
    }

    /// Waits until there is room and puts the item in. Dropping the future before takes it back.
    pub(crate) fn send(&self, weight: usize, item: T) -> Sending<'_, T> {
        Sending { channel: self, item: Some((weight, item)), ticket: None }
    }

    /// Waits for the next item; `None` when the queue is closed and empty.
    pub(crate) fn receive(&self) -> Option<T> {
        let mut state = self.state.lock();
        while state.items.is_empty() {
            if state.closed {
                return None;
            }
            self.filled.wait(&mut state);
        }
        let item = state.pop();
        self.wake_next(state);
        item
    }

    /// The same, as long as `wait` says.
    pub(crate) fn receive_while(&self, wait: impl FnMut() -> Wait) -> Received<T> {
        if let Some(item) = self.receive_if_while(|_| true, wait) {
            return Received::Item(item);
        }
        let state = self.state.lock();
        if state.closed && state.items.is_empty() { Received::Closed } else { Received::Nothing }
    }

    /// The next item, when there is one and it is such a one.
    pub(crate) fn try_receive_if(&self, wanted: impl FnOnce(&T) -> bool) -> Option<T> {
        let mut state = self.state.lock();
        if !wanted(&state.items.front()?.1) {
            return None;
        }
        let item = state.pop();
        self.wake_next(state);
        item
    }

    /// Like [`Channel::try_receive_if`], and waits for an item as long as `wait` says when there is none.
    pub(crate) fn receive_if_while(
        &self,
        wanted: impl FnOnce(&T) -> bool,
        mut wait: impl FnMut() -> Wait,
    ) -> Option<T> {
        let mut state = self.state.lock();
        while state.items.is_empty() && !state.closed {
            match wait() {
                Wait::No => break,
                Wait::UntilWoken => self.filled.wait(&mut state),
                Wait::Until(deadline) => {
                    if self.filled.wait_until(&mut state, deadline).timed_out() {
                        break;
                    }
                }
            }
        }
        drop(state);
        self.try_receive_if(wanted)
    }

    /// Wakes the receiver, which asks again how long to wait.
    pub(crate) fn wake_receiver(&self) {
        // Who has asked and does not wait yet holds the lock.
        drop(self.state.lock());
        self.filled.notify_all();
    }

    /// Whether nothing waits, and something may still come.
    pub(crate) fn is_idle(&self) -> bool {
        let state = self.state.lock();
        state.items.is_empty() && !state.closed
    }

    /// How many items wait.
    pub(crate) fn len(&self) -> usize {
        self.state.lock().items.len()
    }

    /// Takes no more; what is in the queue stays there to be received. Answers whether it was open.
    pub(crate) fn close(&self) -> bool {
        let mut state = self.state.lock();
        let was_open = !std::mem::replace(&mut state.closed, true);
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        self.filled.notify_all();
        waiting.into_iter().for_each(|(_, waker)| waker.wake());
        was_open
    }

    /// Closes the queue and drops what is in it.
    pub(crate) fn abandon(&self) {
        self.close();
        let items = std::mem::take(&mut self.state.lock().items);
        drop(items);
    }

    fn has_room(&self, state: &State<T>) -> bool {
        state.items.len() < self.max_items && state.weight < self.max_weight
    }

    /// Wakes who waits longest if there is room; that one wakes the next.
    fn wake_next(&self, state: parking_lot::MutexGuard<'_, State<T>>) {
        let next = match state.waiting.front() {
            Some((_, waker)) if self.has_room(&state) => Some(waker.clone()),
            _ => None,
        };
        drop(state);
        if let Some(waker) = next {
            waker.wake();
        }
    }
}

impl<T> State<T> {
    fn pop(&mut self) -> Option<T> {
        let (weight, item) = self.items.pop_front()?;
        self.weight -= weight;
        Some(item)
    }
}

/// Putting an item into the queue.
pub(crate) struct Sending<'a, T> {
    channel: &'a Channel<T>,
    item: Option<(usize, T)>,
    ticket: Option<u64>,
}

impl<T: Unpin> Future for Sending<'_, T> {
    type Output = Result<(), Closed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mut state = this.channel.state.lock();
        if state.closed {
            this.ticket = None;
            return Poll::Ready(Err(Closed));
        }
        let first = match this.ticket {
            Some(ticket) => state.waiting.front().is_some_and(|(front, _)| *front == ticket),
            None => state.waiting.is_empty(),
        };
        if first && this.channel.has_room(&state) {
            if this.ticket.take().is_some() {
                state.waiting.pop_front();
            }
            if let Some((weight, item)) = this.item.take() {
                state.weight += weight;
                state.items.push_back((weight, item));
            }
            this.channel.filled.notify_one();
            this.channel.wake_next(state);
            return Poll::Ready(Ok(()));
        }
        match this.ticket {
            Some(ticket) => {
                if let Some((_, waker)) = state.waiting.iter_mut().find(|(other, _)| *other == ticket) {
                    waker.clone_from(cx.waker());
                }
            }
            None => {
                let ticket = state.next_ticket;
                state.next_ticket += 1;
                state.waiting.push_back((ticket, cx.waker().clone()));
                this.ticket = Some(ticket);
            }
        }
        Poll::Pending
    }
}

impl<T> Drop for Sending<'_, T> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            let mut state = self.channel.state.lock();
            state.waiting.retain(|(other, _)| *other != ticket);
            // The room that it was woken for is the next one's.
            self.channel.wake_next(state);
        }
    }
}
