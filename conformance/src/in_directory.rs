//! A ready-made factory for engines that keep all they have in one directory, which most do.
//!
//! Not for stores that are reached some other way, or that are opened by awaiting: those implement [`Factory`].

use std::fmt;
use std::path::Path;

use opifex_storage::{Persistence, Result};

use crate::{Directory, Factory};

/// A factory whose stores lie in a [`Directory`] each. See [`in_directory`].
pub struct InDirectory<S> {
    name: &'static str,
    open: fn(&Path) -> Result<S>,
}

/// Stores that lie in a directory each: `open` opens the one that lies there, and makes it when there is none yet. The
/// report and its files are called by the name.
pub fn in_directory<S: Persistence>(name: &'static str, open: fn(&Path) -> Result<S>) -> InDirectory<S> {
    InDirectory { name, open }
}

impl<S: Persistence> Factory for InDirectory<S> {
    type Store = S;
    type Place = Directory;

    fn place(&self) -> Directory {
        Directory::new()
    }

    async fn open(&self, place: &Directory) -> Result<S> {
        (self.open)(place.path())
    }

    fn directory<'a>(&self, place: &'a Directory) -> Option<&'a Path> {
        Some(place.path())
    }

    fn adopt(&self, directory: &Path) -> Option<Directory> {
        Some(Directory::adopt(directory))
    }

    fn name(&self) -> String {
        self.name.to_owned()
    }
}

impl<S> fmt::Debug for InDirectory<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InDirectory").field("name", &self.name).finish_non_exhaustive()
    }
}
