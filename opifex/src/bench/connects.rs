//! Connections that are made and ended: one worker makes one after another.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::board::{Board, record};
use super::plan::Plan;
use super::wire::{Login, Wire};

/// Makes connections until the run ends. What is counted as sent is a connection that was accepted.
pub(super) async fn run(
    worker: usize,
    login: Arc<Login>,
    board: Arc<Board>,
    plan: Arc<Plan>,
) -> anyhow::Result<()> {
    let progress = &board.publishers[worker];
    let (start, measure_from) = (board.start.load(Relaxed), board.measure_from.load(Relaxed));
    let mut measured = 0;
    for number in 0.. {
        let planned = plan.due(worker, number).map(|due| start.saturating_add(due));
        let due = planned.unwrap_or_else(|| board.now().max(start));
        let is_over = || board.is_over(due, board.now()) || board.is_stopped();
        let waits = board.now() < due;
        loop {
            progress.will_wait();
            if is_over() || board.now() >= due {
                break;
            }
            // The pacer's turn: a timer of the runtime would take a millisecond longer.
            progress.wake.notified().await;
        }
        if is_over() || plan.quota(worker) == Some(measured) {
            break;
        }
        // What the connection before it held up is not the generator's doing.
        let lag = (waits && planned.is_some()).then(|| board.now() - due);
        let wire = Wire::connect(&login, &format!("{}-{worker}-{number}", plan.client_prefix)).await?;
        let now = board.now();
        wire.close().await;
        progress.sent.fetch_add(1, Relaxed);
        if due >= measure_from {
            measured += 1;
            progress.sent_measured.store(measured, Relaxed);
            progress.last_measured.store(now, Relaxed);
            record(&board.connect, &mut vec![now - due]);
            record(&board.lag, &mut lag.into_iter().collect());
        }
    }
    Ok(())
}
