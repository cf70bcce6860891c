//! The filters of one session, as it has subscribed to them: most have one or two, some have a hundred thousand.

use hashbrown::HashSet;

/// So many stand in a row; beyond them they are hashed.
const IN_A_ROW: usize = 8;

/// A set of filters. One filter costs its bytes and a pointer to them.
#[derive(Debug)]
pub(crate) enum Filters {
    /// At most `IN_A_ROW`, each once.
    Few(Vec<Box<str>>),
    /// More than there were ever in a row.
    Many(HashSet<Box<str>>),
}

impl Default for Filters {
    fn default() -> Filters {
        Filters::Few(Vec::new())
    }
}

impl Filters {
    pub(crate) fn len(&self) -> usize {
        match self {
            Filters::Few(few) => few.len(),
            Filters::Many(many) => many.len(),
        }
    }

    pub(crate) fn contains(&self, filter: &str) -> bool {
        match self {
            Filters::Few(few) => few.iter().any(|known| **known == *filter),
            Filters::Many(many) => many.contains(filter),
        }
    }

    /// Adds a filter, unless it is there.
    pub(crate) fn insert(&mut self, filter: &str) {
        if self.contains(filter) {
            return;
        }
        match self {
            Filters::Few(few) if few.len() < IN_A_ROW => {
                // One is what most have: no room for more is kept.
                few.reserve_exact(1);
                few.push(filter.into());
            }
            Filters::Few(few) => {
                *self = Filters::Many(few.drain(..).chain([filter.into()]).collect());
            }
            Filters::Many(many) => {
                many.insert(filter.into());
            }
        }
    }

    /// Takes a filter away, if it is there.
    pub(crate) fn remove(&mut self, filter: &str) {
        match self {
            Filters::Few(few) => few.retain(|known| **known != *filter),
            Filters::Many(many) => {
                many.remove(filter);
            }
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        let (few, many) = match self {
            Filters::Few(few) => (Some(few), None),
            Filters::Many(many) => (None, Some(many)),
        };
        few.into_iter().flatten().chain(many.into_iter().flatten()).map(|filter| &**filter)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_holds_what_a_set_holds(steps in prop::collection::vec((any::<bool>(), 0..24_u8), 0..100)) {
            let (mut filters, mut model) = (Filters::default(), BTreeSet::new());
            for (add, filter) in steps {
                let filter = format!("a/{filter}");
                if add {
                    filters.insert(&filter);
                    model.insert(filter);
                } else {
                    filters.remove(&filter);
                    model.remove(&filter);
                }
                prop_assert_eq!(filters.len(), model.len());
            }
            let held: BTreeSet<String> = filters.iter().map(String::from).collect();
            prop_assert!(model.iter().all(|filter| filters.contains(filter)));
            prop_assert_eq!(held, model);
        }
    }

    #[test]
    fn one_filter_has_room_for_one() {
        let mut filters = Filters::default();
        filters.insert("a");
        filters.insert("a");
        let Filters::Few(few) = filters else { panic!("one is few") };
        assert_eq!((few.len(), few.capacity()), (1, 1));
    }
}
