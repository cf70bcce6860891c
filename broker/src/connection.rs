//! One client's connection: a task that reads, asks the pure parts, performs what they answer, and does nothing else.
//!
//! Its poll has three steps: hand the outbox to the transport, move the store's work on, read. Everything that must
//! wait (the store, retained messages, authentication) is a boxed future beside the reading; nothing here awaits with
//! a packet in hand.

mod acks;
mod aliases;
mod authenticate;
mod disconnect;
mod finish;
mod handshake;
mod publish;
mod replay;
mod serving;
mod store_work;
mod subscribe;
mod workbench;

pub(crate) use handshake::{Trust, handshake};
pub(crate) use serving::Serving;

use std::any::Any;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

use hashbrown::HashSet;
use opifex_connection::{Flush, Inbox, Read};
use opifex_packet::{DecodeOptions, Decoded, Packet, PacketId, ReasonCode, decode};
use opifex_storage::{Epoch, NewWill, Persistence, SessionExpiry, SessionId};
use tokio::io::AsyncRead;

use crate::access::{Identity, Peer};
use crate::outbox::{Command, Step};
use crate::registry::Seat;
use crate::session::Session;
use crate::shared::Shared;
use crate::stats::Tally;
use acks::PendingAck;
use aliases::IncomingAliases;
use finish::Attended;
use finish::Counted;
pub(crate) use finish::end_session;
use store_work::StoreWork;
use workbench::Batch;

/// After so many reads in one poll others get their turn.
const READS_PER_POLL: usize = 4;

/// Acknowledgements that may wait before reading stops.
const WAITING_ACKS: usize = 16 * 1_024;

/// A connection after its CONNECT was accepted.
pub(crate) struct Connection<P: Persistence, R> {
    reader: R,
    inbox: Inbox,
    state: Attended<P>,
}

/// All of a connection but its read half.
pub(crate) struct State<P: Persistence> {
    shared: Arc<Shared<P>>,
    session: Arc<Session>,
    seat: Option<Seat>,
    peer: Peer,
    /// Session id and epoch in the store, for a durable session.
    author: Option<(SessionId, Epoch)>,
    identity: Arc<Identity>,
    options: DecodeOptions,
    /// The largest packet that the client takes, in bytes.
    max_packet_size: u32,
    /// Whether the client is told in words why something was refused (5.0).
    reasons: bool,
    /// The method that the client authenticated with (5.0).
    auth_method: Option<Box<str>>,
    /// What access control remembers between two steps of an exchange.
    auth_state: Option<Box<dyn Any + Send>>,
    authenticating: bool,
    /// How long the session outlives the connection.
    expiry: SessionExpiry,
    /// The will of a session that is not durable: the store keeps the others'.
    will: Option<Box<NewWill>>,
    aliases: IncomingAliases,
    /// Packet ids of QoS 2 messages that came in and whose PUBREL is awaited.
    inbound: HashSet<PacketId>,
    /// Acknowledgements that wait for the store, or behind one that does.
    acks: VecDeque<PendingAck>,
    /// QoS 1 acknowledgements among them.
    unacknowledged: usize,
    acks_made: u64,
    work: StoreWork,
    /// Counts the connection until its end is through.
    _counted: Counted<P>,
}

/// Why a connection ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The client said DISCONNECT; whether its will is to be published all the same.
    Disconnect {
        /// 0x04.
        with_will: bool,
    },
    /// The transport is gone.
    Closed(Option<io::Error>),
    /// The client broke a rule.
    Violation(Violation),
    /// Somebody else ended it.
    Command(Command),
    /// The store failed.
    Store(ReasonCode),
    /// `serve` was dropped.
    Abandoned,
}

impl End {
    /// Whether the client broke a rule, of MQTT or of its transport: of those, streams speak as `InvalidData`.
    pub(crate) fn is_violation(&self) -> bool {
        match self {
            End::Violation(_) => true,
            End::Closed(Some(error)) => error.kind() == io::ErrorKind::InvalidData,
            _ => false,
        }
    }
}

/// A broken rule: what is said to the client and to the log.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) reason: ReasonCode,
    pub(crate) message: &'static str,
}

impl Violation {
    pub(crate) fn new(reason: ReasonCode, message: &'static str) -> Violation {
        Violation { reason, message }
    }
}

impl<P: Persistence, R> Connection<P, R> {
    /// Ends it. What it had under way runs to its end also when this future is dropped.
    pub(crate) async fn end(self, end: End) {
        self.state.finish(end).await;
    }
}

