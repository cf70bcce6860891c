//! The read buffer of a thread, lent to whichever connection is being read there.
//!
//! Ten thousand idle connections own no read buffer, because the bytes of a batch are decoded, decided on and copied
//! out within one call. It is deliberately not a pool: it never crosses an await, so a thread needs one.

use std::cell::Cell;

/// How much one read can bring.
///
/// What a socket's receive buffer gives in one call under load, and small enough to stay in a core's second-level
/// cache.
pub const SCRATCH_BYTES: usize = 64 * 1024;

thread_local! {
    static SCRATCH: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

/// Runs `f` with the thread's scratch.
///
/// The buffer is taken out of its place meanwhile: a read within a read (a transport that reads another one) gets a
/// buffer of its own, and a panic in `f` costs the buffer, not the thread.
pub(crate) fn with_scratch<T>(f: impl FnOnce(&mut [u8]) -> T) -> T {
    let mut scratch = SCRATCH.take().unwrap_or_else(|| vec![0; SCRATCH_BYTES].into_boxed_slice());
    let answer = f(&mut scratch);
    SCRATCH.set(Some(scratch));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_buffer_is_lent_again() {
        let first = with_scratch(|scratch| scratch.as_ptr());
        let second = with_scratch(|scratch| scratch.as_ptr());
        assert_eq!(first, second);
    }

    #[test]
    fn a_nested_reader_gets_a_buffer_of_its_own() {
        let (outer, inner) =
            with_scratch(|outer| (outer.as_ptr(), with_scratch(|inner| (inner.as_ptr(), inner.len()))));
        assert_ne!(outer, inner.0);
        assert_eq!(inner.1, SCRATCH_BYTES);
    }
}
