//! Numbers that other clients and processes do not have. The keys of a hasher are all that the standard library has for
//! it; nothing here is a secret.

use std::hash::{BuildHasher, Hasher, RandomState};

/// A number unlike others.
pub(crate) fn number() -> u64 {
    RandomState::new().build_hasher().finish()
}
