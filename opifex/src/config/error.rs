//! What is wrong with a configuration file, and where: `FILE:LINE:COLUMN: message`.

use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};

use crate::failure::Failure;

/// A configuration file's text, kept to say where in it something is wrong.
pub(super) struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    pub(super) fn read(path: &Path) -> Result<Source, Failure> {
        let text = std::fs::read_to_string(path);
        let text = text.with_context(|| format!("cannot read the configuration file {}", path.display()));
        Ok(Source { path: path.to_owned(), text: text.map_err(Failure::Usage)? })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// What is wrong at some bytes of the file.
    pub(super) fn failure(&self, at: Option<Range<usize>>, message: &str) -> Failure {
        let path = self.path.display();
        Failure::Usage(match at {
            Some(at) => {
                let (line, column) = line_and_column(&self.text, at.start);
                anyhow!("{path}:{line}:{column}: {message}")
            }
            None => anyhow!("{path}: {message}"),
        })
    }
}

/// Both from 1, the column in characters.
fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..text.floor_char_boundary(offset)];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::line_and_column;

    #[test]
    fn lines_and_columns_begin_at_one_and_count_characters() {
        let text = "a = 1\nä = 2\n";
        let two = text.find('2').unwrap();
        assert_eq!(line_and_column(text, 0), (1, 1));
        assert_eq!(line_and_column(text, 6), (2, 1));
        assert_eq!(line_and_column(text, two), (2, 5));
        assert_eq!(line_and_column(text, text.len()), (3, 1));
        assert_eq!(line_and_column(text, 1_000), (3, 1));
    }
}
