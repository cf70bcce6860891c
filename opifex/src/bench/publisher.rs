//! One publisher: sends what is due, as far as window, backlog and socket go, and takes the acknowledgements.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::bail;
use opifex_packet::{Delivery, Packet, PacketId, Publish, Pubrel, QoS, ReasonCode, TopicName};
use tokio::time::sleep;

use super::board::{Board, Progress, record};
use super::plan::{Plan, TOPIC_DIGITS};
use super::stamp::Stamp;
use super::wire::Wire;
use crate::cli::Scenario;

/// So much is put together before it is written.
const BATCH_BYTES: usize = 32 * 1024;

/// A backlog that does not move for so long is lost (at QoS 0), and no reason to wait any longer.
const STALL: Duration = Duration::from_secs(1);

/// A publisher with its connection.
pub(super) struct Publisher {
    index: usize,
    wire: Wire,
    board: Arc<Board>,
    plan: Arc<Plan>,

    /// Its PUBLISH, and where in it packet id and payload stand.
    packet: Vec<u8>,
    id_at: Option<usize>,
    payload_at: usize,
    /// ... and the number in its topic, where that has one.
    digits_at: Option<usize>,

    number: u64,
    measured: u64,
    ended: bool,
    /// The backlog was full, and is not yet as it should be.
    behind: bool,
    /// Deliveries that are not waited for any more.
    forgiven: u64,
    flights: Flights,
    lags: Vec<u64>,
    /// Window or socket keep it from sending what is due.
    held_back: bool,
    /// What was due before may have been held back so.
    held_until: u64,
}

/// Messages that wait for their acknowledgement.
struct Flights {
    /// When the message of each packet id was due.
    due: Vec<u64>,
    free: VecDeque<PacketId>,
    latencies: Vec<u64>,
}

/// Why nothing more is put together now.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Pause {
    /// The batch is large enough.
    Full,
    /// Too much is not acknowledged, or not delivered.
    Acknowledgement,
    Backlog,
    /// Nothing is due.
    Due,
    Ended,
}

impl Publisher {
    pub(super) fn new(
        index: usize,
        wire: Wire,
        board: Arc<Board>,
        plan: Arc<Plan>,
    ) -> anyhow::Result<Publisher> {
        let window = plan.max_inflight.min(wire.receive_maximum);
        let payload = vec![b'.'; plan.size];
        let publish = Publish {
            delivery: Delivery::new(plan.qos, PacketId::MIN),
            retain: plan.scenario == Scenario::Retained,
            ..Publish::new(TopicName::new(plan.topic(index))?, payload)
        };
        let mut packet = Vec::new();
        let id_at = publish.encode_with_id_offset(plan.version, &mut packet);
        let front = &packet[..packet.len() - plan.size];
        let topic = plan.topic(index);
        // Behind one to five bytes of fixed header and two of length.
        let topic_at = front.windows(topic.len()).position(|window| window == topic.as_bytes());
        let digits_at = plan.digits_at(index).and_then(|at| Some(topic_at? + at));
        let flights = Flights {
            due: vec![0; usize::from(window) + 1],
            free: (1..=window).filter_map(PacketId::new).collect(),
            latencies: Vec::new(),
        };
        Ok(Publisher {
            index,
            wire,
            board,
            payload_at: packet.len() - plan.size,
            packet,
            id_at,
            digits_at,
            number: 0,
            measured: 0,
            ended: false,
            behind: false,
            forgiven: 0,
            flights,
            lags: Vec::new(),
            held_back: false,
            held_until: 0,
            plan,
        })
    }

    /// Publishes until the end of the run, and waits for what it is owed.
    pub(super) async fn run(mut self) -> anyhow::Result<()> {
        let board = Arc::clone(&self.board);
        let progress = &board.publishers[self.index];
        while !board.is_stopped() {
            progress.will_wait();
            let pause = self.put_together(progress)?;
            self.wire.write()?;
            self.held_back = pause == Pause::Acknowledgement || !self.wire.is_flushed();
            if pause == Pause::Full && self.wire.is_flushed() {
                // The subscribers may share this thread.
                tokio::task::yield_now().await;
                self.receive(progress).await?;
                continue;
            }
            if pause == Pause::Ended && self.flights.is_empty() && self.wire.is_flushed() {
                break;
            }
            let stalled = pin!(sleep(STALL));
            tokio::select! {
                ready = self.wire.ready() => ready?,
                () = progress.wake.notified() => continue,
                () = stalled, if pause == Pause::Backlog => self.forgive(progress),
            }
            self.receive(progress).await?;
        }
        self.wire.close().await;
        Ok(())
    }

