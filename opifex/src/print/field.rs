//! One `%` sequence of a format: which part of the message, how wide.
//!
//! `%[-][0][WIDTH][.MAXIMUM]LETTER`. The width is a minimum, counted in characters; the maximum cuts.

use std::borrow::Cow;
use std::iter::Peekable;
use std::str::Chars;

use super::Arrived;
use super::json::{self, NotJson};

/// A part of a message, and how it is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    kind: Kind,
    left: bool,
    zeros: bool,
    width: usize,
    maximum: Option<usize>,
}

/// A part of a message.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Kind {
    TopicAlias,
    ContentType,
    CorrelationData,
    MessageExpiryInterval,
    PayloadFormatIndicator,
    LocalTime,
    Json,
    JsonOfJson,
    PayloadLen,
    PacketId,
    UserProperties,
    Payload,
    QoS,
    ResponseTopic,
    Retain,
    SubscriptionIdentifiers,
    Topic,
    UnixTime,
    LowerHex,
    UpperHex,
}

/// Wider than any terminal, and no way to fill the memory.
const WIDEST: usize = 10_000;

impl Field {
    /// Reads what stands behind `%`; `None` is a second `%`.
    pub(super) fn parse(chars: &mut Peekable<Chars<'_>>) -> Result<Option<Field>, String> {
        if chars.next_if_eq(&'%').is_some() {
            return Ok(None);
        }
        let (mut left, mut zeros) = (false, false);
        while let Some(flag) = chars.next_if(|char| matches!(char, '-' | '0')) {
            left |= flag == '-';
            zeros |= flag == '0';
        }
        let width = number(chars)?.unwrap_or(0);
        let maximum = match chars.next_if_eq(&'.') {
            Some(_) => Some(number(chars)?.unwrap_or(0)),
            None => None,
        };
        let letter = chars.next().ok_or("% stands at the end")?;
        let kind = Kind::of(letter).ok_or_else(|| format!("%{letter} is no part of a message"))?;
        Ok(Some(Field { kind, left, zeros, width, maximum }))
    }

    /// Appends that part of a message.
    pub(super) fn print(
        &self,
        arrived: &Arrived<'_>,
        pretty: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), NotJson> {
        match self.kind {
            Kind::Json => json::print(arrived, pretty, out),
            Kind::JsonOfJson => json::print_with_json(arrived, pretty, out)?,
            kind => {
                let value = kind.value(arrived);
                if kind.is_cut() {
                    self.set(self.cut(&value), out);
                } else {
                    self.set(&value, out);
                }
            }
        }
        Ok(())
    }

    fn cut<'v>(&self, value: &'v [u8]) -> &'v [u8] {
        let Some(maximum) = self.maximum else { return value };
        // What is cut is text.
        let text = str::from_utf8(value).unwrap_or_default();
        let end = text.char_indices().nth(maximum).map_or(text.len(), |(at, _)| at);
        &value[..end]
    }

    /// Fills up to the width.
    fn set(&self, value: &[u8], out: &mut Vec<u8>) {
        let len = str::from_utf8(value).map_or(value.len(), |text| text.chars().count());
        let fill = self.width.saturating_sub(len);
        if self.left {
            out.extend_from_slice(value);
            out.resize(out.len() + fill, b' ');
        } else {
            let with = if self.zeros && self.kind.takes_zeros() { b'0' } else { b' ' };
            out.resize(out.len() + fill, with);
            out.extend_from_slice(value);
        }
    }
}

impl Kind {
    fn of(letter: char) -> Option<Kind> {
        Some(match letter {
            'A' => Kind::TopicAlias,
            'C' => Kind::ContentType,
            'D' => Kind::CorrelationData,
            'E' => Kind::MessageExpiryInterval,
            'F' => Kind::PayloadFormatIndicator,
            'I' => Kind::LocalTime,
            'j' => Kind::Json,
            'J' => Kind::JsonOfJson,
            'l' => Kind::PayloadLen,
            'm' => Kind::PacketId,
            'P' => Kind::UserProperties,
            'p' => Kind::Payload,
            'q' => Kind::QoS,
            'R' => Kind::ResponseTopic,
            'r' => Kind::Retain,
            'S' => Kind::SubscriptionIdentifiers,
            't' => Kind::Topic,
            'U' => Kind::UnixTime,
            'x' => Kind::LowerHex,
            'X' => Kind::UpperHex,
            _ => return None,
        })
    }

