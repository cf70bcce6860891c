//! A subscription from SUBSCRIBE to UNSUBACK: when it stood for certain, and when it may have stood.

use opifex_packet::{QoS, filter_matches};

use super::Tick;
use super::message::Message;

#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) filter: &'static str,
    pub(super) qos: QoS,
    asked: Tick,
    granted: Option<Tick>,
    /// UNSUBSCRIBE left, or a CONNECT that ends the session.
    pub(super) leaving: Option<Tick>,
    pub(super) left: Option<Tick>,
    /// Its session is being ended, and with it what it queued.
    ending: bool,
}

impl Subscription {
    pub(super) fn asked(filter: &'static str, qos: QoS, asked: Tick) -> Subscription {
        Subscription { filter, qos, asked, granted: None, leaving: None, left: None, ending: false }
    }

    pub(super) fn granted(&mut self, tick: Tick) {
        self.granted.get_or_insert(tick);
    }

    pub(super) fn leaving(&mut self, tick: Tick) {
        self.leaving.get_or_insert(tick);
    }

    /// Its session is ended.
    pub(super) fn ending(&mut self, tick: Tick) {
        self.leaving(tick);
        self.ending = true;
    }

    /// Whether it was granted, and nobody has asked for its end.
    pub(super) fn stands(&self) -> bool {
        self.granted.is_some() && self.leaving.is_none()
    }

    pub(super) fn is_ending(&self) -> bool {
        self.ending
    }

    pub(super) fn left(&mut self, tick: Tick) {
        self.left.get_or_insert(tick);
    }

    pub(super) fn is_shared(&self) -> bool {
        self.filter.starts_with("$share/")
    }

    fn matches(&self, message: &Message) -> bool {
        let filter = match self.is_shared() {
            true => self.filter.splitn(3, '/').nth(2).unwrap_or_default(),
            false => self.filter,
        };
        filter_matches(filter, &message.publication.topic)
    }

    /// Whether it stood whenever the message can have been routed.
    pub(super) fn covers(&self, message: &Message) -> bool {
        let Some(first_sent) = message.first_sent else { return false };
        let Some((accepted, _)) = message.accepted else { return false };
        self.granted.is_some_and(|granted| granted < first_sent)
            && self.leaving.is_none_or(|leaving| leaving > accepted)
            && self.matches(message)
    }

    /// Whether it has stood ever since the message was sent first.
    pub(super) fn stands_since(&self, message: &Message) -> bool {
        let Some(first_sent) = message.first_sent else { return false };
        self.granted.is_some_and(|granted| granted < first_sent)
            && self.leaving.is_none()
            && self.matches(message)
    }

    /// Whether it can have stood when the message was routed.
    pub(super) fn may_cover(&self, message: &Message) -> bool {
        let Some(first_sent) = message.first_sent else { return false };
        self.asked < message.routed_by()
            && self.left.is_none_or(|left| left > first_sent)
            && self.matches(message)
    }
}
