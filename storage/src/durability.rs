//! What a committed batch survives.

use std::fmt;

/// What a committed batch survives, weakest first.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Durability {
    /// Nothing: the state lives as long as the process.
    Memory,
    /// The death of the process (kill -9), not that of the machine.
    Process,
    /// Power loss.
    Disk,
    /// The loss of a node.
    Quorum,
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Durability::Memory => "memory",
            Durability::Process => "process",
            Durability::Disk => "disk",
            Durability::Quorum => "quorum",
        })
    }
}
