//! Wills: from CONNECT to the message that is published.

use std::sync::Arc;

use bytes::Bytes;
use opifex_packet::{Property, Will};
use opifex_storage::{Message, NewWill, Timestamp};

/// A will as it is stored: its message without what belongs to the will alone.
pub(crate) fn from_connect(will: &Will<'_>) -> NewWill {
    let properties = will.properties.retain(|property| {
        !matches!(property, Property::WillDelayInterval(_) | Property::MessageExpiryInterval(_))
    });
    NewWill {
        message: Arc::new(Message {
            topic: will.topic.clone().into_owned(),
            qos: will.qos,
            properties,
            payload: Bytes::copy_from_slice(&will.payload),
            expires_at: None,
        }),
        retain: will.retain,
        delay_secs: will.properties.will_delay_interval().unwrap_or(0),
        expiry_secs: will.properties.message_expiry_interval(),
    }
}

/// The message to publish now, and its RETAIN flag.
pub(crate) fn to_publish(will: &NewWill, now: Timestamp) -> (Message, bool) {
    let mut message = (*will.message).clone();
    message.expires_at = will.expiry_secs.map(|secs| now.plus_secs(secs));
    (message, will.retain)
}
