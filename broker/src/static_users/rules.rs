//! What a user may do: topic filters for publishing, subscribing and receiving.

use opifex_packet::{TopicFilter, filter_matches};

use super::StaticUsersError;
use super::covers::covers;
use crate::access::Action;

/// What a user may do. Of each kind everything, until a list of topic filters is given; then what the list allows and
/// nothing else, so that an empty list allows nothing.
///
/// A filter that begins with a wildcard does not stand for topics that begin with `$`, here as everywhere in MQTT.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    publish: Option<Vec<TopicFilter<'static>>>,
    subscribe: Option<Vec<TopicFilter<'static>>>,
    receive: Option<Vec<TopicFilter<'static>>>,
}

impl Rules {
    /// Everything is allowed.
    pub fn new() -> Rules {
        Rules::default()
    }

    /// Allows publishing (wills included) to topics that match one of the filters, and to no others.
    ///
    /// # Errors
    /// One is not a filter, or is a shared one.
    pub fn publish<'f>(self, filters: impl IntoIterator<Item = &'f str>) -> Result<Rules, StaticUsersError> {
        Ok(Rules { publish: Some(parse(filters)?), ..self })
    }

    /// Allows subscriptions that can match no other topics than one of these filters does, and no others. Of a shared
    /// subscription the filter inside counts.
    ///
    /// # Errors
    /// One is not a filter, or is a shared one.
    pub fn subscribe<'f>(
        self,
        filters: impl IntoIterator<Item = &'f str>,
    ) -> Result<Rules, StaticUsersError> {
        Ok(Rules { subscribe: Some(parse(filters)?), ..self })
    }

    /// Allows the delivery of messages whose topic matches one of the filters, and of no others: a wide subscription
    /// is granted, and brings this part of what it matches. Costs a look at each delivery, for all users.
    ///
    /// # Errors
    /// One is not a filter, or is a shared one.
    pub fn receive<'f>(self, filters: impl IntoIterator<Item = &'f str>) -> Result<Rules, StaticUsersError> {
        Ok(Rules { receive: Some(parse(filters)?), ..self })
    }

    pub(super) fn checks_receive(&self) -> bool {
        self.receive.is_some()
    }

    pub(super) fn allow(&self, action: Action<'_>) -> bool {
        match action {
            Action::Publish { topic, .. } => any(&self.publish, |filter| filter_matches(filter, topic)),
            Action::Receive { topic } => any(&self.receive, |filter| filter_matches(filter, topic)),
            Action::Subscribe { filter } => {
                let asked = TopicFilter::new(filter).ok();
                let shared = asked.as_ref().and_then(TopicFilter::shared);
                let asked = shared.map_or(filter, |shared| shared.filter);
                any(&self.subscribe, |filter| covers(filter, asked))
            }
        }
    }
}

fn any(rules: &Option<Vec<TopicFilter<'static>>>, allows: impl Fn(&str) -> bool) -> bool {
    rules.as_ref().is_none_or(|filters| filters.iter().any(|filter| allows(filter.as_str())))
}

fn parse<'f>(
    filters: impl IntoIterator<Item = &'f str>,
) -> Result<Vec<TopicFilter<'static>>, StaticUsersError> {
    let parse_one = |filter: &str| match TopicFilter::new(filter.to_owned()) {
        Ok(parsed) if parsed.shared().is_some() => Err(StaticUsersError::SharedFilter(filter.into())),
        Ok(parsed) => Ok(parsed),
        Err(source) => Err(StaticUsersError::Filter { filter: filter.into(), source }),
    };
    filters.into_iter().map(parse_one).collect()
}
