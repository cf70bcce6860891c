//! How far `pub -l` is: one line on a terminal, rewritten some times a second, and nothing anywhere else.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often it is written anew.
const EVERY: Duration = Duration::from_millis(200);

/// The line, if there is one.
pub(super) struct Progress {
    line: Option<ProgressBar>,
    began: Instant,
    shown: Instant,
}

impl Progress {
    /// On a terminal at which nobody types the lines.
    pub(super) fn new() -> Progress {
        let now = Instant::now();
        let wanted = std::io::stderr().is_terminal() && !std::io::stdin().is_terminal();
        let line = wanted.then(|| {
            let style = ProgressStyle::with_template("{msg}").expect("this is a template");
            ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()).with_style(style)
        });
        Progress { line, began: now, shown: now }
    }

    pub(super) fn show(&mut self, done: u64) {
        let Some(line) = &self.line else { return };
        if self.shown.elapsed() < EVERY {
            return;
        }
        self.shown = Instant::now();
        let rate = done as f64 / self.began.elapsed().as_secs_f64();
        line.set_message(format!(
            "{} lines published, {} a second",
            HumanCount(done),
            HumanCount(rate as u64)
        ));
        line.tick();
    }

    /// Takes the line away; it comes again when there is more to show.
    pub(super) fn clear(&self) {
        if let Some(line) = &self.line {
            line.finish_and_clear();
        }
    }
}
