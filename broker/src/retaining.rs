//! Changes of retained messages that are ordered and maybe not visible yet: a read shows a batch at the latest when it
//! is durable. A replay that read before would miss a message that was delivered before its subscription was made, or
//! send the value before it.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// The changes that are under way, in the order in which they are delivered.
#[derive(Default)]
pub(crate) struct Retaining {
    state: Mutex<State>,
    ended: Notify,
}

#[derive(Default)]
struct State {
    next: u64,
    under_way: BTreeSet<u64>,
}

/// A batch that changes retained messages, from its delivery until this is dropped.
pub(crate) struct Change {
    retaining: Arc<Retaining>,
    number: u64,
}

impl Retaining {
    /// To be called before an ordered batch is delivered, and kept until it is durable or has failed.
    pub(crate) fn begin(self: &Arc<Retaining>) -> Change {
        let mut state = self.state.lock();
        let number = state.next;
        state.next += 1;
        state.under_way.insert(number);
        Change { retaining: self.clone(), number }
    }

    /// Waits until reads show every change that is under way now; later ones are not waited for.
    pub(crate) async fn visible(&self) {
        let mark = self.state.lock().next;
        loop {
            let ended = self.ended.notified();
            let mut ended = std::pin::pin!(ended);
            ended.as_mut().enable();
            if self.state.lock().under_way.first().is_none_or(|first| *first >= mark) {
                return;
            }
            ended.await;
        }
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        self.retaining.state.lock().under_way.remove(&self.number);
        self.retaining.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::yield_now;

    use super::*;

    #[tokio::test]
    async fn a_reader_waits_for_the_changes_before_it_and_for_no_later_one() {
        let retaining = Arc::new(Retaining::default());
        retaining.visible().await;
        let (first, second) = (retaining.begin(), retaining.begin());
        let reader = tokio::spawn({
            let retaining = retaining.clone();
            async move { retaining.visible().await }
        });
        yield_now().await;
        let _later = retaining.begin();
        drop(second);
        yield_now().await;
        assert!(!reader.is_finished());
        drop(first);
        reader.await.expect("it does not panic");
    }
}
