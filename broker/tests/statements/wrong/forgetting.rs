//! Brokers that forget something when they are restarted.

use std::collections::BTreeSet;
use std::sync::Arc;

use opifex_conformance::statements::{Options, run};

use crate::backend::Backend;
use crate::house::House;
use crate::pipe::Pipe;
use crate::store::Store;

/// The cases that restart the broker and fail when this is done to its store meanwhile.
fn caught(between: fn(Store) -> Store) -> BTreeSet<String> {
    let mut failed = BTreeSet::new();
    Backend::Memory.talk(|| async {
        let options = Options { only: Some("restart::".to_owned()), ..Options::default() };
        let target = Arc::new(Pipe::with(House::Plain, between).await);
        let report = run(target, House::Plain.descriptor(), options, |_| {}).await.unwrap();
        assert_eq!(report.ended_early, None);
        failed = report.failures().map(|case| case.id.clone()).collect();
    });
    failed
}

#[test]
fn a_broker_that_forgets_everything_is_caught_by_whatever_is_to_come_back() {
    let expected = [
        "a_delayed_will_waits_on_and_is_published",
        "a_message_that_was_received_is_not_delivered_twice",
        "a_message_without_its_puback_comes_again",
        "a_message_without_its_pubrec_comes_again_with_its_id",
        "a_pubrel_for_a_message_of_before_is_answered",
        "a_pubrel_without_its_pubcomp_comes_again_with_its_id",
        "a_retained_message_comes_back",
        "a_session_comes_back_with_its_queue_in_order",
        "a_session_expires_though_the_broker_restarts",
        "a_will_that_was_taken_back_stays_away",
        "subscriptions_come_back_and_those_that_ended_do_not",
        "subscriptions_come_back_with_their_options",
        "the_delay_of_a_client_that_was_connected_begins",
    ];
    let expected: BTreeSet<_> = expected.iter().map(|name| format!("restart::{name}")).collect();
    assert_eq!(caught(|_| Store::new()), expected);
}

#[test]
fn a_broker_that_forgets_nothing_is_not() {
    assert_eq!(caught(Store::reopen), BTreeSet::new());
}
