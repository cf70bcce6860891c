//! Histories at random: the reference state machine that proptest draws steps from, and shrinks by.
//!
//! What is drawn next depends on what there is, so that most steps meet something: an entry that can be settled, an
//! item that is due. A few meet nothing, which has to be answered, too.

use opifex_storage::{Author, Durability, Epoch, FullPolicy, RecordVersion, SessionExpiry};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest_state_machine::ReferenceStateMachine;

use super::declared::Declared;
use super::keyed::WRITERS;
use super::step::{Expect, GuardWords, MessageWords, OpWords, Step, TargetWords, Who, Whose, WillWords};
use super::world::{CLIENTS, Call, FILTER_COUNT, TOPIC_COUNT, World};

/// The reference state machine.
pub(crate) struct History;

impl ReferenceStateMachine for History {
    type State = World;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<World> {
        Just(World::new(Durability::Memory, Declared::default())).boxed()
    }

    fn transitions(world: &World) -> BoxedStrategy<Step> {
        let due = world.seen().iter().any(|due| world.model.due(world.now).contains(due));
        prop_oneof![
            5 => select(vec![1, 5, 10, 60]).prop_map(Step::Wait),
            2 => Just(Step::Reopen),
            1 => Just(Step::Move),
            10 => open(),
            32 => by_client(world),
            8 => batch(Who::Broker, Vec::new(), false),
            if due { 16 } else { 2 } => by_claim(world),
            2 => (0..WRITERS, 0..3_u8).prop_map(|(writer, back)| Step::Again { writer, back }),
        ]
        .boxed()
    }

    fn apply(mut world: World, step: &Step) -> World {
        if let Step::Wait(secs) = step {
            world.now = world.now.plus_secs(*secs);
        }
        match world.call(step) {
            Some(Call::Open(open)) => {
                let epoch = Epoch(world.next());
                let opened = world.model.open(&open, epoch);
                if let Step::Open { client, .. } = step {
                    world.note_open(*client, opened.session.id, epoch);
                }
            }
            Some(Call::Submit(batch) | Call::SubmitAgain(batch, _)) => {
                let mut last = world.next();
                let mut version = || {
                    last += 1;
                    RecordVersion(last)
                };
                let outcomes = world.model.submit(&batch, &mut version).ok();
                world.note_sent(&batch, outcomes.as_deref());
                while world.next() < last {}
            }
            Some(Call::Move) => world.moved(),
            Some(Call::Nothing | Call::Reopen) | None => {}
        }
        world.note_due();
        world
    }

    fn preconditions(world: &World, step: &Step) -> bool {
        world.call(step).is_some()
    }
}

fn expiry() -> impl Strategy<Value = SessionExpiry> {
    prop_oneof![
        3 => Just(SessionExpiry::Never),
        4 => select(vec![5, 10, 30]).prop_map(SessionExpiry::Secs),
        1 => Just(SessionExpiry::WITH_CONNECTION),
    ]
}

fn message() -> impl Strategy<Value = MessageWords> {
    let expires_in = option::weighted(0.3, select(vec![0, 1, 5, 10, 30]));
    (0..TOPIC_COUNT, any::<u16>(), 0..40_u8, 0..3_u8, expires_in).prop_map(
        |(topic, tag, padding, properties, expires_in)| MessageWords {
            topic,
            tag,
            padding,
            properties,
            expires_in,
        },
    )
}

fn open() -> impl Strategy<Value = Step> {
    let will = (message(), any::<bool>(), select(vec![0, 0, 5, 10, 60]));
    let will = will.prop_map(|(message, retain, delay_secs)| WillWords { message, retain, delay_secs });
    (0..CLIENTS, proptest::bool::weighted(0.2), expiry(), option::weighted(0.4, will))
        .prop_map(|(client, clean_start, expiry, will)| Step::Open { client, clean_start, expiry, will })
}

