//! The processor time of this process, where the system tells it as Linux does.

use std::time::Instant;

/// Measures the share of a processor that this process takes, over some of its life.
#[derive(Copy, Clone, Debug)]
pub(super) struct Meter {
    seconds: f64,
    since: Instant,
}

impl Meter {
    /// Begins now. `None` where it cannot be known.
    pub(super) fn begin() -> Option<Meter> {
        Some(Meter { seconds: seconds()?, since: Instant::now() })
    }

    /// Percent of one processor, from its beginning until now.
    pub(super) fn percent(self) -> Option<f64> {
        Some((seconds()? - self.seconds) / self.since.elapsed().as_secs_f64() * 100.0)
    }
}

/// Seconds, of all threads.
fn seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name, in parentheses, may hold anything; utime and stime are the 14th and 15th field.
    let fields = stat.rsplit_once(") ")?.1.split(' ').skip(11).take(2);
    let ticks: Option<u64> = fields.map(|field| field.parse::<u64>().ok()).sum();
    // Linux counts for its users 100 ticks a second.
    Some(ticks? as f64 / 100.0)
}
