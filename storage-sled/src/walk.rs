//! A walk through rows that goes on behind a page of sled's which cannot be read.
//!
//! sled's own iterator stays in front of such a page for good, and nobody outside of sled knows where the page ends. But a
//! search for any key in it fails, and for the first one behind it does not: so the end is sought, byte by byte.

use std::ops::Range;

use bytes::Bytes;
use opifex_storage::{ErrorKind, Result};

use crate::guard::guarded;

/// So many bytes of a page's end are sought. Rows that differ from it behind these are left out with the page.
const MAX_SOUGHT: usize = 256;

/// What lies behind all keys that begin alike, as far as that is needed.
const HIGHEST: [u8; 16] = [0xff; 16];

/// Rows in order; an error stands for those that cannot be read.
pub(crate) struct Walk<'a> {
    db: &'a sled::Db,
    rows: sled::Iter,
    /// The last row, or else where the walk began.
    last: sled::IVec,
    to: Bytes,
    has_ended: bool,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(db: &'a sled::Db, Range { start, end }: Range<&[u8]>) -> Walk<'a> {
        let to = end.max(start);
        Walk {
            db,
            rows: db.range(start..to),
            last: start.into(),
            to: Bytes::copy_from_slice(to),
            has_ended: false,
        }
    }

    /// Whether a search for the key leads to a page that can be read.
    fn is_readable(&self, key: &[u8]) -> bool {
        guarded("read", || self.db.range(key..&self.to[..]).next().transpose()).is_ok()
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<(Bytes, Bytes)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_ended {
            return None;
        }
        match guarded("read", || self.rows.next().transpose()) {
            Ok(row) => {
                let (key, value) = row?;
                let row = (Bytes::copy_from_slice(&key), Bytes::copy_from_slice(&value));
                self.last = key;
                Some(Ok(row))
            }
            Err(error) => {
                let behind = match error.kind() {
                    ErrorKind::Corrupt => {
                        end_of_unreadable(&self.last, &self.to, |key| self.is_readable(key))
                    }
                    _ => None,
                };
                match behind {
                    Some(key) => {
                        self.rows = self.db.range(&key[..]..&self.to[..]);
                        self.last = key.into();
                    }
                    None => self.has_ended = true,
                }
                Some(Err(error))
            }
        }
    }
}

/// The first key behind `from` and before `to` that is found to be readable. From the one before it, which is not, on to
/// there none is. It is sought upwards in steps that grow, so that what lies between two such pages is not passed: of
/// what differs in the last byte alone nothing is, of the rest what a step is longer than may be.
fn end_of_unreadable(from: &[u8], to: &[u8], is_readable: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
    let mut before = from.to_vec();
    for level in (0..=from.len()).rev() {
        let first = from.get(level).map_or(0, |byte| usize::from(*byte) + 1);
        for byte in first..256 {
            let key = [&from[..level], &[byte as u8]].concat();
            if key[..] >= *to {
                return first_readable(&before, to, &is_readable);
            }
            if is_readable(&key) {
                return Some(first_readable(&before, &key, &is_readable).unwrap_or(key));
            }
            before = key;
        }
    }
    first_readable(&before, to, &is_readable)
}

/// The first key behind `from` and before `to` that can be read, where from one on all can.
fn first_readable(from: &[u8], to: &[u8], is_readable: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
    let can_be_read = |key: &[u8]| key > from && (key >= to || is_readable(key));
    // What the end begins with, and the lowest key that is known to be readable.
    let (mut beginning, mut readable) = (Vec::new(), None);
    while beginning.len() < MAX_SOUGHT {
        let with = |byte: usize| [&beginning[..], &[byte as u8]].concat();
        let (mut low, mut high) = (0, 256);
        while low < high {
            let middle = (low + high) / 2;
            if can_be_read(&with(middle)) { high = middle } else { low = middle + 1 }
        }
        if low < 256 {
            readable = Some(with(low));
        }
        if low == 0 {
            break;
        }
        beginning.push((low - 1) as u8);
        if !can_be_read(&[&beginning[..], &HIGHEST].concat()) {
            break;
        }
    }
    readable.filter(|key| key[..] < *to)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The end that is found of what cannot be read from a key up to `end`.
    fn found(from: &[u8], to: &[u8], end: &[u8]) -> Option<Vec<u8>> {
        end_of_unreadable(from, to, |key| key >= end)
    }

    #[test]
    fn the_end_of_what_cannot_be_read_is_found_to_the_byte() {
        let ends: [&[u8]; 8] = [
            b"Q\x01",
            b"Q\0\0\x01",
            b"Qb",
            b"Qa\0",
            b"Qaa\xff\xff\xff",
            b"Qa\xff\0\xff",
            b"Q\xff",
            b"Qab\x01\x02\0",
        ];
        for end in ends {
            for from in [&b"Q"[..], b"Q\0", b"Q\0\0"] {
                assert_eq!(found(from, b"R", end).as_deref(), Some(end), "from {from:02x?}");
            }
        }
    }

    #[test]
    fn what_cannot_be_read_up_to_the_end_of_the_walk_has_no_end() {
        assert_eq!(found(b"Qa", b"R", b"S"), None);
        assert_eq!(found(b"Qa", b"R", b"R"), None);
        assert_eq!(found(b"Qa", b"Qa\0", b"Qb"), None);
        assert_eq!(found(b"", b"", b"Qb"), None);
    }

    #[test]
    fn an_end_that_is_too_long_is_passed() {
        let end = [b"Q".as_slice(), &[7; 2 * MAX_SOUGHT]].concat();
        let found = found(b"Q", b"R", &end).expect("there is one");
        assert!(found > end && found.starts_with(&end[..MAX_SOUGHT - 1]), "{found:02x?}");
    }

    #[test]
    fn what_lies_between_two_stretches_is_found() {
        let key = |number: u64| [b"Qsession".as_slice(), &number.to_be_bytes()].concat();
        let to = b"Qsessioo";
        // Pages of a hundred: the third, and the last one up to the end.
        let readable =
            |sought: &[u8]| sought < &key(200)[..] || (key(300)..=key(9_899)).contains(&sought.to_vec());
        assert_eq!(end_of_unreadable(&key(249), to, readable), Some(key(300)));
        assert_eq!(end_of_unreadable(&key(9_899), to, readable), None);
        // Behind a long one.
        let readable = |sought: &[u8]| (key(70_000)..key(200_000)).contains(&sought.to_vec());
        let found = end_of_unreadable(&key(300), to, readable).expect("there is one");
        assert_eq!(found, key(70_000)[..found.len()], "{found:02x?}");
    }

    /// The walk goes on behind `from`, whatever the engine says of it.
    #[test]
    fn a_key_that_can_be_read_by_now_is_passed_all_the_same() {
        assert_eq!(end_of_unreadable(b"Qa", b"R", |_| true), Some(b"Qa\0".to_vec()));
    }
}
