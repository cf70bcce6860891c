//! A WebSocket whose handshake is over, as a byte stream.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::Role;
use crate::deframer::{Asked, Deframer};
use crate::error::Violation;
use crate::outgoing::Outgoing;

/// The status of a Close that means no harm.
const NORMAL: u16 = 1000;

/// The payloads of binary frames, one behind the other, both ways.
///
/// A read ends where the peer says Close or the stream below ends; it fails, and so do writes from then on, as `InvalidData`, with a [`Violation`], of
/// which the peer is told in a Close frame, as far as the stream below takes it at once; a shutdown says the rest. A shutdown
/// says Close. What was written leaves with a flush, and a write that was told to wait has to be made again with no fewer
/// bytes than it had, as they were promised in the frame's head: a shutdown before that fails, and the peer has a frame that
/// is cut short, without a Close behind it. What a peer asks for, a Pong, leaves with a read.
#[derive(Debug)]
pub struct WebSocket<S> {
    stream: S,
    /// What came with the handshake's last bytes.
    early: Vec<u8>,
    deframer: Deframer,
    outgoing: Outgoing,
    end: Option<End>,
}

/// Why nothing more is read.
#[derive(Copy, Clone, Debug)]
enum End {
    Closed,
    Broken(Violation),
}

impl<S> WebSocket<S> {
    /// This end of it, behind the handshake.
    pub(crate) fn new(stream: S, role: Role, early: Vec<u8>) -> WebSocket<S> {
        let from = match role {
            Role::Client => Role::Server,
            Role::Server => Role::Client,
        };
        WebSocket { stream, early, deframer: Deframer::new(from), outgoing: Outgoing::new(role), end: None }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebSocket<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            this.outgoing.push(cx, &mut this.stream);
            match this.end {
                Some(End::Closed) => return Poll::Ready(Ok(())),
                Some(End::Broken(violation)) => return Poll::Ready(Err(violation.into())),
                None => {}
            }
            let room = buf.initialize_unfilled();
            if room.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let came = if this.early.is_empty() {
                let mut came = ReadBuf::new(room);
                ready!(Pin::new(&mut this.stream).poll_read(cx, &mut came))?;
                came.filled().len()
            } else {
                let came = room.len().min(this.early.len());
                room[..came].copy_from_slice(&this.early[..came]);
                this.early = this.early.split_off(came);
                came
            };
            if came == 0 {
                this.end = Some(End::Closed);
                continue;
            }
            let taken = this.deframer.take(&mut room[..came]);
            if let Some(violation) = taken.violation {
                this.outgoing.close(violation.status().to_be_bytes().to_vec());
                this.end = Some(End::Broken(violation));
            }
            match taken.asked {
                Some(Asked::Pong(payload)) => this.outgoing.pong(payload),
                Some(Asked::Close(mut payload)) => {
                    // The same status; the words were ours to read.
                    payload.truncate(2);
                    this.outgoing.close(payload);
                    this.end = Some(End::Closed);
                }
                None => {}
            }
            if taken.payload > 0 {
                buf.advance(taken.payload);
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WebSocket<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(this.outgoing.poll_write(cx, &mut this.stream, bytes));
        Poll::Ready(match (written, this.end) {
            // Who writes before the next read hears the same.
            (Err(error), Some(End::Broken(violation))) if error.kind() == io::ErrorKind::BrokenPipe => {
                Err(violation.into())
            }
            (written, _) => written,
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.outgoing.poll_flush(cx, &mut this.stream)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.outgoing.close(NORMAL.to_be_bytes().to_vec());
        ready!(this.outgoing.poll_flush(cx, &mut this.stream))?;
        ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
        Poll::Ready(match this.outgoing.is_in_a_frame() {
            true => Err(io::Error::other("a frame of the WebSocket was begun and not written to its end")),
            false => Ok(()),
        })
    }
}
