//! Failures at every call of a history, and what a careful caller makes of them: it tries again what was not applied,
//! asks for what is in doubt, opens what is closed, and ends where the reference model does.
//!
//! The wrapper of [`crate::faults`] stands over the backend, so what is held to its word here is the contract's promise
//! that a caller *can* be careful. The last case is for a backend whose engine fails below it.

use std::sync::Arc;

use opifex_storage::{
    Batch, Certainty, ErrorKind, FullPolicy, IdempotencyKey, Op, Outcome, Persistence, SessionExpiry,
};

use crate::faults::factory::FaultyStores;
use crate::faults::{At, Effect, Fault};
use crate::model::run::{Run, drawn};
use crate::model::step::{MessageWords, OpWords, Step, TargetWords, Who, Whose};
use crate::script::{id, packet_id};
use crate::{Factory, Subject, Tier};

/// What was refused is done later as if nothing had been.
pub async fn a_refusal_at_any_call_leaves_no_trace<F: Factory>(s: Subject<F>) {
    at_every_call(&s, &[Effect::Refuse(ErrorKind::Retry), Effect::Refuse(ErrorKind::Closed)]).await;
}

/// A call whose answer is lost, before or after it was done, was done whole or not at all, and which is found out.
pub async fn a_call_in_doubt_at_any_place_was_done_or_not<F: Factory>(s: Subject<F>) {
    at_every_call(&s, &[Effect::Lose(ErrorKind::Retry), Effect::Hide(ErrorKind::Fatal)]).await;
}

/// A batch that was ordered and whose durability nobody learns of is there or not, and which is found out.
pub async fn a_commit_in_doubt_at_any_place_was_done_or_not<F: Factory>(s: Subject<F>) {
    at_every_call(&s, &[Effect::FailCommit(ErrorKind::Fatal)]).await;
}

/// A batch in doubt is submitted again by its key: applied once where outcomes can be unknown; elsewhere it is a batch
/// like any other, as declared, and its caller looks first.
pub async fn a_batch_in_doubt_is_submitted_again_by_its_key<F: Factory>(s: Subject<F>) {
    for (n, effect) in
        [Effect::Lose(ErrorKind::Retry), Effect::Hide(ErrorKind::Retry)].into_iter().enumerate()
    {
        let fault = Fault::new(At::Batch(|batch| batch.key.is_some()), effect).once();
        let factory = Arc::new(FaultyStores::of(Arc::clone(s.factory()), [fault]));
        let s = Subject::new(Arc::clone(&factory)).await;
        let c = s.connect("c").await;
        let key = Some(IdempotencyKey { writer: 1, n: 1, known_below: 1 });
        let batch = Batch { key, ..s.by(&c).with(Op::PutInbound(packet_id(1))) };
        let error = s.store().submit(batch.clone()).await.expect_err("its answer is lost");
        assert_eq!(error.certainty(), Certainty::Unknown);
        let applied_before = n == 1;
        let expected = match applied_before && !s.capabilities().unknown_outcomes {
            true => Outcome::Present,
            false => Outcome::Done,
        };
        assert_eq!(s.submit(batch).await, [expected], "after {effect:?}");
        assert_eq!(s.inbound(id(&c)).await, [1]);
        assert_eq!(factory.mend(), 1);
    }
}

/// A careful caller ends where the model does, whatever fails below it, and is told no number a second time that went with
/// a commit which failed. Over an engine that fails on command this is the case to run by its id, once for each place
/// where it can fail.
pub async fn a_careful_caller_ends_where_the_model_does<F: Factory>(s: Subject<F>) {
    for seed in 0..Tier::of(2, 40) {
        let mut run = Run::new(s.another().await);
        let failed = carefully(&mut run, &history(2000 + seed)).await;
        failed.unwrap_or_else(|what| panic!("history {seed}: {what}"));
    }
}

/// Fails once at the k-th open, and once at the k-th batch, of some histories, for all k.
async fn at_every_call<F: Factory>(s: &Subject<F>, effects: &[Effect]) {
    for seed in 0..Tier::of(1, 20) {
        let steps = history(1000 + seed);
        for effect in effects {
            for at in [At::Open, At::Batch(|_| true)] {
                for k in 0.. {
                    let fault = Fault::new(at, *effect).after(k).once();
                    let factory = Arc::new(FaultyStores::of(Arc::clone(s.factory()), [fault]));
                    let mut run = Run::new(Subject::new(Arc::clone(&factory)).await);
                    if let Err(what) = carefully(&mut run, &steps).await {
                        panic!("{effect:?} at {at:?} {k} of history {seed}: {what}");
                    }
                    if factory.mend() == 0 {
                        break;
                    }
                }
            }
        }
    }
}

/// A history whose first batches have something to lose: what is queued twice is seen.
fn history(seed: u64) -> Vec<Step> {
    let open = |client| Step::Open { client, clean_start: false, expiry: SessionExpiry::Never, will: None };
    let message = MessageWords { topic: 0, tag: 1, padding: 8, properties: 1, expires_in: None };
    let target = |client| TargetWords {
        whose: Whose { client, back: 0 },
        qos2: false,
        retain: false,
        subscription_ids: 1,
        shared: false,
        items: None,
        bytes: None,
        policy: FullPolicy::DropNewest,
    };
    let batch = |author, ops| Step::Batch { author, guards: Vec::new(), ops, writer: None };
    let publish = || OpWords::Enqueue(message, vec![target(0), target(1)]);
    let of_client = vec![OpWords::PutInbound(1), OpWords::Retain(message), publish()];
    let delivery = vec![OpWords::Assign { seq: 1, packet_id: 7 }, OpWords::Settle(2), publish()];
    let mut steps = vec![
        open(0),
        open(1),
        batch(Who::Client { client: 0, back: 0 }, of_client),
        batch(Who::Broker, vec![publish(), OpWords::Unretain(0)]),
        batch(Who::Client { client: 1, back: 0 }, delivery),
    ];
    steps.extend(drawn(seed, Tier::of(8, 40)));
    steps
}

/// Does all steps carefully, and compares what there is in the end.
async fn carefully<F: Factory>(run: &mut Run<F>, steps: &[Step]) -> Result<(), String> {
    for (index, step) in steps.iter().enumerate() {
        let told = |what: String| format!("step {} ({step}): {what}", index + 1);
        run.carefully(step).await.map_err(told)?;
    }
    run.read_again().await?;
    run.compare(3).await.map_err(|what| format!("in the end: {what}"))
}
