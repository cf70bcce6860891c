//! How far a store had come, outside of its engine: the number of the last durable commit, in a file of its own.
//!
//! An engine takes the log that it finds, up to where it ends, for all there was. When somebody removed the log, cut it
//! short or put an older database in its place, what is lost had been told to be durable, and nobody would know. So each
//! commit carries its number, and after it is durable the number is written here too. A mark that is ahead of its store
//! is a loss; one that is behind is what a power loss leaves, since the mark itself is not synced; none, or one that is
//! damaged, says nothing.
//!
//! Where a backend keeps the number inside its engine is not known here.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::{ErrorKind, Result, StoreError};

/// The mark of a data directory.
#[derive(Debug)]
pub struct CommitMark {
    path: PathBuf,
    file: File,
    marked: u64,
}

impl CommitMark {
    /// The name of the file in the data directory.
    pub const FILE: &str = "opifex.mark";

    /// Reads the mark of a directory, or begins one that says nothing yet.
    ///
    /// # Errors
    /// `Fatal` as the file system says.
    pub fn open(directory: &Path) -> Result<CommitMark> {
        let path = directory.join(CommitMark::FILE);
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let mut bytes = Vec::new();
        let opened = options.open(&path).and_then(|mut file| {
            Read::by_ref(&mut file).take(64).read_to_end(&mut bytes)?;
            if number_of(&bytes).is_none() {
                file.set_len(0)?;
            }
            Ok(file)
        });
        let file = opened.map_err(|error| {
            let what = format!("cannot use {}: {error}", path.display());
            StoreError::not_applied(ErrorKind::Fatal, what)
        })?;
        Ok(CommitMark { path, file, marked: number_of(&bytes).unwrap_or(0) })
    }

    /// What is to be said when the store's own number is behind the mark; `None`: nothing is missing.
    pub fn missing_from(&self, stored: u64) -> Option<StoreError> {
        let missing = self.marked.checked_sub(stored).filter(|missing| *missing > 0)?;
        let what = format!(
            "the last {missing} commits that were durable are missing: a log was removed or cut short, or an older store \
             was put in its place ({} tells of commit {}, the store's last is {stored}); bring the files back, or go on \
             with what is there",
            self.path.display(),
            self.marked,
        );
        Some(StoreError::not_applied(ErrorKind::Corrupt, what))
    }

    /// The number behind which the store counts on: never one that was given before.
    pub fn last(&self, stored: u64) -> u64 {
        self.marked.max(stored)
    }

    /// Everything up to this commit is durable. That this is not written down costs nothing but the warning.
    pub fn set(&mut self, number: u64) {
        self.marked = number;
        let line = line_of(number);
        let _ = self.file.rewind().and_then(|()| self.file.write_all(line.as_bytes()));
    }
}

/// A line that a person can read, always of the same length.
fn line_of(number: u64) -> String {
    let digits = format!("{number:020}");
    format!("{digits} {:08x}\n", crc32c::crc32c(digits.as_bytes()))
}

fn number_of(bytes: &[u8]) -> Option<u64> {
    let number = std::str::from_utf8(bytes).ok()?.split(' ').next()?.parse().ok()?;
    (line_of(number).as_bytes() == bytes).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_was_written_and_a_damaged_one_says_nothing() {
        for number in [0, 1, 42, u64::MAX] {
            let line = line_of(number).into_bytes();
            assert_eq!((number_of(&line), line.len()), (Some(number), 30));
            for bit in 0..line.len() * 8 {
                let mut damaged = line.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(number_of(&damaged), None, "bit {bit} of {number}");
            }
            for length in 0..line.len() {
                assert_eq!(number_of(&line[..length]), None, "{length} bytes of {number}");
            }
        }
    }
}