impl<P: Persistence, R: AsyncRead + Unpin> Connection<P, R> {
    /// Goes on until the connection ends.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let mut reads = 0;
        loop {
            if let Some(end) = self.state.drain(cx) {
                return Poll::Ready(end);
            }
            match self.state.poll_store(cx) {
                Ok(true) => continue,
                Ok(false) => {}
                Err(end) => return Poll::Ready(end),
            }
            if !self.state.may_read() {
                self.state.pause_reading();
                return Poll::Pending;
            }
            self.state.resume_reading();
            let state = &mut self.state;
            let taken = if state.work.resumed {
                state.work.resumed = false;
                self.inbox.take_waiting(|bytes| state.take(bytes))
            } else {
                None
            };
            let outcome = match taken {
                Some(outcome) => outcome,
                None => match self.inbox.poll_read(cx, &mut self.reader, |bytes| state.take(bytes)) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(Read::Taken { value, .. })) => value,
                    Poll::Ready(Ok(Read::Closed { .. })) => return Poll::Ready(End::Closed(None)),
                    Poll::Ready(Err(error)) => return Poll::Ready(End::Closed(Some(error))),
                },
            };
            if let Some(end) = outcome {
                return Poll::Ready(end);
            }
            reads += 1;
            if reads >= READS_PER_POLL {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }
}

impl<P: Persistence> State<P> {
    /// Hands what waits to the transport and takes up what others left for this task.
    fn drain(&mut self, cx: &mut Context<'_>) -> Option<End> {
        let mut outbox = self.session.outbox.lock();
        let link = outbox.link.as_mut()?;
        link.outlet.set_owner(cx.waker());
        if let Some(command) = link.command {
            return Some(End::Command(command));
        }
        let before = outbox.outlet_bytes();
        if let Flush::Failed(error) = outbox.flush_as_owner(cx) {
            return Some(End::Closed(Some(error)));
        }
        // A client that is not read because it is slow to take our answers shows by taking them that it lives.
        if self.work.outlet_full && outbox.outlet_bytes() < before {
            let now = self.shared.clock.tick_secs_at(self.shared.now());
            self.session.last_seen_secs.store(now, Relaxed);
        }
        if outbox.wants_owner(&self.shared.limits) {
            let mut tally = Tally::default();
            let mut step = Step { limits: &self.shared.limits, now: self.shared.now(), tally: &mut tally };
            outbox.pump(&mut step);
            self.shared.counters.add(&tally);
            if let Flush::Failed(error) = outbox.flush_as_owner(cx) {
                return Some(End::Closed(Some(error)));
            }
        }
        self.work.outlet_full = outbox.outlet_bytes() >= self.shared.limits.max_outbox_bytes;
        self.work.take_over(&mut outbox);
        None
    }

    /// Whether more may be read: not while the store holds us up, nor while the client does not take our answers, be
    /// they in the outlet or behind a replay that waits for it.
    fn may_read(&self) -> bool {
        !self.work.is_full() && !self.work.outlet_full && self.acks.len() < WAITING_ACKS
    }

    /// Reading waits. While the store is the reason, keep-alive does not run; a client that does not take our answers
    /// is given no longer than any other.
    fn pause_reading(&mut self) {
        if !self.work.outlet_full {
            self.session.last_seen_secs.store(u32::MAX, Relaxed);
            self.work.paused = true;
        }
        self.work.resumed = true;
    }

    fn resume_reading(&mut self) {
        if std::mem::take(&mut self.work.paused) {
            let now = self.shared.clock.tick_secs_at(self.shared.now());
            self.session.last_seen_secs.store(now, Relaxed);
        }
    }

    /// Takes all whole packets: the synchronous part of a read. Answers how many bytes were used, and the end if this
    /// was it.
    fn take(&mut self, bytes: &[u8]) -> (usize, Option<End>) {
        let shared = self.shared.clone();
        let mut batch = Batch::new(&shared);
        self.session.last_seen_secs.store(batch.tick_secs(), Relaxed);
        let mut used = 0;
        let mut end = None;
        while used < bytes.len() && end.is_none() && !self.work.must_stop_reading() {
            match decode(&bytes[used..], &self.options) {
                Ok(Decoded::Packet { packet, len }) => {
                    used += len;
                    end = self.packet(packet, &mut batch).err();
                }
                Ok(Decoded::Incomplete { .. }) => break,
                Err(error) => {
                    tracing::debug!(client_id = &*self.session.client_id, %error, "malformed packet");
                    end = Some(End::Violation(Violation::new(error.reason(), error.message())));
                }
            }
        }
        let ended = self.end_batch(batch);
        (used, end.or(ended))
    }

