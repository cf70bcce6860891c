//! The processor time of this process, where the system tells it as Linux does.

/// Seconds, of all threads. `None` where it cannot be known.
pub(super) fn seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name, in parentheses, may hold anything; utime and stime are the 14th and 15th field.
    let fields = stat.rsplit_once(") ")?.1.split(' ').skip(11).take(2);
    let ticks: Option<u64> = fields.map(|field| field.parse::<u64>().ok()).sum();
    // Linux counts for its users 100 ticks a second.
    Some(ticks? as f64 / 100.0)
}
