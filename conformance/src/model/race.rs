//! Several threads that do what they like to the same clients, and whether their answers fit together.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use opifex_storage::{
    Author, Batch, Epoch, FullPolicy, Op, OpenSession, OpenedSession, Persistence, QueueLimits, Record,
    RecordKind, Result, Seq, SessionId, StoreError, Target,
};

use super::linear::{End, Seen, What, linearize};
use crate::script::{START, connect, filter, items, message, packet_id, subscription, target, topic};
use crate::{Factory, Subject};

const THREADS: u64 = 3;
const CALLS: u64 = 6;
const CLIENTS: usize = 2;

/// Runs a round with clients of its own.
///
/// # Panics
/// When there is no order that explains the answers.
pub(crate) async fn round<F: Factory>(s: &Subject<F>, number: u64) {
    let clients: Vec<String> = (0..CLIENTS).map(|client| format!("race/{number}/{client}")).collect();
    let race = Race { s, clock: AtomicU64::new(0), known: Mutex::new(Vec::new()), clients: &clients };
    let mut seen: Vec<(usize, Seen)> = Vec::new();
    for client in 0..CLIENTS {
        let (call, opened) = race.open(client, false).await;
        race.known.lock().expect("nobody panics with it").push((opened.session.id, opened.session.epoch));
        seen.push((client, call));
    }
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let race = &race;
                scope.spawn(move || {
                    let mut dice = Dice(1 + number * THREADS + thread);
                    (0..CALLS).map(|_| s.block_on(race.any(&mut dice))).collect::<Vec<_>>()
                })
            })
            .collect();
        for thread in threads {
            seen.extend(thread.join().expect("no caller panics"));
        }
    });
    for (client, name) in clients.iter().enumerate() {
        let what = What::End(Box::new(race.end(name).await));
        let (made, answered) = (race.tick(), race.tick());
        seen.push((client, Seen { made, answered, what }));
        let of_client: Vec<Seen> =
            seen.iter().filter(|(other, _)| *other == client).map(|(_, seen)| seen.clone()).collect();
        linearize(name, &of_client).unwrap_or_else(|report| panic!("{report}"));
    }
}

struct Race<'a, F: Factory> {
    s: &'a Subject<F>,
    clock: AtomicU64,
    /// The last connection of each client, as far as somebody knows.
    known: Mutex<Vec<(SessionId, Epoch)>>,
    clients: &'a [String],
}

impl<F: Factory> Race<'_, F> {
    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    async fn any(&self, dice: &mut Dice) -> (usize, Seen) {
        let client = dice.below(CLIENTS as u64) as usize;
        let call = match dice.below(6) {
            0 => {
                let (call, opened) = self.open(client, dice.below(4) == 0).await;
                let mut known = self.known.lock().expect("nobody panics with it");
                known[client] = (opened.session.id, opened.session.epoch);
                call
            }
            1 | 2 => self.batch(client, dice, false).await,
            _ => self.batch(client, dice, true).await,
        };
        (client, call)
    }

    async fn open(&self, client: usize, clean_start: bool) -> (Seen, OpenedSession) {
        let client_id = self.clients[client].as_str().into();
        let open = OpenSession { client_id, clean_start, durability: self.s.strongest(), ..connect("") };
        let made = self.tick();
        let opened = self.s.store().open_session(open.clone()).await.expect("it opens");
        let answered = self.tick();
        (Seen { made, answered, what: What::Open(open, opened.clone()) }, opened)
    }

    async fn batch(&self, client: usize, dice: &mut Dice, by_session: bool) -> Seen {
        let (id, epoch) = self.known.lock().expect("nobody panics with it")[client];
        let author = if by_session { Author::Session(id, epoch) } else { Author::Broker };
        let mut batch = Batch::new(author, self.s.strongest(), START);
        for _ in 0..1 + dice.below(3) {
            batch.ops.push(self.op(id, &self.clients[client], dice, by_session));
        }
        let made = self.tick();
        let submitted = self.s.store().submit(batch.clone()).await;
        let answered = self.tick();
        let answer: Result<_> = match submitted {
            Ok(receipt) => {
                let outcomes = receipt.outcomes().to_vec();
                receipt.durable().await.expect("it becomes durable");
                Ok(outcomes)
            }
            Err(error) => Err(error),
        };
        Seen { made, answered, what: What::Batch(batch, answer.map_err(|error: StoreError| error.kind())) }
    }

    fn op(&self, id: SessionId, name: &str, dice: &mut Dice, by_session: bool) -> Op {
        let number = dice.below(3) as u16 + 1;
        let seq = Seq(u64::from(number));
        match dice.below(if by_session { 24 } else { 10 }) {
            0..6 => {
                let limits = match dice.below(2) {
                    0 => QueueLimits::UNLIMITED,
                    _ => items(3, FullPolicy::DropOldest),
                };
                let message = Arc::new(message(name, number.to_be_bytes()));
                Op::Enqueue { message, targets: vec![Target { limits, ..target(id) }] }
            }
            6 | 7 => Op::Retain(Arc::new(message(name, number.to_be_bytes()))),
            8 => Op::Unretain(topic(name)),
            9 => Op::EndSession(id),
            10..12 => Op::Subscribe(subscription(["a", "b", "c"][usize::from(number) - 1])),
            12 => Op::Unsubscribe(filter(["a", "b", "c"][usize::from(number) - 1])),
            13..16 => Op::PutInbound(packet_id(number)),
            16 | 17 => Op::DeleteInbound(packet_id(number)),
            18 | 19 => Op::Assign { seq, packet_id: packet_id(number) },
            20 => Op::Release(seq),
            21 | 22 => Op::Settle(seq),
            _ => Op::GoOffline,
        }
    }

    /// What there is of a client now.
    async fn end(&self, name: &str) -> End {
        let sessions = self.s.scan(RecordKind::Session).await;
        let session = sessions.into_iter().find_map(|record| match record {
            Record::Session(session) if &*session.client_id == name => Some(session),
            _ => None,
        });
        let mut entries = Vec::new();
        if let Some(session) = &session {
            entries.extend(self.s.queue(session.id).await.iter().map(|entry| format!("{entry:?}")));
            let mut subscriptions = self.s.subscriptions(session.id).await;
            subscriptions.sort_by(|a, b| a.filter.as_str().cmp(b.filter.as_str()));
            entries.extend(subscriptions.iter().map(|record| format!("{record:?}")));
            let mut inbound = self.s.inbound(session.id).await;
            inbound.sort_unstable();
            entries.extend(inbound.iter().map(|id| format!("{:?}", packet_id(*id))));
        }
        let retained = self.s.retained(&[name]).await.0.pop();
        End { session, retained, entries }
    }
}

/// A small generator: the same round throws the same dice.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % end
    }
}
