//! Everything that can be read of a store, held against the model.

use std::fmt::Debug;

use opifex_packet::TopicFilter;
use opifex_storage::{
    Due, Inbound, Page, PageLimit, Persistence, Queued, Record, RecordKind, Retained, Seq, SessionId,
};

use super::due;
use super::run::Run;
use crate::Factory;

/// A walk that takes more pages than this does not end.
const MAX_PAGES: usize = 10_000;

impl<F: Factory> Run<F> {
    /// Compares everything. The number makes pages of another size each time; in every fifth comparison the answer of
    /// each page is lost, and it is asked for again.
    pub(crate) async fn compare(&mut self, number: usize) -> Result<(), String> {
        let limit = PageLimit::items([1, 2, 3, 50][number % 4]);
        self.loses_answers = number % 5 == 4;
        for kind in RecordKind::ALL {
            let shown = self.scan(kind, limit).await?;
            let shown = shown.into_iter().map(|record| self.as_written_next(record)).collect();
            same(&format!("the walk of {kind:?}"), shown, self.records(kind))?;
        }
        for id in self.sessions_ever() {
            let shown = self.queue(id, limit).await?;
            let session = self.world.model.sessions.get(&id);
            let expected: Vec<Queued> =
                session.map_or(Vec::new(), |session| session.queue.values().cloned().collect());
            if shown != expected {
                return Err(format!("the queue of session {id} shows\n  {shown:?}\nand not\n  {expected:?}"));
            }
        }
        for filter in super::world::plain_filters() {
            let what = format!("retained messages by {filter}");
            self.compare_retained(&what, &[filter], limit).await?;
        }
        let several: Vec<_> = super::world::plain_filters().collect();
        self.compare_retained("retained messages by several filters", &several, limit).await?;
        self.compare_due(limit).await
    }

    /// All records of a kind, as the model has them.
    fn records(&self, kind: RecordKind) -> Vec<Record> {
        let model = &self.world.model;
        let live = || model.sessions.iter().filter(|(_, session)| session.ended_at.is_none());
        match kind {
            RecordKind::Session => live().map(|(_, session)| Record::Session(session.record())).collect(),
            RecordKind::Subscription => live()
                .flat_map(|(id, session)| {
                    session.subscriptions.values().map(|record| Record::Subscription(*id, record.clone()))
                })
                .collect(),
            RecordKind::Queued => live()
                .flat_map(|(id, session)| {
                    session.queue.values().map(|entry| Record::Queued(*id, entry.clone()))
                })
                .collect(),
            RecordKind::Inbound => live()
                .flat_map(|(id, session)| {
                    let inbound = |packet_id: &_| Inbound { session: *id, packet_id: *packet_id };
                    session.inbound.iter().map(move |packet_id| Record::Inbound(inbound(packet_id)))
                })
                .collect(),
            RecordKind::Retained => model.retained.values().cloned().map(Record::Retained).collect(),
            RecordKind::Will => model.wills.values().cloned().map(Record::Will).collect(),
            RecordKind::Ended => model
                .sessions
                .values()
                .filter_map(|session| Some(Record::Ended(session.record(), session.ended_at?)))
                .collect(),
        }
    }

    async fn scan(&self, kind: RecordKind, limit: PageLimit) -> Result<Vec<Record>, String> {
        let (mut items, mut cursor) = (Vec::new(), None);
        for _ in 0..MAX_PAGES {
            if self.loses_answers {
                drop(self.subject.store().scan(kind, cursor.clone(), limit).await);
            }
            let page = self.subject.store().scan(kind, cursor, limit).await;
            let page = page.map_err(|error| format!("the walk of {kind:?} failed: {error}"))?;
            sound(&page, limit).map_err(|what| format!("the walk of {kind:?}: {what}"))?;
            items.extend(page.items);
            if page.next.is_none() {
                return Ok(items);
            }
            cursor = page.next;
        }
        Err(format!("the walk of {kind:?} does not end"))
    }

    /// All records of a kind.
    pub(super) async fn walk(&self, kind: RecordKind) -> Result<Vec<Record>, String> {
        self.scan(kind, PageLimit::items(100)).await
    }

