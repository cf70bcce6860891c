//! Standard output: messages gather as long as more of them are there, and go out in one piece.

use std::io::{self, Write as _};

use jiff::Timestamp;
use opifex_client::Message;

use super::{Arrived, NotJson, Printer};

/// So much is written at the latest.
const LARGE_BYTES: usize = 64 * 1024;

/// What is printed.
#[derive(Debug)]
pub(crate) struct Output {
    printer: Printer,
    pending: Vec<u8>,
}

impl Output {
    pub(crate) fn new(printer: Printer) -> Output {
        Output { printer, pending: Vec::new() }
    }

    /// Prints a message that has come now. The error: it had to be JSON, and nothing is printed of it.
    pub(crate) fn print(&mut self, message: &Message) -> Result<(), NotJson> {
        self.printer.print(&Arrived { message, at: Timestamp::now() }, &mut self.pending)
    }

    /// Whether something waits to be written.
    pub(crate) fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Whether it is worth a write.
    pub(crate) fn is_large(&self) -> bool {
        self.pending.len() >= LARGE_BYTES
    }

    /// Writes it, as far as anybody reads.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        let written = stdout.write_all(&self.pending).and_then(|()| stdout.flush());
        self.pending.clear();
        written
    }
}
