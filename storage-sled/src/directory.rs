//! What may lie in the directory of a store: sled would put its files among anybody's, and stumbles over half a file of
//! its own.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::Path;

use opifex_storage::{CommitMark, DataDir, ErrorKind, Result, StoreError};

use crate::reserve;

const CONFIGURATION: &str = "conf";
const LOG: &str = "db";
const SNAPSHOT: &str = "snap.";
const HALF: &str = ".generating";

/// Refuses a directory that holds what is not a sled store's. One that is not there or empty is fine.
pub(crate) fn check(directory: &Path) -> Result<()> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            let what = format!("cannot read the data directory {}: {error}", directory.display());
            return Err(StoreError::not_applied(ErrorKind::Fatal, what));
        }
    };
    for entry in entries.flatten() {
        if !is_a_stores(&entry.file_name()) {
            let what = format!(
                "the data directory {} holds {}, which is not part of a sled store: choose another directory with \
                 --data-dir",
                directory.display(),
                entry.file_name().display()
            );
            return Err(StoreError::not_applied(ErrorKind::Unsupported, what));
        }
    }
    Ok(())
}

/// Who died while it made a database may have left half a configuration, which sled refuses for good. It writes that file
/// before it makes the log: without a log there is nothing that could be lost with it. Asks for the lock.
pub(crate) fn begin_anew_without_a_log(directory: &Path) -> Result<()> {
    let (configuration, log) = (directory.join(CONFIGURATION), directory.join(LOG));
    if log.exists() {
        return Ok(());
    }
    remove(&configuration, "belongs to no log")
}

/// Who died while it wrote a snapshot of where the pages are has left half of one, under a name that sled gives it until it
/// is whole, and which sled then takes for the newest. Without it sled has the one before, or reads its whole log: neither
/// is given up before the new one has its own name. Asks for the lock.
pub(crate) fn remove_half_snapshots(directory: &Path) -> Result<()> {
    let Ok(entries) = fs::read_dir(directory) else { return Ok(()) };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| name.starts_with(SNAPSHOT) && name.ends_with(HALF)) {
            remove(&entry.path(), "was not written to its end")?;
        }
    }
    Ok(())
}

fn remove(file: &Path, why: &str) -> Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            let what = format!("cannot remove {}, which {why}: {error}", file.display());
            Err(StoreError::not_applied(ErrorKind::Fatal, what))
        }
        _ => Ok(()),
    }
}

fn is_a_stores(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    let ours = [DataDir::LOCK_FILE, reserve::FILE, CommitMark::FILE];
    let sleds = [CONFIGURATION, LOG, "blobs"];
    // The root of a file system has a directory of its own.
    ours.contains(&name) || sleds.contains(&name) || name.starts_with(SNAPSHOT) || name == "lost+found"
}
