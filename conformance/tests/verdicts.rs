//! What came of a case, as the kit says it to a caller: the same by id, waived, failed, refused as declared.

use opifex_conformance::{Factory, Verdict, Waiver, judge_by_id, run_by_id};
use opifex_storage::Result;
use opifex_storage_memory::{MemoryOptions, MemoryStore};

#[derive(Default)]
struct Judged {
    waivers: &'static [Waiver],
    max_message_bytes: Option<usize>,
}

impl Factory for Judged {
    type Store = MemoryStore;
    type Place = MemoryStore;

    fn place(&self) -> MemoryStore {
        let defaults = MemoryOptions::default();
        let max_message_bytes = self.max_message_bytes.unwrap_or(defaults.max_message_bytes);
        MemoryStore::with_options(MemoryOptions { max_message_bytes, ..defaults })
    }

    async fn open(&self, place: &MemoryStore) -> Result<MemoryStore> {
        Ok(place.reopen())
    }

    fn waivers(&self) -> &'static [Waiver] {
        self.waivers
    }
}

#[test]
fn a_case_runs_by_its_id() {
    run_by_id(Judged::default(), "SES-01");
    assert_eq!(judge_by_id(Judged::default(), "SES-01").verdict, Verdict::Passed);
}

#[test]
#[should_panic(expected = "there is no case \"SES-00\"")]
fn an_id_of_no_case_is_named() {
    run_by_id(Judged::default(), "SES-00");
}

#[test]
fn a_case_that_fails_says_why() {
    let judgement = judge_by_id(Judged { max_message_bytes: Some(1 << 20), ..Judged::default() }, "LIM-01");
    assert_eq!(judgement.verdict, Verdict::Failed);
    assert_eq!(judgement.reason.as_deref(), Some("packets of 1 MiB are common"));
}

#[test]
fn a_waived_case_does_not_run_and_its_reason_is_known() {
    let waivers = &[Waiver { id: "LIM-01", reason: "small on purpose" }];
    let judgement = judge_by_id(Judged { waivers, max_message_bytes: Some(1 << 20) }, "LIM-01");
    assert_eq!(judgement.verdict, Verdict::Waived);
    assert_eq!(judgement.reason.as_deref(), Some("small on purpose"));
}

#[test]
fn a_waiver_without_a_reason_fails_every_case() {
    let waivers = &[Waiver { id: "LIM-01", reason: "" }];
    let judgement = judge_by_id(Judged { waivers, max_message_bytes: None }, "SES-01");
    assert_eq!(judgement.verdict, Verdict::Failed);
    assert!(judgement.reason.is_some_and(|reason| reason.contains("LIM-01 without a reason")));
}

#[test]
fn a_level_that_is_not_claimed_is_refused_as_declared() {
    let judgement = judge_by_id(Judged::default(), "LIM-10");
    assert_eq!(judgement.verdict, Verdict::NotClaimed);
    assert_eq!(
        judgement.capability.as_deref(),
        Some("durability process, durability disk, durability quorum")
    );
}
