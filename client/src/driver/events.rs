//! What the machine says, handed on to those who wait for it.

use std::sync::Arc;
use std::time::Instant;

use opifex_packet::{Properties, QoS, ReasonCode, Subscription as Asked};

use super::asks::{Ask, What};
use super::{Driver, Waits};
use crate::handle::slots::Answer;
use crate::handle::status::Status;
use crate::{Cause, Error, Event, Refusal, Token};

impl Driver {
    pub(super) fn take_events(&mut self, now: Instant) {
        while let Some(event) = self.machine.poll_event() {
            self.take_event(event, now);
        }
        self.routes.flush_touched(now);
        self.unsubscribe_left(now);
        if self.routes.unclaimed.dropped > 0 {
            let count = std::mem::take(&mut self.routes.unclaimed.dropped);
            self.tell(Status::Dropped { count });
        }
    }

    fn take_event(&mut self, event: Event, now: Instant) {
        match event {
            Event::Message { message, dup, ack } => {
                if let Some(responses) = &mut self.responses
                    && responses.topic == message.topic
                {
                    let slot = responses.answered(&message);
                    self.answers.extend(slot.map(|slot| (slot, Ok(Answer::Response(Box::new(message))))));
                    if let Some(token) = ack {
                        self.machine.acknowledge(token);
                    }
                    return;
                }
                if message.qos == QoS::AtMostOnce && self.reads_on && self.routes.is_too_much(&message) {
                    self.routes.unclaimed.dropped += 1;
                    return;
                }
                self.routes.deliver(message, dup, ack, now);
            }
            Event::PublishDone { token, reason, properties } => {
                self.published(token, Ok((reason, properties)));
            }
            Event::PublishRefused { token, refusal } => self.published(token, Err(refusal)),
            Event::Subscribed { token, reasons, properties } => {
                if let Some(ask) = self.asks.asked.remove(&token) {
                    self.subscribed(ask, reasons, properties, now);
                }
            }
            Event::Unsubscribed { token, reasons, properties } => {
                let Some(ask) = self.asks.asked.remove(&token) else { return };
                if let What::Unsubscribe { filters } = &ask.what {
                    // Before 5.0 there are no reasons.
                    let refused = |at: usize| reasons.get(at).is_some_and(|reason| reason.is_error());
                    let over = filters.iter().enumerate().filter(|(at, _)| !refused(*at));
                    let over: Vec<_> = over.map(|(_, filter)| filter.clone()).collect();
                    self.routes.unsubscribed(&over, ask.nth, now);
                }
                let answer = Answer::Granted { reasons, properties };
                self.answers.extend(ask.slot.map(|slot| (slot, Ok(answer))));
            }
            // It is asked again on the next connection, as long as its caller waits.
            Event::Unanswered { token } => {
                if let Some(ask) = self.asks.asked.remove(&token) {
                    self.asks.again(ask);
                }
            }
            Event::Connected { session_present, properties } => {
                self.is_connected(session_present, properties, now)
            }
            Event::Auth { reason, properties } => self.authenticate(reason, &properties),
            Event::StoreFailed { error } => self.tell(Status::StoreFailed { error: Arc::new(error) }),
            Event::Disconnected { cause } => self.cause = self.cause.take().or(Some(cause)),
        }
    }

