//! The subscription table: which subscribers' filters match a topic. A plain data structure that
//! knows nothing of sessions, shared groups and QoS, and takes no lock.
//!
//! ```text
//! filters   slab    1: "a/b/c"   -> subscribers     half a cache line of text, then who subscribes
//!                   2: "a/+/#"   -> subscribers
//! by_path   index   hash("a/b/c") -> 1              every filter, one look-up by its whole spelling
//!                   hash("a/+/#") -> 2
//! prefixes  index   root     : 1 filter goes on with a literal level
//!                   hash(a)  : 1 goes on with +     of filters with wildcards only: where a walk
//!                   hash(a/+): 1 ends with #        may branch
//! ```
//!
//! A publish looks its topic up in `by_path` as it is, then walks down the prefixes level by level,
//! taking the literal way and the `+` way only where a filter does. The hash of a path follows from
//! its parent's and not from where the parent is stored, so that the look-ups of a walk do not wait
//! for each other's memory, and a prefix costs 16 bytes. Hashes only find; what is found is compared
//! by its text.

mod filter_text;
mod index;
mod path_hash;
mod prefixes;
mod short_stack;
mod slab;
mod subscribers;
mod walk;

#[cfg(test)]
mod tests;

use opifex_packet::{TopicFilter, TopicName};

use filter_text::FilterText;
use index::{Index, Slot, fingerprint};
use path_hash::PathHasher;
use prefixes::Prefixes;
use slab::Slab;
use subscribers::{Removed, Subscribers};
use walk::TopicLevels;

/// Subscriptions by filter: `K` identifies a subscriber and is cheap to compare, `V` is what a
/// subscription carries. A subscriber has one subscription per filter.
#[derive(Debug)]
pub struct TopicTree<K, V> {
    hasher: PathHasher,
    filters: Slab<Filter<K, V>>,
    by_path: Index<ByPath>,
    prefixes: Prefixes,
    len: usize,
    version: u64,
}

#[derive(Debug)]
struct Filter<K, V> {
    text: FilterText,
    subscribers: Subscribers<K, V>,
}

/// The number of a filter, at the place that its path's hash names.
#[derive(Copy, Clone, Debug)]
struct ByPath {
    fingerprint: u32,
    filter: u32,
}

impl Slot for ByPath {
    const EMPTY: Self = ByPath { fingerprint: 0, filter: u32::MAX };

    #[inline]
    fn is_empty(&self) -> bool {
        self.filter == u32::MAX
    }

    #[inline]
    fn fingerprint(&self) -> u32 {
        self.fingerprint
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
            by_path: Index::new(),
            prefixes: Prefixes::new(),
            len: 0,
            version: 0,
        }
    }

    /// Subscribes `key` to `filter`, which is taken as it is spelled: `$share/` means nothing here.
    /// Replaces a subscription of that key to that filter and returns what it carried.
    pub fn insert(&mut self, filter: &TopicFilter<'_>, key: K, value: V) -> Option<V> {
        self.version += 1;
        let path = self.hasher.filter(filter.as_str());
        if let Some(found) = self.find_mut(path, filter) {
            let replaced = found.subscribers.insert(key, value);
            self.len += usize::from(replaced.is_none());
            return replaced;
        }
        let number = self.filters.insert(Filter {
            text: FilterText::new(filter.as_str()),
            subscribers: Subscribers::One(key, value),
        });
        self.by_path.insert(ByPath { fingerprint: fingerprint(path), filter: number });
        if filter.has_wildcards() {
            self.prefixes.insert(&self.hasher, filter.as_str());
        }
        self.len += 1;
        None
    }

    /// Ends the subscription of `key` to `filter` and returns what it carried. Of a filter that
    /// nobody subscribes to any more nothing remains.
    pub fn remove(&mut self, filter: &TopicFilter<'_>, key: &K) -> Option<V> {
        let path = self.hasher.filter(filter.as_str());
        let removed = match self.find_mut(path, filter)?.subscribers.remove(key) {
            Removed::Absent => return None,
            Removed::OthersRemain(value) => Some(value),
            Removed::IsLast => self.remove_filter(path, filter),
        };
        self.len -= 1;
        self.version += 1;
        removed
    }

    /// What the subscription of `key` to `filter` carries.
    pub fn get(&self, filter: &TopicFilter<'_>, key: &K) -> Option<&V> {
        let path = self.hasher.filter(filter.as_str());
        let place = self.find(path, |text| text == filter.as_str().as_bytes())?;
        self.filter_at(place)?.subscribers.get(key)
    }

    /// The same, to change it; counts as a change of the tree.
    pub fn get_mut(&mut self, filter: &TopicFilter<'_>, key: &K) -> Option<&mut V> {
        let path = self.hasher.filter(filter.as_str());
        let place = self.find(path, |text| text == filter.as_str().as_bytes())?;
        let number = self.by_path.slot(place).filter;
        let value = self.filters.get_mut(number)?.subscribers.get_mut(key)?;
        self.version += 1;
        Some(value)
    }

    /// Visits every subscription whose filter matches the topic, each once, in no order.
    #[inline]
    pub fn matches<'t>(&'t self, topic: &TopicName<'_>, mut visit: impl FnMut(&'t K, &'t V)) {
        let levels = TopicLevels::new(&self.hasher, topic.as_str());
        let exact = self.find(levels.path, |text| text == levels.as_bytes());
        if let Some(filter) = exact.and_then(|place| self.filter_at(place)) {
            filter.subscribers.for_each(&mut visit);
        }
        walk::walk(&self.hasher, &self.prefixes, &levels, |candidate| {
            let place = self.find(candidate.path, |text| candidate.is(text));
            if let Some(filter) = place.and_then(|place| self.filter_at(place)) {
                filter.subscribers.for_each(&mut visit);
            }
        });
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

    /// Where in `by_path` the filter stands that has that hash and passes for its text.
    #[inline]
    fn find(&self, path: u64, mut is_text: impl FnMut(&[u8]) -> bool) -> Option<usize> {
        self.by_path.find(fingerprint(path), |slot| {
            self.filters.get(slot.filter).is_some_and(|filter| is_text(filter.text.as_bytes()))
        })
    }

    #[inline]
    fn filter_at(&self, place: usize) -> Option<&Filter<K, V>> {
        self.filters.get(self.by_path.slot(place).filter)
    }

    fn find_mut(&mut self, path: u64, filter: &TopicFilter<'_>) -> Option<&mut Filter<K, V>> {
        let place = self.find(path, |text| text == filter.as_str().as_bytes())?;
        self.filters.get_mut(self.by_path.slot(place).filter)
    }

    fn remove_filter(&mut self, path: u64, filter: &TopicFilter<'_>) -> Option<V> {
        let place = self.find(path, |text| text == filter.as_str().as_bytes())?;
        let number = self.by_path.slot(place).filter;
        self.by_path.remove(place);
        if filter.has_wildcards() {
            self.prefixes.remove(&self.hasher, filter.as_str());
        }
        self.filters.remove(number)?.subscribers.into_only()
    }
}

impl<K: Clone + Eq, V> Default for TopicTree<K, V> {
    fn default() -> Self {
        TopicTree::new()
    }
}