/// A batch of a client: mostly as of its last connection.
fn by_client(world: &World) -> BoxedStrategy<Step> {
    let there: Vec<Who> = (0..CLIENTS)
        .filter(|client| world.lives(*client))
        .map(|client| Who::Client { client, back: 0 })
        .collect();
    let ever: Vec<Who> = (0..CLIENTS)
        .flat_map(|client| [0, 0, 1, 2].map(|back| Who::Client { client, back }))
        .filter(|who| world.author(*who).is_some())
        .collect();
    let who = match (there.is_empty(), ever.is_empty()) {
        (_, true) => return open().boxed(),
        (true, false) => select(ever).boxed(),
        (false, false) => prop_oneof![8 => select(there), 1 => select(ever)].boxed(),
    };
    let seqs: Vec<Vec<u64>> =
        (0..CLIENTS).map(|client| seqs(world, Who::Client { client, back: 0 })).collect();
    who.prop_flat_map(move |who| {
        let seqs = match who {
            Who::Client { client, .. } => seqs[usize::from(client)].clone(),
            Who::Broker | Who::Claim(_) => Vec::new(),
        };
        batch(who, seqs, true)
    })
    .boxed()
}

/// A batch under a claim: mostly of what is due, sometimes of what was.
fn by_claim(world: &World) -> BoxedStrategy<Step> {
    let due = world.model.due(world.now);
    let index = |index: usize| u8::try_from(index).ok();
    let seen = || world.seen().iter().enumerate();
    let now: Vec<u8> =
        seen().filter(|(_, seen)| due.contains(seen)).filter_map(|(at, _)| index(at)).collect();
    let ever: Vec<u8> = seen().filter_map(|(at, _)| index(at)).collect();
    let pick = match (now.is_empty(), ever.is_empty()) {
        (_, true) => return select(vec![1, 5, 10]).prop_map(Step::Wait).boxed(),
        (true, false) => select(ever.clone()).boxed(),
        (false, false) => prop_oneof![8 => select(now), 1 => select(ever.clone())].boxed(),
    };
    let entries: Vec<Vec<u64>> = ever.iter().map(|at| seqs(world, Who::Claim(*at))).collect();
    pick.prop_flat_map(move |at| {
        let who = Who::Claim(at);
        let alone = move |ops| Step::Batch { author: who, guards: Vec::new(), ops, writer: None };
        let plain = Just(alone(Vec::new()));
        let purge = (1..6_usize).prop_map(move |limit| alone(vec![OpWords::Purge(limit)]));
        prop_oneof![2 => plain, 2 => purge, 3 => batch(who, entries[usize::from(at)].clone(), true)]
    })
    .boxed()
}

/// The numbers of what is in the queue of the author's session.
fn seqs(world: &World, who: Who) -> Vec<u64> {
    let session = world.author(who).as_ref().and_then(Author::session);
    let queue = session.and_then(|id| world.model.sessions.get(&id)).map(|session| &session.queue);
    queue.map_or(Vec::new(), |queue| queue.keys().map(|seq| seq.0).collect())
}

fn batch(author: Who, seqs: Vec<u64>, has_session: bool) -> BoxedStrategy<Step> {
    let guards = prop_oneof![6 => Just(Vec::new()), 2 => vec(guard(), 1..3)];
    let ops = vec(op(seqs, has_session), 1..5);
    let writer = option::weighted(0.2, 0..WRITERS);
    (guards, ops, writer)
        .prop_map(move |(guards, ops, writer)| Step::Batch { author, guards, ops, writer })
        .boxed()
}

fn whose() -> impl Strategy<Value = Whose> {
    (0..CLIENTS, prop_oneof![8 => Just(0), 1 => 1..3_u8]).prop_map(|(client, back)| Whose { client, back })
}

fn guard() -> impl Strategy<Value = GuardWords> {
    let right = || proptest::bool::weighted(0.8);
    let expect = prop_oneof![
        2 => Just(Expect::Exists),
        1 => Just(Expect::Absent),
        2 => right().prop_map(|right| Expect::Epoch { right }),
        2 => right().prop_map(|right| Expect::Version { right }),
    ];
    (whose(), 0..TOPIC_COUNT, any::<bool>(), expect).prop_map(|(whose, topic, session, expect)| {
        if session { GuardWords::Session(whose, expect) } else { GuardWords::Retained(topic, expect) }
    })
}

