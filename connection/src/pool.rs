//! Empty buffers of a thread, kept for the next batch.
//!
//! Freeing and allocating a chunk per subscriber and batch costs several times what appending to it does. Pools are
//! bounded in items and bytes; what does not fit is freed. They are per thread, so that no lock is involved; a buffer
//! may well come from one thread's pool and go back to another's.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::thread::LocalKey;

/// The most that one pool of one thread keeps.
pub(crate) const POOL_BYTES: usize = 4 * 1024 * 1024;

/// The most buffers that one pool of one thread keeps.
pub(crate) const POOL_ITEMS: usize = 1024;

/// A larger buffer is freed: one burst does not stay in memory for ever.
pub(crate) const POOLED_ITEM_BYTES: usize = 32 * 1024;

/// Buffers of one kind.
pub(crate) struct Pool<T> {
    free: Vec<T>,
    heap_bytes: usize,
}

/// A buffer that can be reused once it is empty.
pub(crate) trait Buffer: Default {
    /// The memory behind it.
    fn heap_bytes(&self) -> usize;
}

impl Buffer for Vec<u8> {
    fn heap_bytes(&self) -> usize {
        self.capacity()
    }
}

impl<T> Buffer for VecDeque<T> {
    fn heap_bytes(&self) -> usize {
        self.capacity() * size_of::<T>()
    }
}

impl<T: Buffer> Pool<T> {
    pub(crate) const fn new() -> Pool<T> {
        Pool { free: Vec::new(), heap_bytes: 0 }
    }

    fn take(&mut self) -> Option<T> {
        let buffer = self.free.pop()?;
        self.heap_bytes -= buffer.heap_bytes();
        Some(buffer)
    }

    /// Gives the buffer back when there is no room for it, so that it is freed outside of the pool.
    fn put(&mut self, buffer: T) -> Option<T> {
        let bytes = buffer.heap_bytes();
        let fits = bytes <= POOLED_ITEM_BYTES
            && self.heap_bytes + bytes <= POOL_BYTES
            && self.free.len() < POOL_ITEMS;
        if !fits {
            return Some(buffer);
        }
        self.heap_bytes += bytes;
        self.free.push(buffer);
        None
    }
}

/// A used buffer of this thread, or none when the pool is empty.
pub(crate) fn take<T: Buffer>(pool: &'static LocalKey<RefCell<Pool<T>>>) -> Option<T> {
    // A thread that is ending has no pool any more.
    pool.try_with(|pool| pool.borrow_mut().take()).ok().flatten()
}

/// Moves an *empty* buffer out of its place and into this thread's pool.
pub(crate) fn put<T: Buffer>(pool: &'static LocalKey<RefCell<Pool<T>>>, place: &mut T) {
    if place.heap_bytes() > 0 {
        let buffer = std::mem::take(place);
        let _freed = pool.try_with(|pool| pool.borrow_mut().put(buffer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back() {
        let mut pool = Pool::<Vec<u8>>::new();
        assert!(pool.take().is_none());
        assert!(pool.put(Vec::with_capacity(100)).is_none());
        assert!(pool.take().is_some_and(|buffer| buffer.capacity() >= 100));
        assert_eq!(pool.heap_bytes, 0);
    }

    #[test]
    fn a_pool_is_bounded_in_items() {
        let mut pool = Pool::<Vec<u8>>::new();
        for _ in 0..2 * POOL_ITEMS {
            pool.put(Vec::with_capacity(8));
        }
        assert_eq!(pool.free.len(), POOL_ITEMS);
    }

    #[test]
    fn a_pool_is_bounded_in_bytes() {
        let mut pool = Pool::<Vec<u8>>::new();
        for _ in 0..2 * POOL_BYTES / POOLED_ITEM_BYTES {
            pool.put(Vec::with_capacity(POOLED_ITEM_BYTES));
        }
        assert_eq!(pool.free.len(), POOL_BYTES / POOLED_ITEM_BYTES);
        assert_eq!(pool.free.iter().map(Vec::capacity).sum::<usize>(), pool.heap_bytes);
    }

    #[test]
    fn a_large_buffer_is_not_kept() {
        let mut pool = Pool::<Vec<u8>>::new();
        assert!(pool.put(Vec::with_capacity(POOLED_ITEM_BYTES + 1)).is_some());
        assert!(pool.free.is_empty());
    }
}
