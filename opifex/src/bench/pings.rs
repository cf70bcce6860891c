//! When a connection of a benchmark asks the server whether it is there.

use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

/// The turns of a keep-alive: two in its time, so that the server hears something in time. Without one there are none.
#[derive(Debug)]
pub(super) struct Pings {
    turns: Option<Interval>,
    /// Turns since the server has sent anything.
    unanswered: u8,
}

/// What a turn is for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Ask,
    /// The server has had a whole keep-alive for its answer.
    Unanswered,
}

impl Pings {
    /// Turns for that keep-alive; 0 is none.
    pub(super) fn new(keep_alive: Duration) -> Pings {
        let half = keep_alive / 2;
        let turns = (!half.is_zero()).then(|| {
            let mut turns = interval_at(Instant::now() + half, half);
            turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
            turns
        });
        Pings { turns, unanswered: 0 }
    }

    /// Waits for the next turn. Nothing is lost when it is dropped while it waits.
    pub(super) async fn next(&mut self) -> Turn {
        match &mut self.turns {
            Some(turns) => turns.tick().await,
            None => std::future::pending().await,
        };
        // One turn may come in front of an answer that is there and not read yet.
        self.unanswered += 1;
        if self.unanswered > 2 { Turn::Unanswered } else { Turn::Ask }
    }

    /// The server is there.
    pub(super) fn answered(&mut self) {
        self.unanswered = 0;
    }
}
