//! A topic name: what a message is published to. Never a filter: it holds no wildcards.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::topic_error::TopicError;
use crate::writer::MAX_FIELD_LEN;

/// A valid topic name: 1 to 65535 bytes of UTF-8 without U+0000, `+` and `#`.
///
/// An owned one is shared by its clones: a message that goes to many places has its topic once.
#[derive(Clone)]
pub struct TopicName<'a>(Text<'a>);

#[derive(Clone)]
enum Text<'a> {
    Borrowed(&'a str),
    Shared(Arc<str>),
}

impl<'a> TopicName<'a> {
    /// The topic name of that text, or the rule that the text breaks.
    pub fn new(name: impl Into<Cow<'a, str>>) -> Result<Self, TopicError> {
        let name = name.into();
        check(name.as_bytes())?;
        Ok(TopicName(match name {
            Cow::Borrowed(name) => Text::Borrowed(name),
            Cow::Owned(name) => Text::Shared(name.into()),
        }))
    }

    /// The topic name of bytes off the wire, which no string length of 16 bits can make too long.
    #[inline]
    pub(crate) fn from_wire(bytes: &'a [u8]) -> Result<Self, TopicError> {
        check(bytes)?;
        // [MQTT-1.5.4-1]
        let name = std::str::from_utf8(bytes).map_err(|_| TopicError::NotUtf8)?;
        Ok(TopicName(Text::Borrowed(name)))
    }

    /// The text.
    #[inline]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Text::Borrowed(name) => name,
            Text::Shared(name) => name,
        }
    }

    /// The levels between the slashes, empty ones too.
    pub fn levels(&self) -> std::str::Split<'_, char> {
        self.as_str().split('/')
    }

    /// Whether filters that start with a wildcard leave this topic alone ([MQTT-4.7.2-1]).
    #[inline]
    pub fn is_dollar(&self) -> bool {
        self.as_str().as_bytes().first() == Some(&b'$')
    }

    /// The same name, owning its text.
    pub fn into_owned(self) -> TopicName<'static> {
        TopicName(Text::Shared(self.into_shared()))
    }

    /// The text, owned together with the clones of this name if it was owned.
    pub fn into_shared(self) -> Arc<str> {
        match self.0 {
            Text::Borrowed(name) => name.into(),
            Text::Shared(name) => name,
        }
    }

    /// The same name, borrowing its text from this one.
    #[inline]
    pub fn borrow(&self) -> TopicName<'_> {
        TopicName(Text::Borrowed(self.as_str()))
    }
}

impl PartialEq for TopicName<'_> {
    #[inline]
    fn eq(&self, other: &TopicName<'_>) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for TopicName<'_> {}

impl Hash for TopicName<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl PartialOrd for TopicName<'_> {
    fn partial_cmp(&self, other: &TopicName<'_>) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for TopicName<'_> {
    fn cmp(&self, other: &TopicName<'_>) -> Ordering {
        self.as_str().cmp(other.as_str())
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
        self.as_str()
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
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for TopicName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TopicName").field(&self.as_str()).finish()
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
    fn names_are_compared_by_their_text_whoever_owns_it() {
        let (borrowed, owned) = (TopicName::new("a/b").unwrap(), TopicName::new("a/b".to_owned()).unwrap());
        assert_eq!(borrowed, owned);
        assert_eq!(borrowed.cmp(&TopicName::new("a/c".to_owned()).unwrap()), Ordering::Less);
        assert_eq!(format!("{owned:?} {owned}"), "TopicName(\"a/b\") a/b");
    }

    #[test]
    fn clones_of_an_owned_name_share_its_text() {
        let name = TopicName::new("a/b").unwrap().into_owned();
        assert!(Arc::ptr_eq(&name.clone().into_shared(), &name.into_owned().into_shared()));
    }

    #[test]
    fn empty_levels_are_levels() {
        let name = TopicName::new("/a//b/").unwrap();
        assert_eq!(name.levels().collect::<Vec<_>>(), ["", "a", "", "b", ""]);
    }
}
