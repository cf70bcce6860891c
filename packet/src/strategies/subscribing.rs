//! SUBSCRIBE and UNSUBSCRIBE. Their answers are with the other acknowledgements.

use proptest::collection::vec;
use proptest::prelude::*;

use super::fields::{packet_id, qos, topic_filter};
use super::properties::properties;
use crate::{
    PropertyContext, RetainHandling, Subscribe, Subscription, SubscriptionOptions, Unsubscribe, Version,
};

/// SUBSCRIBE.
pub fn subscribe(version: Version) -> impl Strategy<Value = Subscribe<'static>> {
    let subscription =
        (topic_filter(true), subscription_options(version)).prop_map(|(filter, mut options)| {
            // [MQTT-3.8.3-4]
            options.no_local &= filter.shared().is_none();
            Subscription { filter, options }
        });
    (packet_id(), properties(PropertyContext::Subscribe, version), vec(subscription, 1..5))
        .prop_map(|(packet_id, properties, subscriptions)| Subscribe { packet_id, properties, subscriptions })
}

/// Any options of a subscription; before 5.0 a QoS alone.
pub fn subscription_options(version: Version) -> impl Strategy<Value = SubscriptionOptions> {
    let retain_handling = prop::sample::select(
        &[RetainHandling::SendAtSubscribe, RetainHandling::SendIfNew, RetainHandling::DoNotSend][..],
    );
    (qos(), any::<(bool, bool)>(), retain_handling).prop_map(
        move |(qos, (no_local, retain_as_published), retain_handling)| {
            if version.is_v5() {
                SubscriptionOptions { qos, no_local, retain_as_published, retain_handling }
            } else {
                SubscriptionOptions::new(qos)
            }
        },
    )
}

/// UNSUBSCRIBE.
pub fn unsubscribe(version: Version) -> impl Strategy<Value = Unsubscribe<'static>> {
    (packet_id(), properties(PropertyContext::Unsubscribe, version), vec(topic_filter(true), 1..5))
        .prop_map(|(packet_id, properties, filters)| Unsubscribe { packet_id, properties, filters })
}
