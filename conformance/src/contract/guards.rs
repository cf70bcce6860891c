//! Guards: preconditions on one record, asked before anything of the batch is applied.

use std::sync::Arc;

use opifex_storage::{Epoch, ErrorKind, Expectation, Guard, GuardedRecord, Op, RecordVersion, SessionId};

use crate::script::{id, message, topic};
use crate::{Factory, Subject};

/// Submits a batch that retains `mark/<n>` under the guard, and tells whether it was applied; if not, for `Conflict`.
async fn holds<F: Factory>(s: &Subject<F>, record: GuardedRecord, expect: Expectation) -> bool {
    let n = s.topics(&["mark/#"]).await.len();
    let mut batch = s.by_broker().with(Op::Retain(Arc::new(message(&format!("mark/{n}"), ""))));
    batch.guards.push(Guard { record, expect });
    let applied = match opifex_storage::Persistence::submit(s.store(), batch).await {
        Ok(receipt) => receipt.durable().await.is_ok(),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
            false
        }
    };
    assert_eq!(s.topics(&["mark/#"]).await.len(), n + usize::from(applied), "all or nothing");
    applied
}

/// Of a session that is there.
pub async fn a_session_that_is_there<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    let c = s.connect(&c.session.client_id).await;
    let record = || GuardedRecord::Session(id(&c));
    let epoch = c.session.epoch;
    assert!(holds(&s, record(), Expectation::Exists).await);
    assert!(!holds(&s, record(), Expectation::Absent).await);
    assert!(holds(&s, record(), Expectation::AtEpoch(epoch)).await);
    assert!(!holds(&s, record(), Expectation::AtEpoch(Epoch(id(&c).0))).await, "an epoch that is over");
    assert!(holds(&s, record(), Expectation::AtVersion(RecordVersion(epoch.0))).await);
    assert!(!holds(&s, record(), Expectation::AtVersion(RecordVersion(epoch.0 + 1))).await);
}

/// A session that ended is absent, whatever it left.
pub async fn a_session_that_ended<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    s.enqueue(id(&c), "remains").await;
    s.one(s.by(&c), Op::EndSession(id(&c))).await;
    let record = || GuardedRecord::Session(id(&c));
    assert!(!holds(&s, record(), Expectation::Exists).await);
    assert!(holds(&s, record(), Expectation::Absent).await);
    assert!(!holds(&s, record(), Expectation::AtEpoch(c.session.epoch)).await);
    assert!(!holds(&s, record(), Expectation::AtVersion(RecordVersion(c.session.epoch.0))).await);
    assert!(holds(&s, GuardedRecord::Session(SessionId(u64::MAX)), Expectation::Absent).await);
}

/// Of a retained message that is there.
pub async fn a_retained_message_that_is_there<F: Factory>(s: Subject<F>) {
    let version = s.retain(message("r", "x")).await;
    let record = || GuardedRecord::Retained(topic("r"));
    assert!(holds(&s, record(), Expectation::Exists).await);
    assert!(!holds(&s, record(), Expectation::Absent).await);
    assert!(holds(&s, record(), Expectation::AtVersion(version)).await);
    assert!(!holds(&s, record(), Expectation::AtVersion(RecordVersion(version.0 + 1))).await);
}

/// And of one that is not.
pub async fn a_retained_message_that_is_not_there<F: Factory>(s: Subject<F>) {
    let version = s.retain(message("r", "x")).await;
    assert!(!holds(&s, GuardedRecord::Retained(topic("r/r")), Expectation::Exists).await);
    s.one(s.by_broker(), Op::Unretain(topic("r"))).await;
    s.retain_all(["r/r/r", "R", "rr"].map(|name| message(name, "x"))).await;
    let record = || GuardedRecord::Retained(topic("r"));
    assert!(!holds(&s, record(), Expectation::Exists).await);
    assert!(holds(&s, record(), Expectation::Absent).await);
    assert!(!holds(&s, record(), Expectation::AtVersion(version)).await);
    assert!(!holds(&s, GuardedRecord::Retained(topic("r/r")), Expectation::Exists).await);
}

/// An epoch is a session's: a version with the same number is not one.
pub async fn a_retained_message_is_at_no_epoch<F: Factory>(s: Subject<F>) {
    let version = s.retain(message("r", "x")).await;
    let record = GuardedRecord::Retained(topic("r"));
    assert!(!holds(&s, record, Expectation::AtEpoch(Epoch(version.0))).await);
}

/// The same bytes are another version: what was read is not what stands there.
pub async fn a_version_changes_with_every_retain<F: Factory>(s: Subject<F>) {
    let first = s.retain(message("r", "x")).await;
    s.retain(message("r", "x")).await;
    let record = GuardedRecord::Retained(topic("r"));
    assert!(!holds(&s, record, Expectation::AtVersion(first)).await);
}

/// Another topic's retain is not this one's.
pub async fn a_version_does_not_change_with_other_records<F: Factory>(s: Subject<F>) {
    let version = s.retain(message("r", "x")).await;
    s.retain(message("r/2", "y")).await;
    s.retain(message("R", "y")).await;
    let record = GuardedRecord::Retained(topic("r"));
    assert!(holds(&s, record, Expectation::AtVersion(version)).await);
}

/// One that does not hold is enough, wherever it stands.
pub async fn all_guards_must_hold<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    let exists = |record| Guard { record, expect: Expectation::Exists };
    let (good, bad) = (exists(GuardedRecord::Session(id(&c))), exists(GuardedRecord::Retained(topic("r"))));
    for guards in [vec![good.clone(), bad.clone()], vec![bad, good]] {
        let mut batch = s.by_broker().with(Op::Retain(Arc::new(message("mark", ""))));
        batch.guards = guards;
        s.refuse(batch, ErrorKind::Conflict).await;
    }
    assert!(s.topics(&["#"]).await.is_empty());
}

/// They are asked before the first operation.
pub async fn a_batch_cannot_fulfil_its_own_guard<F: Factory>(s: Subject<F>) {
    let mut batch = s.by_broker().with(Op::Retain(Arc::new(message("r", ""))));
    batch.guards.push(Guard { record: GuardedRecord::Retained(topic("r")), expect: Expectation::Exists });
    s.refuse(batch.clone(), ErrorKind::Conflict).await;
    batch.guards[0].expect = Expectation::Absent;
    s.submit(batch).await;
    assert_eq!(s.topics(&["#"]).await, ["r"]);
}

/// Whoever reads the log learns which record it was.
pub async fn a_conflict_names_the_record<F: Factory>(s: Subject<F>) {
    let mut batch = s.by_broker();
    let record = GuardedRecord::Retained(topic("some/topic"));
    batch.guards.push(Guard { record, expect: Expectation::Exists });
    let error = s.refuse(batch, ErrorKind::Conflict).await;
    assert!(error.to_string().contains("some/topic"), "{error}");
    let mut batch = s.by_broker();
    let record = GuardedRecord::Session(SessionId(987_654_321));
    batch.guards.push(Guard { record, expect: Expectation::Exists });
    let error = s.refuse(batch, ErrorKind::Conflict).await;
    assert!(error.to_string().contains("987654321"), "{error}");
}
