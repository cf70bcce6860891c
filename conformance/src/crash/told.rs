//! What a scribe tells of its progress, a line each, and what was told in all.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The first word of each line, by which it is known among what else a test program prints.
const MARK: &str = "opifex-told";

/// One piece of progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) writer: usize,
    pub(crate) news: News,
}

/// What is told.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// A digest of the books that the history began with.
    Base(u64),
    /// The step, which is a batch, has its place in the order.
    Ordered(usize),
    /// The step is durable.
    Durable(usize),
    /// The step, which is an open, is durable: of a session with that id, at that epoch.
    Opened { step: usize, id: u64, epoch: u64 },
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{MARK} {} ", self.writer)?;
        match self.news {
            News::Base(digest) => write!(f, "base {digest}"),
            News::Ordered(step) => write!(f, "ordered {step}"),
            News::Durable(step) => write!(f, "durable {step}"),
            News::Opened { step, id, epoch } => write!(f, "opened {step} {id} {epoch}"),
        }
    }
}

impl Line {
    /// `None`: something else.
    pub(crate) fn parse(line: &str) -> Option<Line> {
        let mut words = line.strip_prefix(MARK)?.split_ascii_whitespace();
        let writer = words.next()?.parse().ok()?;
        let kind = words.next()?;
        let mut number = || words.next()?.parse::<u64>().ok();
        let news = match kind {
            "base" => News::Base(number()?),
            "ordered" => News::Ordered(number()? as usize),
            "durable" => News::Durable(number()? as usize),
            "opened" => News::Opened { step: number()? as usize, id: number()?, epoch: number()? },
            _ => return None,
        };
        Some(Line { writer, news })
    }
}

/// Everything that one writer told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) base: Option<u64>,
    /// So many steps are ordered; one more may have begun.
    pub(crate) ordered: usize,
    pub(crate) durable: BTreeSet<usize>,
    pub(crate) opened: BTreeMap<usize, (u64, u64)>,
}

impl Told {
    pub(crate) fn take(&mut self, news: News) {
        match news {
            News::Base(digest) => self.base = Some(digest),
            News::Ordered(step) => self.ordered = self.ordered.max(step + 1),
            News::Durable(step) => drop(self.durable.insert(step)),
            News::Opened { step, id, epoch } => {
                self.ordered = self.ordered.max(step + 1);
                self.durable.insert(step);
                self.opened.insert(step, (id, epoch));
            }
        }
    }
}

/// Where a scribe tells.
pub(crate) trait Tell: Sync {
    /// One line, at once.
    fn tell(&self, line: &Line);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_was_told_and_half_a_line_is_not() {
        let news = [
            News::Base(u64::MAX),
            News::Ordered(3),
            News::Durable(2),
            News::Opened { step: 4, id: 5, epoch: 6 },
        ];
        for news in news {
            let line = Line { writer: 1, news };
            assert_eq!(Line::parse(&line.to_string()), Some(line));
        }
        assert_eq!(Line::parse("opifex-told 1 opened 4 5"), None);
        assert_eq!(Line::parse("test crash::x ... ok"), None);
    }
}
