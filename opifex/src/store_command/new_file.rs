//! A file that appears under its name when it is whole, and on the disk; or not at all.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// A file under a temporary name beside its own. Dropped, it is gone.
pub(super) struct NewFile {
    file: File,
    temporary: PathBuf,
    name: PathBuf,
    kept: bool,
}

impl NewFile {
    pub(super) fn create(name: &Path) -> io::Result<NewFile> {
        let mut temporary = name.as_os_str().to_owned();
        temporary.push(format!(".{}.part", std::process::id()));
        let temporary = PathBuf::from(temporary);
        Ok(NewFile { file: File::create_new(&temporary)?, temporary, name: name.to_owned(), kept: false })
    }

    pub(super) fn as_file(&self) -> &File {
        &self.file
    }

    /// Gives it its name, for good.
    pub(super) fn keep(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        std::fs::rename(&self.temporary, &self.name)?;
        self.kept = true;
        let directory = self.name.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.kept {
            // It may be gone; there is nobody to tell.
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}
