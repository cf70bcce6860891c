//! Why a text is no topic name or no topic filter.

/// The rule that a topic name or a topic filter broke.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TopicError {
    /// It has no characters.
    #[error("empty, at least one character was expected")]
    Empty,
    /// It takes more than 65535 bytes.
    #[error("longer than 65535 bytes")]
    TooLong,
    /// It holds U+0000.
    #[error("contains the character U+0000")]
    Nul,
    /// It is not UTF-8.
    #[error("not well-formed UTF-8")]
    NotUtf8,
    /// It is a topic name with a `+` or a `#`.
    #[error("a topic name with a wildcard")]
    Wildcard,
    /// A `#` is not the last character, or does not fill its level.
    #[error("# stands elsewhere than alone in the last level")]
    MisplacedMultiLevel,
    /// A `+` does not fill its level.
    #[error("+ shares its level with other characters")]
    MisplacedSingleLevel,
    /// `$share/` is not followed by a share name.
    #[error("$share/ without a share name behind it")]
    ShareName,
    /// The share name contains `+` or `#`.
    #[error("a share name with a wildcard")]
    ShareNameWildcard,
    /// `$share/name` is not followed by `/` and a filter.
    #[error("$share/name without a filter behind it")]
    ShareFilter,
}

impl TopicError {
    /// The statement that was broken: 3.1.1's and 5.0's.
    pub(crate) const fn statements(self) -> (&'static str, &'static str) {
        match self {
            TopicError::Empty => ("MQTT-4.7.3-1", "MQTT-4.7.3-1"),
            TopicError::TooLong => ("MQTT-4.7.3-3", "MQTT-4.7.3-3"),
            TopicError::Nul => ("MQTT-4.7.3-2", "MQTT-4.7.3-2"),
            TopicError::NotUtf8 => ("MQTT-1.5.3-1", "MQTT-1.5.4-1"),
            TopicError::Wildcard => ("MQTT-4.7.1-1", "MQTT-4.7.0-1"),
            TopicError::MisplacedMultiLevel => ("MQTT-4.7.1-2", "MQTT-4.7.1-1"),
            TopicError::MisplacedSingleLevel => ("MQTT-4.7.1-3", "MQTT-4.7.1-2"),
            // Before 5.0 such a filter is an ordinary one: the first column is never used.
            TopicError::ShareName => ("MQTT5 4.8.2", "MQTT-4.8.2-1"),
            TopicError::ShareNameWildcard => ("MQTT5 4.8.2", "MQTT-4.8.2-2"),
            TopicError::ShareFilter => ("MQTT5 4.8.2", "MQTT-4.8.2-2"),
        }
    }

    /// The same as `Display`, for a decode error's message.
    pub(crate) const fn message(self) -> &'static str {
        match self {
            TopicError::Empty => "topic is empty",
            TopicError::TooLong => "topic is longer than 65535 bytes",
            TopicError::Nul => "topic contains U+0000",
            TopicError::NotUtf8 => "topic is not well-formed UTF-8",
            TopicError::Wildcard => "topic name contains a wildcard",
            TopicError::MisplacedMultiLevel => "# in a topic filter is not alone in the last level",
            TopicError::MisplacedSingleLevel => "+ in a topic filter shares its level",
            TopicError::ShareName => "shared subscription without a share name",
            TopicError::ShareNameWildcard => "shared subscription with a wildcard in its share name",
            TopicError::ShareFilter => "shared subscription without a topic filter",
        }
    }
}
