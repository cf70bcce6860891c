//! What one subscriber has of one publisher's messages, by their numbers: what is missing, what came twice, what came
//! late. It takes memory for gaps alone.

use std::collections::BTreeMap;

/// The messages of one publisher at one subscriber.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// The lowest number above all that have come.
    next: u64,
    /// Numbers below it that have not come: first to last.
    missing: BTreeMap<u64, u64>,
    duplicates: u64,
    reordered: u64,
}

/// What a message is to its ledger.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Came {
    /// How many numbers are behind it now that were not before, lost ones among them.
    pub(super) passed: u64,
    /// It had not come before.
    pub(super) is_new: bool,
}

impl Ledger {
    /// A message has come.
    pub(super) fn came(&mut self, number: u64) -> Came {
        if number == self.next {
            self.next += 1;
            return Came { passed: 1, is_new: true };
        }
        if number > self.next {
            let before = self.next;
            self.missing.insert(before, number - 1);
            self.next = number + 1;
            return Came { passed: self.next - before, is_new: true };
        }
        let gap = self.missing.range(..=number).next_back().map(|(first, last)| (*first, *last));
        match gap {
            Some((first, last)) if number <= last => {
                self.reordered += 1;
                self.missing.remove(&first);
                if first < number {
                    self.missing.insert(first, number - 1);
                }
                if number < last {
                    self.missing.insert(number + 1, last);
                }
            }
            _ => {
                self.duplicates += 1;
                return Came { passed: 0, is_new: false };
            }
        }
        Came { passed: 0, is_new: true }
    }

    /// How many messages have not come, though later ones have.
    pub(super) fn gaps(&self) -> u64 {
        self.missing.iter().map(|(first, last)| last - first + 1).sum()
    }

    /// How many of the first `sent` messages have not come, and none behind them.
    pub(super) fn behind(&self, sent: u64) -> u64 {
        sent.saturating_sub(self.next)
    }

    /// How many came more than once.
    pub(super) fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// How many came behind a later one.
    pub(super) fn reordered(&self) -> u64 {
        self.reordered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(numbers: &[u64]) -> Ledger {
        let mut ledger = Ledger::default();
        let came: Vec<Came> = numbers.iter().map(|number| ledger.came(*number)).collect();
        assert_eq!(came.iter().map(|came| came.passed).sum::<u64>(), ledger.next);
        assert_eq!(came.iter().filter(|came| came.is_new).count() as u64, ledger.next - ledger.gaps());
        ledger
    }

    fn found(numbers: &[u64], sent: u64) -> (u64, u64, u64) {
        let ledger = ledger(numbers);
        (ledger.gaps() + ledger.behind(sent), ledger.duplicates(), ledger.reordered())
    }

    #[test]
    fn all_in_order_is_nothing_to_report() {
        assert_eq!(found(&[0, 1, 2, 3], 4), (0, 0, 0));
        assert_eq!(found(&[], 0), (0, 0, 0));
    }

    #[test]
    fn what_does_not_come_is_lost() {
        assert_eq!(found(&[], 3), (3, 0, 0));
        assert_eq!(found(&[0, 1], 4), (2, 0, 0));
        assert_eq!(found(&[2, 5], 8), (6, 0, 0));
    }

    #[test]
    fn what_comes_again_is_a_duplicate() {
        assert_eq!(found(&[0, 0, 1, 1, 1, 0], 2), (0, 4, 0));
        assert_eq!(found(&[3, 3], 4), (3, 1, 0));
    }

    #[test]
    fn what_comes_late_is_out_of_order_and_not_lost() {
        assert_eq!(found(&[1, 0], 2), (0, 0, 1));
        assert_eq!(found(&[4, 2, 0, 3, 1], 5), (0, 0, 4));
        assert_eq!(found(&[4, 2, 2], 5), (3, 1, 1));
    }

    #[test]
    fn it_agrees_with_a_list_of_all_that_came() {
        // A generator of its own, so that the test is the same each time.
        let mut state = 1u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        };
        for _ in 0..200 {
            let numbers: Vec<u64> = (0..random(60)).map(|_| random(30)).collect();
            let mut distinct = numbers.clone();
            distinct.sort_unstable();
            distinct.dedup();
            let late = |at: usize| {
                let before = &numbers[..at];
                !before.contains(&numbers[at]) && before.iter().any(|other| *other > numbers[at])
            };
            let late = (0..numbers.len()).filter(|at| late(*at)).count();
            let expected = (30 - distinct.len() as u64, (numbers.len() - distinct.len()) as u64, late as u64);
            assert_eq!(found(&numbers, 30), expected, "{numbers:?}");
        }
    }
}