    /// Whether a maximum applies.
    fn is_cut(self) -> bool {
        matches!(self, Kind::ContentType | Kind::LocalTime | Kind::ResponseTopic | Kind::Topic)
    }

    /// Whether it is a number, or looks like one.
    fn takes_zeros(self) -> bool {
        matches!(
            self,
            Kind::TopicAlias
                | Kind::MessageExpiryInterval
                | Kind::PayloadFormatIndicator
                | Kind::PayloadLen
                | Kind::PacketId
                | Kind::SubscriptionIdentifiers
                | Kind::LowerHex
                | Kind::UpperHex
        )
    }

    /// Its text; a property that is not there has none.
    fn value<'a>(self, arrived: &Arrived<'a>) -> Cow<'a, [u8]> {
        let message = arrived.message;
        let properties = &message.properties;
        let text = |text: String| Cow::Owned(text.into_bytes());
        let borrowed = |text: &'a str| Cow::Borrowed(text.as_bytes());
        match self {
            // The client resolves topic aliases and tells nobody; packet ids are its own, too.
            Kind::TopicAlias => Cow::Borrowed(b""),
            Kind::PacketId => Cow::Borrowed(b"0"),
            Kind::ContentType => borrowed(properties.content_type().unwrap_or_default()),
            Kind::CorrelationData => Cow::Borrowed(properties.correlation_data().unwrap_or_default()),
            Kind::MessageExpiryInterval => {
                text(properties.message_expiry_interval().map(|secs| secs.to_string()).unwrap_or_default())
            }
            Kind::PayloadFormatIndicator => {
                let indicator = properties.payload_format_indicator();
                text(indicator.map(|indicator| u8::from(indicator).to_string()).unwrap_or_default())
            }
            Kind::LocalTime => text(arrived.local_time().strftime("%Y-%m-%dT%H:%M:%S%z").to_string()),
            Kind::PayloadLen => text(message.payload.len().to_string()),
            Kind::UserProperties => {
                let pairs = properties.user_properties().map(|(name, value)| format!("{name}:{value}"));
                text(pairs.collect::<Vec<_>>().join(" "))
            }
            Kind::Payload => Cow::Borrowed(&message.payload),
            Kind::QoS => text(u8::from(message.qos).to_string()),
            Kind::ResponseTopic => borrowed(properties.response_topic().unwrap_or_default()),
            Kind::Retain => text(u8::from(message.retain).to_string()),
            Kind::SubscriptionIdentifiers => {
                let numbers = properties.subscription_identifiers().map(|number| number.to_string());
                text(numbers.collect::<Vec<_>>().join(" "))
            }
            Kind::Topic => borrowed(message.topic.as_str()),
            Kind::UnixTime => {
                let (secs, nanos) = (arrived.at.as_second(), arrived.at.subsec_nanosecond());
                text(format!("{secs}.{nanos:09}"))
            }
            Kind::LowerHex => Cow::Owned(hex(&message.payload, b"0123456789abcdef")),
            Kind::UpperHex => Cow::Owned(hex(&message.payload, b"0123456789ABCDEF")),
            Kind::Json | Kind::JsonOfJson => Cow::Borrowed(b""),
        }
    }
}

fn hex(bytes: &[u8], digits: &[u8; 16]) -> Vec<u8> {
    bytes.iter().flat_map(|byte| [digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]).collect()
}

fn number(chars: &mut Peekable<Chars<'_>>) -> Result<Option<usize>, String> {
    let mut number = None;
    while let Some(digit) = chars.next_if(char::is_ascii_digit) {
        let digit = digit as usize - '0' as usize;
        number = Some(number.unwrap_or(0) * 10 + digit);
        if number > Some(WIDEST) {
            return Err(format!("a field has {WIDEST} characters at most"));
        }
    }
    Ok(number)
}
