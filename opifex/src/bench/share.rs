//! What one of several subscribers has of one publisher's messages when each message goes to one of them only: a bit a
//! message, since gaps are the rule. Only all shares together tell what is lost.

/// The messages of one publisher at one subscriber of many.
#[derive(Debug, Default)]
pub(super) struct Share {
    /// A bit for each number that has come.
    came: Vec<u64>,
    /// The lowest number above all that have come.
    next: u64,
    duplicates: u64,
    reordered: u64,
}

impl Share {
    /// A message has come; whether it had not before.
    pub(super) fn came(&mut self, number: u64) -> bool {
        let (word, bit) = ((number / 64) as usize, 1 << (number % 64));
        if word >= self.came.len() {
            self.came.resize(word + 1, 0);
        }
        if self.came[word] & bit != 0 {
            self.duplicates += 1;
            return false;
        }
        self.came[word] |= bit;
        self.reordered += u64::from(number < self.next);
        self.next = self.next.max(number + 1);
        true
    }

    /// How many came behind a later one.
    pub(super) fn reordered(&self) -> u64 {
        self.reordered
    }
}

/// Of the first `sent` messages of a publisher, over all its shares: how many came nowhere, and how often one came that had come
/// before, at whichever subscriber.
pub(super) fn lost_and_duplicates<'s>(shares: impl Iterator<Item = &'s Share>, sent: u64) -> (u64, u64) {
    let mut all: Vec<u64> = Vec::new();
    let (mut came, mut duplicates) = (0, 0);
    for share in shares {
        all.resize(all.len().max(share.came.len()), 0);
        duplicates += share.duplicates;
        for (all, word) in all.iter_mut().zip(&share.came) {
            duplicates += u64::from((*all & word).count_ones());
            came += u64::from((!*all & word).count_ones());
            *all |= word;
        }
    }
    (sent.saturating_sub(came), duplicates)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(numbers: &[u64]) -> Share {
        let mut share = Share::default();
        let new = numbers.iter().filter(|number| share.came(**number)).count() as u64;
        assert_eq!(new + share.duplicates, numbers.len() as u64);
        share
    }

    fn found(shares: &[&[u64]], sent: u64) -> (u64, u64) {
        let shares: Vec<Share> = shares.iter().map(|numbers| share(numbers)).collect();
        lost_and_duplicates(shares.iter(), sent)
    }

    #[test]
    fn what_each_has_of_its_own_is_whole_together() {
        assert_eq!(found(&[&[0, 2, 200], &[1, 3]], 5), (0, 0));
        assert_eq!(found(&[&[], &[0, 1, 2]], 3), (0, 0));
        assert_eq!(found(&[], 0), (0, 0));
    }

    #[test]
    fn what_came_nowhere_is_lost() {
        assert_eq!(found(&[&[0, 3], &[1]], 200), (197, 0));
        assert_eq!(found(&[], 7), (7, 0));
    }

    #[test]
    fn what_came_to_two_or_twice_to_one_is_a_duplicate() {
        assert_eq!(found(&[&[0, 1, 64], &[1, 64, 64]], 65), (62, 3));
        assert_eq!(found(&[&[0], &[0], &[0]], 1), (0, 2));
    }

    #[test]
    fn what_comes_to_one_behind_a_later_one_is_out_of_order() {
        assert_eq!(share(&[0, 4, 9]).reordered(), 0);
        assert_eq!(share(&[4, 0, 9, 5, 5]).reordered(), 2);
    }
}
