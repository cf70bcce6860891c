//! Wall-clock time as the contract sees it: an argument, never read from a clock here.

/// Milliseconds since the Unix epoch. The caller sees to it that it never runs backwards within a process.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// This moment and `secs` seconds, saturating.
    pub fn plus_secs(self, secs: u32) -> Timestamp {
        Timestamp(self.0.saturating_add(u64::from(secs) * 1000))
    }

    /// Milliseconds from `earlier` to this moment, 0 when it lies after it.
    pub fn millis_since(self, earlier: Timestamp) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
