//! What a subject holds, read to the end in small pages. A walk that does not end is a panic, not a hang.

use opifex_storage::{
    Due, DueItem, Page, PageLimit, Persistence, Queued, Record, RecordKind, Retained, Seq, SessionId,
    SessionRecord, SubscriptionRecord, Timestamp, WillRecord,
};

use super::Subject;
use crate::Factory;
use crate::script::filter;

/// How many items a page of the walks here has: few, so that walks have many.
const PAGE_ITEMS: usize = 50;

/// A walk that takes more pages than this does not end.
const MAX_PAGES: usize = 100_000;

/// One page looks at no more than this, whatever it finds: somebody waits for it, or for what it holds.
const MAX_EXAMINED: usize = 20_000;

/// The work of a page is counted, and bounded.
pub(crate) fn counts_its_work<T>(page: &Page<T>) {
    let (shown, examined) = (page.items.len(), page.examined);
    assert!(examined >= shown, "a page shows {shown} items and says that it looked at {examined}");
    assert!(examined <= MAX_EXAMINED, "one page looked at {examined}");
}

/// Reading.
impl<F: Factory> Subject<F> {
    /// A session's whole queue.
    pub async fn queue(&self, session: SessionId) -> Vec<Queued> {
        let mut entries = Vec::new();
        let mut after = Seq::ZERO;
        loop {
            let page = self.store().queue(session, after, PageLimit::items(PAGE_ITEMS)).await;
            let page = page.expect("a queue can be read");
            for entry in &page.items {
                assert!(entry.seq > after, "a page of a queue has {} behind {after}", entry.seq);
                after = entry.seq;
            }
            let empty = page.items.is_empty();
            entries.extend(page.items);
            if !page.more {
                return entries;
            }
            assert!(!empty, "a queue's page is empty and says that there is more");
        }
    }

    /// The payloads of a session's whole queue, as text.
    pub async fn payloads(&self, session: SessionId) -> Vec<String> {
        let text = |entry: &Queued| match &entry.message {
            Some(message) => String::from_utf8_lossy(&message.payload).into_owned(),
            None => "-".to_owned(),
        };
        self.queue(session).await.iter().map(text).collect()
    }

    /// The numbers of a session's whole queue.
    pub async fn seqs(&self, session: SessionId) -> Vec<u64> {
        self.queue(session).await.iter().map(|entry| entry.seq.0).collect()
    }

    /// The retained messages that match any of the filters, and what the store looked at in all.
    pub async fn retained(&self, filters: &[&str]) -> (Vec<Retained>, usize) {
        let filters: Vec<_> = filters.iter().map(|text| filter(text)).collect();
        let (mut items, mut examined, mut cursor) = (Vec::new(), 0, None);
        for _ in 0..MAX_PAGES {
            let page = self.store().retained(&filters, cursor, PageLimit::items(PAGE_ITEMS)).await;
            let Page { items: found, next, examined: looked_at, damaged } =
                page.expect("retained messages can be read");
            assert_eq!(damaged, [], "nothing is damaged");
            assert!(found.len() <= PAGE_ITEMS, "a page holds more than it may");
            items.extend(found);
            examined += looked_at;
            if next.is_none() {
                return (items, examined);
            }
            cursor = next;
        }
        panic!("a walk of retained messages does not end");
    }

    /// The topics of the retained messages that match any of the filters, sorted.
    pub async fn topics(&self, filters: &[&str]) -> Vec<String> {
        let (items, _) = self.retained(filters).await;
        let mut topics: Vec<_> = items.iter().map(|item| item.message.topic.as_str().to_owned()).collect();
        topics.sort();
        topics
    }

    /// All records of one kind.
    pub async fn scan(&self, kind: RecordKind) -> Vec<Record> {
        let (mut items, mut cursor) = (Vec::new(), None);
        for _ in 0..MAX_PAGES {
            let page = self.store().scan(kind, cursor, PageLimit::items(PAGE_ITEMS)).await;
            let page = page.expect("records can be read");
            assert!(page.items.len() <= PAGE_ITEMS, "a page holds more than it may");
            counts_its_work(&page);
            items.extend(page.items);
            if page.next.is_none() {
                return items;
            }
            cursor = page.next;
        }
        panic!("a walk of {kind:?} does not end");
    }

    /// The record of a session that has not ended.
    pub async fn session(&self, id: SessionId) -> Option<SessionRecord> {
        let records = self.scan(RecordKind::Session).await;
        records.into_iter().find_map(|record| match record {
            Record::Session(session) if session.id == id => Some(session),
            _ => None,
        })
    }

    /// The subscriptions of a session that has not ended.
    pub async fn subscriptions(&self, id: SessionId) -> Vec<SubscriptionRecord> {
        let records = self.scan(RecordKind::Subscription).await;
        let of_session = records.into_iter().filter_map(|record| match record {
            Record::Subscription(session, subscription) if session == id => Some(subscription),
            _ => None,
        });
        of_session.collect()
    }

    /// The inbound ids of a session that has not ended.
    pub async fn inbound(&self, id: SessionId) -> Vec<u16> {
        let records = self.scan(RecordKind::Inbound).await;
        let of_session = records.into_iter().filter_map(|record| match record {
            Record::Inbound(inbound) if inbound.session == id => Some(inbound.packet_id.get()),
            _ => None,
        });
        of_session.collect()
    }

    /// All wills.
    pub async fn wills(&self) -> Vec<WillRecord> {
        let records = self.scan(RecordKind::Will).await;
        let wills = records.into_iter().map(|record| match record {
            Record::Will(will) => will,
            other => panic!("a walk of wills shows {other:?}"),
        });
        wills.collect()
    }

    /// Everything that is due.
    pub async fn due(&self, now: Timestamp) -> Vec<Due> {
        let mut items = Vec::new();
        let mut cursor = None;
        for _ in 0..MAX_PAGES {
            let page = self.store().due(self.advance(now), cursor, PageLimit::items(PAGE_ITEMS)).await;
            let page = page.expect("due items can be read");
            counts_its_work(&page);
            items.extend(page.items);
            cursor = page.next;
            if cursor.is_none() {
                return items;
            }
        }
        panic!("a walk of what is due does not end")
    }

    /// What is due, without versions.
    pub async fn due_items(&self, now: Timestamp) -> Vec<DueItem> {
        self.due(now).await.into_iter().map(|due| due.item).collect()
    }

    /// The one thing that is due.
    pub async fn only_due(&self, now: Timestamp) -> Due {
        let mut due = self.due(now).await;
        assert_eq!(due.len(), 1, "one thing is due: {due:?}");
        due.remove(0)
    }
}
