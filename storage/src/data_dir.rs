//! The directory that a store on disk lies in, and the lock file that keeps it to one process. Which files the backend
//! has there is not known here.
//!
//! The lock is the operating system's on a file of its own: it goes with its process, however that ends, and leaves the
//! database to readers such as `sqlite3 -readonly`. All backends use the same name, so that no two share a directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::{ErrorKind, Result, StoreError};

/// A directory that is ours until this is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// Directories that were not there before.
    made: Vec<PathBuf>,
    // Held for its lock.
    _lock: File,
}

impl DataDir {
    /// The name of the lock file.
    pub const LOCK_FILE: &str = "opifex.lock";

    /// Takes the directory, which is made if it is not there.
    ///
    /// # Errors
    /// `Retry`, naming the directory and the process, when it is in use; `Fatal` as the file system says.
    pub fn take(path: &Path) -> Result<DataDir> {
        let made: Vec<PathBuf> =
            path.ancestors().take_while(|ancestor| !ancestor.exists()).map(Path::to_owned).collect();
        std::fs::create_dir_all(path).map_err(|error| cannot("create", path, &error))?;
        let lock_path = path.join(DataDir::LOCK_FILE);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut lock = options.open(&lock_path).map_err(|error| cannot("open", &lock_path, &error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(path, &mut lock)),
            Err(TryLockError::Error(error)) => return Err(cannot("lock", &lock_path, &error)),
        }
        write_holder(&mut lock).map_err(|error| cannot("write", &lock_path, &error))?;
        Ok(DataDir { path: path.to_owned(), made, _lock: lock })
    }

    /// Makes the names of what was made durable: of the files in the directory, and of the directory.
    ///
    /// # Errors
    /// `Fatal` as the file system says.
    pub fn sync(&self) -> Result<()> {
        let parents = self.made.iter().map(|made| match made.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        });
        for directory in parents.chain([self.path.as_path()]) {
            File::open(directory)
                .and_then(|opened| opened.sync_all())
                .map_err(|error| cannot("sync", directory, &error))?;
        }
        Ok(())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn write_holder(lock: &mut File) -> std::io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    writeln!(lock, "{}", std::process::id())
}

fn in_use(path: &Path, lock: &mut File) -> StoreError {
    let mut holder = String::new();
    // Who holds it may be about to write its number.
    let holder = match lock.read_to_string(&mut holder) {
        Ok(_) if !holder.trim().is_empty() => format!("process {}", holder.trim()),
        _ => "another process".to_owned(),
    };
    StoreError::not_applied(
        ErrorKind::Retry,
        format!(
            "the data directory {} is in use by {holder}: stop it, or choose another directory with --data-dir",
            path.display()
        ),
    )
}

fn cannot(what: &str, path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::not_applied(ErrorKind::Fatal, format!("cannot {what} {}: {error}", path.display()))
}
