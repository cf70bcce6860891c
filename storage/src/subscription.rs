//! A subscription of a session.

use opifex_packet::{SubscriptionOptions, TopicFilter};

/// A subscription of a session; there is one for each filter ([MQTT-3.8.4-3]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionRecord {
    /// The filter, with `$share/...` where it is shared.
    pub filter: TopicFilter<'static>,
    /// Its options as granted.
    pub options: SubscriptionOptions,
    /// Its subscription identifier.
    pub identifier: Option<u32>,
}
