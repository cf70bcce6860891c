//! The subscriptions of one session, by filter. Matching is not the store's business.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};

use opifex_packet::{SubscriptionOptions, TopicFilter};
use opifex_storage::SubscriptionRecord;

/// The subscriptions of a session.
#[derive(Default)]
pub(crate) struct Subscriptions(BTreeMap<ByText, Granted>);

/// A filter that is found by its text: a cursor holds no more than that.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct ByText(TopicFilter<'static>);

impl Borrow<str> for ByText {
    fn borrow(&self) -> &str {
        self.0.as_str()
    }
}

struct Granted {
    options: SubscriptionOptions,
    identifier: Option<u32>,
}

impl Subscriptions {
    /// Answers whether one with this filter stood before.
    pub(crate) fn insert(&mut self, record: SubscriptionRecord) -> bool {
        let SubscriptionRecord { filter, options, identifier } = record;
        self.0.insert(ByText(filter), Granted { options, identifier }).is_some()
    }

    /// Answers whether it was there.
    pub(crate) fn remove(&mut self, filter: &TopicFilter<'_>) -> bool {
        self.0.remove(filter.as_str()).is_some()
    }

    /// Answers whether there was one.
    pub(crate) fn pop_first(&mut self) -> bool {
        self.0.pop_first().is_some()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn records(&self) -> impl Iterator<Item = SubscriptionRecord> + '_ {
        self.after(None)
    }

    /// Subscriptions behind the filter with this text.
    pub(crate) fn after(&self, filter: Option<&str>) -> impl Iterator<Item = SubscriptionRecord> + '_ {
        let start = filter.map_or(Unbounded, Excluded);
        self.0.range::<str, _>((start, Unbounded)).map(|(filter, granted)| SubscriptionRecord {
            filter: filter.0.clone(),
            options: granted.options,
            identifier: granted.identifier,
        })
    }
}
