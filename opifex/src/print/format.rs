//! A format such as `'@H:@M %t %p\n'`, in the language of mosquitto_sub's `-F`: `%` begins a part of the message, `@` a
//! part of the time, `\` a character.

use std::str::FromStr;

use jiff::fmt::strtime;
use jiff::{Timestamp, tz::TimeZone};

use super::Arrived;
use super::field::Field;
use super::json::NotJson;

/// A format that has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Format(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(Vec<u8>),
    Field(Field),
    /// strftime's conversion.
    Time(String),
    /// Nanoseconds of the second.
    Nanoseconds,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Format, String> {
        let mut parts = Vec::new();
        let mut chars = text.chars().peekable();
        while let Some(char) = chars.next() {
            match char {
                '%' => match Field::parse(&mut chars)? {
                    None => push(&mut parts, '%'),
                    Some(field) => parts.push(Part::Field(field)),
                },
                '@' => match chars.next().ok_or("@ stands at the end")? {
                    '@' => push(&mut parts, '@'),
                    'N' => parts.push(Part::Nanoseconds),
                    conversion => parts.push(Part::Time(time(conversion)?)),
                },
                '\\' => push(&mut parts, escaped(chars.next().ok_or("\\ stands at the end")?)?),
                char => push(&mut parts, char),
            }
        }
        Ok(Format(parts))
    }
}

impl Format {
    /// Appends a message.
    pub(super) fn print(
        &self,
        arrived: &Arrived<'_>,
        pretty: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), NotJson> {
        let begin = out.len();
        for part in &self.0 {
            match part {
                Part::Literal(bytes) => out.extend_from_slice(bytes),
                Part::Field(field) => {
                    if let Err(error) = field.print(arrived, pretty, out) {
                        out.truncate(begin);
                        return Err(error);
                    }
                }
                Part::Time(conversion) => {
                    let time = strtime::format(conversion, &arrived.local_time());
                    out.extend_from_slice(time.unwrap_or_default().as_bytes());
                }
                Part::Nanoseconds => {
                    let nanoseconds = arrived.at.subsec_nanosecond();
                    out.extend_from_slice(format!("{nanoseconds:09}").as_bytes());
                }
            }
        }
        Ok(())
    }
}

fn push(parts: &mut Vec<Part>, char: char) {
    let mut bytes = [0; 4];
    let bytes = char.encode_utf8(&mut bytes).as_bytes();
    match parts.last_mut() {
        Some(Part::Literal(literal)) => literal.extend_from_slice(bytes),
        _ => parts.push(Part::Literal(bytes.to_vec())),
    }
}

fn time(conversion: char) -> Result<String, String> {
    let format = format!("%{conversion}");
    let sample = Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC);
    let known = strtime::format(&format, &sample).is_ok();
    known.then_some(format).ok_or_else(|| format!("@{conversion} is no part of a time"))
}

fn escaped(char: char) -> Result<char, String> {
    Ok(match char {
        '\\' => '\\',
        '0' => '\0',
        'a' => '\x07',
        'e' => '\x1b',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0b',
        _ => return Err(format!("\\{char} is no escape, expected one of \\\\ \\0 \\a \\e \\n \\r \\t \\v")),
    })
}
