//! What the handles ask for, in their order.

use std::sync::Arc;
use std::time::Instant;

use opifex_packet::{Properties, Property, ReasonCode, Subscription as Asked};

use super::asks::{Ask, What};
use super::leaving::Leaving;
use super::responses::Responses;
use super::{Driver, Waits};
use crate::handle::inbound::Inbound;
use crate::handle::queue::{Command, Other};
use crate::handle::slots::{Answer, SlotId};
use crate::machine::after;
use crate::{Error, Message, Refusal};

impl Driver {
    /// Takes what there is, as far as the machine has room.
    pub(super) fn take_commands(&mut self, now: Instant) {
        let waiting = self.backlog.len();
        let taken = self.shared.take(&mut self.backlog, &mut self.acks);
        if taken.nudged {
            self.routes.touch();
        }
        let new = self.backlog.len() > waiting;
        for token in self.acks.drain(..) {
            self.machine.acknowledge(token);
        }
        while let Some(command) = self.backlog.pop_front() {
            if let Err(command) = self.perform(command, now) {
                self.backlog.push_front(command);
                if new {
                    self.pass_by(now);
                }
                break;
            }
        }
        if self.leaving.is_none() && !taken.has_users {
            self.leave(Leaving::unasked(now));
        }
        self.send_asks(now);
    }

    /// Publishes alone wait for room: a disconnect must not, which may be the way out.
    fn pass_by(&mut self, now: Instant) {
        for command in std::mem::take(&mut self.backlog) {
            match command {
                Command::Publish { .. } => self.backlog.push_back(command),
                Command::Other(other) => self.perform_other(*other, now),
            }
        }
    }

    /// Gives the command back when there is no room for it.
    fn perform(&mut self, command: Command, now: Instant) -> Result<(), Command> {
        match command {
            Command::Publish { message, slot } if !self.machine.has_room(&message) => {
                return Err(Command::Publish { message, slot });
            }
            Command::Publish { message, slot } => self.publish(message, slot),
            Command::Other(other) => self.perform_other(*other, now),
        }
        Ok(())
    }

    fn perform_other(&mut self, other: Other, now: Instant) {
        match other {
            Other::Subscribe { subscriptions, properties, inbound, slot } => {
                let what = What::Subscribe { subscriptions, inbound };
                self.ask(what, properties, slot, now);
            }
            Other::Unsubscribe { filters, properties, slot } => {
                self.ask(What::Unsubscribe { filters }, properties, slot, now);
            }
            Other::Unclaimed { inbound, slot } => {
                self.routes.set_rest(inbound, now);
                self.answers.push((slot, Ok(Answer::Done)));
            }
            Other::Request { message, slot } => self.request(message, slot),
            Other::Reauthenticate { slot } => self.reauthenticate(slot),
            Other::Connected { slot } => self.connected = Some(slot),
            Other::Disconnect { reason, properties, patience, slot } => {
                self.leave(Leaving::asked(reason, properties, after(now, patience), slot));
            }
        }
    }

    fn publish(&mut self, message: Message, slot: SlotId) {
        match self.machine.publish(message) {
            Ok(Some(token)) => {
                self.deliveries.insert(token, Waits::Publisher(slot));
            }
            Ok(None) => self.unwritten.push(slot),
            Err(refusal) => self.answers.push((slot, Err(refusal.into()))),
        }
    }

    fn ask(&mut self, what: What, mut properties: Properties<'static>, slot: SlotId, now: Instant) {
        if !self.asks.has_room() {
            self.answers.push((slot, Err(Error::Full)));
            return;
        }
        if let What::Subscribe { .. } = what
            && self.machine.gives_subscription_identifiers()
            && properties.subscription_identifier().is_none()
        {
            properties.push(Property::SubscriptionIdentifier(self.routes.identifier()));
        }
        let deadline = Some(after(now, self.response_timeout));
        self.asks.push(what, properties, Some(slot), deadline);
    }

    /// Sends what waits for a connection.
    pub(super) fn send_asks(&mut self, now: Instant) {
        if !self.machine.is_connected() {
            return;
        }
        while let Some(ask) = self.asks.waiting.pop_front() {
            let properties = ask.properties.clone();
            let sent = match &ask.what {
                What::Subscribe { subscriptions, .. } => {
                    self.machine.subscribe(subscriptions.clone(), properties)
                }
                What::Responses { subscription } => {
                    self.machine.subscribe(vec![subscription.clone()], properties)
                }
                What::Unsubscribe { filters } => self.machine.unsubscribe(filters.clone(), properties),
            };
            match sent {
                Ok(token) => {
                    // Messages may come in front of the answer.
                    if let (What::Subscribe { subscriptions, inbound }, Some(_)) = (&ask.what, ask.slot)
                        && !self.routes.all().any(|route| Arc::ptr_eq(&route.inbound, inbound))
                    {
                        self.routes.add(
                            subscriptions.clone(),
                            ask.properties.clone(),
                            Arc::clone(inbound),
                            ask.nth,
                            now,
                        );
                    }
                    self.asks.asked.insert(token, ask);
                }
                Err(Refusal::Full | Refusal::NotConnected) => {
                    self.asks.waiting.push_front(ask);
                    return;
                }
                Err(refusal) => self.ask_failed(ask, refusal.into(), now),
            }
        }
    }

