//! The cases of the contract, one file a group.
//!
//! A case is one behaviour: its name says what holds. The list gives each an id that stays; a new case takes the next
//! number of its group, and the number of one that went is not given again.

pub mod queue;
pub mod sessions;

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
        }
    };
}
