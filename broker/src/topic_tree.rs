//! The subscription table: which subscribers' filters match a topic. A plain data structure that
//! knows nothing of sessions, shared groups and QoS, and takes no lock.
//!
//! ```text
//! filters: slab                         table: path -> what is known of it
//!   0: "a/b/c"  -> subscribers            hash(a/b/c)  ends filter 0
//!   1: "a/+/c"  -> subscribers            hash(a/+/c)  ends filter 1
//!   2: "a/+/#"  -> subscribers            hash(a/+)    # of filter 2;   1 goes on with a literal level
//!                                         hash(a)      2 go on with +
//!                                         hash()       2 go on with a literal level
//! ```
//!
//! A publish looks its topic's own path up, which finds the filter without wildcards, then walks
//! down from the root level by level, with the literal level and with `+` only where a signpost says
//! that a filter with wildcards does. A path's hash follows from its parent's hash and not from
//! where the parent is stored, so the look-ups of a walk wait for memory side by side, and a prefix
//! costs twelve bytes. Hashes only find; what is found is compared by its text.

mod candidate;
mod filter_path;
mod filter_text;
mod look_ahead;
mod mark;
mod path_hash;
mod path_table;
mod short_stack;
mod slab;
mod subscribers;
mod topic_levels;
mod walk;

#[cfg(test)]
mod tests;

use std::hint::black_box;

use opifex_packet::{TopicFilter, TopicName};

use filter_path::FilterPath;
use filter_text::FilterText;
use look_ahead::LookAhead;
use mark::Mark;
use path_hash::PathHasher;
use path_table::PathTable;
use slab::Slab;
use subscribers::{Removed, Subscribers};
use topic_levels::TopicLevels;

/// Subscriptions by filter: `K` identifies a subscriber and is cheap to compare, `V` is what a
/// subscription carries. A subscriber has one subscription per filter.
#[derive(Debug)]
pub struct TopicTree<K, V> {
    hasher: PathHasher,
    filters: Slab<Filter<K, V>>,
    table: PathTable,
    look_ahead: LookAhead,
    len: usize,
    version: u64,
}

#[derive(Debug)]
struct Filter<K, V> {
    text: FilterText,
    subscribers: Subscribers<K, V>,
}

impl<K, V> Filter<K, V> {
    /// Begins to fetch both of its cache lines, and does not wait for them.
    #[inline]
    fn touch(&self) {
        black_box((self.text.is_inline(), self.subscribers.is_one()));
    }
}

impl<K: Clone + Eq, V> TopicTree<K, V> {
    /// A tree without subscriptions.
    pub fn new() -> Self {
        TopicTree::with_hasher(PathHasher::new())
    }

    fn with_hasher(hasher: PathHasher) -> Self {
        TopicTree {
            hasher,
            filters: Slab::new(),
            table: PathTable::new(),
            look_ahead: LookAhead::default(),
            len: 0,
            version: 0,
        }
    }

    /// Subscribes `key` to `filter`, which is taken as it is spelled: `$share/` means nothing here.
    /// Replaces a subscription of that key to that filter and returns what it carried.
    pub fn insert(&mut self, filter: &TopicFilter<'_>, key: K, value: V) -> Option<V> {
        self.version += 1;
        if let Some(found) = self.number(filter).and_then(|number| self.filters.get_mut(number)) {
            let replaced = found.subscribers.insert(key, value);
            self.len += usize::from(replaced.is_none());
            return replaced;
        }
        let text = filter.as_str();
        let number = self
            .filters
            .insert(Filter { text: FilterText::new(text), subscribers: Subscribers::One(key, value) });
        FilterPath::of(&self.hasher, text).mark(&mut self.table, number);
        if filter.has_wildcards() {
            filter_path::put_signposts(&self.hasher, &mut self.table, text);
            self.look_ahead.insert(text);
        }
        self.len += 1;
        None
    }

    /// Ends the subscription of `key` to `filter` and returns what it carried. Of a filter that
    /// nobody subscribes to any more nothing remains.
    pub fn remove(&mut self, filter: &TopicFilter<'_>, key: &K) -> Option<V> {
        let number = self.number(filter)?;
        let removed = match self.filters.get_mut(number)?.subscribers.remove(key) {
            Removed::Absent => return None,
            Removed::OthersRemain(value) => Some(value),
            Removed::IsLast => self.remove_filter(number, filter),
        };
        self.len -= 1;
        self.version += 1;
        removed
    }

    /// What the subscription of `key` to `filter` carries.
    pub fn get(&self, filter: &TopicFilter<'_>, key: &K) -> Option<&V> {
        self.filters.get(self.number(filter)?)?.subscribers.get(key)
    }

    /// The same, to change it; counts as a change of the tree.
    pub fn get_mut(&mut self, filter: &TopicFilter<'_>, key: &K) -> Option<&mut V> {
        let number = self.number(filter)?;
        let value = self.filters.get_mut(number)?.subscribers.get_mut(key)?;
        self.version += 1;
        Some(value)
    }

    /// Visits every subscription whose filter matches the topic, each once, in no order.
    #[inline]
    pub fn matches<'t>(&'t self, topic: &TopicName<'_>, mut visit: impl FnMut(&'t K, &'t V)) {
        let levels = TopicLevels::new(&self.hasher, topic.as_str());
        self.look_ahead.touch(&self.hasher, &self.table, &levels);
        // A filter without wildcards has no signposts: the topic's own path leads to it. It is asked
        // for now and read at the end, so that the walk goes on while memory brings it.
        let exact = self.table.marks(levels.path());
        let mut exact = exact.iter().filter_map(Mark::end).filter_map(|number| self.filters.get(number));
        exact.clone().for_each(Filter::touch);
        walk::walk(&self.hasher, &self.table, &levels, |candidate| {
            if let Some(filter) = self.filters.get(candidate.filter)
                && candidate.is(filter.text.as_bytes())
            {
                filter.subscribers.for_each(&mut visit);
            }
        });
        if let Some(filter) = exact.find(|filter| filter.text.as_bytes() == levels.topic()) {
            filter.subscribers.for_each(&mut visit);
        }
    }

    /// How many subscriptions there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A number that every change makes larger: what was found before is good while it stays.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The number of the filter with that text.
    fn number(&self, filter: &TopicFilter<'_>) -> Option<u32> {
        FilterPath::of(&self.hasher, filter.as_str()).filters(&self.table).find(|number| {
            let found = self.filters.get(*number);
            found.is_some_and(|found| found.text.as_bytes() == filter.as_str().as_bytes())
        })
    }

    fn remove_filter(&mut self, number: u32, filter: &TopicFilter<'_>) -> Option<V> {
        FilterPath::of(&self.hasher, filter.as_str()).unmark(&mut self.table, number);
        if filter.has_wildcards() {
            filter_path::take_signposts(&self.hasher, &mut self.table, filter.as_str());
            self.look_ahead.remove(filter.as_str());
        }
        self.filters.remove(number)?.subscribers.into_only()
    }
}

impl<K: Clone + Eq, V> Default for TopicTree<K, V> {
    fn default() -> Self {
        TopicTree::new()
    }
}
