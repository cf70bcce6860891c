//! A client: one session over many connections. What it does on them is in `publishing.rs` and `subscribing.rs`; when
//! it comes and goes is its habit.

use std::net::SocketAddr;
use std::time::Duration;

use opifex_packet::{Connect, Disconnect, Packet, Property, QoS, ReasonCode, TopicName, Version, Will};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::dice::Dice;
use crate::event::{self, Ending, Event, NEVER, Publication};
use crate::journal::Journal;
use crate::publishing::{Publishing, Topic};
use crate::subscribing::{FENCES, Subscribing, fence_payload};
use crate::wire::Wire;

/// Longer than a broker takes to hear DISCONNECT.
const GOODBYE_PATIENCE: Duration = Duration::from_secs(20);

/// What all clients are told.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Phase {
    /// Where the broker is, as long as it is.
    pub(crate) address: Option<SocketAddr>,
    pub(crate) mode: Mode,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Everybody does what they do.
    Load,
    /// Nobody begins anything. Everybody is connected (hermits, if `all`) and brings to an end what is on its way.
    Finish { all: bool },
    /// The same; the one who does that publishes the fence.
    Fence { all: bool, number: u64 },
    /// Everybody goes.
    Stop,
}

/// When a client comes and goes.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Habit {
    /// It stays.
    Steady,
    /// It goes every now and then, with or without a word, and is back soon.
    Flapping,
    /// It comes when the others are quiet.
    Away,
    /// It comes when all are to come.
    Hermit,
    /// It goes like one that flaps, and often begins with a clean start.
    Restarting,
    /// It goes and stays away for about as long as its session lives, or its will waits.
    Mortal { stays_away_millis: u64 },
}

/// Who a client is.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) name: &'static str,
    pub(crate) version: Version,
    /// Seconds; 0: it has no durable session.
    pub(crate) expiry_secs: u32,
    pub(crate) habit: Habit,
    pub(crate) receive_maximum: Option<u16>,
    /// It acknowledges so late that much is on its way to it.
    pub(crate) lazy: bool,
    /// The delays that its wills have, one of them each time.
    pub(crate) will_delays_secs: &'static [u32],
}

pub(crate) struct Client {
    who: Identity,
    publishing: Publishing,
    subscribing: Subscribing,
    dice: Dice,
    journal: Journal,
    phase: watch::Receiver<Phase>,
    fence: u64,
}

