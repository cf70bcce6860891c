//! What came of a case, as the kit says it to a caller: the same by id, waived, failed, refused as declared.

#[path = "memory/factory.rs"]
mod memory;

use memory::Memory;
use opifex_conformance::{Verdict, Waiver, judge_by_id, run_by_id};
use opifex_storage_memory::MemoryOptions;

/// A store that takes less than the contract asks for.
fn small(waivers: &'static [Waiver]) -> Memory {
    let options = MemoryOptions { max_message_bytes: 1 << 20, ..MemoryOptions::default() };
    Memory { options, waivers, ..Memory::default() }
}

#[test]
fn a_case_runs_by_its_id() {
    run_by_id(Memory::default(), "SES-01");
    assert_eq!(judge_by_id(Memory::default(), "SES-01").verdict, Verdict::Passed);
}

#[test]
#[should_panic(expected = "there is no case \"SES-00\"")]
fn an_id_of_no_case_is_named() {
    run_by_id(Memory::default(), "SES-00");
}

#[test]
fn a_case_that_fails_says_why() {
    let judgement = judge_by_id(small(&[]), "LIM-01");
    assert_eq!(judgement.verdict, Verdict::Failed);
    assert_eq!(judgement.reason.as_deref(), Some("packets of 1 MiB are common"));
}

#[test]
fn a_waived_case_does_not_run_and_its_reason_is_known() {
    let waivers = &[Waiver { id: "LIM-01", reason: "small on purpose" }];
    let judgement = judge_by_id(small(waivers), "LIM-01");
    assert_eq!(judgement.verdict, Verdict::Waived);
    assert_eq!(judgement.reason.as_deref(), Some("small on purpose"));
}

#[test]
fn a_waiver_without_a_reason_fails_every_case() {
    let waivers = &[Waiver { id: "LIM-01", reason: "" }];
    let judgement = judge_by_id(Memory { waivers, ..Memory::default() }, "SES-01");
    assert_eq!(judgement.verdict, Verdict::Failed);
    assert!(judgement.reason.is_some_and(|reason| reason.contains("LIM-01 without a reason")));
}

#[test]
fn a_level_that_is_not_claimed_is_refused_as_declared() {
    let judgement = judge_by_id(Memory::default(), "LIM-10");
    assert_eq!(judgement.verdict, Verdict::NotClaimed);
    assert_eq!(
        judgement.capability.as_deref(),
        Some("durability process, durability disk, durability quorum")
    );
}
