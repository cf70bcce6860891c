//! The space that a store takes on the disk.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// The length of all files of a directory.
pub(crate) fn of(directory: &Path) -> String {
    format!("{:.1} MB", bytes(directory) as f64 / 1e6)
}

/// The same when it has not changed for two seconds.
pub(crate) fn at_rest(directory: &Path) -> String {
    let (mut size, mut since) = (bytes(directory), Instant::now());
    while since.elapsed() < Duration::from_secs(2) {
        thread::sleep(Duration::from_millis(50));
        let now = bytes(directory);
        if now != size {
            (size, since) = (now, Instant::now());
        }
    }
    of(directory)
}

fn bytes(directory: &Path) -> u64 {
    let files = fs::read_dir(directory).into_iter().flatten().flatten();
    files
        .map(|file| match file.file_type() {
            Ok(kind) if kind.is_dir() => bytes(&file.path()),
            _ => file.metadata().map_or(0, |data| data.len()),
        })
        .sum()
}
