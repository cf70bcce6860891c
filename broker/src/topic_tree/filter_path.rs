//! Where a filter is marked in the path table, and which signposts lead there. Signposts lead, they
//! do not decide: where two paths share a fingerprint one points both ways, and the filter at the
//! end of the road is compared by its text.

use super::mark::{Mark, Meaning, Way};
use super::path_hash::PathHasher;
use super::path_table::{PathTable, fingerprint};

/// The path of a filter: of its levels, less a `#` at the end.
#[derive(Copy, Clone, Debug)]
pub(super) struct FilterPath {
    path: u64,
    is_multi: bool,
}

impl FilterPath {
    pub(super) fn of(hasher: &PathHasher, filter: &str) -> Self {
        let mut end = FilterPath { path: hasher.root(), is_multi: false };
        for level in filter.split('/') {
            match level {
                "#" => end.is_multi = true,
                "+" => end.path = hasher.step(end.path, hasher.plus()),
                text => end.path = hasher.step(end.path, hasher.level(text.as_bytes())),
            }
        }
        end
    }

    /// The numbers of the filters that are marked where this one is.
    #[inline]
    pub(super) fn filters(self, table: &PathTable) -> impl Iterator<Item = u32> {
        table.marks(self.path).iter().filter_map(move |mark| match mark.meaning() {
            Meaning::End { filter } if !self.is_multi => Some(filter),
            Meaning::Multi { filter } if self.is_multi => Some(filter),
            Meaning::Nothing | Meaning::Ways { .. } | Meaning::End { .. } | Meaning::Multi { .. } => None,
        })
    }

    /// Marks a filter with its number.
    pub(super) fn mark(self, table: &mut PathTable, filter: u32) {
        table.insert(self.mark_of(filter));
    }

    /// Takes that mark away.
    pub(super) fn unmark(self, table: &mut PathTable, filter: u32) {
        let meant = self.mark_of(filter);
        table.change(self.path, |mark| (*mark == meant).then_some(Mark::NOTHING));
    }

    fn mark_of(self, filter: u32) -> Mark {
        let meaning = if self.is_multi { Meaning::Multi { filter } } else { Meaning::End { filter } };
        Mark::new(fingerprint(self.path), meaning)
    }
}

/// Puts signposts up along a filter with wildcards. One without needs none: a topic finds it by its
/// own path.
pub(super) fn put_signposts(hasher: &PathHasher, table: &mut PathTable, filter: &str) {
    for_each_way(hasher, filter, |path, way| {
        let one_more = |mark: &Mark| match mark.meaning() {
            signpost @ Meaning::Ways { .. } => Some(Mark::new(mark.fingerprint(), signpost.with(way))),
            Meaning::Nothing | Meaning::End { .. } | Meaning::Multi { .. } => None,
        };
        if !table.change(path, one_more) {
            table.insert(Mark::new(fingerprint(path), Meaning::Nothing.with(way)));
        }
    });
}

/// Takes away what one `put_signposts` of that filter put up.
pub(super) fn take_signposts(hasher: &PathHasher, table: &mut PathTable, filter: &str) {
    for_each_way(hasher, filter, |path, way| {
        table.change(path, |mark| match mark.meaning() {
            signpost @ Meaning::Ways { .. } => Some(Mark::new(mark.fingerprint(), signpost.without(way))),
            Meaning::Nothing | Meaning::End { .. } | Meaning::Multi { .. } => None,
        });
    });
}

/// Each prefix of a filter with the way that the filter takes from there.
fn for_each_way(hasher: &PathHasher, filter: &str, mut visit: impl FnMut(u64, Way)) {
    let mut path = hasher.root();
    for level in filter.split('/') {
        let (way, level) = match level {
            "#" => return,
            "+" => (Way::Plus, hasher.plus()),
            text => (Way::Literal, hasher.level(text.as_bytes())),
        };
        visit(path, way);
        path = hasher.step(path, level);
    }
}
