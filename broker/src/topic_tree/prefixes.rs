//! The prefixes of the filters with wildcards: the signposts by which a topic finds its filters.
//! They lead, they do not decide: where two prefixes share a fingerprint, a signpost points both
//! ways, and the filter at the end of the road is compared by its text.

use super::index::{Index, Slot, fingerprint};
use super::path_hash::{Edge, PathHasher};

/// How many filters leave a prefix by each way.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Prefix {
    fingerprint: u32,
    literals: u32,
    pluses: u32,
    multis: u16,
    ends: u16,
}

/// The ways on from a prefix.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Way {
    Literal,
    Plus,
    Multi,
    End,
}

impl Prefix {
    /// Whether a filter goes on with a level without wildcard.
    #[inline]
    pub(super) fn has_literals(&self) -> bool {
        self.literals != 0
    }

    /// Whether a filter goes on with `+`.
    #[inline]
    pub(super) fn has_plus(&self) -> bool {
        self.pluses != 0
    }

    /// Whether a filter ends with `#` here.
    #[inline]
    pub(super) fn has_multi(&self) -> bool {
        self.multis != 0
    }

    /// Whether the prefix is itself a filter with wildcards.
    #[inline]
    pub(super) fn is_end(&self) -> bool {
        self.ends != 0
    }

    fn add(&mut self, way: Way) {
        match way {
            Way::Literal => self.literals = self.literals.saturating_add(1),
            Way::Plus => self.pluses = self.pluses.saturating_add(1),
            Way::Multi => self.multis = self.multis.saturating_add(1),
            Way::End => self.ends = self.ends.saturating_add(1),
        }
    }

    /// A count that ever reached its maximum stays there: a signpost too many does no harm.
    fn take(&mut self, way: Way) {
        match way {
            Way::Literal if self.literals != u32::MAX => self.literals -= 1,
            Way::Plus if self.pluses != u32::MAX => self.pluses -= 1,
            Way::Multi if self.multis != u16::MAX => self.multis -= 1,
            Way::End if self.ends != u16::MAX => self.ends -= 1,
            Way::Literal | Way::Plus | Way::Multi | Way::End => {}
        }
    }
}

impl Slot for Prefix {
    const EMPTY: Self = Prefix { fingerprint: 0, literals: 0, pluses: 0, multis: 0, ends: 0 };

    #[inline]
    fn is_empty(&self) -> bool {
        self.literals == 0 && self.pluses == 0 && self.multis == 0 && self.ends == 0
    }

    #[inline]
    fn fingerprint(&self) -> u32 {
        self.fingerprint
    }
}

/// All prefixes, by the hash of their path.
#[derive(Debug)]
pub(super) struct Prefixes {
    /// The prefix of no levels, where every walk begins.
    root: Prefix,
    index: Index<Prefix>,
}

impl Prefixes {
    pub(super) fn new() -> Self {
        Prefixes { root: Prefix::EMPTY, index: Index::new() }
    }

    /// Where every walk begins.
    #[inline]
    pub(super) fn root(&self) -> Prefix {
        self.root
    }

    /// The signpost at that path.
    #[inline]
    pub(super) fn prefix(&self, path: u64) -> Option<Prefix> {
        let at = self.index.find(fingerprint(path), |_| true)?;
        Some(*self.index.slot(at))
    }

    /// How many there are beside the root.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// Marks the way to a filter.
    pub(super) fn insert(&mut self, hasher: &PathHasher, filter: &str) {
        for_each_way(hasher, filter, |path, way| match path {
            None => self.root.add(way),
            Some(path) => {
                let fingerprint = fingerprint(path);
                match self.index.find(fingerprint, |_| true) {
                    Some(at) => self.index.slot_mut(at).add(way),
                    None => {
                        let mut prefix = Prefix { fingerprint, ..Prefix::EMPTY };
                        prefix.add(way);
                        self.index.insert(prefix);
                    }
                }
            }
        });
    }

    /// Takes the marks away that one `insert` of that filter set.
    pub(super) fn remove(&mut self, hasher: &PathHasher, filter: &str) {
        for_each_way(hasher, filter, |path, way| match path {
            None => self.root.take(way),
            Some(path) => {
                let Some(at) = self.index.find(fingerprint(path), |_| true) else { return };
                let mut prefix = *self.index.slot(at);
                prefix.take(way);
                if prefix.is_empty() {
                    self.index.remove(at);
                } else {
                    *self.index.slot_mut(at) = prefix;
                }
            }
        });
    }
}

/// Each prefix of a filter (`None`: of no levels) with the way that the filter takes from there.
fn for_each_way(hasher: &PathHasher, filter: &str, mut visit: impl FnMut(Option<u64>, Way)) {
    let mut prefix = None;
    for edge in hasher.edges(filter) {
        let way = match edge {
            Edge::Literal(_) => Way::Literal,
            Edge::Plus => Way::Plus,
            Edge::Multi => Way::Multi,
        };
        visit(prefix, way);
        if way == Way::Multi {
            return;
        }
        prefix = Some(hasher.step(prefix.unwrap_or(hasher.root()), edge));
    }
    visit(prefix, Way::End);
}
