//! Broken stores: pages that repeat, skip, do not end or do not fit.

use std::collections::HashSet;
use std::sync::Mutex;

use bytes::Bytes;
use opifex_conformance::script::topic;
use opifex_storage::encoding::key::{self, DueKey};
use opifex_storage::{Cursor, Page, PageLimit, Record, RecordKind, Result, Seq};

use crate::broken::{Behaviour, honest};
use crate::engine::{EVERYTHING, Engine};
use crate::mutant::mutants;

/// A walk of records in pages that are cut out of all of them: a cursor is a number.
fn by_number(
    cut: impl Fn(&Engine, RecordKind, usize, usize) -> Result<(Vec<Record>, Option<usize>)>
    + Send
    + Sync
    + 'static,
) -> Behaviour {
    honest().scan(move |engine, (kind, cursor, limit)| {
        engine.scan(kind, None, limit)?;
        let start =
            cursor.map_or(0, |cursor| cursor.0.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)));
        let (items, next) = cut(engine, kind, start, limit.items.max(1))?;
        let next = next.map(|next| Cursor(Bytes::copy_from_slice(&next.to_be_bytes())));
        Ok(Page { next, examined: items.len(), items, ..Page::new() })
    })
}

/// The number at which the next page begins, if there is one.
fn next(all: &[Record], at: usize) -> Option<usize> {
    (at < all.len()).then_some(at)
}

