//! An application message as it is stored and fanned out: once, behind an `Arc`.

use bytes::Bytes;
use opifex_packet::{Properties, PropertyContext, QoS, TopicName};

use crate::{Capabilities, ErrorKind, Result, StoreError, Timestamp};

/// An application message. Stored once, however many sessions it is queued for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The topic that it was published to.
    pub topic: TopicName<'static>,
    /// The QoS that it was published with.
    pub qos: QoS,
    /// The properties that are passed on: all of the PUBLISH's (or will's) except topic alias, subscription
    /// identifiers, message expiry interval and will delay interval.
    pub properties: Properties<'static>,
    /// The application's bytes.
    pub payload: Bytes,
    /// When the message expires (its message expiry interval made absolute); `None`: never.
    pub expires_at: Option<Timestamp>,
}

impl Message {
    /// Topic, properties and payload together, in bytes: what the limits of queues and batches count.
    pub fn size_bytes(&self) -> usize {
        self.topic.as_str().len() + self.properties.as_bytes().len() + self.payload.len()
    }

    /// Refuses a message that is larger than the backend takes, or that could not be read again; answers its bytes.
    pub(crate) fn check_limits(&self, capabilities: &Capabilities) -> Result<usize> {
        let (size, limit) = (self.size_bytes(), capabilities.max_message_bytes);
        if size > limit {
            let what = format!("a message of {size} bytes exceeds the limit of {limit}");
            return Err(StoreError::not_applied(ErrorKind::TooLarge, what));
        }
        // A program can push what no packet may hold, and what is read back is checked.
        if !self.properties.is_empty() {
            Properties::from_bytes(PropertyContext::Publish, self.properties.as_bytes()).map_err(
                |error| {
                    let what =
                        format!("the properties of a message to {} are not valid: {error}", self.topic);
                    StoreError::not_applied(ErrorKind::Unsupported, what)
                },
            )?;
        }
        Ok(size)
    }

    /// Whether the message has expired at `now`.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    /// The message expiry interval to send at `now`, in whole seconds, rounded up so that a message that has not
    /// expired is never sent with 0 ([MQTT-3.3.2-6]).
    pub fn remaining_secs(&self, now: Timestamp) -> Option<u32> {
        let millis = self.expires_at?.millis_since(now);
        Some(u32::try_from(millis.div_ceil(1000)).unwrap_or(u32::MAX))
    }
}
