//! Hashes of filters and of their prefixes, one level at a time. Not a proof of anything: two paths
//! may share a hash, so whoever finds something by hash compares the text.

use std::hash::{BuildHasher, Hasher};

use hashbrown::DefaultHashBuilder;

/// Seeded per tree, so that nobody outside can choose topics that collide.
#[derive(Debug)]
pub(super) struct PathHasher {
    levels: DefaultHashBuilder,
    root: u64,
    plus: LevelHash,
    #[cfg(test)]
    kept_bits: u64,
}

/// The hash of one level, wherever it stands.
#[derive(Copy, Clone, Debug, Default)]
pub(super) struct LevelHash(u64);

impl PathHasher {
    pub(super) fn new() -> Self {
        let levels = DefaultHashBuilder::default();
        PathHasher {
            // No level is spelled like this; and no level of a topic is spelled like a wildcard.
            root: hash_level(&levels, b"+root").0,
            plus: hash_level(&levels, b"+"),
            levels,
            #[cfg(test)]
            kept_bits: u64::MAX,
        }
    }

    /// A hasher so bad that unrelated paths meet all the time.
    #[cfg(test)]
    pub(super) fn with_collisions(kept_bits: u64) -> Self {
        PathHasher { kept_bits, ..PathHasher::new() }
    }

    /// The path of no levels.
    #[inline]
    pub(super) fn root(&self) -> u64 {
        self.root
    }

    /// The hash of `+`.
    #[inline]
    pub(super) fn plus(&self) -> LevelHash {
        self.plus
    }

    /// The hash of one level's text.
    #[inline]
    pub(super) fn level(&self, text: &[u8]) -> LevelHash {
        hash_level(&self.levels, text)
    }

    /// The path that goes on from `parent` by one level.
    #[inline]
    pub(super) fn step(&self, parent: u64, level: LevelHash) -> u64 {
        // A folded multiplication, as wyhash and foldhash mix: every bit of the input reaches the
        // upper half, from which the fingerprint is taken.
        let product = u128::from(parent ^ level.0) * u128::from(0x9e37_79b9_7f4a_7c15_u64);
        let path = (product >> 64) as u64 ^ product as u64;
        #[cfg(test)]
        let path = path & self.kept_bits;
        path
    }
}

#[inline]
fn hash_level(levels: &DefaultHashBuilder, text: &[u8]) -> LevelHash {
    let mut hasher = levels.build_hasher();
    hasher.write(text);
    LevelHash(hasher.finish())
}
