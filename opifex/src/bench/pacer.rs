//! Wakes publishers when their next message is due, and when the run begins and ends. One thread for all of them, which sleeps more exactly
//! than the runtime's timers of a millisecond, and no timer for any message.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::board::{Board, Progress};
use super::plan::Plan;

/// It looks no more often than that.
const SHORTEST: Duration = Duration::from_micros(50);

/// It looks whether the run is over no less often than that.
const LONGEST: Duration = Duration::from_millis(50);

/// Starts the thread; it ends with the run.
pub(super) fn start(board: Arc<Board>, plan: Arc<Plan>) -> JoinHandle<()> {
    thread::spawn(move || {
        let start = board.start.load(Relaxed);
        // There may be none.
        let publishers = (plan.publishers as u64).max(1);
        let mut woken = 0;
        let mut begun = false;
        while !board.is_stopped() {
            let now = board.now();
            // Beginning and end of the run are due for everybody, with a rate or without.
            if (!begun && now >= start) || now >= board.end.load(Relaxed) {
                begun = now >= start;
                board.publishers.iter().for_each(Progress::nudge);
            }
            let due = now.checked_sub(start).and_then(|since| plan.due_within(since)).unwrap_or(0);
            for nth in (woken..due).take(plan.publishers) {
                board.publishers[(nth % publishers) as usize].nudge();
            }
            woken = due;
            let next = if begun { plan.due((due % publishers) as usize, due / publishers) } else { Some(0) };
            let wait =
                next.map_or(LONGEST, |next| Duration::from_nanos((start + next).saturating_sub(board.now())));
            thread::sleep(wait.clamp(SHORTEST, LONGEST));
        }
    })
}
