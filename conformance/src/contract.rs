//! The cases of the contract, one file a group.
//!
//! A case is one behaviour: its name says what holds. The list gives each an id that stays; a new case takes the next
//! number of its group, and the number of one that went is not given again.

pub mod inbound;
pub mod inflight;
pub mod queue;
pub mod retained;
pub mod sessions;
pub mod subscriptions;
pub mod wills;

/// Hands the list of all cases to a macro: `__contract! { [macro] arguments }` expands to
/// `macro! { arguments; group { "id" case ... } ... }`.
#[doc(hidden)]
#[macro_export]
macro_rules! __contract {
    ([$($with:tt)*] $($arguments:tt)*) => {
        $($with)*! {
            $($arguments)*;
            sessions {
                "SES-01" a_new_client_gets_a_new_session
                "SES-02" opening_again_continues_the_session
                "SES-03" every_open_takes_an_epoch_that_none_had_before
                "SES-04" clean_start_ends_what_is_stored
                "SES-05" clean_start_of_an_unknown_client_ends_nothing
                "SES-06" the_session_of_a_clean_start_is_continued
                "SES-07" an_open_includes_what_was_ordered_before_it
                "SES-08" an_open_brings_its_own_expiry
                "SES-09" a_session_changes_its_expiry
                "SES-10" going_offline_is_stamped_once
                "SES-11" an_open_brings_the_session_online
                "SES-12" a_session_ends_itself
                "SES-13" the_broker_ends_any_session
                "SES-14" a_session_cannot_end_another
                "SES-15" the_broker_cannot_write_for_a_session
                "SES-16" behind_its_end_a_session_is_absent_in_the_same_batch
                "SES-17" a_session_is_there_after_reopening
                "SES-18" an_ended_session_is_gone_after_reopening
            }
            subscriptions {
                "SUB-01" a_new_subscription_did_not_exist
                "SUB-02" subscribing_again_replaces
                "SUB-03" a_batch_sees_its_own_subscription
                "SUB-04" unsubscribing_removes_once
                "SUB-05" a_wildcard_does_not_unsubscribe_what_it_matches
                "SUB-06" options_and_identifier_are_kept
                "SUB-07" shared_and_plain_stand_side_by_side
                "SUB-08" sessions_do_not_share_subscriptions
                "SUB-09" subscriptions_end_with_their_session
                "SUB-10" an_open_returns_every_subscription
            }
            queue {
                "QUE-01" numbers_are_dense_and_in_order
                "QUE-02" a_batch_is_numbered_in_its_order
                "QUE-03" a_fan_out_answers_each_target_in_order
                "QUE-04" a_fan_out_to_nobody_answers_nothing
                "QUE-05" a_target_that_ended_is_gone_and_its_neighbours_are_queued
                "QUE-06" a_new_session_of_the_client_gets_nothing_that_was_meant_for_the_old
                "QUE-07" a_target_that_never_was_is_gone
                "QUE-08" an_entry_keeps_what_its_target_says
                "QUE-09" drop_newest_refuses_what_exceeds_the_items
                "QUE-10" drop_newest_refuses_what_exceeds_the_bytes
                "QUE-11" drop_oldest_displaces_the_oldest_item
                "QUE-12" drop_oldest_displaces_as_many_bytes_as_are_needed
                "QUE-13" drop_oldest_comes_down_to_a_smaller_limit
                "QUE-14" drop_oldest_spares_what_has_a_packet_id
                "QUE-15" drop_oldest_displaces_nothing_in_vain
                "QUE-16" a_limit_of_nothing_takes_nothing
                "QUE-17" a_full_queue_does_not_touch_its_neighbours
                "QUE-18" settling_removes_an_entry_once
                "QUE-19" settling_reaches_only_the_authors_queue
                "QUE-20" a_number_is_never_given_again
                "QUE-21" the_record_counts_items_and_bytes
                "QUE-22" a_session_can_be_a_target_for_itself_and_for_its_shares
                "QUE-23" a_large_fan_out_reaches_every_session
            }
            inflight {
                "INF-01" assigning_records_the_packet_id
                "INF-02" assigning_to_a_settled_entry_finds_it_absent
                "INF-03" assigning_again_replaces_the_packet_id
                "INF-04" packet_ids_reach_from_1_to_65535
                "INF-05" releasing_keeps_the_id_and_lets_the_message_go
                "INF-06" releasing_without_a_packet_id_changes_nothing
                "INF-07" releasing_a_settled_entry_finds_it_absent
                "INF-08" releasing_twice_is_done_twice
                "INF-09" a_released_entry_is_settled
                "INF-10" the_window_is_read_back_in_order_after_a_takeover
                "INF-11" the_window_is_there_after_reopening
                "INF-12" entries_are_settled_in_any_order
                "INF-13" packet_ids_are_a_sessions_own
                "INF-14" releasing_takes_the_message_from_nobody_else
            }
            inbound {
                "INB-01" an_id_is_recorded_once
                "INB-02" a_removed_id_can_be_recorded_again
                "INB-03" a_present_id_refuses_nothing_else
                "INB-04" an_open_returns_the_ids_ascending
                "INB-05" every_id_can_be_awaited_at_once
                "INB-06" ids_are_a_sessions_own
                "INB-07" incoming_and_outgoing_ids_do_not_meet
                "INB-08" ids_end_with_their_session
                "INB-09" an_incoming_publish_is_one_batch
            }
            retained {
                "RET-01" a_retained_message_is_read_by_its_topic
                "RET-02" a_topic_has_one_retained_message
                "RET-03" unretaining_removes_once
                "RET-04" a_topic_that_comes_back_has_a_version_that_it_never_had
                "RET-05" a_plus_stands_for_one_level
                "RET-06" a_hash_stands_for_its_parent_and_all_below
                "RET-07" a_leading_wildcard_does_not_find_dollar_topics
                "RET-08" empty_levels_are_levels
                "RET-09" what_other_languages_take_for_patterns_is_plain_text
                "RET-10" overlapping_filters_find_each_message_once
                "RET-11" no_filter_finds_nothing
                "RET-12" unretaining_leaves_what_is_queued
                "RET-13" retained_messages_outlive_their_publishers_session
                "RET-14" filters_find_exactly_what_they_match
                "RET-15" pages_of_one_find_everything
                "RET-16" an_exact_filter_among_100_000_costs_one_look_up
                "RET-17" a_plus_among_100_000_costs_the_values_at_its_level
                "RET-18" two_pluses_among_100_000_cost_the_values_at_both_levels
                "RET-19" a_hash_among_100_000_costs_what_lies_below_it
                "RET-20" a_wildcard_among_100_000_that_finds_nothing_costs_nothing
                "RET-21" no_page_looks_at_everything
            }
            wills {
                "WIL-01" an_open_writes_its_will
                "WIL-02" a_will_is_taken_once
                "WIL-03" a_will_without_delay_is_due_at_the_end_of_the_connection
                "WIL-04" a_delayed_will_is_due_after_its_delay
                "WIL-05" a_will_is_due_at_the_expiry_when_that_is_earlier
                "WIL-06" a_will_is_due_after_its_delay_when_that_is_earlier
                "WIL-07" an_expiry_that_is_changed_before_the_end_counts_for_the_will
                "WIL-08" going_offline_again_does_not_put_a_will_off
                "WIL-09" taking_over_makes_a_will_without_delay_due
                "WIL-10" taking_over_cancels_a_delayed_will
                "WIL-11" coming_back_before_the_delay_cancels_the_will
                "WIL-12" coming_back_after_the_delay_leaves_the_will_due
                "WIL-13" clean_start_makes_a_delayed_will_due
                "WIL-14" taking_over_a_session_that_ends_makes_its_delayed_will_due
                "WIL-15" ending_a_session_makes_its_will_due
                "WIL-16" a_will_that_was_taken_does_not_come_with_the_end
                "WIL-17" a_will_is_published_in_one_batch_and_once
                "WIL-18" wills_of_two_connections_are_told_apart
                "WIL-19" a_due_will_is_not_taken_by_the_next_connection
                "WIL-20" a_will_that_was_cancelled_cannot_be_claimed
                "WIL-21" a_will_and_its_deadline_are_there_after_reopening
            }
        }
    };
}
