//! What each commit says of the whole store: its own number, and how many rows those tables have that nothing else counts.
//!
//! Rows of `queue`, `subscriptions` and `inbound` are counted in their session's row; a missing body is missed by the row
//! that names it.

/// The number of the last commit, and the rows that are there after it.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) commit: u64,
    rows: [u64; 3],
}

/// A table whose rows are counted.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    Sessions,
    Retained,
    Wills,
}

impl Counted {
    pub(crate) const ALL: [Counted; 3] = [Counted::Sessions, Counted::Retained, Counted::Wills];

    /// The name of the table, and of its row in `counters`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Counted::Sessions => "sessions",
            Counted::Retained => "retained",
            Counted::Wills => "wills",
        }
    }
}

impl Tally {
    pub(crate) fn rows(&self, of: Counted) -> u64 {
        self.rows[of as usize]
    }

    pub(crate) fn set(&mut self, of: Counted, rows: u64) {
        self.rows[of as usize] = rows;
    }
}
