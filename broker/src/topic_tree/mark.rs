//! What the tree knows of one path, in twelve bytes.

/// An entry of the path table.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    fingerprint: u32,
    first: u32,
    /// The kind in the upper two bits, below them what the kind has to say beside `first`.
    kind_and_second: u32,
}

/// What an entry says.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// An empty slot.
    Nothing,
    /// A signpost: so many filters with wildcards go on from here with a literal level, with `+`.
    Ways { literals: u32, pluses: u32 },
    /// The filter of that number is spelled like the path.
    End { filter: u32 },
    /// The filter of that number is spelled like the path with `#` as one more level.
    Multi { filter: u32 },
}

const KIND_SHIFT: u32 = 30;
const SECOND_MAX: u32 = (1 << KIND_SHIFT) - 1;

impl Mark {
    pub(super) const NOTHING: Mark = Mark { fingerprint: 0, first: 0, kind_and_second: 0 };

    #[inline]
    pub(super) fn new(fingerprint: u32, meaning: Meaning) -> Self {
        let (kind, first, second) = match meaning {
            Meaning::Nothing => return Mark::NOTHING,
            Meaning::Ways { literals, pluses } => (1, literals, pluses.min(SECOND_MAX)),
            Meaning::End { filter } => (2, filter, 0),
            Meaning::Multi { filter } => (3, filter, 0),
        };
        Mark { fingerprint, first, kind_and_second: kind << KIND_SHIFT | second }
    }

    #[inline]
    pub(super) fn meaning(&self) -> Meaning {
        match self.kind_and_second >> KIND_SHIFT {
            0 => Meaning::Nothing,
            1 => Meaning::Ways { literals: self.first, pluses: self.kind_and_second & SECOND_MAX },
            2 => Meaning::End { filter: self.first },
            _ => Meaning::Multi { filter: self.first },
        }
    }

    /// The filter that is spelled like the path, if the mark speaks of one.
    #[inline]
    pub(super) fn end(&self) -> Option<u32> {
        match self.meaning() {
            Meaning::End { filter } => Some(filter),
            Meaning::Nothing | Meaning::Ways { .. } | Meaning::Multi { .. } => None,
        }
    }

    #[inline]
    pub(super) fn is_nothing(&self) -> bool {
        self.kind_and_second == 0
    }

    #[inline]
    pub(super) fn fingerprint(&self) -> u32 {
        self.fingerprint
    }
}

/// The ways that a filter takes from one of its prefixes to the next.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// A level without wildcard.
    Literal,
    /// `+`
    Plus,
}

impl Meaning {
    /// A signpost with one more filter on that way; a new signpost where there was nothing.
    pub(super) fn with(self, way: Way) -> Meaning {
        let (literals, pluses) = match self {
            Meaning::Ways { literals, pluses } => (literals, pluses),
            Meaning::Nothing | Meaning::End { .. } | Meaning::Multi { .. } => (0, 0),
        };
        match way {
            Way::Literal => Meaning::Ways { literals: literals.saturating_add(1), pluses },
            Way::Plus => Meaning::Ways { literals, pluses: (pluses + 1).min(SECOND_MAX) },
        }
    }

    /// A signpost with one filter less on that way; nothing when that was the last on either. A
    /// count that ever reached its maximum stays there: a signpost too many does no harm.
    pub(super) fn without(self, way: Way) -> Meaning {
        let Meaning::Ways { mut literals, mut pluses } = self else { return self };
        match way {
            Way::Literal if literals != u32::MAX => literals = literals.saturating_sub(1),
            Way::Plus if pluses != SECOND_MAX => pluses = pluses.saturating_sub(1),
            Way::Literal | Way::Plus => {}
        }
        if literals == 0 && pluses == 0 { Meaning::Nothing } else { Meaning::Ways { literals, pluses } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_takes_twelve_bytes_and_says_what_it_was_told() {
        assert_eq!(size_of::<Mark>(), 12);
        assert!(Mark::NOTHING.is_nothing());
        for meaning in [
            Meaning::Ways { literals: u32::MAX, pluses: SECOND_MAX },
            Meaning::Ways { literals: 0, pluses: 1 },
            Meaning::End { filter: 0 },
            Meaning::End { filter: u32::MAX },
            Meaning::Multi { filter: 7 },
        ] {
            let mark = Mark::new(9, meaning);
            assert_eq!((mark.fingerprint(), mark.meaning(), mark.is_nothing()), (9, meaning, false));
        }
    }

    #[test]
    fn a_signpost_counts_each_way_and_goes_with_the_last() {
        let one = Meaning::Nothing.with(Way::Plus);
        assert_eq!(one, Meaning::Ways { literals: 0, pluses: 1 });
        assert_eq!(one.with(Way::Literal).without(Way::Plus), Meaning::Ways { literals: 1, pluses: 0 });
        assert_eq!(one.without(Way::Plus), Meaning::Nothing);
    }

    #[test]
    fn a_count_at_its_maximum_stays_there() {
        let full = Meaning::Ways { literals: u32::MAX, pluses: SECOND_MAX };
        for way in [Way::Literal, Way::Plus] {
            assert_eq!(full.with(way), full);
            assert_eq!(full.without(way), full);
        }
    }
}