    /// Puts together what may go out now.
    fn put_together(&mut self, progress: &Progress) -> anyhow::Result<Pause> {
        let board = Arc::clone(&self.board);
        let start = board.start.load(Relaxed);
        let measure_from = board.measure_from.load(Relaxed);
        let now = board.now();
        if self.held_back {
            self.held_until = now;
        }
        let (before, measured_before) = (self.number, self.measured);
        let pause = loop {
            let due = match self.plan.due(self.index, self.number) {
                Some(due) => start.saturating_add(due),
                None => now.max(start),
            };
            if self.ended || board.is_over(due, now) || self.plan.quota(self.index) == Some(self.measured) {
                self.ended = true;
                break Pause::Ended;
            }
            if due > now {
                break Pause::Due;
            }
            if self.wire.out.len() >= BATCH_BYTES {
                break Pause::Full;
            }
            if self.plan.rate.is_none() && self.is_behind(progress) {
                break Pause::Backlog;
            }
            let is_measured = due >= measure_from;
            if let Some(id_at) = self.id_at {
                let Some(id) = self.flights.take(due) else { break Pause::Acknowledgement };
                self.packet[id_at..id_at + 2].copy_from_slice(&id.get().to_be_bytes());
            }
            if let Some(at) = self.digits_at {
                let number = self.plan.topic_number(self.index, self.number);
                write_digits(&mut self.packet[at..at + TOPIC_DIGITS], number);
            }
            let stamp = Stamp { run: board.run, publisher: self.index as u32, number: self.number, due };
            stamp.write(&mut self.packet[self.payload_at..]);
            self.wire.out.extend_from_slice(&self.packet);
            self.number += 1;
            if is_measured {
                self.measured += 1;
                // The others say how late the server was.
                if self.plan.rate.is_some() && due > self.held_until {
                    self.lags.push(now - due);
                }
            }
        };
        if self.number > before {
            progress.sent.store(self.number, Relaxed);
        }
        if self.measured > measured_before {
            progress.sent_measured.store(self.measured, Relaxed);
            progress.last_measured.store(now, Relaxed);
            record(&board.lag, &mut self.lags);
        }
        Ok(pause)
    }

    /// Deliveries of its messages that are still to come.
    fn backlog(&self, progress: &Progress) -> u64 {
        let done = progress.accounted.load(std::sync::atomic::Ordering::SeqCst) + self.forgiven;
        (self.number * self.plan.copies()).saturating_sub(done)
    }

    /// Whether the subscribers have to catch up first: from a full backlog until a quarter of it is gone, so that what
    /// follows goes out in one piece.
    fn is_behind(&mut self, progress: &Progress) -> bool {
        let full = self.plan.backlog * self.plan.copies();
        let limit = if self.behind { full - full / 4 } else { full };
        self.behind = full > 0 && self.backlog(progress) >= limit;
        self.behind
    }

    fn forgive(&mut self, progress: &Progress) {
        // At QoS 1 and 2 whatever is missing is on its way.
        if self.plan.qos == QoS::AtMostOnce {
            self.forgiven += self.backlog(progress);
        }
    }

    async fn receive(&mut self, progress: &Progress) -> anyhow::Result<()> {
        let (flights, board) = (&mut self.flights, &self.board);
        let now = board.now();
        let measure_from = board.measure_from.load(Relaxed);
        let (mut done, mut refused) = (0, 0);
        self.wire
            .read(|packet, out| {
                let (id, reason) = match packet {
                    Packet::Puback(puback) => (puback.packet_id, puback.reason),
                    Packet::Pubrec(pubrec) if !pubrec.reason.is_error() => {
                        Packet::from(Pubrel::new(pubrec.packet_id)).encode(self.plan.version, out);
                        return Ok(());
                    }
                    Packet::Pubrec(pubrec) => (pubrec.packet_id, pubrec.reason),
                    Packet::Pubcomp(pubcomp) => (pubcomp.packet_id, ReasonCode::Success),
                    other => bail!("the server sent {other:?} to a publisher"),
                };
                flights.end(id, now, measure_from)?;
                done += 1;
                refused += u64::from(reason.is_error());
                Ok(())
            })
            .await?;
        if done > 0 {
            progress.acknowledged.fetch_add(done, Relaxed);
            progress.refused.fetch_add(refused, Relaxed);
            record(&board.acknowledgement, &mut flights.latencies);
        }
        Ok(())
    }
}

/// Writes a number over digits, zeros in front.
fn write_digits(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

impl Flights {
    fn take(&mut self, due: u64) -> Option<PacketId> {
        let id = self.free.pop_front()?;
        self.due[usize::from(id.get())] = due;
        Some(id)
    }

    fn end(&mut self, id: PacketId, now: u64, measure_from: u64) -> anyhow::Result<()> {
        // 0 is a time at which nothing is due: the run begins before its first message.
        let due = self.due.get_mut(usize::from(id.get())).map_or(0, std::mem::take);
        if due == 0 {
            bail!("the server acknowledged packet id {}, which is not under way", id.get());
        }
        if due >= measure_from {
            self.latencies.push(now.saturating_sub(due));
        }
        self.free.push_back(id);
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.free.len() + 1 == self.due.len()
    }
}
