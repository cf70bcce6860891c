//! From a topic to the filters with wildcards that match it. Goes only where a signpost leads, with a
//! stack of its own, so that the depth of a topic costs time and no call frames.

use super::candidate::{Candidate, Pluses};
use super::mark::Meaning;
use super::path_hash::PathHasher;
use super::path_table::PathTable;
use super::short_stack::ShortStack;
use super::topic_levels::TopicLevels;

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

/// Calls `visit` for each filter with wildcards that is marked where the topic's path, with some
/// levels replaced by `+`, leads. Each that matches is among them once with the right spelling;
/// others may be among them by the accident of a fingerprint.
#[inline]
pub(super) fn walk(
    hasher: &PathHasher,
    table: &PathTable,
    levels: &TopicLevels<'_>,
    mut visit: impl FnMut(Candidate<'_>),
) {
    let topic = levels.topic();
    let mut pluses = Pluses::new();
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
                // Without a `+` on the way it has no wildcard, and this walk is not for it.
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
        };
        if goes_plus {
            wait(hasher.plus(), Some(stop.start));
        }
        if goes_literal {
            wait(level.hash, None);
        }
    }
}
