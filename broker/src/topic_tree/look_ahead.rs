//! Which places of the path table a walk will probably read, told to the memory before the walk
//! needs them: with a million subscriptions each is a cache miss, and those that are asked for
//! together cost little more than one. A guess: it changes no answer.

use super::path_hash::PathHasher;
use super::path_table::PathTable;
use super::topic_levels::{LEVELS_AHEAD, TopicLevels};

/// How many filters have `+` at each of the first levels, and how many have wildcards at all.
#[derive(Debug, Default)]
pub(super) struct LookAhead {
    pluses: [usize; LEVELS_AHEAD],
    filters: usize,
}

/// More are no help: memory does not serve them side by side.
const MOST_TOUCHES: usize = 16;

impl LookAhead {
    /// Takes note of a filter with wildcards.
    pub(super) fn insert(&mut self, filter: &str) {
        self.filters += 1;
        self.for_each_plus(filter, |count| *count += 1);
    }

    /// Forgets one that was inserted.
    pub(super) fn remove(&mut self, filter: &str) {
        self.filters -= 1;
        self.for_each_plus(filter, |count| *count -= 1);
    }

    fn for_each_plus(&mut self, filter: &str, mut change: impl FnMut(&mut usize)) {
        for (level, count) in filter.split('/').zip(&mut self.pluses) {
            if level == "+" {
                change(count);
            }
        }
    }

    /// Asks for the topic's own path and, if there are wildcards at all, for its prefixes and for
    /// those in which one level is `+`.
    #[inline]
    pub(super) fn touch(&self, hasher: &PathHasher, table: &PathTable, levels: &TopicLevels<'_>) {
        table.touch(levels.path());
        if self.filters == 0 {
            return;
        }
        let mut left = MOST_TOUCHES;
        let mut literal = hasher.root();
        for (at, level) in levels.ahead().iter().enumerate() {
            if self.pluses[at] > 0 {
                let mut path = hasher.step(literal, hasher.plus());
                table.touch(path);
                for level in levels.ahead()[at + 1..].iter().take(left) {
                    path = hasher.step(path, level.hash);
                    table.touch(path);
                    left -= 1;
                }
            }
            literal = hasher.step(literal, level.hash);
            table.touch(literal);
        }
    }
}
