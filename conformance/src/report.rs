//! What a run found, as files for people and for programs, when `OPIFEX_CONFORMANCE_REPORT` names a folder: one pair
//! for each factory, `sqlite.json` and `sqlite.md`.
//!
//! Tests run as threads and as processes, and no one of them is the last. So each case that ends puts its row to those
//! that are there, under a lock on a file, and writes both files anew: they are whole at every moment, and never hold
//! half a row. A run of the same backend, version and tier replaces rows one by one, another one begins anew.
//!
//! It does not decide anything: a test fails because its case panics.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::{env, io, process};

use crate::{Case, Judgement};

mod head;
mod json;
mod markdown;
mod rows;

pub(crate) use head::Head;
use rows::{Row, Rows};

/// The variable that names the folder.
const VARIABLE: &str = "OPIFEX_CONFORMANCE_REPORT";

/// The report of one factory.
#[derive(Debug)]
pub(crate) struct Report {
    folder: PathBuf,
    /// The name of its files without what follows the dot.
    stem: String,
}

impl Report {
    /// The report of this factory, if one is asked for.
    pub(crate) fn asked_for(factory: &str) -> Option<Report> {
        let folder = env::var_os(VARIABLE).filter(|folder| !folder.is_empty())?;
        Some(Report::new(folder, factory))
    }

    fn new(folder: impl Into<PathBuf>, factory: &str) -> Report {
        Report { folder: folder.into(), stem: stem(factory) }
    }

    /// Adds what came of a case. Nothing is lost when others do the same.
    pub(crate) fn add(&self, head: &Head, case: Case, judgement: &Judgement) -> Result<(), String> {
        let within = |error: io::Error| {
            format!("{VARIABLE} is {}, and no report can be written there: {error}", self.folder.display())
        };
        fs::create_dir_all(&self.folder).map_err(within)?;
        let lock = File::create(self.path(".lock")).map_err(within)?;
        lock.lock().map_err(within)?;
        let rows = self.path(".rows");
        let known = match fs::read_to_string(&rows) {
            Ok(text) => Rows::parse(&text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Rows::default(),
            Err(error) => return Err(within(error)),
        };
        let known = known.with(head, Row::new(case, judgement))?;
        self.replace(&rows, &known.to_text()).map_err(within)?;
        self.replace(&self.path(".json"), &json::report(&known)).map_err(within)?;
        self.replace(&self.path(".md"), &markdown::report(&known)).map_err(within)
        // The lock goes with its file.
    }

    /// What is not for reading begins with a dot.
    fn path(&self, suffix: &str) -> PathBuf {
        let hidden = if matches!(suffix, ".json" | ".md") { "" } else { "." };
        self.folder.join(format!("{hidden}{}{suffix}", self.stem))
    }

    /// Who reads meanwhile sees the old file or the new one.
    fn replace(&self, path: &Path, text: &str) -> io::Result<()> {
        let new = self.path(&format!(".new-{}", process::id()));
        fs::write(&new, text)?;
        fs::rename(&new, path)
    }
}

/// A file's name of a factory's: small letters, digits and hyphens.
fn stem(factory: &str) -> String {
    let plain = factory.to_lowercase();
    let words = plain.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let stem = words.collect::<Vec<_>>().join("-");
    if stem.is_empty() { "factory".to_owned() } else { stem }
}

#[cfg(test)]
mod tests;
