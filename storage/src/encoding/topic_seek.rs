//! Where a filter's next match can be, seen from a key: what makes a walk skip what cannot match.
//!
//! Pure text: nothing here knows the map. A key is a topic with [`SEPARATOR`] for `/`; everything below a topic lies
//! between the topic and the same with U+0001 behind it. A map whose order takes `/` for [`SEPARATOR`] may have topics as
//! they are for its keys: both are separators here.

use std::cmp::Ordering;

/// What stands for `/` in a key: no topic holds it, and it sorts before everything that a topic can hold.
pub const SEPARATOR: char = '\0';

/// The character after it.
const ABOVE_SEPARATOR: char = '\u{1}';

/// The character after `$`.
const ABOVE_DOLLAR: &str = "%";

/// A filter that is walked for.
pub struct Sought<'a> {
    levels: Vec<&'a str>,
    /// Kept for its capacity: the key to seek to.
    to: String,
}

/// Where the walk goes on behind a key.
#[derive(Debug, PartialEq, Eq)]
pub enum After<'a> {
    /// At the next key.
    NextKey,
    /// At this key, or the first one behind it.
    Seek(&'a str),
    /// Nowhere: nothing that follows can match.
    End,
}

impl<'a> Sought<'a> {
    /// Of the text of a filter, without `$share/.../`.
    pub fn new(filter: &'a str) -> Sought<'a> {
        Sought { levels: filter.split('/').collect(), to: String::new() }
    }

    /// Where the first match can be.
    pub fn first_key(&mut self) -> String {
        self.to.clear();
        self.push_literals(0);
        self.to.clone()
    }

    /// Whether a key matches, and where the walk goes on behind it.
    pub fn judge(&mut self, key: &str) -> (bool, After<'_>) {
        // The end of the level in the key that the filter's last `+` so far stands for.
        let mut plus_end = None;
        let mut start = 0;
        for index in 0..self.levels.len() {
            let wanted = self.levels[index];
            // [MQTT-4.7.2-1]: a filter that starts with a wildcard does not match topics that start with `$`.
            if index == 0 && matches!(wanted, "#" | "+") && key.starts_with('$') {
                return (false, self.seek(ABOVE_DOLLAR));
            }
            if wanted == "#" {
                return (true, After::NextKey);
            }
            if start > key.len() {
                // The key is a level short: what is sought lies below it, which is next.
                if wanted == "+" {
                    return (false, After::NextKey);
                }
                self.set_to(key);
                self.to.push(SEPARATOR);
                self.push_literals(index);
                return (false, After::Seek(&self.to));
            }
            let end = key[start..].find([SEPARATOR, '/']).map_or(key.len(), |length| start + length);
            if wanted == "+" {
                plus_end = Some(end);
            } else {
                match key[start..end].cmp(wanted) {
                    Ordering::Equal => {}
                    Ordering::Less => {
                        self.set_to(&key[..start]);
                        self.push_literals(index);
                        return (false, After::Seek(&self.to));
                    }
                    Ordering::Greater => return (false, self.behind(key, plus_end)),
                }
            }
            start = end + 1;
        }
        (start > key.len(), self.behind(key, plus_end))
    }

    /// Behind everything below the value of the last `+`: without one, there is no other value to try.
    fn behind(&mut self, key: &str, plus_end: Option<usize>) -> After<'_> {
        let Some(end) = plus_end else { return After::End };
        self.set_to(&key[..end]);
        self.to.push(ABOVE_SEPARATOR);
        After::Seek(&self.to)
    }

    fn seek(&mut self, to: &str) -> After<'_> {
        self.set_to(to);
        After::Seek(&self.to)
    }

    fn set_to(&mut self, to: &str) {
        self.to.clear();
        self.to.push_str(to);
    }

    /// Appends the filter's levels from `index` up to the next wildcard.
    fn push_literals(&mut self, index: usize) {
        let literals = self.levels[index..].iter().take_while(|level| !matches!(**level, "#" | "+"));
        for (position, level) in literals.enumerate() {
            if position > 0 {
                self.to.push(SEPARATOR);
            }
            self.to.push_str(level);
        }
    }
}
