//! A topic filter: what a subscription asks for, and which topic names it matches. How a broker
//! finds the filters that match a name is the broker's affair.

use std::borrow::Cow;
use std::fmt;

use crate::topic_error::TopicError;
use crate::topic_name::TopicName;
use crate::writer::MAX_FIELD_LEN;

/// A valid topic filter: 1 to 65535 bytes of UTF-8 without U+0000, wildcards only where they may
/// stand. `$share/name/filter` is one too.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicFilter<'a>(Cow<'a, str>);

/// The two parts of a shared subscription's filter, `$share/group/filter`.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct SharedFilter<'a> {
    /// The share name: not empty, without `/`, `+` and `#`.
    pub group: &'a str,
    /// The filter that topics are matched with.
    pub filter: &'a str,
}

const SHARE: &str = "$share/";

impl<'a> TopicFilter<'a> {
    /// The topic filter of that text, or the rule that the text breaks. A text that begins with
    /// `$share/` has to be a well-formed shared filter.
    pub fn new(filter: impl Into<Cow<'a, str>>) -> Result<Self, TopicError> {
        let filter = filter.into();
        check(&filter)?;
        check_share(&filter)?;
        Ok(TopicFilter(filter))
    }

    /// The same for 3.x, where `$share/` means nothing: an ill-formed shared filter is an ordinary
    /// filter there.
    pub fn without_share_rules(filter: &'a str) -> Result<Self, TopicError> {
        check(filter)?;
        Ok(TopicFilter(Cow::Borrowed(filter)))
    }

    /// The text.
    #[inline]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a level is `+` or `#`.
    pub fn has_wildcards(&self) -> bool {
        memchr::memchr2(b'+', b'#', self.0.as_bytes()).is_some()
    }

    /// The levels between the slashes, empty ones too.
    pub fn levels(&self) -> std::str::Split<'_, char> {
        self.0.split('/')
    }

    /// The parts of a shared subscription's filter, `None` for any other.
    pub fn shared(&self) -> Option<SharedFilter<'_>> {
        share_parts(&self.0).and_then(Result::ok)
    }

    /// Whether the filter matches a topic; of a shared filter, whether its inner filter does.
    pub fn matches(&self, topic: &TopicName<'_>) -> bool {
        let filter = self.shared().map_or(self.as_str(), |shared| shared.filter);
        filter_matches(filter, topic.as_str())
    }

    /// The same filter, owning its text.
    pub fn into_owned(self) -> TopicFilter<'static> {
        TopicFilter(Cow::Owned(self.0.into_owned()))
    }

    /// The same filter, borrowing its text from this one.
    pub fn borrow(&self) -> TopicFilter<'_> {
        TopicFilter(Cow::Borrowed(&self.0))
    }
}

/// Whether a filter matches a topic. Both are taken to be valid; `$share/` means nothing here.
pub fn filter_matches(filter: &str, topic: &str) -> bool {
    // [MQTT-4.7.2-1]
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let (mut filter, mut topic) = (filter.as_bytes(), topic.as_bytes());
    while let Some((&byte, rest)) = filter.split_first() {
        match byte {
            b'#' => return true,
            b'+' => topic = &topic[memchr::memchr(b'/', topic).unwrap_or(topic.len())..],
            _ if topic.first() == Some(&byte) => topic = &topic[1..],
            // `#` also stands for the level above it: `a/#` matches `a`.
            _ => return topic.is_empty() && filter == b"/#",
        }
        filter = rest;
    }
    topic.is_empty()
}