    /// The whole queue of a session.
    pub(super) async fn queue(&self, id: SessionId, limit: PageLimit) -> Result<Vec<Queued>, String> {
        let (mut entries, mut after) = (Vec::<Queued>::new(), Seq::ZERO);
        for _ in 0..MAX_PAGES {
            if self.loses_answers {
                drop(self.subject.store().queue(id, after, limit).await);
            }
            let page = self.subject.store().queue(id, after, limit).await;
            let page = page.map_err(|error| format!("the queue of session {id} failed: {error}"))?;
            let last = page.items.last().map_or(after, |entry| entry.seq);
            if page.items.len() > limit.items || !page.damaged.is_empty() {
                return Err(format!("the queue of session {id}: too long or damaged: {page:?}"));
            }
            if page.final_up_to < last || (page.more && page.final_up_to <= after) {
                return Err(format!("the queue of session {id} is final up to {}", page.final_up_to));
            }
            after = page.final_up_to;
            let more = page.more;
            entries.extend(page.items);
            if !more {
                return Ok(entries);
            }
        }
        Err(format!("the queue of session {id} does not end"))
    }

    async fn compare_retained(
        &self,
        what: &str,
        filters: &[TopicFilter<'_>],
        limit: PageLimit,
    ) -> Result<(), String> {
        let (mut shown, mut cursor) = (Vec::<Retained>::new(), None);
        for number in 0.. {
            if self.loses_answers {
                drop(self.subject.store().retained(filters, cursor.clone(), limit).await);
            }
            let page = self.subject.store().retained(filters, cursor, limit).await;
            let page = page.map_err(|error| format!("{what} failed: {error}"))?;
            sound(&page, limit).map_err(|wrong| format!("{what}: {wrong}"))?;
            shown.extend(page.items);
            if page.next.is_none() {
                break;
            }
            cursor = page.next;
            if number > MAX_PAGES {
                return Err(format!("{what}: the walk does not end"));
            }
        }
        let matches = |retained: &&Retained| {
            let topic = retained.message.topic.borrow();
            filters.iter().any(|filter| filter.matches(&topic))
        };
        same(what, shown, self.world.model.retained.values().filter(matches).cloned().collect())
    }

    pub(super) async fn compare_due(&mut self, limit: PageLimit) -> Result<(), String> {
        let now = self.now();
        let mut shown = self.due(limit).await?;
        if !shown.is_sorted_by_key(|due| due.at) {
            return Err(format!("what is due does not come earliest first: {shown:?}"));
        }
        shown.sort_by_key(due::order);
        let expected = self.world.model.due(now);
        let mut as_expected = shown.clone();
        for (shown, expected) in as_expected.iter_mut().zip(&expected) {
            shown.version = expected.version;
        }
        if as_expected != expected {
            return Err(format!("due is\n  {shown:?}\nand not\n  {expected:?}"));
        }
        for (shown, expected) in shown.iter().zip(&expected) {
            self.know(expected, shown.version)?;
        }
        Ok(())
    }

    /// Everything that is due.
    async fn due(&self, limit: PageLimit) -> Result<Vec<Due>, String> {
        let (mut items, mut cursor) = (Vec::new(), None);
        for _ in 0..MAX_PAGES {
            if self.loses_answers {
                drop(self.subject.store().due(self.now(), cursor.clone(), limit).await);
            }
            let page = self.subject.store().due(self.now(), cursor, limit).await;
            let page = page.map_err(|error| format!("what is due cannot be read: {error}"))?;
            sound(&page, limit).map_err(|what| format!("what is due: {what}"))?;
            items.extend(page.items);
            if page.next.is_none() {
                return Ok(items);
            }
            cursor = page.next;
        }
        Err("the walk of what is due does not end".to_owned())
    }
}

/// What holds of every page of a walk.
fn sound<T: Debug>(page: &Page<T>, limit: PageLimit) -> Result<(), String> {
    if page.items.len() > limit.items {
        return Err(format!("a page of {} holds {}", limit.items, page.items.len()));
    }
    if !page.damaged.is_empty() {
        return Err(format!("something is damaged: {:?}", page.damaged));
    }
    Ok(())
}

/// Whether both hold the same, in whichever order.
fn same<T: PartialEq + Debug>(what: &str, shown: Vec<T>, expected: Vec<T>) -> Result<(), String> {
    let mut left = expected.iter().collect::<Vec<_>>();
    for item in &shown {
        match left.iter().position(|expected| *expected == item) {
            Some(index) => {
                left.swap_remove(index);
            }
            None => {
                return Err(format!(
                    "{what} shows\n  {item:?}\nwhich is not (or twice); the model has\n  {expected:?}"
                ));
            }
        }
    }
    match left.is_empty() {
        true => Ok(()),
        false => Err(format!("{what} does not show\n  {left:?}")),
    }
}
