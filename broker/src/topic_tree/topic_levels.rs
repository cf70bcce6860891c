//! A topic cut into its levels, each with its hash.

use super::path_hash::{LevelHash, PathHasher};

/// How many levels of a topic are cut and hashed ahead, once for all branches. Deeper ones are cut
/// when a branch gets there.
pub(super) const LEVELS_AHEAD: usize = 8;

/// A topic cut into levels and hashed.
#[derive(Debug)]
pub(super) struct TopicLevels<'a> {
    topic: &'a [u8],
    ahead: [Level; LEVELS_AHEAD],
    count: usize,
    path: u64,
}

/// One level of a topic.
#[derive(Copy, Clone, Debug, Default)]
pub(super) struct Level {
    pub(super) hash: LevelHash,
    /// Where its text ends: at a slash or at the topic's end.
    pub(super) end: u32,
}

impl<'a> TopicLevels<'a> {
    #[inline]
    pub(super) fn new(hasher: &PathHasher, topic: &'a str) -> Self {
        let mut levels = TopicLevels {
            topic: topic.as_bytes(),
            ahead: [Level::default(); LEVELS_AHEAD],
            count: 0,
            path: hasher.root(),
        };
        let mut start = 0;
        while start <= levels.topic.len() {
            let level = levels.cut(hasher, start);
            if let Some(place) = levels.ahead.get_mut(levels.count) {
                *place = level;
            }
            levels.path = hasher.step(levels.path, level.hash);
            levels.count += 1;
            start = level.end as usize + 1;
        }
        levels
    }

    /// The text.
    #[inline]
    pub(super) fn topic(&self) -> &'a [u8] {
        self.topic
    }

    /// The first levels.
    #[inline]
    pub(super) fn ahead(&self) -> &[Level] {
        &self.ahead[..self.count.min(LEVELS_AHEAD)]
    }

    /// The path of the topic itself, as of a filter without wildcards.
    #[inline]
    pub(super) fn path(&self) -> u64 {
        self.path
    }

    /// The level of that number, which starts there.
    #[inline]
    pub(super) fn level(&self, hasher: &PathHasher, number: u32, start: u32) -> Level {
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
