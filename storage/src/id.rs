//! The numbers that records are known by. Each is a type of its own, so that none can stand in for another.

use std::fmt;

macro_rules! number {
    ($(#[$docs:meta])* $name:ident) => {
        $(#[$docs])*
        #[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// A session's identity: the epoch at which it was created. Queue, subscriptions, in-flight state and inbound ids
    /// hang on it; the client id points to the current one. Never reused.
    SessionId
}
number! {
    /// A number of the store-wide counter that every open takes the next of. Never reused, never 0.
    Epoch
}
number! {
    /// A queue entry's place in its session's queue: dense, starting at 1, given at submit, never reused in the
    /// session's life. A dropped or gone target takes none; those that a failed transaction told are left out.
    Seq
}
number! {
    /// A record's version: it differs after every change of that record.
    RecordVersion
}

impl Seq {
    /// The place before the first entry.
    pub const ZERO: Seq = Seq(0);

    /// The place after this one.
    pub fn next(self) -> Seq {
        Seq(self.0 + 1)
    }
}
