//! How far a run is, on a terminal: one line on standard error.

use std::cell::Cell;
use std::io::IsTerminal as _;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::board::Board;
use super::plan::{Length, Plan};

const EVERY: Duration = Duration::from_millis(200);

/// The line, if there is a terminal.
pub(super) struct Bar {
    bar: Option<ProgressBar>,
    /// When it was shown last, and the messages by then.
    shown: Cell<(Instant, u64)>,
}

impl Bar {
    pub(super) fn new() -> Bar {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{wide_bar} {percent:>3} %  {msg}");
            let style = style.expect("this is a template");
            ProgressBar::with_draw_target(Some(1000), ProgressDrawTarget::stderr()).with_style(style)
        });
        Bar { bar, shown: Cell::new((Instant::now(), 0)) }
    }

    pub(super) fn say(&self, what: &'static str) {
        if let Some(bar) = &self.bar {
            bar.set_message(what);
        }
    }

    pub(super) fn show(&self, board: &Board, plan: &Plan) {
        let Some(bar) = &self.bar else { return };
        let (shown, before) = self.shown.get();
        if shown.elapsed() < EVERY {
            return;
        }
        let (sent, received) = (board.sum(|publisher| &publisher.sent), board.received.load(Relaxed));
        self.shown.set((Instant::now(), sent + received));
        let (now, start, measure_from) =
            (board.now(), board.start.load(Relaxed), board.measure_from.load(Relaxed));
        let done = match plan.length {
            Length::Time(_) => {
                let end = board.end.load(Relaxed);
                now.saturating_sub(start) as f64 / end.saturating_sub(start).max(1) as f64
            }
            Length::Count(count) => board.sum(|publisher| &publisher.sent_measured) as f64 / count as f64,
        };
        bar.set_position((done.min(1.0) * 1000.0) as u64);
        let rate = (sent + received - before) as f64 / shown.elapsed().as_secs_f64();
        let phase = if now < measure_from { "warming up" } else { "measuring" };
        bar.set_message(format!("{phase}, {} messages in and out a second", HumanCount(rate as u64)));
    }

    pub(super) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
