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
    match fs::remove_file(&configuration) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            let what = format!("cannot remove {}, which belongs to no log: {error}", configuration.display());
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
    ours.contains(&name) || sleds.contains(&name) || name.starts_with("snap.") || name == "lost+found"
}
