//! Messages as `sub` and `rr` print them: as payload, with their topic, in a format, as JSON. When they are written,
//! the commands know.

use jiff::{Timestamp, Zoned, tz::TimeZone};
use opifex_client::Message;

use crate::cli::OutputFlags;

mod field;
mod format;
mod json;
mod output;

pub(crate) use format::Format;
pub(crate) use json::NotJson;
pub(crate) use output::Output;

/// How messages are printed.
#[derive(Debug)]
pub(crate) struct Printer {
    style: Style,
    pretty: bool,
    newline: bool,
}

#[derive(Debug)]
enum Style {
    Payload,
    Verbose,
    Format(Format),
    Json,
}

/// A message and when it came.
#[derive(Debug)]
pub(crate) struct Arrived<'a> {
    pub(crate) message: &'a Message,
    pub(crate) at: Timestamp,
}

impl Arrived<'_> {
    /// When it came, where this program runs.
    fn local_time(&self) -> Zoned {
        self.at.to_zoned(TimeZone::system())
    }
}

impl Printer {
    /// As the flags ask.
    pub(crate) fn new(flags: &OutputFlags) -> Printer {
        let style = match &flags.format {
            Some(format) => Style::Format(format.clone()),
            None if flags.json => Style::Json,
            None if flags.verbose => Style::Verbose,
            None => Style::Payload,
        };
        Printer { style, pretty: flags.pretty, newline: !flags.no_newline }
    }

    /// Appends a message. The error is a format that asks for JSON in the payload where there is none; nothing is
    /// appended then.
    pub(crate) fn print(&self, arrived: &Arrived<'_>, out: &mut Vec<u8>) -> Result<(), NotJson> {
        let message = arrived.message;
        match &self.style {
            Style::Payload => out.extend_from_slice(&message.payload),
            Style::Verbose => {
                out.extend_from_slice(message.topic.as_str().as_bytes());
                out.push(b' ');
                // As mosquitto_sub has it.
                let payload: &[u8] = if message.payload.is_empty() { b"(null)" } else { &message.payload };
                out.extend_from_slice(payload);
            }
            Style::Format(format) => format.print(arrived, self.pretty, out)?,
            Style::Json => json::print_lossless(arrived, self.pretty, out),
        }
        if self.newline {
            out.push(b'\n');
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
