//! What the store failed at, in a line for each failure: a commit that fails meets many connections, and each is told the
//! same.
//!
//! What becomes of the connections is not decided here.

use std::time::Duration;

use opifex_storage::{ErrorKind, StoreError};
use parking_lot::Mutex;
use tokio::time::Instant;

/// The same words within this time are about the same failure.
const SAME_FAILURE: Duration = Duration::from_secs(1);

/// A full store is mentioned so often at most: it refuses each message.
const SAME_REFUSAL: Duration = Duration::from_secs(10);

/// The failure that was said last.
#[derive(Default)]
pub(crate) struct StoreTrouble {
    said: Mutex<Option<(StoreError, Instant)>>,
}

impl StoreTrouble {
    /// Says it, if it was not said just now.
    pub(crate) fn note(&self, error: &StoreError) {
        let kind = error.kind();
        match kind {
            // A takeover is no trouble, and the connection's end says the rest.
            ErrorKind::Fenced | ErrorKind::Conflict => {}
            ErrorKind::Full | ErrorKind::TooLarge => {
                if self.is_new(error, SAME_REFUSAL) {
                    tracing::warn!(%error, ?kind, "the store refuses what it has no room for");
                }
            }
            _ => {
                if self.is_new(error, SAME_FAILURE) {
                    let certainty = error.certainty();
                    tracing::error!(%error, ?kind, ?certainty, "the store failed");
                }
            }
        }
    }

    fn is_new(&self, error: &StoreError, same: Duration) -> bool {
        let now = Instant::now();
        let mut said = self.said.lock();
        let is_new = said.as_ref().is_none_or(|(last, at)| last != error || now.duration_since(*at) >= same);
        if is_new {
            *said = Some((error.clone(), now));
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_said_once_and_the_next_one_again() {
        let trouble = StoreTrouble::default();
        let failed = StoreError::not_applied(ErrorKind::Retry, "the disk failed");
        assert!(trouble.is_new(&failed, SAME_FAILURE));
        assert!(!trouble.is_new(&failed, SAME_FAILURE), "the next connection that it met");
        let other = StoreError::not_applied(ErrorKind::Retry, "another");
        assert!(trouble.is_new(&other, SAME_FAILURE));
        tokio::time::advance(SAME_FAILURE).await;
        assert!(trouble.is_new(&other, SAME_FAILURE));
    }
}