fn target() -> impl Strategy<Value = TargetWords> {
    let limits = prop_oneof![
        4 => Just((None, None)),
        2 => (0..5_u64).prop_map(|items| (Some(items), None)),
        2 => (0..150_u64).prop_map(|bytes| (None, Some(bytes))),
        1 => (0..5_u64, 0..150_u64).prop_map(|(items, bytes)| (Some(items), Some(bytes))),
    ];
    let policy = select(vec![FullPolicy::DropNewest, FullPolicy::DropOldest]);
    let flags = (any::<bool>(), any::<bool>(), 0..3_u8, proptest::bool::weighted(0.2));
    (whose(), flags, limits, policy).prop_map(
        |(whose, (qos2, retain, subscription_ids, shared), (items, bytes), policy)| TargetWords {
            whose,
            qos2,
            retain,
            subscription_ids,
            shared,
            items,
            bytes,
            policy,
        },
    )
}

fn op(seqs: Vec<u64>, has_session: bool) -> BoxedStrategy<OpWords> {
    let seq = move || {
        let any = 1..12_u64;
        match seqs.is_empty() {
            true => any.boxed(),
            false => prop_oneof![8 => select(seqs.clone()), 1 => any].boxed(),
        }
    };
    let inbound = || 1..4_u16;
    let id = prop_oneof![Just(1_u16), Just(2), Just(u16::MAX)];
    let by_anybody = prop_oneof![
        10 => (message(), vec(target(), 0..4)).prop_map(|(message, to)| OpWords::Enqueue(message, to)),
        4 => message().prop_map(OpWords::Retain),
        2 => (0..TOPIC_COUNT).prop_map(OpWords::Unretain),
    ];
    let of_a_session = prop_oneof![
        2 => expiry().prop_map(OpWords::SetExpiry),
        4 => Just(OpWords::GoOffline),
        1 => Just(OpWords::EndOwn),
        4 => (0..FILTER_COUNT, 0..3_u8, option::of(1..9_u32)).prop_map(|(filter, qos, identifier)| {
            OpWords::Subscribe { filter, qos, identifier }
        }),
        3 => (0..FILTER_COUNT).prop_map(OpWords::Unsubscribe),
        5 => (seq(), id).prop_map(|(seq, packet_id)| OpWords::Assign { seq, packet_id }),
        3 => seq().prop_map(OpWords::Release),
        4 => seq().prop_map(OpWords::Settle),
        3 => inbound().prop_map(OpWords::PutInbound),
        2 => inbound().prop_map(OpWords::DeleteInbound),
        1 => Just(OpWords::TakeWill),
    ];
    let (own, others) = if has_session { (20, 1) } else { (1, 8) };
    // Mostly refused: few, since a batch that is refused changes nothing.
    let odd = prop_oneof![
        1 => (1..4_usize).prop_map(OpWords::Purge),
        1 => Just(OpWords::Restore),
    ];
    let odd = if has_session { odd.boxed() } else { Just(OpWords::Purge(1)).boxed() };
    prop_oneof![
        64 => prop_oneof![16 => by_anybody, own => of_a_session],
        others => whose().prop_map(OpWords::EndSession),
        1 => odd,
    ]
    .boxed()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use opifex_storage::{Due, Op, Outcome, TargetOutcome};
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    use super::super::run::{Plan, rng};
    use super::*;

    /// Says what a step met, in the model.
    fn met(world: &World, step: &Step, met: &mut BTreeSet<String>) {
        let Some(call) = world.call(step) else { return };
        let mut model = world.model.clone();
        match call {
            Call::Nothing | Call::Reopen => {}
            Call::Move => drop(met.insert(format!(
                "move: {} ended",
                model.sessions.values().filter(|s| s.ended_at.is_some()).count().min(1)
            ))),
            Call::SubmitAgain(batch, _) => {
                let refused = model.submit(&batch, &mut || RecordVersion(1 << 30)).is_err();
                met.insert(format!("again: refused {refused}"));
            }
            Call::Open(open) => {
                let opened = model.open(&open, Epoch(1 << 30));
                met.insert(format!(
                    "open: present {}, ended {}, will due {}",
                    opened.present,
                    opened.ended.is_some(),
                    opened.will_due
                ));
            }
            Call::Submit(batch) => match model.submit(&batch, &mut || RecordVersion(1 << 30)) {
                Err(reasons) => met.extend(reasons.iter().map(|reason| format!("{reason:?}"))),
                Ok(outcomes) => {
                    if let Author::Claim(Due { item, .. }) = &batch.author {
                        met.insert(format!("claim {}", word(item)));
                    }
                    met.extend(batch.guards.iter().map(|guard| format!("guard {}", word(&guard.expect))));
                    for (op, outcome) in batch.ops.iter().zip(&outcomes) {
                        met.insert(format!("{} {}", word(op), word(outcome)));
                        match (op, outcome) {
                            (Op::Enqueue { .. }, Outcome::Enqueued(targets)) => {
                                met.extend(targets.iter().map(|target| match target {
                                    TargetOutcome::Queued { displaced, .. } => {
                                        format!("displaced {}", displaced.len().min(2))
                                    }
                                    other => format!("{other:?}"),
                                }));
                            }
                            (_, Outcome::Subscribed { existed }) => {
                                met.insert(format!("existed {existed}"));
                            }
                            (_, Outcome::Purged { more }) => {
                                met.insert(format!("more {more}"));
                            }
                            _ => {}
                        }
                    }
                }
            },
        }
    }

    /// The name of a variant.
    fn word(what: &impl std::fmt::Debug) -> String {
        let text = format!("{what:?}");
        text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned()
    }

    #[test]
    fn the_quick_histories_meet_everything_that_there_is_to_meet() {
        let mut seen = BTreeSet::new();
        for seed in (0..Plan::QUICK.at_least).map(|n| Plan::QUICK.seeds.nth(n)) {
            let mut runner = TestRunner::new_with_rng(Default::default(), rng(seed));
            let drawn = History::sequential_strategy(1..=Plan::QUICK.steps);
            let tree = drawn.new_tree(&mut runner).expect("it is drawn");
            let (mut world, steps, _) = tree.current();
            for step in &steps {
                let before = match step {
                    Step::Wait(_) => None,
                    _ => Some(&world),
                };
                if let Some(world) = before {
                    met(world, step, &mut seen);
                }
                world = History::apply(world, step);
            }
        }
        let expected = "open: present true, ended false, will due true
            open: present false, ended true, will due true|Fenced|Conflict|Unsupported
            claim SessionExpired|claim SessionEnded|claim Will|claim QueuedExpired|claim RetainedExpired
            move: 0 ended|move: 1 ended|again: refused true|again: refused false
            guard Exists|guard Absent|guard AtEpoch|guard AtVersion
            SetExpiry Done|SetExpiry Absent|GoOffline Done|GoOffline Absent|EndSession Done|EndSession Absent
            Subscribe Absent|existed true|existed false|Unsubscribe Done|Unsubscribe Absent
            displaced 0|displaced 1|displaced 2|Dropped(QueueItems)|Dropped(QueueBytes)|Gone
            Assign Done|Assign Absent|Release Done|Release Absent|Settle Done|Settle Absent
            PutInbound Done|PutInbound Present|PutInbound Absent|DeleteInbound Done|DeleteInbound Absent
            Retain Retained|Unretain Done|Unretain Absent|TakeWill Done|TakeWill Absent|more true|more false";
        let expected = expected.split(['|', '\n']).map(str::trim);
        let missed: Vec<_> = expected.filter(|expected| !seen.contains(*expected)).collect();
        assert!(missed.is_empty(), "no history meets {missed:?}; they meet {seen:#?}");
    }
}
