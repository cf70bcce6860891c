//! Two streams that are read in turns: one that is never empty would keep the other waiting, which fills up meanwhile, and
//! then the client reads nothing more.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

/// Whose turn it is.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    others: bool,
}

impl Turns {
    /// What the first to be ready comes to. When both are, it is each time another's.
    pub(crate) async fn either<T>(
        &mut self,
        one: impl Future<Output = T>,
        other: impl Future<Output = T>,
    ) -> T {
        let (mut one, mut other) = (pin!(one), pin!(other));
        let others = self.others;
        self.others = !others;
        poll_fn(|cx| {
            if others && let Poll::Ready(came) = other.as_mut().poll(cx) {
                return Poll::Ready(came);
            }
            if let Poll::Ready(came) = one.as_mut().poll(cx) {
                return Poll::Ready(came);
            }
            if others { Poll::Pending } else { other.as_mut().poll(cx) }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn each_has_its_turn_also_when_the_other_is_always_ready() {
        let mut turns = Turns::default();
        let mut came = Vec::new();
        for _ in 0..4 {
            came.push(turns.either(ready(1), ready(2)).await);
        }
        assert_eq!(came, [1, 2, 1, 2]);
        for _ in 0..2 {
            assert_eq!(turns.either(pending(), ready(2)).await, 2);
            assert_eq!(turns.either(ready(1), pending()).await, 1);
        }
    }
}