    fn published(&mut self, token: Token, end: Result<(ReasonCode, Properties<'static>), Refusal>) {
        if end.is_ok() {
            // The connection has been of use. CONNACK says no such thing: a server may accept it, and close it because of
            // a message that it is sent on each.
            self.attempt = 0;
        }
        match self.deliveries.remove(&token) {
            Some(Waits::Publisher(slot)) => {
                let answer = match end {
                    Ok((reason, properties)) => Ok(Answer::Published { reason, properties }),
                    Err(refusal) => Err(refusal.into()),
                };
                self.answers.push((slot, answer));
            }
            Some(Waits::Requester(number)) => match end {
                Ok((reason, properties)) if reason.is_error() => {
                    self.request_failed(number, Error::Rejected { reason, properties });
                }
                Ok(_) => {}
                Err(refusal) => self.request_failed(number, refusal.into()),
            },
            None => self.tell(Status::Settled { token }),
        }
    }

    fn is_connected(&mut self, session_present: bool, properties: Properties<'static>, now: Instant) {
        if let Some(authenticator) = &mut self.authenticator {
            let accepted = authenticator.accepted(properties.authentication_data().unwrap_or_default());
            if let Err(error) = accepted {
                self.give_up(Cause::Authentication(error));
                return;
            }
        }
        let first = !std::mem::replace(&mut self.was_connected, true);
        self.accepted = Some(now);
        if session_present && !first {
            self.routes.come_again(now);
        }
        // The session of an earlier process may have other subscriptions than this one.
        if first || !session_present {
            self.subscribe_again();
        }
        self.answers.extend(self.connected.take().map(|slot| (slot, Ok(Answer::Done))));
        self.tell(Status::Connected { session_present, properties });
        self.send_asks(now);
    }

    /// Ends the connection for a reason of the application's.
    fn give_up(&mut self, cause: Cause) {
        self.cause = Some(cause);
        // Closed without DISCONNECT where there is no word for it; the will is published.
        self.machine.connection_lost();
    }

    fn authenticate(&mut self, reason: ReasonCode, properties: &Properties<'_>) {
        let Some(authenticator) = &mut self.authenticator else {
            let what = "the server asks for authentication data, and there is no authenticator";
            self.give_up(Cause::Authentication(what.into()));
            return;
        };
        let data = properties.authentication_data().unwrap_or_default();
        let next = if reason == ReasonCode::ContinueAuthentication {
            authenticator.challenged(data).map(Some)
        } else {
            authenticator.accepted(data).map(|()| None)
        };
        match next {
            Ok(Some(answer)) => {
                if let Err(refusal) = self.machine.authenticate(ReasonCode::ContinueAuthentication, &answer) {
                    self.give_up(Cause::Authentication(refusal.into()));
                }
            }
            Ok(None) => {
                let slot = self.reauthenticating.take();
                self.answers.extend(slot.map(|slot| (slot, Ok(Answer::Done))));
            }
            Err(error) => self.give_up(Cause::Authentication(error)),
        }
    }

    fn subscribed(
        &mut self,
        ask: Ask,
        reasons: Vec<ReasonCode>,
        properties: Properties<'static>,
        now: Instant,
    ) {
        let refused = reasons.iter().all(|reason| reason.is_error());
        match &ask.what {
            What::Responses { .. } if refused => {
                let reason = reasons.first().copied().unwrap_or(ReasonCode::UnspecifiedError);
                self.ask_failed(ask, Error::Rejected { reason, properties }, now);
                return;
            }
            What::Responses { .. } => {
                let Some(responses) = &mut self.responses else { return };
                for (mut message, slot) in responses.grant() {
                    let Some(responses) = &mut self.responses else { return };
                    let number = responses.ask(&mut message, slot);
                    self.publish_request(message, number);
                }
                return;
            }
            What::Subscribe { inbound, subscriptions } if refused => {
                self.routes.remove(inbound, ask.slot.is_none(), now);
                if ask.slot.is_none() {
                    self.tell_unsubscribed(subscriptions);
                }
            }
            What::Subscribe { .. } | What::Unsubscribe { .. } => {}
        }
        let answer = Answer::Granted { reasons, properties };
        self.answers.extend(ask.slot.map(|slot| (slot, Ok(answer))));
    }

    pub(super) fn tell_unsubscribed(&self, subscriptions: &[Asked<'_>]) {
        let filters = subscriptions.iter().map(|asked| asked.filter.as_str().to_owned()).collect();
        self.tell(Status::Unsubscribed { filters });
    }

    /// Ends what has taken too long; whether that made room.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        let room = self.routes.unclaimed.drop_old(now);
        if self.machine.is_connected()
            && let Some(topic) = self.routes.unclaimed.overdue(now, self.unclaimed_timeout)
        {
            self.cause = Some(Cause::Unclaimed { topic: topic.as_str().to_owned() });
            // The will is published, as when the client had died.
            let reason = ReasonCode::ImplementationSpecificError;
            if self.machine.disconnect(reason, Properties::new()).is_err() {
                self.machine.connection_lost();
            }
        }
        for ask in self.asks.expired(now) {
            let error = Error::Timeout(ask.what.answer());
            self.ask_failed(ask, error, now);
        }
        room
    }
}
