//! A ready-made place for engines that keep their files in a directory.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::{env, fs, io, process};

/// A directory. One that was made here is removed with everything in it when this is dropped; one that was adopted stays.
///
/// They are made where the system keeps temporary files (`TMPDIR` on Unix), so that is also how to choose the disk.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    remove: bool,
}

impl Directory {
    /// Makes an empty directory that nobody else has.
    ///
    /// # Panics
    ///
    /// When none can be made; the message names the place and the reason.
    #[expect(clippy::new_without_default, reason = "it makes a directory, which no default should")]
    pub fn new() -> Directory {
        Directory::new_in(&env::temp_dir())
    }

    /// The same where syncs cost nothing, if the system has such a place: for what was made to be read.
    #[cfg(feature = "suite")]
    pub(crate) fn quick() -> Directory {
        let memory = Path::new("/dev/shm");
        match memory.is_dir() {
            true => Directory::new_in(memory),
            false => Directory::new(),
        }
    }

    fn new_in(parent: &Path) -> Directory {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = parent.join(format!("opifex-conformance-{}-{number}", process::id()));
            match fs::create_dir(&path) {
                Ok(()) => return Directory { path, remove: true },
                // A process with this id has died without removing its own.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => panic!(
                    "no directory for a store can be made at {}: {error}. Set TMPDIR to a folder that can be written",
                    path.display()
                ),
            }
        }
    }

    /// A directory that exists, and stays.
    pub fn adopt(path: impl Into<PathBuf>) -> Directory {
        Directory { path: path.into(), remove: false }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if self.remove {
            // What cannot be removed is left to the system, like everything in such folders.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_was_made_goes_with_its_guard() {
        let (one, other) = (Directory::new(), Directory::new());
        assert_ne!(one.path(), other.path());
        fs::write(one.path().join("file"), "x").unwrap();
        let path = one.path().to_owned();
        drop(one);
        assert!(!path.exists());
        assert!(other.path().is_dir());
    }

    #[test]
    fn a_directory_that_was_adopted_stays() {
        let made = Directory::new();
        drop(Directory::adopt(made.path()));
        assert!(made.path().is_dir());
    }
}
