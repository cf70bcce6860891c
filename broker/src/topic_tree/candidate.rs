//! A filter that a walk came upon, and the one spelling with which it matches the topic. Only its text
//! can say whether it has it.

use super::short_stack::ShortStack;

/// The levels of the topic that `+` stands for: from where to where each reaches.
pub(super) type Pluses = ShortStack<(u32, u32), 8>;

/// A filter that matches if it is spelled like the topic with some levels replaced.
#[derive(Debug)]
pub(super) struct Candidate<'w> {
    /// Its number.
    pub(super) filter: u32,
    pub(super) topic: &'w [u8],
    pub(super) pluses: &'w Pluses,
    /// How much of the topic it spells out or replaces; what is left is for `#`.
    pub(super) prefix_len: usize,
    /// What it has behind that: nothing, or the level `#`.
    pub(super) tail: &'static [u8],
}

impl Candidate<'_> {
    /// Whether that is its text.
    #[inline]
    pub(super) fn is(&self, filter: &[u8]) -> bool {
        let mut rest = filter;
        let mut from = 0;
        for &(start, end) in self.pluses.iter() {
            let literal = &self.topic[from..start as usize];
            match rest.strip_prefix(literal).and_then(|rest| rest.strip_prefix(b"+")) {
                Some(after) => rest = after,
                None => return false,
            }
            from = end as usize;
        }
        rest.strip_prefix(&self.topic[from..self.prefix_len]) == Some(self.tail)
    }
}