    /// Dispatches one packet.
    fn packet(&mut self, packet: Packet<'_>, batch: &mut Batch<'_, P>) -> Result<(), End> {
        match packet {
            Packet::Publish(publish) => self.publish(publish, batch)?,
            Packet::Puback(ack) => batch.ack_in(acks::AckIn::Puback(ack.packet_id)),
            Packet::Pubrec(ack) => batch.ack_in(acks::AckIn::Pubrec(ack.packet_id, ack.reason)),
            Packet::Pubrel(ack) => self.pubrel(ack.packet_id, batch),
            Packet::Pubcomp(ack) => batch.ack_in(acks::AckIn::Pubcomp(ack.packet_id)),
            Packet::Subscribe(subscribe) => self.subscribe(subscribe, batch)?,
            Packet::Unsubscribe(unsubscribe) => self.unsubscribe(unsubscribe, batch),
            Packet::Pingreq => batch.answer(&Packet::Pingresp, self.options.version),
            Packet::Disconnect(disconnect) => return Err(self.disconnect(disconnect, batch)),
            Packet::Auth(auth) => self.reauthenticate(auth)?,
            // [MQTT-3.1.0-2]: a second CONNECT is a protocol error; the rest only a server sends.
            Packet::Connect(_) => return Err(violation(ReasonCode::ProtocolError, "a second CONNECT")),
            Packet::Connack(_) | Packet::Suback(_) | Packet::Unsuback(_) | Packet::Pingresp => {
                return Err(violation(ReasonCode::ProtocolError, "a packet that only a server sends"));
            }
        }
        Ok(())
    }

    /// The end of a read batch: what was collected takes effect, under one lock of the own outbox.
    fn end_batch(&mut self, mut batch: Batch<'_, P>) -> Option<End> {
        batch.deliver_run();
        let mut violated = None;
        if batch.has_own_work() {
            let mut outbox = self.session.outbox.lock();
            for ack in batch.acks_in() {
                let done = match ack {
                    acks::AckIn::Puback(id) => outbox.puback(id),
                    acks::AckIn::Pubrec(id, reason) => outbox.pubrec(id, reason),
                    acks::AckIn::Pubcomp(id) => outbox.pubcomp(id),
                };
                if done.is_err() {
                    violated = Some(violation(
                        ReasonCode::ProtocolError,
                        "an acknowledgement that does not fit its packet id's state",
                    ));
                }
            }
            if let Some(link) = &mut outbox.link {
                link.outlet.append(batch.own_bytes());
            }
            outbox.pump(&mut batch.step());
            if let Flush::Failed(error) = outbox.flush() {
                violated = Some(End::Closed(Some(error)));
            }
            self.work.take_over(&mut outbox);
        }
        batch.finish();
        violated
    }
}

fn violation(reason: ReasonCode, message: &'static str) -> End {
    End::Violation(Violation::new(reason, message))
}

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

#[cfg(test)]
mod tests {
    use std::mem::size_of;

    use opifex_storage_memory::MemoryStore;
    use tokio::io::{DuplexStream, ReadHalf, WriteHalf};

    use super::*;
    use crate::broker::Broker;

    /// What a connection's task may be that is idle: most allocators hand out the next larger size.
    const FUTURE_LIMIT_BYTES: usize = 64;

    /// What a connection keeps in one box as long as it lives.
    const STATE_LIMIT_BYTES: usize = 640;

    #[tokio::test]
    async fn the_future_of_a_connection_is_little_more_than_a_pointer_to_its_state() {
        let broker = Broker::builder(MemoryStore::new()).start().await.expect("an empty store");
        let (ours, _theirs) = tokio::io::duplex(64);
        let (reader, writer): (ReadHalf<DuplexStream>, WriteHalf<DuplexStream>) = tokio::io::split(ours);
        let served = broker.serve_halves(reader, writer, Peer::Local);
        assert!(size_of_val(&served) <= FUTURE_LIMIT_BYTES, "{} bytes", size_of_val(&served));
        let state = size_of::<State<MemoryStore>>();
        assert!(state <= STATE_LIMIT_BYTES, "{state} bytes");
    }

    #[test]
    fn a_session_with_its_outbox_is_at_most_as_large() {
        // With the counts of its `Arc`.
        let bytes = size_of::<Session>() + 16;
        assert!(bytes <= 448, "{bytes} bytes");
    }
}
