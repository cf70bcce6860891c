//! One subscriber: reads, acknowledges, and keeps account of every publisher's messages.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use anyhow::bail;
use opifex_packet::{Delivery, Packet, Puback, Pubcomp, Pubrec};

use super::board::{Board, record};
use super::ledger::{Came, Ledger};
use super::plan::Plan;
use super::share::Share;
use super::stamp::Stamp;
use super::wire::Wire;

/// A subscriber with its connection.
pub(super) struct Subscriber {
    wire: Wire,
    board: Arc<Board>,
    plan: Arc<Plan>,
    account: Account,
}

/// What one subscriber has received.
pub(super) struct Account {
    /// The publishers whose messages it gets, and its ledger of each.
    first: usize,
    ledgers: Vec<Ledger>,
    /// In place of ledgers where each message goes to one subscriber.
    shares: Vec<Share>,
    /// Of the read that is being taken in: numbers that are accounted for by publisher, the publishers with any, and
    /// latencies.
    news: Vec<u64>,
    touched: Vec<usize>,
    latencies: Vec<u64>,
    received: u64,
    distinct: u64,
    measured: u64,
    foreign: u64,
}

impl Subscriber {
    pub(super) fn new(index: usize, wire: Wire, board: Arc<Board>, plan: Arc<Plan>) -> Subscriber {
        let publishers = plan.publishers_of(index);
        let account = Account {
            first: publishers.start,
            news: vec![0; publishers.len()],
            ledgers: publishers.clone().filter(|_| !plan.is_shared).map(|_| Ledger::default()).collect(),
            shares: publishers.filter(|_| plan.is_shared).map(|_| Share::default()).collect(),
            touched: Vec::new(),
            latencies: Vec::new(),
            received: 0,
            distinct: 0,
            measured: 0,
            foreign: 0,
        };
        Subscriber { wire, board, plan, account }
    }

    /// Receives until the run is stopped. The account is there also when the connection broke.
    pub(super) async fn run(mut self) -> (Account, anyhow::Result<()>) {
        let outcome = self.receive().await;
        if outcome.is_ok() {
            self.wire.close().await;
        }
        (self.account, outcome)
    }

    /// Whose messages these are.
    async fn receive(&mut self) -> anyhow::Result<()> {
        let board = Arc::clone(&self.board);
        let mut stop = std::pin::pin!(board.stop.notified());
        stop.as_mut().enable();
        while !board.is_stopped() {
            tokio::select! {
                ready = self.wire.ready() => ready?,
                () = &mut stop => break,
            }
            self.read().await?;
            self.wire.write()?;
        }
        Ok(())
    }

    async fn read(&mut self) -> anyhow::Result<()> {
        let (board, account, version) = (&self.board, &mut self.account, self.plan.version);
        let now = board.now();
        let measure_from = board.measure_from.load(Relaxed);
        let read = self
            .wire
            .read(|packet, out| {
                let answer = match packet {
                    Packet::Publish(publish) => {
                        account.came(Stamp::read(&publish.payload), board.run, now, measure_from);
                        match publish.delivery {
                            Delivery::AtMostOnce => return Ok(()),
                            Delivery::AtLeastOnce(id) => Packet::from(Puback::new(id)),
                            Delivery::ExactlyOnce(id) => Packet::from(Pubrec::new(id)),
                        }
                    }
                    Packet::Pubrel(pubrel) => Packet::from(Pubcomp::new(pubrel.packet_id)),
                    other => bail!("the server sent {other:?} to a subscriber"),
                };
                answer.encode(version, out);
                Ok(())
            })
            .await;
        account.tell(board, now);
        read
    }
}

impl Account {
    fn came(&mut self, stamp: Option<Stamp>, run: u32, now: u64, measure_from: u64) {
        let stamp = stamp.filter(|stamp| stamp.run == run);
        let nth = stamp.and_then(|stamp| (stamp.publisher as usize).checked_sub(self.first));
        let (Some(stamp), Some(nth)) = (stamp, nth.filter(|nth| *nth < self.news.len())) else {
            self.foreign += 1;
            return;
        };
        self.received += 1;
        let came = match self.shares.get_mut(nth) {
            Some(share) => {
                let is_new = share.came(stamp.number);
                Came { passed: u64::from(is_new), is_new }
            }
            None => self.ledgers[nth].came(stamp.number),
        };
        self.distinct += u64::from(came.is_new);
        if came.passed > 0 {
            if self.news[nth] == 0 {
                self.touched.push(nth);
            }
            self.news[nth] += came.passed;
        }
        if stamp.due >= measure_from {
            self.measured += 1;
            self.latencies.push(now.saturating_sub(stamp.due));
        }
    }

    /// Puts what is new on the board.
    fn tell(&mut self, board: &Board, now: u64) {
        for nth in self.touched.drain(..) {
            let publisher = &board.publishers[self.first + nth];
            publisher.accounted.fetch_add(std::mem::take(&mut self.news[nth]), SeqCst);
            publisher.nudge();
        }
        board.received.fetch_add(std::mem::take(&mut self.received), Relaxed);
        board.distinct.fetch_add(std::mem::take(&mut self.distinct), Relaxed);
        board.foreign.fetch_add(std::mem::take(&mut self.foreign), Relaxed);
        if self.measured > 0 {
            board.measured.fetch_add(std::mem::take(&mut self.measured), Relaxed);
            board.last_measured.fetch_max(now, Relaxed);
            record(&board.delivery, &mut self.latencies);
        }
    }

    /// The publishers' numbers with the ledger of each.
    pub(super) fn by_publisher(&self) -> impl Iterator<Item = (usize, &Ledger)> {
        self.ledgers.iter().enumerate().map(|(nth, ledger)| (self.first + nth, ledger))
    }

    /// The same of the shares.
    pub(super) fn share_of(&self, publisher: usize) -> Option<&Share> {
        self.shares.get(publisher.checked_sub(self.first)?)
    }
}
