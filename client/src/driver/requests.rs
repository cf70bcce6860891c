//! Requests on their way: published when the topic of responses is granted, forgotten when nobody waits for them. Which
//! response is whose, `responses.rs` knows.

use opifex_packet::{Properties, QoS, Subscription as Asked, SubscriptionOptions, TopicFilter};

use super::asks::What;
use super::responses::Responses;
use super::{Driver, Waits};
use crate::handle::slots::SlotId;
use crate::{Error, Message};

impl Driver {
    pub(super) fn request(&mut self, mut message: Message, slot: SlotId) {
        if self.responses.as_ref().is_some_and(|responses| !responses.has_room()) {
            self.forget_given_up_requests();
        }
        let new = self.responses.is_none();
        let information = self.machine.response_information();
        let responses = self.responses.get_or_insert_with(|| Responses::new(information));
        if !responses.has_room() {
            self.answers.push((slot, Err(Error::Full)));
        } else if responses.granted {
            let number = responses.ask(&mut message, slot);
            self.publish_request(message, number);
        } else {
            responses.wait(message, slot);
        }
        if new {
            self.subscribe_to_responses();
        }
    }

    /// Requests whose callers wait no longer.
    pub(super) fn forget_given_up_requests(&mut self) {
        let Some(responses) = &mut self.responses else { return };
        let pruned = self.shared.with_slots(|slots| responses.prune(|slot| slots.has_left(slot)));
        self.answers.extend(pruned.into_iter().map(|slot| (slot, Err(Error::Timeout("response")))));
    }

    pub(super) fn subscribe_to_responses(&mut self) {
        let Some(responses) = &mut self.responses else { return };
        responses.granted = false;
        let filter =
            TopicFilter::new(responses.topic.as_str()).expect("a topic name is a filter").into_owned();
        let subscription = Asked::new(filter, SubscriptionOptions::from(QoS::AtLeastOnce));
        let what = What::Responses { subscription };
        self.asks.push(what, Properties::new(), None, None);
    }

    pub(super) fn publish_request(&mut self, message: Message, number: u64) {
        match self.machine.publish(message) {
            Ok(Some(token)) => {
                self.deliveries.insert(token, Waits::Requester(number));
            }
            Ok(None) => {}
            Err(refusal) => self.request_failed(number, refusal.into()),
        }
    }

    pub(super) fn request_failed(&mut self, number: u64, error: Error) {
        let slot = self.responses.as_mut().and_then(|responses| responses.failed(number));
        self.answers.extend(slot.map(|slot| (slot, Err(error))));
    }
}
