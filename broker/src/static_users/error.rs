//! What can be wrong with a list of static users.

use std::convert::Infallible;

use opifex_packet::TopicError;

/// What is wrong with a list of static users. No message repeats what may be a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StaticUsersError {
    /// Two users have one name.
    #[error("user {0:?} is there twice")]
    DuplicateUser(String),
    /// Rules are for a user that is not in the list.
    #[error("rules for user {0:?}, who is not in the list")]
    UnknownUser(String),
    /// A plain-text password, most likely.
    #[error(
        "not a password hash, expected one that begins with $argon2id$ (plain-text passwords are not accepted)"
    )]
    NotAHash,
    /// A hash that only looks like one.
    #[error("not a complete argon2id hash, expected $argon2id$v=19$m=..,t=..,p=..$salt$hash")]
    BrokenHash,
    /// A hash made by another function.
    #[error("a password hash of {0:?}, expected argon2id")]
    OtherAlgorithm(String),
    /// A hash whose verification would take more memory than any login should.
    #[error("a password hash that takes {0} KiB of memory to verify, expected at most {max}", max = super::password_hash::MAX_MEMORY_KIB)]
    TooDear(u32),
    /// A rule that is no topic filter.
    #[error("rule {filter:?} is not a topic filter")]
    Filter {
        /// The rule.
        filter: String,
        /// What is wrong with it.
        source: TopicError,
    },
    /// A rule with `$share/`: a shared subscription is allowed when the filter inside it is.
    #[error("rule {0:?} names a shared subscription, expected the topic filter inside it")]
    SharedFilter(String),
}

impl From<Infallible> for StaticUsersError {
    fn from(never: Infallible) -> StaticUsersError {
        match never {}
    }
}
