//! What is said of a work is what it does.

use std::collections::BTreeSet;

use opifex_packet::TopicName;

use super::*;

#[test]
fn filters_find_as_many_retained_messages_as_their_throughput_says() {
    let topics: BTreeSet<String> = retained_topics().collect();
    assert_eq!(topics.len(), MANY, "each topic once");
    let topics: Vec<TopicName<'_>> =
        topics.iter().map(|topic| TopicName::new(topic.as_str()).expect("a topic")).collect();
    for work in Work::groups().into_iter().flat_map(|(_, works)| works) {
        let Work::Retained { filter: text } = work else { continue };
        let found = topics.iter().filter(|topic| filter(text).matches(topic)).count();
        assert_eq!(found as u64, work.elements(), "{text}");
    }
}

#[test]
fn a_work_has_one_name_in_its_group() {
    for (title, works) in Work::groups() {
        let names: BTreeSet<String> = works.iter().map(Work::to_string).collect();
        assert_eq!(names.len(), works.len(), "{title}: {names:?}");
    }
}

#[test]
fn a_recovery_finds_as_many_records_as_it_says() {
    let queued = CLIENTS * (MANY / CLIENTS - 3);
    // A session, two subscriptions, and the rest in the queue.
    assert_eq!(queued + 3 * CLIENTS, MANY);
    assert_eq!(Work::Recovery.elements(), MANY as u64);
}

#[test]
fn the_numbers_of_what_was_queued_are_those_that_are_settled() {
    let queued = |seq| TargetOutcome::Queued { seq: Seq(seq), displaced: Vec::new() };
    let outcomes = [Outcome::Enqueued(vec![queued(1), queued(2)]), Outcome::Enqueued(vec![queued(9)])];
    assert_eq!(seqs(&outcomes), [Seq(1), Seq(2), Seq(9)]);
}