fn check(filter: &str) -> Result<(), TopicError> {
    // [MQTT-4.7.3-1]
    if filter.is_empty() {
        return Err(TopicError::Empty);
    }
    // [MQTT-4.7.3-3]
    if filter.len() > MAX_FIELD_LEN {
        return Err(TopicError::TooLong);
    }
    let bytes = filter.as_bytes();
    for at in memchr::memchr3_iter(0, b'+', b'#', bytes) {
        let begins_level = at == 0 || bytes[at - 1] == b'/';
        let next = bytes.get(at + 1);
        match bytes[at] {
            // [MQTT-4.7.3-2]
            0 => return Err(TopicError::Nul),
            // [MQTT-4.7.1-1]
            b'#' if !begins_level || next.is_some() => return Err(TopicError::MisplacedMultiLevel),
            // [MQTT-4.7.1-2]
            b'+' if !begins_level || !matches!(next, None | Some(b'/')) => {
                return Err(TopicError::MisplacedSingleLevel);
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_share(filter: &str) -> Result<(), TopicError> {
    share_parts(filter).transpose().map(|_| ())
}

fn share_parts(filter: &str) -> Option<Result<SharedFilter<'_>, TopicError>> {
    let rest = filter.strip_prefix(SHARE)?;
    let (group, filter) = match rest.split_once('/') {
        Some((group, filter)) => (group, Some(filter)),
        None => (rest, None),
    };
    Some(match filter {
        // [MQTT-4.8.2-1]
        _ if group.is_empty() => Err(TopicError::ShareName),
        // [MQTT-4.8.2-2]
        _ if group.contains(['+', '#']) => Err(TopicError::ShareNameWildcard),
        None | Some("") => Err(TopicError::ShareFilter),
        Some(filter) => Ok(SharedFilter { group, filter }),
    })
}

impl AsRef<str> for TopicFilter<'_> {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl<'a> TryFrom<&'a str> for TopicFilter<'a> {
    type Error = TopicError;

    fn try_from(filter: &'a str) -> Result<Self, TopicError> {
        TopicFilter::new(filter)
    }
}

impl fmt::Display for TopicFilter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_standard_match_as_it_says() {
        for (filter, topic) in [
            ("sport/tennis/player1/#", "sport/tennis/player1"),
            ("sport/tennis/player1/#", "sport/tennis/player1/ranking"),
            ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon"),
            ("sport/#", "sport"),
            ("#", "a/b"),
            ("#", "/"),
            ("sport/tennis/+", "sport/tennis/player1"),
            ("sport/+", "sport/"),
            ("+/+", "/finance"),
            ("/+", "/finance"),
            ("$SYS/#", "$SYS/monitor/Clients"),
            ("$SYS/#", "$SYS"),
            ("$SYS/monitor/+", "$SYS/monitor/Clients"),
            ("a/+/#", "a/b"),
        ] {
            assert!(filter_matches(filter, topic), "{filter} should match {topic}");
        }
        for (filter, topic) in [
            ("sport/tennis/+", "sport/tennis/player1/ranking"),
            ("sport/+", "sport"),
            ("+", "/finance"),
            ("#", "$SYS/monitor/Clients"),
            ("+/monitor/Clients", "$SYS/monitor/Clients"),
            ("ACCOUNTS", "Accounts"),
            ("a", "/a"),
            ("a/", "a"),
            ("a", "a/"),
            ("a/+/#", "a"),
        ] {
            assert!(!filter_matches(filter, topic), "{filter} should not match {topic}");
        }
    }

    #[test]
    fn wildcards_fill_their_level_and_the_hash_is_last() {
        for filter in ["+", "#", "+/+/#", "a/+/b", "/#", "+/"] {
            assert!(TopicFilter::new(filter).is_ok(), "{filter}");
        }
        for filter in ["a#", "#/a", "a/#/b", "##", "/a#"] {
            assert_eq!(TopicFilter::new(filter), Err(TopicError::MisplacedMultiLevel), "{filter}");
        }
        for filter in ["a+", "+a", "a/+b", "++", "a+/b"] {
            assert_eq!(TopicFilter::new(filter), Err(TopicError::MisplacedSingleLevel), "{filter}");
        }
        assert_eq!(TopicFilter::new("a\0"), Err(TopicError::Nul));
        assert_eq!(TopicFilter::new(""), Err(TopicError::Empty));
        assert_eq!(TopicFilter::new("a".repeat(65_536)), Err(TopicError::TooLong));
    }

    #[test]
    fn a_shared_filter_has_a_group_and_a_filter() {
        let filter = TopicFilter::new("$share/workers/jobs/+").unwrap();
        assert_eq!(filter.shared(), Some(SharedFilter { group: "workers", filter: "jobs/+" }));
        assert!(filter.matches(&TopicName::new("jobs/1").unwrap()));
        assert_eq!(TopicFilter::new("$share/g//").unwrap().shared().unwrap().filter, "/");
        assert_eq!(TopicFilter::new("$share").unwrap().shared(), None);
        assert_eq!(TopicFilter::new("$shared/g/f").unwrap().shared(), None);
        for filter in ["$share/", "$share//f"] {
            assert_eq!(TopicFilter::new(filter), Err(TopicError::ShareName), "{filter}");
        }
        for filter in ["$share/+/f", "$share/#"] {
            assert_eq!(TopicFilter::new(filter), Err(TopicError::ShareNameWildcard), "{filter}");
        }
        for filter in ["$share/g", "$share/g/"] {
            assert_eq!(TopicFilter::new(filter), Err(TopicError::ShareFilter), "{filter}");
        }
    }

    #[test]
    fn a_shared_filter_keeps_the_dollar_rule_for_its_inner_filter() {
        let filter = TopicFilter::new("$share/g/#").unwrap();
        assert!(!filter.matches(&TopicName::new("$SYS/x").unwrap()));
    }
}
