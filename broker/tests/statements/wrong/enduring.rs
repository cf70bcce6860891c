//! Brokers that put up with everything: what has to be refused is swallowed or goes unanswered, and the connection stays open. A
//! case that shows a refusal has to notice; none that shows something else may mind.

use std::collections::BTreeSet;
use std::sync::Arc;

use opifex_conformance::statements::{CaseVerdict, Options};

use super::between::{Between, Wrongs};
use crate::backend::Backend;
use crate::house::House;

/// What a failure is about when a refusal is missed.
const MISSED: &[&str] = &[
    "the end of the connection",
    "expected CONNACK",
    "expected DISCONNECT",
    "expected a refusal of the filter",
    "to be refused, and there came",
    "PUBACK (5.0: 0x87)",
];

/// Runs every case against it: these notice, and whichever fail miss a refusal.
fn is_noticed(house: House, wrongs: Wrongs, by: &[&str]) {
    Backend::Memory.talk(|| async {
        let between = |target| Arc::new(Between::lenient(target, wrongs)) as _;
        let report = house.run_through(Options::default(), between).await;
        let failed: BTreeSet<_> = report.failures().map(|case| case.id.as_str()).collect();
        for case in by {
            assert!(failed.contains(case), "{case} does not notice; {failed:?} do");
        }
        let is_missed = |why: &str| MISSED.iter().any(|missed| why.contains(missed));
        let unrelated: String = report
            .failures()
            .filter(|case| !matches!(&case.verdict, CaseVerdict::Failed(why) if is_missed(why)))
            .map(|case| report.failure(case))
            .collect();
        assert!(unrelated.is_empty(), "cases about something else fail:\n{unrelated}");
    });
}

#[test]
fn it_swallows_what_is_no_packet() {
    let by = [
        "strings::text_that_is_no_utf_8_is_refused",
        "strings::the_null_character_is_refused",
        "framing::reserved_flags_are_checked",
        "connect::the_reserved_flag_must_be_zero",
        "connect::a_wrong_protocol_name_is_refused",
        "credentials::a_user_name_without_its_flag_is_refused",
        "client_id::a_missing_client_id_is_refused",
        "connect_properties::properties_that_stand_twice_are_refused",
        "connect_values::a_receive_maximum_stands_once_and_is_not_0",
        "will::a_will_topic_that_is_no_text_is_refused",
        "publish::a_topic_with_wildcards_is_refused",
        "message_properties::properties_of_other_packets_are_refused",
        "topic_alias::alias_0_and_those_above_the_maximum_are_refused",
        "subscribe::reserved_bits_of_the_options_are_refused",
        "unsubscribe::an_unsubscribe_without_filter_is_refused",
        "disconnect::the_reserved_bits_of_disconnect_are_checked",
        "auth::the_flags_of_auth_are_checked",
        "topics::a_number_sign_stands_alone_and_last",
        "shared::a_share_name_with_a_wildcard_is_refused",
    ];
    is_noticed(House::Plain, Wrongs::Swallowed, &by);
}

#[test]
fn it_never_closes() {
    let by = [
        "connect::the_first_packet_must_be_connect",
        "connect::a_second_connect_is_refused",
        "client_id::an_empty_client_id_cannot_keep_its_session",
        "keep_alive::silence_for_half_again_the_keep_alive_ends_the_connection",
        "connack::a_refusal_has_no_session_present",
        "framing::packets_of_servers_are_refused",
        "publish::a_subscription_identifier_from_a_client_is_refused",
        "topic_alias::an_alias_that_nobody_set_is_refused",
        "subscribe::no_local_on_a_shared_subscription_is_refused",
        "disconnect::an_expiry_cannot_begin_with_disconnect",
        "disconnect::an_older_connection_is_taken_over",
        "auth::an_auth_without_a_method_is_refused",
        "flow::more_than_the_servers_receive_maximum_is_refused",
        "will::a_will_is_published_when_the_client_breaks_a_rule",
    ];
    is_noticed(House::Plain, Wrongs::Endured, &by);
}

#[test]
fn it_never_closes_where_users_are_asked_for() {
    let by = [
        "credentials::a_wrong_password_is_refused",
        "credentials::nobody_is_refused_where_users_are_asked_for",
        "client_id::a_client_id_may_be_refused",
        "auth::a_wrong_answer_is_refused",
        "auth::who_fails_to_authenticate_again_is_closed",
        "auth_steps::before_connack_there_is_only_auth_and_disconnect",
        "auth_steps::another_method_the_second_time_is_refused",
    ];
    is_noticed(House::Guarded, Wrongs::Endured, &by);
}

#[test]
fn it_never_closes_where_little_is_offered() {
    let by = [
        "publish::a_qos_above_the_maximum_is_refused",
        "retained::retain_is_refused_where_nothing_is_retained",
        "will::a_retained_will_is_refused_where_nothing_is_retained",
        "will::a_will_above_the_maximum_qos_is_refused",
        "topic_alias::no_alias_is_taken_where_none_is_announced",
        "size_limits::a_packet_longer_than_the_broker_takes_is_refused",
    ];
    is_noticed(House::Narrow, Wrongs::Endured, &by);
}
