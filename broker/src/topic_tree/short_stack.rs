//! A stack that lives in its owner's frame while it is short and on the heap only beyond that.

/// Up to `N` items in place.
#[derive(Debug)]
pub(super) struct ShortStack<T, const N: usize> {
    near: [T; N],
    far: Vec<T>,
    len: usize,
}

impl<T: Copy + Default, const N: usize> ShortStack<T, N> {
    #[inline]
    pub(super) fn new() -> Self {
        ShortStack { near: [T::default(); N], far: Vec::new(), len: 0 }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn push(&mut self, item: T) {
        match self.near.get_mut(self.len) {
            Some(place) => *place = item,
            None => self.far.push(item),
        }
        self.len += 1;
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<T> {
        self.len = self.len.checked_sub(1)?;
        match self.near.get(self.len) {
            Some(item) => Some(*item),
            None => self.far.pop(),
        }
    }

    /// Drops all but the first `len` items.
    #[inline]
    pub(super) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
        self.far.truncate(self.len.saturating_sub(N));
    }

    /// From bottom to top.
    #[inline]
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.near[..self.len.min(N)].iter().chain(&self.far)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_is_the_same_near_and_far() {
        let mut stack = ShortStack::<u32, 3>::new();
        for item in 0..8 {
            stack.push(item);
        }
        assert_eq!(stack.iter().copied().collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6, 7]);
        stack.truncate(5);
        assert_eq!(stack.pop(), Some(4));
        stack.truncate(2);
        stack.push(9);
        assert_eq!(stack.iter().copied().collect::<Vec<_>>(), [0, 1, 9]);
        assert_eq!([stack.pop(), stack.pop(), stack.pop(), stack.pop()], [Some(9), Some(1), Some(0), None]);
    }
}
