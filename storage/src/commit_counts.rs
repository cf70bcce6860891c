//! How much a store commits together: what group commit is judged by.

/// How many batches a store has taken since it was opened, in how many commits.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitCounts {
    /// Batches and opens, also refused ones.
    pub batches: u64,
    /// Transactions that were written.
    pub commits: u64,
}
