//! A hash table from paths to what is known of them, made for few cache misses: a look-up reads one
//! or two neighbouring cache lines. It keeps the fingerprint of a path and not the path: two paths
//! may share one, and whoever looks up tells them apart.

use std::hint::black_box;

use super::mark::Mark;

/// The upper half of a path's hash.
#[inline]
pub(super) fn fingerprint(path: u64) -> u32 {
    (path >> 32) as u32
}

/// Ordered linear probing. A mark's home is `fingerprint * capacity / 2^32`, and it stands there or
/// behind; all marks stand in the order of their fingerprints. So the marks of one path are a slice,
/// an absent path is known at the first larger fingerprint, any capacity will do, and growing is one
/// pass from front to back over both tables.
#[derive(Debug)]
pub(super) struct PathTable {
    /// `capacity` slots, and behind them what the last homes could not hold.
    slots: Vec<Mark>,
    capacity: usize,
    len: usize,
}

const SMALLEST_CAPACITY: usize = 8;

impl PathTable {
    pub(super) fn new() -> Self {
        PathTable { slots: Vec::new(), capacity: 0, len: 0 }
    }

    /// How many marks there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// All that is known of a path, and of others with its fingerprint.
    #[inline]
    pub(super) fn marks(&self, path: u64) -> &[Mark] {
        let (start, end) = self.range(fingerprint(path));
        &self.slots[start..end]
    }

    /// Begins to fetch what `marks` will read, and does not wait for it: look-ups whose paths are
    /// known beforehand wait for memory side by side.
    #[inline]
    pub(super) fn touch(&self, path: u64) {
        // Without `unsafe` there is no prefetch instruction; a load that nothing depends on is close.
        // The second load brings the neighbouring line where the slots reach over its edge.
        let home = self.home(fingerprint(path));
        black_box(self.slots.get(home).map(Mark::fingerprint));
        black_box(self.slots.get(home + 3).map(Mark::fingerprint));
    }

    /// Adds a mark behind others of its fingerprint.
    pub(super) fn insert(&mut self, mark: Mark) {
        // Three quarters full at most: a look-up reads two or three slots on average.
        if (self.len + 1) * 4 > self.capacity * 3 {
            self.resize((self.capacity + self.capacity / 2).max(SMALLEST_CAPACITY));
        }
        let (_, at) = self.range(mark.fingerprint());
        self.len += 1;
        let free = (at..self.slots.len()).find(|at| self.slots[*at].is_nothing());
        match free {
            Some(free) => {
                self.slots.copy_within(at..free, at + 1);
                self.slots[at] = mark;
            }
            None => self.slots.insert(at, mark),
        }
    }

    /// Changes the first mark of that path that `change` has an answer for; takes it out if the
    /// answer is `NOTHING`. An answer has the fingerprint that the mark had. Says whether there was
    /// one.
    pub(super) fn change(&mut self, path: u64, change: impl Fn(&Mark) -> Option<Mark>) -> bool {
        let (start, end) = self.range(fingerprint(path));
        let answer = (start..end).find_map(|at| Some((at, change(&self.slots[at])?)));
        match answer {
            Some((at, mark)) if mark.is_nothing() => self.remove(at),
            Some((at, mark)) => self.slots[at] = mark,
            None => {}
        }
        answer.is_some()
    }

    fn remove(&mut self, at: usize) {
        // What stands behind, up to the first that is at home or nothing, moves one forward.
        let end = (at + 1..self.slots.len())
            .find(|at| self.slots[*at].is_nothing() || self.home(self.slots[*at].fingerprint()) == *at)
            .unwrap_or(self.slots.len());
        self.slots.copy_within(at + 1..end, at);
        self.slots[end - 1] = Mark::NOTHING;
        self.len -= 1;
        if self.len * 5 < self.capacity && self.capacity > SMALLEST_CAPACITY {
            self.resize((self.capacity / 2).max(SMALLEST_CAPACITY));
        }
    }

    /// Where the marks of that fingerprint begin and end; where they would, if there are none.
    #[inline]
    fn range(&self, fingerprint: u32) -> (usize, usize) {
        let is_before = |at: usize, limit: u64| match self.slots.get(at) {
            Some(mark) => !mark.is_nothing() && u64::from(mark.fingerprint()) < limit,
            None => false,
        };
        let mut start = self.home(fingerprint);
        while is_before(start, u64::from(fingerprint)) {
            start += 1;
        }
        let mut end = start;
        while is_before(end, u64::from(fingerprint) + 1) {
            end += 1;
        }
        (start, end)
    }

    fn resize(&mut self, capacity: usize) {
        let old = std::mem::take(&mut self.slots);
        self.capacity = capacity;
        self.slots = vec![Mark::NOTHING; capacity];
        let mut free = 0;
        for mark in old {
            if !mark.is_nothing() {
                let at = self.home(mark.fingerprint()).max(free);
                match self.slots.get_mut(at) {
                    Some(slot) => *slot = mark,
                    None => self.slots.push(mark),
                }
                free = at + 1;
            }
        }
    }

    #[inline]
    fn home(&self, fingerprint: u32) -> usize {
        ((u64::from(fingerprint) * self.capacity as u64) >> 32) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic_tree::mark::Meaning;
    use proptest::prelude::*;

    fn mark(fingerprint: u32, filter: u32) -> Mark {
        Mark::new(fingerprint, Meaning::End { filter })
    }

    fn path(fingerprint: u32) -> u64 {
        u64::from(fingerprint) << 32
    }

    fn remove(table: &mut PathTable, meant: Mark) -> bool {
        table.change(path(meant.fingerprint()), |mark| (*mark == meant).then_some(Mark::NOTHING))
    }

    /// Crowded at both ends of the range, where homes are first and last.
    fn fingerprint() -> impl Strategy<Value = u32> {
        prop_oneof![0..40_u32, u32::MAX - 40..=u32::MAX, any::<u32>()]
    }

    proptest! {
        #[test]
        fn a_table_holds_what_a_list_holds(
            steps in prop::collection::vec((any::<bool>(), fingerprint(), 0..3_u32), 0..400)
        ) {
            let mut table = PathTable::new();
            let mut list: Vec<Mark> = Vec::new();
            for (insert, fingerprint, number) in steps {
                let meant = mark(fingerprint, number);
                if insert {
                    table.insert(meant);
                    list.push(meant);
                } else {
                    let at = list.iter().position(|mark| *mark == meant);
                    prop_assert_eq!(remove(&mut table, meant), at.is_some());
                    at.map(|at| list.remove(at));
                }
                prop_assert_eq!(table.len(), list.len());
                let expected: Vec<_> =
                    list.iter().copied().filter(|mark| mark.fingerprint() == fingerprint).collect();
                prop_assert_eq!(table.marks(path(fingerprint)), expected);
            }
            for meant in list {
                prop_assert!(remove(&mut table, meant));
            }
            prop_assert!(table.slots.iter().all(Mark::is_nothing));
        }
    }

    #[test]
    fn a_table_gives_memory_back_when_it_empties() {
        let mut table = PathTable::new();
        let fingerprints = || (0..10_000_u32).map(|number| number.wrapping_mul(0x9e37_79b9));
        for fingerprint in fingerprints() {
            table.insert(mark(fingerprint, 0));
        }
        for fingerprint in fingerprints() {
            assert!(remove(&mut table, mark(fingerprint, 0)));
        }
        assert_eq!((table.len(), table.capacity), (0, SMALLEST_CAPACITY));
    }
}
