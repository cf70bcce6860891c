//! An open-addressing hash table of small slots, so that a look-up reads one cache line. It stores
//! the fingerprint of a key and not the key: the caller says which of the slots with the right
//! fingerprint it means.

/// What a slot of an [`Index`] has to say about itself.
pub(super) trait Slot: Copy {
    /// The slot that stands for nothing.
    const EMPTY: Self;
    /// Whether it stands for nothing.
    fn is_empty(&self) -> bool;
    /// Its key's fingerprint.
    fn fingerprint(&self) -> u32;
}

/// The upper half of a path's hash: all that an index keeps of it. One look-up of 2^32 / n finds a
/// stranger.
#[inline]
pub(super) fn fingerprint(path: u64) -> u32 {
    (path >> 32) as u32
}

/// Linear probing. A slot's home is `fingerprint * capacity / 2^32`, which needs no power of two
/// and keeps the slots in the order of their fingerprints: growing is one pass from front to back
/// over both tables, without the keys.
#[derive(Debug)]
pub(super) struct Index<S> {
    slots: Vec<S>,
    len: usize,
}

const SMALLEST_CAPACITY: usize = 8;

impl<S: Slot> Index<S> {
    pub(super) fn new() -> Self {
        Index { slots: Vec::new(), len: 0 }
    }

    /// How many slots are not empty.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Where the first slot stands that has that fingerprint and is the one meant.
    #[inline]
    pub(super) fn find(&self, fingerprint: u32, mut is_meant: impl FnMut(&S) -> bool) -> Option<usize> {
        if self.len == 0 {
            return None;
        }
        let mut at = self.home(fingerprint);
        loop {
            let slot = &self.slots[at];
            if slot.is_empty() {
                return None;
            }
            if slot.fingerprint() == fingerprint && is_meant(slot) {
                return Some(at);
            }
            at = self.after(at);
        }
    }

    /// The slot at a place that `find` or `insert` named.
    #[inline]
    pub(super) fn slot(&self, at: usize) -> &S {
        &self.slots[at]
    }

    /// The same, to change it. It must neither become empty nor get another fingerprint.
    pub(super) fn slot_mut(&mut self, at: usize) -> &mut S {
        &mut self.slots[at]
    }

    /// Adds a slot, also beside another one with its fingerprint; says where it stands.
    pub(super) fn insert(&mut self, slot: S) -> usize {
        // At most 70 % full: an absent key costs six slots on average, which is one cache line or two.
        if (self.len + 1) * 10 > self.slots.len() * 7 {
            self.resize((self.slots.len() + self.slots.len() / 2).max(SMALLEST_CAPACITY));
        }
        self.len += 1;
        self.place(slot)
    }

    /// Takes out the slot at that place. Places named before are void.
    pub(super) fn remove(&mut self, at: usize) {
        let mut hole = at;
        let mut next = self.after(at);
        // Moves back what stands behind the hole only because the hole was taken.
        while !self.slots[next].is_empty() {
            let home = self.home(self.slots[next].fingerprint());
            if self.distance(home, next) >= self.distance(hole, next) {
                self.slots[hole] = self.slots[next];
                hole = next;
            }
            next = self.after(next);
        }
        self.slots[hole] = S::EMPTY;
        self.len -= 1;
        if self.len * 5 < self.slots.len() && self.slots.len() > SMALLEST_CAPACITY {
            self.resize((self.slots.len() / 2).max(SMALLEST_CAPACITY));
        }
    }

    fn place(&mut self, slot: S) -> usize {
        let mut at = self.home(slot.fingerprint());
        while !self.slots[at].is_empty() {
            at = self.after(at);
        }
        self.slots[at] = slot;
        at
    }

    fn resize(&mut self, capacity: usize) {
        let old = std::mem::replace(&mut self.slots, vec![S::EMPTY; capacity]);
        for slot in old {
            if !slot.is_empty() {
                self.place(slot);
            }
        }
    }

    #[inline]
    fn home(&self, fingerprint: u32) -> usize {
        ((u64::from(fingerprint) * self.slots.len() as u64) >> 32) as usize
    }

    #[inline]
    fn after(&self, at: usize) -> usize {
        if at + 1 == self.slots.len() { 0 } else { at + 1 }
    }

    /// Steps from one place forward to another, around the end.
    fn distance(&self, from: usize, to: usize) -> usize {
        if to >= from { to - from } else { to + self.slots.len() - from }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Copy, Clone, Debug)]
    struct Pair(u32, u32);

    impl Slot for Pair {
        const EMPTY: Self = Pair(0, u32::MAX);
        fn is_empty(&self) -> bool {
            self.1 == u32::MAX
        }
        fn fingerprint(&self) -> u32 {
            self.0
        }
    }

    proptest! {
        #[test]
        fn an_index_holds_what_a_list_holds(
            steps in prop::collection::vec((any::<bool>(), prop_oneof![0..40_u32, u32::MAX - 40..u32::MAX, any::<u32>()], 0..3_u32), 0..400)
        ) {
            let mut index = Index::new();
            let mut list: Vec<(u32, u32)> = Vec::new();
            for (insert, key, value) in steps {
                let at = index.find(key, |pair: &Pair| pair.1 == value);
                prop_assert_eq!(at.is_some(), list.contains(&(key, value)));
                match at {
                    None if insert => {
                        let at = index.insert(Pair(key, value));
                        prop_assert_eq!(index.slot(at).0, key);
                        list.push((key, value));
                    }
                    Some(at) if !insert => {
                        index.remove(at);
                        list.retain(|pair| *pair != (key, value));
                    }
                    _ => {}
                }
                prop_assert_eq!(index.len(), list.len());
                for &(key, value) in &list {
                    prop_assert!(index.find(key, |pair| pair.1 == value).is_some());
                }
            }
        }
    }

    #[test]
    fn an_index_gives_memory_back_when_it_empties() {
        let mut index = Index::new();
        for key in 0..10_000_u32 {
            index.insert(Pair(key.wrapping_mul(0x9e37_79b9), 0));
        }
        for key in 0..10_000_u32 {
            let at = index.find(key.wrapping_mul(0x9e37_79b9), |_| true).unwrap();
            index.remove(at);
        }
        assert_eq!(index.slots.len(), SMALLEST_CAPACITY);
    }
}
