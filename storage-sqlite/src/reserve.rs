//! Room for draining a full disk: a file that is there to be removed.
//!
//! Taking messages out of a database needs room itself, for the log of what was taken out. So some is kept from the
//! beginning, and given up when the disk is full; from then on nothing that grows is taken, until there is room for the
//! file again, and for something more. It is known here neither what grows nor what a full disk looks like.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use fs2::FileExt as _;

/// How often a full disk is asked whether it has room again.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// See the module's documentation.
pub(crate) struct Reserve {
    path: PathBuf,
    bytes: u64,
    held: bool,
    asked: Option<Instant>,
}

impl Reserve {
    /// Takes the room, if there is so much. 0 bytes: no reserve, and the disk is never held to be full.
    pub(crate) fn take(path: PathBuf, bytes: u64) -> Reserve {
        let held = bytes == 0 || fs::metadata(&path).is_ok_and(|file| file.len() == bytes);
        let mut reserve = Reserve { path, bytes, held, asked: None };
        reserve.take_again();
        reserve
    }

    /// Whether the room is there. If not, nothing that grows is to be taken.
    pub(crate) fn is_held(&self) -> bool {
        self.held
    }

    /// How much it is.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Gives the room up.
    pub(crate) fn release(&mut self) {
        if self.bytes > 0 {
            // One that cannot be removed is in the way, and no room for anybody.
            let _ = fs::remove_file(&self.path);
            self.held = false;
        }
    }

    /// Takes the room again if there is so much and something more: what would go at once need not come.
    pub(crate) fn take_again(&mut self) {
        if !self.held {
            self.asked = Some(Instant::now());
            self.held = self.fill();
        }
    }

    /// The same, if nobody has asked just now.
    pub(crate) fn ask_again(&mut self) {
        if self.asked.is_none_or(|asked| asked.elapsed() >= ASK_EVERY) {
            self.take_again();
        }
    }

    fn fill(&self) -> bool {
        let filled = self.allocate().is_ok();
        if !filled {
            // It is in the way of what it is for; if it cannot be removed it was not made.
            let _ = fs::remove_file(&self.path);
        }
        filled
    }

    /// Blocks of the disk: a length alone takes no room.
    fn allocate(&self) -> io::Result<()> {
        let file = File::create(&self.path)?;
        file.allocate(self.bytes + self.bytes / 8)?;
        file.set_len(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserve_is_there_in_its_full_length_until_it_is_given_up() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("reserve");
        let len = || fs::metadata(&path).map(|file| file.len()).ok();
        let mut reserve = Reserve::take(path.clone(), 1 << 20);
        assert_eq!((reserve.is_held(), len()), (true, Some(1 << 20)));
        reserve.release();
        assert_eq!((reserve.is_held(), len()), (false, None));
        reserve.take_again();
        assert_eq!((reserve.is_held(), len()), (true, Some(1 << 20)));
    }

    #[test]
    fn who_has_just_asked_does_not_ask_again() {
        let place = tempfile::tempdir().expect("a directory");
        let mut reserve = Reserve::take(place.path().join("missing").join("reserve"), 1 << 20);
        assert!(!reserve.is_held());
        reserve.ask_again();
        fs::create_dir(place.path().join("missing")).expect("it is made");
        reserve.ask_again();
        assert!(!reserve.is_held(), "that was at once");
        reserve.take_again();
        assert!(reserve.is_held());
    }

    #[test]
    fn no_reserve_is_held_always() {
        let place = tempfile::tempdir().expect("a directory");
        let mut reserve = Reserve::take(place.path().join("reserve"), 0);
        reserve.release();
        assert!(reserve.is_held() && !place.path().join("reserve").exists());
    }
}
