//! Hashes of filters and of their prefixes, one level at a time. Not a proof of anything: two paths
//! may share a hash, so whoever finds something by hash compares the text.

use std::hash::{BuildHasher, Hasher};

use hashbrown::DefaultHashBuilder;

/// The step from one level of a filter to the next.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Edge {
    /// A level without wildcard, by the hash of its text.
    Literal(u64),
    /// `+`
    Plus,
    /// `#`
    Multi,
}

/// Seeded per tree, so that nobody outside can choose topics that collide.
#[derive(Debug)]
pub(super) struct PathHasher {
    levels: DefaultHashBuilder,
    root: u64,
    plus: u64,
    multi: u64,
    #[cfg(test)]
    kept_bits: u64,
}

impl PathHasher {
    pub(super) fn new() -> Self {
        let levels = DefaultHashBuilder::default();
        // No level of a topic is spelled like these three, so that only chance makes them meet one.
        let [root, plus, multi] = ["+root", "+", "#"].map(|name| hash_level(&levels, name.as_bytes()));
        PathHasher {
            levels,
            root,
            plus,
            multi,
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

    /// The hash of one level's text.
    #[inline]
    pub(super) fn level(&self, text: &[u8]) -> u64 {
        hash_level(&self.levels, text)
    }

    /// The path that goes on from `parent` by one level.
    #[inline]
    pub(super) fn step(&self, parent: u64, edge: Edge) -> u64 {
        let edge = match edge {
            Edge::Literal(level) => level,
            Edge::Plus => self.plus,
            Edge::Multi => self.multi,
        };
        // A folded multiplication, as wyhash and foldhash mix: every bit of the input reaches the
        // upper half, from which the fingerprint is taken.
        let product = u128::from(parent ^ edge) * u128::from(0x9e37_79b9_7f4a_7c15_u64);
        let path = (product >> 64) as u64 ^ product as u64;
        #[cfg(test)]
        let path = path & self.kept_bits;
        path
    }

    /// The steps of a filter, first to last.
    pub(super) fn edges(&self, filter: &str) -> impl Iterator<Item = Edge> {
        filter.split('/').map(|level| match level {
            "+" => Edge::Plus,
            "#" => Edge::Multi,
            text => Edge::Literal(self.level(text.as_bytes())),
        })
    }

    /// The hash of a whole filter.
    pub(super) fn filter(&self, filter: &str) -> u64 {
        self.edges(filter).fold(self.root, |path, edge| self.step(path, edge))
    }
}

#[inline]
fn hash_level(levels: &DefaultHashBuilder, text: &[u8]) -> u64 {
    let mut hasher = levels.build_hasher();
    hasher.write(text);
    hasher.finish()
}
