//! A topic name: what a message is published to. Never a filter: it holds no wildcards.

use std::borrow::Cow;
use std::fmt;

use crate::topic_error::TopicError;
use crate::writer::MAX_FIELD_LEN;

/// A valid topic name: 1 to 65535 bytes of UTF-8 without U+0000, `+` and `#`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicName<'a>(Cow<'a, str>);

impl<'a> TopicName<'a> {
    /// The topic name of that text, or the rule that the text breaks.
    pub fn new(name: impl Into<Cow<'a, str>>) -> Result<Self, TopicError> {
        let name = name.into();
        check(name.as_bytes())?;
        Ok(TopicName(name))
    }

    /// The topic name of bytes off the wire, which no string length of 16 bits can make too long.
    #[inline]
    pub(crate) fn from_wire(bytes: &'a [u8]) -> Result<Self, TopicError> {
        check(bytes)?;
        // [MQTT-1.5.4-1]
        let name = std::str::from_utf8(bytes).map_err(|_| TopicError::NotUtf8)?;
        Ok(TopicName(Cow::Borrowed(name)))
    }

    /// The text.
    #[inline]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The levels between the slashes, empty ones too.
    pub fn levels(&self) -> std::str::Split<'_, char> {
        self.0.split('/')
    }

    /// Whether filters that start with a wildcard leave this topic alone ([MQTT-4.7.2-1]).
    #[inline]
    pub fn is_dollar(&self) -> bool {
        self.0.as_bytes().first() == Some(&b'$')
    }

    /// The same name, owning its text.
    pub fn into_owned(self) -> TopicName<'static> {
        TopicName(Cow::Owned(self.0.into_owned()))
    }

    /// The same name, borrowing its text from this one.
    #[inline]
    pub fn borrow(&self) -> TopicName<'_> {
        TopicName(Cow::Borrowed(&self.0))
    }
}

#[inline]
fn check(name: &[u8]) -> Result<(), TopicError> {
    // [MQTT-4.7.3-1]
    if name.is_empty() {
        return Err(TopicError::Empty);
    }
    // [MQTT-4.7.3-3]
    if name.len() > MAX_FIELD_LEN {
        return Err(TopicError::TooLong);
    }
    // [MQTT-4.7.3-2] [MQTT-3.3.2-2] [MQTT-4.7.0-1]
    match memchr::memchr3(0, b'+', b'#', name) {
        None => Ok(()),
        Some(at) if name[at] == 0 => Err(TopicError::Nul),
        Some(_) => Err(TopicError::Wildcard),
    }
}

impl AsRef<str> for TopicName<'_> {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl<'a> TryFrom<&'a str> for TopicName<'a> {
    type Error = TopicError;

    fn try_from(name: &'a str) -> Result<Self, TopicError> {
        TopicName::new(name)
    }
}

impl fmt::Display for TopicName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_name_has_one_to_65535_bytes() {
        assert_eq!(TopicName::new(""), Err(TopicError::Empty));
        assert!(TopicName::new("/").is_ok());
        assert!(TopicName::new("a".repeat(65_535)).is_ok());
        assert_eq!(TopicName::new("a".repeat(65_536)), Err(TopicError::TooLong));
    }

    #[test]
    fn a_topic_name_holds_neither_wildcards_nor_nul() {
        assert_eq!(TopicName::new("a/+"), Err(TopicError::Wildcard));
        assert_eq!(TopicName::new("a#"), Err(TopicError::Wildcard));
        assert_eq!(TopicName::new("a\0+"), Err(TopicError::Nul));
    }

    #[test]
    fn empty_levels_are_levels() {
        let name = TopicName::new("/a//b/").unwrap();
        assert_eq!(name.levels().collect::<Vec<_>>(), ["", "a", "", "b", ""]);
    }
}