impl Client {
    pub(crate) fn new(
        who: Identity,
        topics: Vec<Topic>,
        filters: &[(&'static str, QoS)],
        toggled: &[(&'static str, QoS)],
        dice: &Dice,
        journal: &Journal,
        phase: watch::Receiver<Phase>,
    ) -> Client {
        let name = who.name;
        let window = if who.habit == Habit::Steady { 30 } else { 10 };
        Client {
            publishing: Publishing::new(name, who.expiry_secs != 0, topics, window, journal.clone()),
            subscribing: Subscribing::new(name, filters, toggled, journal.clone()),
            dice: dice.of(name),
            journal: journal.clone(),
            phase,
            fence: 0,
            who,
        }
    }

    /// Lives until all are told to stop.
    pub(crate) async fn run(mut self) {
        loop {
            let phase = *self.phase.borrow_and_update();
            if phase.mode == Mode::Stop {
                return;
            }
            let wanted = match (self.who.habit, phase.mode) {
                (Habit::Away, mode) => mode != Mode::Load,
                (Habit::Hermit, Mode::Finish { all } | Mode::Fence { all, .. }) => all,
                (Habit::Hermit, _) => false,
                _ => true,
            };
            let Some(address) = phase.address.filter(|_| wanted) else {
                if self.phase.changed().await.is_err() {
                    return;
                }
                continue;
            };
            if let Some(mut wire) = self.connect(address).await {
                let how = self.talk(&mut wire).await;
                self.ended(how);
            }
            self.stay_away().await;
        }
    }

    async fn stay_away(&mut self) {
        let millis = match (self.who.habit, self.phase.borrow().mode) {
            (Habit::Mortal { stays_away_millis }, _) => self.dice.within(50..stays_away_millis),
            (_, Mode::Load) => self.dice.within(1..30),
            _ => 5,
        };
        sleep(Duration::from_millis(millis)).await;
    }

    fn ended(&mut self, how: Ending) {
        let name = self.who.name;
        if how == Ending::Lost && self.journal.broker_lives() {
            let why = "the broker closed the connection".to_owned();
            self.journal.record(Event::Refused { client: name, why });
        }
        self.journal.record(Event::Ended { client: name, how });
        self.publishing.ended();
    }

    /// Connects, and goes on with the session; `None` if that does not come to its end.
    async fn connect(&mut self, address: SocketAddr) -> Option<Wire> {
        let who = self.who.clone();
        let mut wire = Wire::open(who.name, who.version, address, &self.journal).await?;
        let (will_event, will) = self.new_will();
        let v5 = who.version.is_v5();
        let clean_start = match who.habit {
            _ if who.expiry_secs == 0 => true,
            Habit::Restarting => v5 && self.phase.borrow().mode == Mode::Load && self.dice.once_in(2),
            _ => false,
        };
        let mut connect = Connect::new(who.version, who.name);
        connect.clean_start = clean_start;
        connect.will = will;
        if v5 && who.expiry_secs != 0 {
            connect.properties.push(Property::SessionExpiryInterval(who.expiry_secs));
        }
        if let Some(maximum) = who.receive_maximum.filter(|_| v5) {
            connect.properties.push(Property::ReceiveMaximum(maximum));
        }
        if clean_start {
            self.subscribing.forget();
        }
        let (client, expiry_secs) = (who.name, who.expiry_secs);
        self.journal.record(Event::Connecting { client, clean_start, expiry_secs, will: will_event });
        wire.send(connect).await;
        let present = match wire.receive().await {
            Some(Packet::Connack(connack)) if connack.reason == ReasonCode::Success => {
                connack.session_present
            }
            None => {
                self.ended(Ending::Lost);
                return None;
            }
            Some(other) => {
                self.journal.record(Event::Refused { client, why: format!("to CONNECT: {other:?}") });
                self.ended(Ending::Lost);
                return None;
            }
        };
        self.journal.record(Event::Connected { client, present });
        self.publishing.connected(&mut wire).await;
        self.subscribing.connected(present, &mut wire).await;
        Some(wire)
    }

    fn new_will(&mut self) -> (Option<event::Will>, Option<Will<'static>>) {
        if self.who.will_delays_secs.is_empty() {
            return (None, None);
        }
        let delay_secs = *self.dice.one_of(self.who.will_delays_secs);
        let topic = format!("will/{}", self.who.name);
        let qos = *self.dice.one_of(&[QoS::AtLeastOnce, QoS::ExactlyOnce]);
        let message = self.journal.made(Publication {
            publisher: self.who.name,
            durable: true,
            topic: topic.clone(),
            qos,
            retain: false,
            clears: false,
            expiry_secs: None,
        });
        let mut will = Will::new(TopicName::new(topic).expect("it is one"), message.payload(20));
        will.qos = qos;
        if delay_secs > 0 {
            will.properties.push(Property::WillDelayInterval(delay_secs));
        }
        (Some(event::Will { message, delay_secs }), Some(will))
    }

    /// Everything between CONNACK and the end of the connection.
    async fn talk(&mut self, wire: &mut Wire) -> Ending {
        let mut ticks = interval(Duration::from_millis(3));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                packet = wire.receive() => match packet {
                    None => return Ending::Lost,
                    Some(packet) => {
                        if self.take(packet, wire).await {
                            return Ending::Lost;
                        }
                    }
                },
                _ = ticks.tick() => {
                    if let Some(how) = self.act(wire).await {
                        return how;
                    }
                }
            }
        }
    }

    /// Takes a packet; answers whether the connection is over.
    async fn take(&mut self, packet: Packet<'_>, wire: &mut Wire) -> bool {
        match packet {
            Packet::Publish(publish) => self.subscribing.publish(&publish),
            Packet::Pubrel(pubrel) => self.subscribing.pubrel(pubrel.packet_id),
            Packet::Puback(puback) => self.publishing.puback(puback.packet_id, puback.reason),
            Packet::Pubrec(pubrec) => {
                self.publishing.pubrec(pubrec.packet_id, pubrec.reason, wire).await;
            }
            Packet::Pubcomp(pubcomp) => self.publishing.pubcomp(pubcomp.packet_id, pubcomp.reason),
            Packet::Suback(suback) => self.subscribing.suback(suback.packet_id, &suback.reasons),
            Packet::Unsuback(unsuback) => self.subscribing.unsuback(unsuback.packet_id),
            other => {
                let why = format!("not expected: {other:?}");
                self.journal.record(Event::Refused { client: self.who.name, why });
                return true;
            }
        }
        // Some are acknowledged at once, some wait.
        let at_once = self.phase.borrow().mode != Mode::Load || (!self.who.lazy && self.dice.once_in(2));
        if at_once {
            self.subscribing.acknowledge(usize::MAX, wire).await;
        }
        false
    }

    /// What it does by itself; answers how it goes, if it does.
    async fn act(&mut self, wire: &mut Wire) -> Option<Ending> {
        let mode = self.phase.borrow().mode;
        match mode {
            Mode::Load => {
                let some = match self.who.lazy {
                    true => usize::from(self.dice.once_in(10)),
                    false => self.dice.within(0..8) as usize,
                };
                self.subscribing.acknowledge(some, wire).await;
                self.publishing.publish(&mut self.dice, wire).await;
                if self.dice.once_in(3) {
                    self.subscribing.toggle(&mut self.dice, wire).await;
                }
            }
            Mode::Finish { .. } => {
                self.subscribing.acknowledge(usize::MAX, wire).await;
                if self.subscribing.stands() {
                    self.journal.is_ready(self.who.name);
                }
            }
            Mode::Fence { number, .. } => {
                self.subscribing.acknowledge(usize::MAX, wire).await;
                self.subscribing.pass(number, wire).await;
                if self.who.name == FENCER && self.fence < number {
                    self.fence = number;
                    for (name, qos) in FENCES {
                        let topic = Topic { name: name.to_owned(), qos, retain: false, expiry_secs: None };
                        let payload = |message| fence_payload(message, number);
                        self.publishing.publish_one(topic, false, payload, wire).await;
                    }
                }
            }
            Mode::Stop => return Some(self.go(Ending::Cut, wire).await),
        }
        let goes = match (self.who.habit, mode) {
            (Habit::Flapping | Habit::Restarting, Mode::Load) => self.dice.once_in(25),
            (Habit::Away | Habit::Hermit, Mode::Load) => true,
            (Habit::Mortal { .. }, _) => self.dice.once_in(60),
            _ => false,
        };
        if !goes {
            return None;
        }
        let how = if self.dice.once_in(3) { Ending::Goodbye } else { Ending::Cut };
        Some(self.go(how, wire).await)
    }

    async fn go(&mut self, how: Ending, wire: &mut Wire) -> Ending {
        if how == Ending::Goodbye {
            self.journal.record(Event::Leaving { client: self.who.name });
            wire.send(Disconnect::new(ReasonCode::NORMAL_DISCONNECTION)).await;
            // Until the broker has heard it: whoever connects before that takes over a connection that stands.
            let closed = async { while wire.receive().await.is_some() {} };
            if timeout(GOODBYE_PATIENCE, closed).await.is_err() {
                let why = "DISCONNECT closes nothing".to_owned();
                self.journal.record(Event::Refused { client: self.who.name, why });
            }
        }
        how
    }
}

/// The client that publishes the fences.
pub(crate) const FENCER: &str = "fencer";

impl Identity {
    /// A durable session of MQTT 5.0 that does not expire.
    pub(crate) fn v5(name: &'static str, habit: Habit) -> Identity {
        Identity {
            name,
            version: Version::V5_0,
            expiry_secs: NEVER,
            habit,
            receive_maximum: None,
            lazy: false,
            will_delays_secs: &[],
        }
    }

    /// The same of MQTT 3.1.1.
    pub(crate) fn v3(name: &'static str, habit: Habit) -> Identity {
        Identity { version: Version::V3_1_1, ..Identity::v5(name, habit) }
    }
}
