//! Connections that are made and ended: one worker makes one after another.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use tokio::time::sleep_until;

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
        let due = match plan.due(worker, number) {
            Some(due) => start.saturating_add(due),
            None => board.now().max(start),
        };
        let is_over = || due >= board.end.load(Relaxed) || board.is_stopped();
        if is_over() || plan.quota(worker) == Some(measured) {
            break;
        }
        tokio::select! {
            () = sleep_until(board.at(due).into()) => {}
            () = board.stop.notified() => break,
        }
        if is_over() {
            break;
        }
        let wire = Wire::connect(&login, &format!("{}-{worker}-{number}", plan.client_prefix)).await?;
        let now = board.now();
        wire.close().await;
        progress.sent.fetch_add(1, Relaxed);
        if due >= measure_from {
            measured += 1;
            progress.sent_measured.store(measured, Relaxed);
            progress.last_measured.store(now, Relaxed);
            record(&board.connect, &mut vec![now - due]);
        }
    }
    Ok(())
}
