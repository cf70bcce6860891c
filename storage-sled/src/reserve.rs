//! Space that is kept for a full disk: sled cannot take back a write that the disk had no room for (it works no more
//! until it is opened again), so what grows is refused before that, and what makes room is written from a reserve.
//!
//! The reserve is a file. While it stands, what is free beyond a margin is for everybody. When less is free, nothing
//! that grows is written any more, and the file goes, so that settling has its space, whoever else filled the disk.
//!
//! sled's log does not become shorter when it is emptied: what is settled is space inside of it. So a store without its
//! reserve has room again when most of its own log is free, and gets its reserve back when the disk has space for it.
//! sled finds that space again in part only: a store that was full and drained several times takes less each time, until
//! the disk is given more room.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The file in the data directory.
pub(crate) const FILE: &str = "opifex.reserve";

/// sled writes more than it is given: pages again and again, whole segments.
const BYTES_A_BYTE: u64 = 4;

/// The reserve of a directory.
pub(crate) struct Reserve {
    directory: PathBuf,
    bytes: u64,
    state: Mutex<State>,
}

struct State {
    /// Whether the file stands in its full length.
    held: bool,
    /// What may still be written of the space inside of the log, as it was found when somebody looked.
    inside: u64,
    looked_at: Option<Instant>,
}

/// Looking how much of the log is free is a walk through its pages: so often at most.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

impl Reserve {
    /// The reserve that a directory has, or what it will be when there is room for it. 0 bytes: none, and nobody looks
    /// whether there is room.
    pub(crate) fn of(directory: &Path, bytes: u64) -> Reserve {
        let file = directory.join(FILE);
        let is_whole = fs::metadata(&file).is_ok_and(|meta| meta.len() == bytes);
        let state = Mutex::new(State { held: is_whole, inside: 0, looked_at: None });
        let reserve = Reserve { directory: directory.to_owned(), bytes, state };
        if is_whole {
            // Opening writes, too: a disk that is full already gives the reserve up for that.
            reserve.has_room(0, || 0);
        }
        reserve
    }

    /// Whether so many bytes more may be written. `inside` says how much of the log is free.
    pub(crate) fn has_room(&self, bytes: u64, inside: impl FnOnce() -> u64) -> bool {
        if self.bytes == 0 {
            return true;
        }
        // Who cannot ask for the free space finds out by writing.
        let Ok(free) = fs2::available_space(&self.directory) else { return true };
        let needed = bytes.saturating_mul(BYTES_A_BYTE);
        let mut state = self.state.lock();
        // Somewhat more than what would make it go again at once.
        if !state.held && free >= self.bytes + 2 * self.margin() {
            state.held = self.make().is_ok();
            if !state.held {
                // Half a reserve would be taken for space that others use.
                let _ = fs::remove_file(self.file());
            }
        }
        if state.held && free >= self.margin() {
            return free >= self.margin().saturating_add(needed);
        }
        if state.held {
            // When even that fails, there is no room the less.
            state.held = fs::remove_file(self.file()).is_err();
            return false;
        }
        if state.looked_at.is_none_or(|at| at.elapsed() >= LOOK_INTERVAL) {
            state.inside = inside().saturating_sub(self.margin());
            state.looked_at = Some(Instant::now());
        }
        let has_room = free >= self.margin() && state.inside >= needed;
        if has_room {
            state.inside -= needed;
        }
        has_room
    }

    fn margin(&self) -> u64 {
        self.bytes / 2
    }

    fn file(&self) -> PathBuf {
        self.directory.join(FILE)
    }

    /// Writes the file in its full length: a length alone takes no space.
    fn make(&self) -> io::Result<()> {
        let mut file = File::create(self.file())?;
        let zeros = vec![0; 1 << 20];
        let mut left = self.bytes;
        while left > 0 {
            let now = left.min(zeros.len() as u64);
            file.write_all(&zeros[..now as usize])?;
            left -= now;
        }
        file.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_reserve_is_never_full() {
        let directory = tempfile::TempDir::new().unwrap();
        assert!(Reserve::of(directory.path(), 0).has_room(u64::MAX, || 0));
        assert!(!directory.path().join(FILE).exists());
    }

    #[test]
    fn a_reserve_stands_in_its_full_length_and_refuses_what_leaves_no_margin() {
        let directory = tempfile::TempDir::new().unwrap();
        let reserve = Reserve::of(directory.path(), 3 << 20);
        assert!(!directory.path().join(FILE).exists(), "a directory that is only looked at gets no file");
        assert!(reserve.has_room(1 << 10, || 0));
        assert_eq!(fs::metadata(directory.path().join(FILE)).unwrap().len(), 3 << 20);
        assert!(!reserve.has_room(u64::MAX / 8, || 0));
        assert!(reserve.has_room(0, || 0), "one large group does not cost the reserve");
    }
}
