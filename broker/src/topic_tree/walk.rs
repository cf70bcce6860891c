//! From a topic to the filters that match it. Goes only where a signpost leads, with
//! a stack of its own, so that the depth of a topic costs time and no call frames.

use super::mark::Meaning;
use super::path_hash::{LevelHash, PathHasher};
use super::path_table::PathTable;
use super::short_stack::ShortStack;

/// How many levels of a topic are cut and hashed ahead, once for all branches. Deeper ones are cut
/// when a branch gets there.
const LEVELS_AHEAD: usize = 8;

/// A topic cut into levels and hashed.
#[derive(Debug)]
pub(super) struct TopicLevels<'a> {
    topic: &'a [u8],
    ahead: [Level; LEVELS_AHEAD],
    /// The path of the topic itself, as a filter without wildcards.
    path: u64,
}

#[derive(Copy, Clone, Debug, Default)]
struct Level {
    hash: LevelHash,
    /// Where its text ends: at a slash or at the topic's end.
    end: u32,
}

impl<'a> TopicLevels<'a> {
    #[inline]
    pub(super) fn new(hasher: &PathHasher, topic: &'a str) -> Self {
        let mut levels = TopicLevels {
            topic: topic.as_bytes(),
            ahead: [Level::default(); LEVELS_AHEAD],
            path: hasher.root(),
        };
        let (mut number, mut start) = (0, 0);
        while start <= levels.topic.len() {
            let level = levels.cut(hasher, start);
            if let Some(place) = levels.ahead.get_mut(number) {
                *place = level;
            }
            levels.path = hasher.step(levels.path, level.hash);
            number += 1;
            start = level.end as usize + 1;
        }
        levels
    }

    #[inline]
    fn path(&self) -> u64 {
        self.path
    }

    /// The level of that number, which starts there.
    #[inline]
    fn level(&self, hasher: &PathHasher, number: u32, start: u32) -> Level {
        match self.ahead.get(number as usize) {
            Some(level) => *level,
            None => self.cut(hasher, start as usize),
        }
    }

    #[inline]
    fn cut(&self, hasher: &PathHasher, start: usize) -> Level {
        let rest = &self.topic[start..];
        let len = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
        // A topic has at most 65535 bytes.
        Level { hash: hasher.level(&rest[..len]), end: (start + len) as u32 }
    }
}

/// A prefix of the topic in which some levels may be replaced by `+`.
#[derive(Copy, Clone, Debug, Default)]
struct Stop {
    path: u64,
    /// How many levels it has.
    level: u32,
    /// Where the next level of the topic starts; one past the end after the last level.
    start: u32,
    /// How many levels in front of its last are `+`.
    pluses_before: u32,
    /// Whether its last level is `+`, and then where that starts in the topic.
    plus_start: Option<u32>,
}

/// The levels that are `+` on the way to a stop: from where to where each reaches in the topic.
type Pluses = ShortStack<(u32, u32), 8>;

/// A filter that would match the topic, if it has the right spelling.
#[derive(Debug)]
pub(super) struct Candidate<'w> {
    /// Its number.
    pub(super) filter: u32,
    topic: &'w [u8],
    pluses: &'w Pluses,
    /// How much of the topic it spells out or replaces; what is left is for `#`.
    prefix_len: usize,
    tail: &'static [u8],
}

impl Candidate<'_> {
    /// Whether that is its text.
    #[inline]
    pub(super) fn is(&self, filter: &[u8]) -> bool {
        let mut rest = filter;
        let mut from = 0;
        for &(start, end) in self.pluses.iter() {
            let literal = &self.topic[from..start as usize];
            match rest.strip_prefix(literal).and_then(|rest| rest.strip_prefix(b"+")) {
                Some(after) => rest = after,
                None => return false,
            }
            from = end as usize;
        }
        rest.strip_prefix(&self.topic[from..self.prefix_len]) == Some(self.tail)
    }
}

/// Calls `visit` for each filter that is marked where the topic's path, with some levels replaced by
/// `+`, leads. Each that matches is among them once with the right spelling; others may be among
/// them by the accident of a fingerprint.
#[inline]
pub(super) fn walk(
    hasher: &PathHasher,
    table: &PathTable,
    levels: &TopicLevels<'_>,
    mut visit: impl FnMut(Candidate<'_>),
) {
    let topic = levels.topic;
    let mut pluses = Pluses::new();
    table.touch(levels.path());
    // A filter without wildcards has no signposts, and its path is known.
    let no_pluses = Pluses::new();
    for mark in table.marks(levels.path()) {
        if let Meaning::End { filter } = mark.meaning() {
            visit(Candidate { filter, topic, pluses: &no_pluses, prefix_len: topic.len(), tail: b"" });
        }
    }
    let mut waiting = ShortStack::<Stop, 8>::new();
    waiting.push(Stop { path: hasher.root(), ..Stop::default() });
    while let Some(stop) = waiting.pop() {
        let is_root = stop.level == 0;
        pluses.truncate(stop.pluses_before as usize);
        if let Some(plus_start) = stop.plus_start {
            pluses.push((plus_start, stop.start - 1));
        }
        let is_whole = stop.start as usize > topic.len();
        // [MQTT-4.7.2-1]
        let wildcards_allowed = !(is_root && topic.first() == Some(&b'$'));
        let prefix_len = (stop.start as usize).saturating_sub(1);
        let (mut goes_literal, mut goes_plus) = (false, false);
        for mark in table.marks(stop.path) {
            match mark.meaning() {
                Meaning::Multi { filter } if wildcards_allowed => {
                    let tail: &[u8] = if is_root { b"#" } else { b"/#" };
                    visit(Candidate { filter, topic, pluses: &pluses, prefix_len, tail });
                }
                // Without a `+` on the way it is the one that was looked up first.
                Meaning::End { filter } if is_whole && pluses.len() > 0 => {
                    visit(Candidate { filter, topic, pluses: &pluses, prefix_len, tail: b"" });
                }
                Meaning::Ways { literals, pluses } if !is_whole => {
                    goes_literal = literals > 0;
                    goes_plus = pluses > 0 && wildcards_allowed;
                }
                Meaning::Nothing | Meaning::Ways { .. } | Meaning::End { .. } | Meaning::Multi { .. } => {}
            }
        }
        if !(goes_literal || goes_plus) {
            continue;
        }
        let level = levels.level(hasher, stop.level, stop.start);
        let mut wait = |hash, plus_start| {
            let path = hasher.step(stop.path, hash);
            table.touch(path);
            waiting.push(Stop {
                path,
                level: stop.level + 1,
                start: level.end + 1,
                pluses_before: pluses.len() as u32,
                plus_start,
            });
            path
        };
        if goes_plus {
            wait(hasher.plus(), Some(stop.start));
        }
        if goes_literal {
            wait(level.hash, None);
        }
    }
}
