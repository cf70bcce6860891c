//! What was said in a case, on all its connections, in the order in which it was said: a failure shows it. It also remembers
//! what the case leaves behind in the broker, for the runner to clear away.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use opifex_packet::{Packet, Version};
use tokio::time::Instant;

/// A line longer than this many characters is cut.
const LONGEST_LINE: usize = 360;
/// Bytes that are shown of a packet.
const MOST_BYTES: usize = 48;
/// Lines that are kept; a flood shows its beginning.
const MOST_LINES: usize = 400;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Transcript {
    started: Instant,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    lines: Vec<String>,
    omitted: usize,
    sessions: BTreeSet<String>,
    retained: BTreeSet<String>,
}

impl Transcript {
    pub(crate) fn new() -> Transcript {
        Transcript { started: Instant::now(), kept: Mutex::default() }
    }

    /// A packet that was sent, as far as it is one, and its bytes.
    pub(crate) fn sent(&self, wire: &str, packet: Option<&Packet<'_>>, version: Version, bytes: &[u8]) {
        let what = packet.map_or_else(|| "raw bytes".to_owned(), |packet| describe(packet));
        self.line(wire, "->", version, &what, bytes);
        if let Some(packet) = packet {
            self.remember(packet);
        }
    }

    /// A packet that came.
    pub(crate) fn received(&self, wire: &str, packet: &Packet<'_>, version: Version, bytes: &[u8]) {
        self.line(wire, "<-", version, &describe(packet), bytes);
    }

    /// Something else that happened.
    pub(crate) fn note(&self, wire: &str, what: &str) {
        let line = format!("{:>8} {wire} -- {what}", seconds(self.started.elapsed()));
        self.kept().push(line);
    }

    fn line(&self, wire: &str, arrow: &str, version: Version, what: &str, bytes: &[u8]) {
        let line = format!(
            "{:>8} {wire} {arrow} [{version}] {} | {}",
            seconds(self.started.elapsed()),
            cut(what),
            hex(bytes)
        );
        self.kept().push(line);
    }

    fn remember(&self, packet: &Packet<'_>) {
        let mut kept = self.kept();
        match packet {
            Packet::Connect(connect) => {
                let lasts =
                    !connect.clean_start || connect.properties.session_expiry_interval().unwrap_or(0) > 0;
                if lasts && !connect.client_id.is_empty() {
                    kept.sessions.insert(connect.client_id.to_string());
                }
                if let Some(will) = connect.will.as_ref().filter(|will| will.retain) {
                    kept.retained.insert(will.topic.as_str().to_owned());
                }
            }
            Packet::Publish(publish) if publish.retain && !publish.payload.is_empty() => {
                if let Some(topic) = &publish.topic {
                    kept.retained.insert(topic.as_str().to_owned());
                }
            }
            _ => {}
        }
    }

    /// The lines so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        let kept = self.kept();
        let mut lines = kept.lines.clone();
        if kept.omitted > 0 {
            lines.push(format!("... and {} more lines", kept.omitted));
        }
        lines
    }

    /// Client ids that may have sessions, and topics that may have retained messages.
    pub(crate) fn left_behind(&self) -> (Vec<String>, Vec<String>) {
        let kept = self.kept();
        (kept.sessions.iter().cloned().collect(), kept.retained.iter().cloned().collect())
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // What a panicking case has written is what one wants to read.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn push(&mut self, line: String) {
        if self.lines.len() < MOST_LINES {
            self.lines.push(line);
        } else {
            self.omitted += 1;
        }
    }
}

/// A packet as a line.
pub(crate) fn describe(packet: &Packet<'_>) -> String {
    match packet {
        Packet::Pingreq => "PINGREQ".to_owned(),
        Packet::Pingresp => "PINGRESP".to_owned(),
        packet => format!("{packet:?}"),
    }
}

fn seconds(elapsed: Duration) -> String {
    format!("{:.3}", elapsed.as_secs_f64())
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST_LINE) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in &bytes[..bytes.len().min(MOST_BYTES)] {
        let _ = write!(text, "{byte:02x}");
    }
    if bytes.len() > MOST_BYTES {
        let _ = write!(text, "... ({} bytes)", bytes.len());
    }
    text
}