mutants! {
    /// the record that a page ends with begins the next one, too
    "PAG-01" the_record_at_a_pages_end_comes_twice: by_number(|engine, kind, start, items| {
        let all = engine.all(kind);
        let from = if start > 0 && items > 1 { start - 1 } else { start };
        Ok((all.iter().skip(from).take(items).cloned().collect(), next(&all, from + items)))
    });

    /// the record behind the end of a page is in none
    "PAG-01" the_record_behind_a_pages_end_is_skipped: by_number(|engine, kind, start, items| {
        let all = engine.all(kind);
        let from = if start > 0 { start + 1 } else { 0 };
        Ok((all.iter().skip(from).take(items).cloned().collect(), next(&all, from + items)))
    });

    /// a walk ends with its first full page
    "PAG-01" a_walk_ends_with_its_first_page: by_number(|engine, kind, _, items| {
        Ok((engine.all(kind).into_iter().take(items).collect(), None))
    });

    /// behind the last page there is always another one
    "PAG-02" a_walk_goes_on_for_ever: honest().scan(|engine, (kind, cursor, limit)| {
        let mut page = engine.scan(kind, cursor.clone(), limit)?;
        page.next = page.next.or(cursor).or(Some(Cursor(Bytes::from_static(&[0xff; 8]))));
        Ok(page)
    });

    /// a page has as many items as there are
    "PAG-01" pages_have_no_limit: honest().scan(|engine, (kind, cursor, _)| engine.scan(kind, cursor, EVERYTHING));

    /// a page says that it looked at nothing
    "PAG-01" a_page_does_not_count_its_work: honest().scan(|engine, (kind, cursor, limit)| {
        Ok(Page { examined: 0, ..engine.scan(kind, cursor, limit)? })
    });

    /// a page of no items has none, and the next one begins where it began
    "PAG-03" a_page_of_nothing_goes_nowhere: honest().scan(|engine, (kind, cursor, limit)| match limit.items {
        0 => Ok(Page { next: Some(cursor.unwrap_or(Cursor(Bytes::new()))), ..Page::new() }),
        _ => engine.scan(kind, cursor, limit),
    });

    /// a cursor is an offset, so that what was removed meanwhile shifts the walk
    "PAG-04" a_cursor_is_an_offset: by_number(|engine, kind, start, items| {
        let all = engine.all(kind);
        Ok((all.iter().skip(start).take(items).cloned().collect(), next(&all, start + items)))
    });

    /// a walk is given up when the session that it came to has ended
    "PAG-05" a_walk_ends_where_its_session_ended: honest().scan(|engine, (kind, cursor, limit)| {
        let session = cursor.as_ref().and_then(|cursor| cursor.0.first_chunk::<8>()).map(|id| u64::from_be_bytes(*id));
        let ended = session.is_some_and(|id| engine.session(opifex_storage::SessionId(id)).is_none());
        match ended && matches!(kind, RecordKind::Session | RecordKind::Queued) {
            true => Ok(Page::new()),
            false => engine.scan(kind, cursor, limit),
        }
    });

    /// a walk is begun anew when something was written meanwhile
    "PAG-06" a_walk_begins_anew_when_there_is_more: {
        let counted = Mutex::new(0);
        honest().scan(move |engine, (kind, cursor, limit)| {
            let mut counted = counted.lock().expect("nobody panics with it");
            let now = engine.all(kind).len();
            let before = std::mem::replace(&mut *counted, now);
            engine.scan(kind, cursor.filter(|_| now <= before), limit)
        })
    };

    /// a walk by filters counts what it has shown
    "PAG-07" a_walk_by_filters_counts_what_it_showed: honest().retained(|engine, (filters, cursor, limit)| {
        let start = cursor.map_or(0, |cursor| cursor.0.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)));
        let all: Vec<_> = engine
            .kept()
            .into_iter()
            .filter(|kept| filters.iter().any(|filter| filter.matches(&kept.message.topic)))
            .collect();
        let items: Vec<_> = all.iter().skip(start).take(limit.items.max(1)).cloned().collect();
        let next = start + items.len();
        let next = (next < all.len()).then(|| Cursor(Bytes::copy_from_slice(&next.to_be_bytes())));
        Ok(Page { next, examined: items.len(), items, ..Page::new() })
    });

    /// pages of queues have no limit in bytes
    "PAG-08" the_bytes_of_a_queues_page_have_no_limit: honest().queue(|engine, (session, after, limit)| {
        engine.queue(session, after, PageLimit { bytes: usize::MAX, ..limit })
    });

    /// pages of retained messages have no limit in bytes
    "PAG-08" the_bytes_of_a_page_by_filters_have_no_limit: honest().retained(|engine, (filters, cursor, limit)| {
        engine.retained(&filters, cursor, PageLimit { bytes: usize::MAX, ..limit })
    });

    /// a message that does not fit a page comes in none
    "PAG-09" what_does_not_fit_a_page_comes_in_none: honest().pages(|_, (_, _, limit), page| {
        page.items.retain(|entry| entry.message.as_ref().is_none_or(|message| message.size_bytes() <= limit.bytes));
    });

    /// a message that does not fit a page stops the walk
    "PAG-09" what_does_not_fit_a_page_stops_the_walk: honest().pages(|_, (_, after, limit), page| {
        let fits = |size: usize| size <= limit.bytes;
        let first = page.items.first().and_then(|entry| entry.message.as_ref());
        if first.is_some_and(|message| !fits(message.size_bytes())) {
            (page.items, page.final_up_to, page.more) = (Vec::new(), after, true);
        }
    });

    /// a page is final up to its last entry, though what was given behind it is settled
    "PAG-10" a_page_is_final_up_to_its_last_entry: honest().pages(|_, (_, after, _), page| {
        page.final_up_to = page.items.last().map_or(after, |last| last.seq);
    });

    /// a page says that it is final up to the last number that was given
    "PAG-10" a_page_is_final_up_to_the_last_number: honest().pages(|engine, (id, after, _), page| {
        let last = engine.session(id).map_or(after, |session| Seq(session.next_seq.0 - 1));
        page.final_up_to = last.max(after);
    });

    /// a page never says that there is more: who reads it goes live in the middle of the queue
    "PAG-10" a_page_says_that_it_is_the_last: honest().pages(|_, _, page| page.more = false);

    /// who asks behind the last number is sent back to it
    "PAG-11" who_asks_behind_the_end_is_sent_back: honest().pages(|engine, (id, ..), page| {
        let given = engine.session(id).map_or(Seq::ZERO, |session| Seq(session.next_seq.0 - 1));
        page.final_up_to = page.final_up_to.min(given);
    });

    /// a page of a queue begins at the number that it is to begin behind
    "PAG-12" a_queues_page_begins_with_the_last_one_s_end: honest().queue(|engine, (session, after, limit)| {
        engine.queue(session, Seq(after.0.saturating_sub(1)), limit)
    });

    /// a walk that looked at a thousand sessions and found nothing ends
    "PAG-13" a_walk_gives_up_after_a_thousand_sessions: honest().scan(|engine, (kind, cursor, limit)| {
        let mut page = engine.scan(kind, cursor, limit)?;
        page.next = page.next.filter(|_| !page.items.is_empty());
        Ok(page)
    });

    /// a walk of wills goes on behind the session of the last
    "PAG-14" a_walk_of_wills_shows_one_of_each_session: honest().scan(|engine, (kind, cursor, limit)| {
        let cursor = match (kind, cursor) {
            (RecordKind::Will, Some(Cursor(place))) => {
                Some(Cursor([&place[..8], &[0xff; 8]].concat().into()))
            }
            (_, cursor) => cursor,
        };
        engine.scan(kind, cursor, limit)
    });

    /// a page of what is due is as large as its wills
    "PAG-15" a_page_of_what_is_due_has_no_end_in_bytes: honest().due(|engine, (now, cursor, limit)| {
        engine.due(now, cursor, PageLimit { bytes: usize::MAX, ..limit })
    });

    /// a walk over what is due begins anew with each page
    "PAG-16" a_walk_over_what_is_due_knows_no_place: honest().due(|engine, (now, _, limit)| {
        engine.due(now, None, limit)
    });

    /// a page of what is due is the last: what is refused hides what is behind it
    "PAG-16" a_full_page_of_what_is_due_is_the_last: honest().due(|engine, (now, cursor, limit)| {
        Ok(Page { next: None, ..engine.due(now, cursor, limit)? })
    });

    /// a walk over what is due goes on behind the moment of the last
    "PAG-16" a_walk_over_what_is_due_goes_past_the_moment: honest().due(|engine, (now, cursor, limit)| {
        let cursor = cursor.map(|Cursor(place)| {
            let (at, _) = key::due_of(&place).expect("it is of the memory store");
            Cursor(key::due(at, &DueKey::Retained(topic("~"))))
        });
        engine.due(now, cursor, limit)
    });

    /// of two wills of a session one is due
    "PAG-16" a_session_has_one_will_due: honest().dues(|_, _, dues| {
        let mut seen = HashSet::new();
        dues.retain(|due| due.will.is_none() || seen.insert(due.item.clone()));
    });

    /// a walk of what ended sessions left shows the first page again and again
    "RST-08" a_walk_of_ended_sessions_repeats: by_number(|engine, kind, start, items| {
        let all = engine.all(kind);
        let twice = if kind == RecordKind::Ended { start / 2 } else { start };
        Ok((all.iter().skip(twice).take(items).cloned().collect(), next(&all, start + items)))
    });
}