    /// A SUBSCRIBE or UNSUBSCRIBE came to nothing.
    pub(super) fn ask_failed(&mut self, ask: Ask, error: Error, now: Instant) {
        match ask.what {
            What::Subscribe { subscriptions, inbound } => {
                self.routes.remove(&inbound, ask.slot.is_none(), now);
                if ask.slot.is_none() {
                    self.tell_unsubscribed(&subscriptions);
                }
            }
            What::Responses { .. } => {
                let mut responses = self.responses.take();
                let slots = responses.as_mut().map(Responses::take_all).unwrap_or_default();
                self.answers.extend(slots.into_iter().map(|slot| (slot, Err(error.clone()))));
            }
            What::Unsubscribe { .. } => {}
        }
        self.answers.extend(ask.slot.map(|slot| (slot, Err(error))));
    }

    /// Unsubscribes from what dropped streams had subscribed to, unless the session is to keep it.
    pub(super) fn unsubscribe_left(&mut self, now: Instant) {
        let left = std::mem::take(&mut self.routes.left);
        if !left.is_empty() && !self.machine.keeps_session() {
            self.asks.push(What::Unsubscribe { filters: left }, Properties::new(), None, None);
            self.send_asks(now);
        }
    }

    /// Subscribes to all that there is a stream for: the server has forgotten, or was not asked yet.
    pub(super) fn subscribe_again(&mut self) {
        if self.machine.gives_subscription_identifiers() {
            self.routes.name_all();
        }
        let known: Vec<Arc<Inbound>> = self
            .asks
            .waiting
            .iter()
            .filter_map(|ask| match &ask.what {
                What::Subscribe { inbound, .. } => Some(Arc::clone(inbound)),
                What::Unsubscribe { .. } | What::Responses { .. } => None,
            })
            .collect();
        let is_known = |inbound: &Arc<Inbound>| known.iter().any(|known| Arc::ptr_eq(known, inbound));
        for route in self.routes.all().filter(|route| !is_known(&route.inbound)) {
            // What is about to be unsubscribed is not subscribed to once more, behind it.
            let is_wanted = |asked: &&Asked<'static>| !self.asks.ends(&asked.filter, route.asked);
            let subscriptions: Vec<_> = route.subscriptions.iter().filter(is_wanted).cloned().collect();
            if subscriptions.is_empty() {
                continue;
            }
            let what = What::Subscribe { subscriptions, inbound: Arc::clone(&route.inbound) };
            self.asks.push(what, route.properties.clone(), None, None);
        }
        if self.responses.is_some()
            && !self.asks.waiting.iter().any(|ask| matches!(ask.what, What::Responses { .. }))
        {
            self.subscribe_to_responses();
        }
    }

    fn reauthenticate(&mut self, slot: SlotId) {
        let refused = |what| Err(Refusal::forbidden("MQTT5 4.12.1", what).into());
        let Some(authenticator) = &mut self.authenticator else {
            self.answers
                .push((slot, refused("a re-authentication needs an authenticator; give the builder one")));
            return;
        };
        if self.reauthenticating.is_some() {
            self.answers.push((slot, refused("a re-authentication is under way")));
            return;
        }
        let began = match authenticator.begin() {
            Ok(data) => self.machine.authenticate(ReasonCode::ReAuthenticate, &data),
            Err(error) => Err(Refusal::Authentication(error)),
        };
        match began {
            Ok(()) => self.reauthenticating = Some(slot),
            Err(refusal) => self.answers.push((slot, Err(refusal.into()))),
        }
    }
}

impl Command {
    /// Who waits for the answer.
    pub(super) fn into_slot(self) -> SlotId {
        match self {
            Command::Publish { slot, .. } => slot,
            Command::Other(other) => match *other {
                Other::Subscribe { slot, .. }
                | Other::Unsubscribe { slot, .. }
                | Other::Unclaimed { slot, .. }
                | Other::Request { slot, .. }
                | Other::Reauthenticate { slot }
                | Other::Connected { slot }
                | Other::Disconnect { slot, .. } => slot,
            },
        }
    }
}
