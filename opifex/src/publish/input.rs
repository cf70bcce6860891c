//! Where payloads come from: the command line, a file, standard input as a whole or line by line.

use std::io::{self, BufRead as _, Read as _};
use std::os::unix::ffi::OsStringExt as _;

use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use tokio::sync::mpsc;

use crate::cli::MessageFlags;
use crate::failure::Failure;

/// What MQTT can count, and so the longest line.
const LONGEST: u64 = 268_435_455;

/// Lines and their bytes that are read ahead. A reader that is always a little ahead keeps the connection busy.
const AHEAD_LINES: usize = 1024;
const AHEAD_BYTES: usize = 256 * 1024;

/// The payload of a single message.
pub(crate) fn payload(flags: &MessageFlags) -> Result<Bytes, Failure> {
    if let Some(message) = &flags.message {
        return Ok(message.clone().into_vec().into());
    }
    if let Some(file) = &flags.file {
        let read = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()));
        return Ok(read.map_err(Failure::Runtime)?.into());
    }
    if flags.stdin_file {
        let mut payload = Vec::new();
        let read = io::stdin().lock().take(LONGEST + 1).read_to_end(&mut payload);
        read.context("cannot read standard input").map_err(Failure::Runtime)?;
        if payload.is_empty() {
            return Err(Failure::runtime(anyhow!("standard input is empty; for a message of no bytes: -n")));
        }
        return Ok(payload.into());
    }
    if flags.null_message {
        return Ok(Bytes::new());
    }
    Err(Failure::usage(anyhow!("there is no message: add -m TEXT, -f FILE, -s or -n")))
}

/// The lines of standard input, read by a thread of their own. It ends with its input or, blocked in a read, with the
/// process.
pub(crate) struct Lines {
    batches: mpsc::Receiver<io::Result<Vec<Bytes>>>,
    batch: std::vec::IntoIter<Bytes>,
}

impl Lines {
    pub(crate) fn of_stdin() -> Lines {
        Lines::of(io::BufReader::with_capacity(64 * 1024, io::stdin()))
    }

    fn of(input: io::BufReader<impl io::Read + Send + 'static>) -> Lines {
        let (to, batches) = mpsc::channel(1);
        std::thread::spawn(move || read(input, &to));
        Lines { batches, batch: Vec::new().into_iter() }
    }

    /// The next line without its end; `None` when there is none. Nothing is lost when it is dropped while it waits.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Option<Bytes>> {
        loop {
            if let Some(line) = self.batch.next() {
                return Ok(Some(line));
            }
            match self.batches.recv().await {
                None => return Ok(None),
                Some(batch) => self.batch = batch.context("cannot read standard input")?.into_iter(),
            }
        }
    }
}

/// Reads to the end of the input, or until nobody wants more.
fn read(mut input: io::BufReader<impl io::Read>, to: &mpsc::Sender<io::Result<Vec<Bytes>>>) {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    loop {
        match line(&mut input) {
            Ok(Some(line)) => {
                bytes += line.len();
                batch.push(line);
            }
            Ok(None) => break,
            Err(error) => {
                // What was whole goes out before the error.
                if to.blocking_send(Ok(batch)).is_ok() {
                    let _ = to.blocking_send(Err(error));
                }
                return;
            }
        }
        // What is there is not held back for what may come.
        let waits = !input.buffer().contains(&b'\n');
        if waits || batch.len() >= AHEAD_LINES || bytes >= AHEAD_BYTES {
            bytes = 0;
            if to.blocking_send(Ok(std::mem::take(&mut batch))).is_err() {
                return;
            }
        }
    }
    // Nobody may want it any more.
    let _ = to.blocking_send(Ok(batch));
}

fn line(input: &mut io::BufReader<impl io::Read>) -> io::Result<Option<Bytes>> {
    let mut line = Vec::new();
    if input.take(LONGEST + 2).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    if line.len() as u64 > LONGEST {
        let what = format!("a line is longer than a message can be, {LONGEST} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    Ok(Some(line.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(input: &'static [u8], buffer: usize) -> Vec<Bytes> {
        let mut lines = Lines::of(io::BufReader::with_capacity(buffer, input));
        let mut all = Vec::new();
        while let Some(line) = lines.next().await.expect("it can be read") {
            all.push(line);
        }
        all
    }

    #[tokio::test]
    async fn each_line_is_one_and_an_empty_one_too() {
        for buffer in [1, 2, 3, 100] {
            assert_eq!(
                all(b"a\n\nb c\r\n\xff\0\nlast", buffer).await,
                [&b"a"[..], b"", b"b c\r", b"\xff\0", b"last"]
            );
            assert_eq!(all(b"a\n", buffer).await, [&b"a"[..]]);
            assert_eq!(all(b"", buffer).await, Vec::<Bytes>::new());
            assert_eq!(all(b"\n", buffer).await, [&b""[..]]);
        }
    }

    #[tokio::test]
    async fn many_lines_stay_in_their_order() {
        let text: String = (0..10_000).map(|number| format!("{number}\n")).collect();
        let lines = all(Vec::leak(text.into_bytes()), 4096).await;
        assert!(lines.iter().enumerate().all(|(nth, line)| line == nth.to_string().as_bytes()));
        assert_eq!(lines.len(), 10_000);
    }

    #[tokio::test]
    async fn what_fails_in_between_comes_behind_what_was_whole() {
        struct Failing(bool);
        impl io::Read for Failing {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                if std::mem::replace(&mut self.0, true) {
                    return Err(io::Error::other("broken"));
                }
                buffer[..4].copy_from_slice(b"a\nb\n");
                Ok(4)
            }
        }
        let mut lines = Lines::of(io::BufReader::new(Failing(false)));
        assert_eq!(lines.next().await.expect("the first line"), Some(Bytes::from_static(b"a")));
        assert_eq!(lines.next().await.expect("the second line"), Some(Bytes::from_static(b"b")));
        assert!(format!("{:#}", lines.next().await.unwrap_err()).ends_with("broken"));
    }
}
