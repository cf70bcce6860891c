//! Who owns the tasks that serve connections: there is a limit to them, and a stop waits for all of them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections beyond the broker's own limit that get a task nevertheless, so that the broker can tell them why it
/// refuses them. More are closed without a word.
const REFUSALS_AT_ONCE: usize = 128;

/// The tasks that serve connections. Each holds a permit until it ends, however it ends.
#[derive(Clone, Debug)]
pub(crate) struct Connections {
    permits: Arc<Semaphore>,
    total: u32,
}

impl Connections {
    pub(crate) fn new(max_connections: usize) -> Connections {
        let total = max_connections.saturating_add(REFUSALS_AT_ONCE);
        let total = u32::try_from(total).unwrap_or(u32::MAX).min(Semaphore::MAX_PERMITS as u32);
        Connections { permits: Arc::new(Semaphore::new(total as usize)), total }
    }

    /// Serves a connection in a task of its own; `false`, and it is dropped, if there are too many.
    pub(crate) fn spawn(&self, connection: impl Future<Output = ()> + Send + 'static) -> bool {
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            return false;
        };
        tokio::spawn(Permitted { connection, _permit: permit });
        true
    }

    /// Tasks that run.
    pub(crate) fn running(&self) -> usize {
        self.total as usize - self.permits.available_permits()
    }

    /// Waits until every task has ended; `false` if some have not within that time.
    pub(crate) async fn ended(&self, within: Duration) -> bool {
        tokio::time::timeout(within, self.permits.acquire_many(self.total)).await.is_ok()
    }
}

pin_project_lite::pin_project! {
    /// A connection with its permit. An `async` block would keep room for the connection twice: where it was captured
    /// and where it is awaited.
    struct Permitted<F> {
        #[pin]
        connection: F,
        _permit: OwnedSemaphorePermit,
    }
}

impl<F: Future<Output = ()>> Future for Permitted<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.project().connection.poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn tasks_are_counted_refused_at_the_limit_and_waited_for() {
        let connections = Connections::new(1);
        let (stop, stopped) = tokio::sync::watch::channel(false);
        for _ in 0..=REFUSALS_AT_ONCE {
            let mut stopped = stopped.clone();
            assert!(connections.spawn(async move {
                stopped.changed().await.unwrap();
            }));
        }
        assert!(!connections.spawn(ready(())));
        assert_eq!(connections.running(), REFUSALS_AT_ONCE + 1);
        assert!(!connections.ended(Duration::from_secs(1)).await);
        stop.send(true).unwrap();
        assert!(connections.ended(Duration::from_secs(1)).await);
        assert_eq!(connections.running(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_is_over() {
        let connections = Connections::new(1);
        assert!(connections.spawn(async { panic!("this test panics on purpose") }));
        assert!(connections.ended(Duration::from_secs(1)).await);
        assert!(connections.spawn(pending()));
        assert!(!connections.ended(Duration::from_secs(1)).await);
    }
}
