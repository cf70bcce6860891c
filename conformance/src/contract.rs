//! The cases of the contract, one file a group.
//!
//! A case is one behaviour: its name says what holds. The list gives each an id that stays; a new case takes the next
//! number of its group, and the number of one that went is not given again.

pub mod atomicity;
pub mod cleanup;
pub mod closing;
pub mod concurrency;
pub mod crash;
pub mod epochs;
pub mod expiry;
pub mod faults;
pub mod fidelity;
pub mod guards;
pub mod idempotency;
pub mod inbound;
pub mod inflight;
pub mod limits;
pub mod model;
pub mod paging;
pub mod power;
pub mod queue;
pub mod restoring;
pub mod retained;
pub mod sessions;
pub mod shared;
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
            epochs {
                "EPO-01" an_author_that_was_taken_over_is_fenced
                "EPO-02" the_author_that_took_over_writes
                "EPO-03" the_author_of_an_ended_session_is_fenced
                "EPO-04" the_author_before_a_clean_start_is_fenced
                "EPO-05" an_epoch_that_is_not_the_sessions_is_fenced
                "EPO-06" a_publisher_is_not_fenced_when_its_subscriber_is_taken_over
                "EPO-07" an_author_is_not_fenced_by_other_sessions
                "EPO-08" a_takeover_undoes_nothing
                "EPO-09" epochs_go_on_after_reopening
                "EPO-10" a_stale_author_is_fenced_after_reopening
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
                "QUE-24" order_goes_on_over_reopenings
                "QUE-26" what_is_gone_makes_no_room_again
                "QUE-25" a_long_queue_is_replayed_page_by_page
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
                "RET-16" an_exact_filter_among_many_costs_one_look_up
                "RET-17" a_plus_among_many_costs_the_values_at_its_level
                "RET-18" two_pluses_among_many_cost_the_values_at_both_levels
                "RET-19" a_hash_among_many_costs_what_lies_below_it
                "RET-20" a_wildcard_among_many_that_finds_nothing_costs_nothing
                "RET-21" no_page_looks_at_everything
            }
            restoring {
                "RST-01" what_was_restored_reads_as_it_was
                "RST-02" a_restored_session_goes_on
                "RST-03" restored_numbers_are_not_given_again
                "RST-04" what_is_there_is_not_restored_again
                "RST-05" what_hangs_on_no_session_is_absent
                "RST-06" a_shared_message_is_restored_as_one
                "RST-07" only_the_broker_restores
                "RST-08" a_walk_shows_each_ended_session_once
                "RST-09" a_session_takes_nobodys_place
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
                "WIL-21" a_will_and_its_deadline_are_there_after_reopening
                "WIL-22" a_will_that_is_not_due_cannot_be_claimed
            }
            expiry {
                "EXP-01" an_offline_session_expires_after_its_interval
                "EXP-02" a_connected_session_does_not_expire
                "EXP-03" a_session_that_never_expires_is_never_due
                "EXP-04" a_session_with_expiry_0_is_due_when_it_goes_offline
                "EXP-05" a_very_long_interval_is_kept
                "EXP-06" a_claim_ends_the_session
                "EXP-08" a_claim_of_an_earlier_expiry_is_refused
                "EXP-09" an_open_behind_the_expiry_begins_a_new_session
                "EXP-10" an_open_before_the_expiry_continues_the_session
                "EXP-11" an_expiry_that_changes_offline_moves_the_deadline
                "EXP-12" a_claim_is_refused_when_the_deadline_moved_away
                "EXP-13" a_deadline_is_there_after_reopening
                "EXP-14" a_queued_message_expires
                "EXP-15" a_message_with_a_packet_id_does_not_expire
                "EXP-16" a_claim_is_refused_when_the_entry_got_a_packet_id
                "EXP-17" a_settled_message_does_not_expire
                "EXP-18" a_fanned_out_message_expires_in_each_queue
                "EXP-19" a_retained_message_expires
                "EXP-20" a_claim_is_refused_when_the_retained_message_was_replaced
                "EXP-21" replacing_a_retained_message_replaces_its_deadline
                "EXP-22" a_claim_before_its_time_is_refused
                "EXP-23" due_items_come_earliest_first
                "EXP-24" the_same_items_come_again_until_they_are_claimed
                "EXP-25" a_refused_batch_claims_nothing
                "EXP-26" behind_a_claimed_expiry_the_session_is_absent
                "EXP-27" an_open_before_the_claim_wins
                "EXP-28" a_session_that_came_back_does_not_expire
            }
            shared {
                "SHA-01" entries_of_an_ended_member_are_read_with_share_and_state
                "SHA-02" an_entry_is_handed_on_in_one_batch
                "SHA-03" handing_on_to_a_member_that_ended_is_gone
                "SHA-04" the_item_goes_with_the_last_entry
                "SHA-05" a_new_session_of_the_client_does_not_get_in_the_way
                "SHA-06" remains_and_their_item_are_there_after_reopening
            }
            cleanup {
                "CLE-01" the_remains_of_a_session_are_due_at_its_end
                "CLE-02" a_session_that_leaves_nothing_leaves_no_item
                "CLE-03" walks_do_not_show_what_ended
                "CLE-04" a_purge_removes_no_more_than_its_limit
                "CLE-05" purging_comes_to_an_end
                "CLE-06" a_purge_of_all_says_that_nothing_is_left
                "CLE-07" subscriptions_and_inbound_ids_are_remains_too
                "CLE-08" only_the_claim_of_the_end_may_purge
                "CLE-09" claiming_the_end_alone_changes_nothing
                "CLE-10" nothing_is_queued_for_a_session_that_ended
                "CLE-11" purging_an_old_session_leaves_the_clients_new_one_alone
                "CLE-12" purging_takes_the_message_from_nobody_else
                "CLE-13" purged_entries_do_not_expire
                "CLE-14" every_session_that_ended_has_its_own_remains
            }
            atomicity {
                "ATO-01" a_batch_of_every_operation_is_applied_whole
                "ATO-02" a_failed_guard_leaves_no_trace
                "ATO-03" a_fenced_author_leaves_no_trace
                "ATO-04" a_message_that_is_too_large_leaves_no_trace
                "ATO-05" an_operation_that_is_not_allowed_leaves_no_trace
                "ATO-06" a_lost_claim_leaves_no_trace
                "ATO-07" a_durability_that_is_not_offered_leaves_no_trace
                "ATO-08" a_refused_batch_takes_no_numbers
                "ATO-09" outcomes_fail_no_batch
                "ATO-10" a_drop_fails_no_batch
                "ATO-11" operations_are_applied_in_order
                "ATO-12" an_empty_batch_is_applied
                "ATO-13" a_receipt_that_is_dropped_takes_nothing_back
                "ATO-14" a_submit_that_never_ran_leaves_no_trace
            }
            guards {
                "GUA-01" a_session_that_is_there
                "GUA-02" a_session_that_ended
                "GUA-03" a_retained_message_that_is_there
                "GUA-04" a_retained_message_that_is_not_there
                "GUA-05" a_retained_message_is_at_no_epoch
                "GUA-06" a_version_changes_with_every_retain
                "GUA-07" a_version_does_not_change_with_other_records
                "GUA-08" all_guards_must_hold
                "GUA-09" a_batch_cannot_fulfil_its_own_guard
                "GUA-10" a_conflict_names_the_record
            }
            idempotency {
                "IDE-01" a_batch_submitted_again_is_applied_as_declared
                "IDE-02" writers_do_not_share_numbers
                "IDE-03" the_next_number_is_the_next_batch
                "IDE-04" a_refused_batch_does_not_use_its_key_up
                "IDE-05" unknown_outcomes_are_kept_over_a_reopening
            }
            paging {
                "PAG-01" a_walk_shows_every_record_once
                "PAG-02" walks_of_an_empty_store_end
                "PAG-03" a_page_of_no_items_has_one
                "PAG-04" a_walk_goes_on_where_its_record_was_removed
                "PAG-05" a_walk_goes_on_where_its_session_ended
                "PAG-06" a_walk_is_not_disturbed_by_new_records
                "PAG-07" a_walk_by_filters_is_not_disturbed_by_changes
                "PAG-08" a_page_ends_with_its_bytes
                "PAG-09" an_item_beyond_the_bytes_makes_a_page_of_its_own
                "PAG-10" a_queues_page_says_up_to_which_number_it_is_final
                "PAG-11" a_page_is_final_at_least_where_it_began
                "PAG-12" a_queue_is_followed_while_it_changes
                "PAG-13" a_walk_over_many_empty_sessions_comes_to_its_end
                "PAG-14" a_walk_shows_every_will_of_a_session
                "PAG-15" a_page_of_what_is_due_ends_with_its_bytes
                "PAG-16" a_walk_over_what_is_due_goes_on_behind_what_was_not_settled
            }
            limits {
                "LIM-01" the_declared_limits_are_sane
                "LIM-02" a_message_of_the_largest_size_is_taken
                "LIM-03" a_message_beyond_the_largest_size_is_refused
                "LIM-04" a_will_beyond_the_largest_size_is_refused
                "LIM-05" a_batch_of_the_most_operations_is_taken
                "LIM-06" a_batch_of_too_many_operations_is_refused
                "LIM-07" targets_count_as_operations
                "LIM-08" a_batch_of_too_many_bytes_is_refused
                "LIM-09" every_declared_level_of_durability_is_reached
                "LIM-10" a_level_that_is_not_declared_is_refused
                "LIM-11" a_store_full_of_retained_messages_can_be_drained
            }
            fidelity {
                "FID-01" client_ids_are_told_apart
                "FID-02" dev1_never_sees_what_dev10_has
                "FID-03" topics_are_told_apart
                "FID-04" filters_are_told_apart
                "FID-05" every_byte_value_comes_back
                "FID-06" an_empty_payload_comes_back
                "FID-07" payloads_of_many_sizes_come_back
                "FID-08" properties_come_back_in_order
                "FID-09" the_published_qos_comes_back
                "FID-10" the_expiry_comes_back
                "FID-11" the_longest_topics_come_back
                "FID-12" equal_messages_are_not_merged
                "FID-13" long_payloads_come_back_from_everywhere
                "FID-14" the_longest_properties_come_back
                "FID-15" every_character_of_one_byte_is_itself
                "FID-16" one_message_in_many_places_is_there_until_the_last_lets_go
            }
            closing {
                "CLO-01" a_closed_store_refuses_every_call
                "CLO-02" what_a_closed_store_refused_is_not_there_after_reopening
                "CLO-03" closing_makes_what_was_ordered_durable
                "CLO-04" reopening_changes_nothing
                "CLO-05" versions_go_on_after_reopening
                "CLO-06" a_store_that_is_open_is_opened_again_as_declared
            }
            concurrency {
                "CON-01" publishers_at_once_get_dense_numbers
                "CON-02" fan_outs_at_once_have_one_order
                "CON-03" one_of_many_takeovers_is_the_last
                "CON-04" a_session_that_ends_while_it_is_published_to_has_what_was_queued
                "CON-05" a_reader_sees_whole_batches
                "CON-06" what_tasks_see_at_once_has_an_order
                "CON-07" a_call_that_is_dropped_was_done_or_not
                "CON-08" a_thousand_submits_of_one_thread_are_all_answered
                "CON-09" others_of_the_thread_run_while_submits_wait
            }
            model {
                "MOD-01" any_history_ends_as_the_model_says
            }
            faults {
                "FAU-01" a_refusal_at_any_call_leaves_no_trace
                "FAU-02" a_call_in_doubt_at_any_place_was_done_or_not
                "FAU-03" a_commit_in_doubt_at_any_place_was_done_or_not
                "FAU-04" a_batch_in_doubt_is_submitted_again_by_its_key
                "FAU-05" a_careful_caller_ends_where_the_model_does
            }
            crash {
                "CRA-01" what_is_durable_survives_a_kill_at_any_moment
                "CRA-02" a_store_that_is_killed_while_it_is_made_opens
            }
            power {
                "POW-01" what_is_durable_survives_power_loss_at_every_sync
                "POW-02" a_power_loss_while_a_store_is_made_leaves_one_that_opens
            }
        }
    };
}
