//! A program on a failing disk, and what was published to it: which messages were acknowledged, which were refused, and
//! of which nobody knows. On a healed disk the books are compared with what a durable session then gets.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use opifex_packet::{Packet, Puback, Pubcomp, Pubrec, QoS, ReasonCode, RetainHandling, SubscriptionOptions};

use crate::process::Process;
use crate::shim::{Answer, Client, refusal};
use crate::token::Token;

/// What became of a publish.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Acknowledged,
    Refused(ReasonCode),
    /// The connection ended first, with that reason where one was given.
    Closed(Option<ReasonCode>),
}

/// See the module's documentation.
#[derive(Default)]
pub(crate) struct Books {
    fates: BTreeMap<Token, Fate>,
}

impl Books {
    /// Publishes messages of that size, QoS 1 and 2 in turn, until one is not acknowledged or there are so many.
    /// Answers the last one's fate.
    pub(crate) fn publish(&mut self, address: SocketAddr, count: u32, len: usize) -> Fate {
        let first = self.fates.len() as u32;
        let mut client = match Client::durable(address, "publisher") {
            Ok(client) => client,
            Err(error) => return Fate::Closed(refusal(&error)),
        };
        // Of a QoS 2 message that was not seen through, the session knows the packet id still.
        client.go_on_with_ids_after(first as u16);
        for n in first..first + count {
            let token = Token { publisher: 1, n };
            let qos = if n.is_multiple_of(2) { QoS::AtLeastOnce } else { QoS::ExactlyOnce };
            let fate = match client.publish(qos, false, "a/b", &token.payload(len)) {
                Ok(Answer::Reason(reason)) if reason.is_error() => Fate::Refused(reason),
                Ok(Answer::Reason(_)) => Fate::Acknowledged,
                Ok(Answer::Closed(reason)) => Fate::Closed(reason),
                Err(error) => panic!("no answer, and no end of the connection: {error}"),
            };
            self.fates.insert(token, fate);
            if fate != Fate::Acknowledged {
                return fate;
            }
        }
        Fate::Acknowledged
    }

    pub(crate) fn acknowledged(&self) -> usize {
        self.fates.values().filter(|fate| **fate == Fate::Acknowledged).count()
    }

    /// Publishes one message after the other until one is acknowledged; the rest may be refused.
    pub(crate) fn publish_until_acknowledged(&mut self, process: &mut Process, len: usize) {
        let address = process.address().expect("it listens");
        process.wait_until(|_| self.publish(address, 1, len) == Fate::Acknowledged);
    }

    /// Comes back as the durable session, takes and settles all that was acknowledged, and publishes nothing itself.
    pub(crate) fn drain(&self, address: SocketAddr) {
        let mut away = Client::durable(address, "away").unwrap();
        let acknowledged = self.fates.iter().filter(|(_, fate)| **fate == Fate::Acknowledged);
        let mut left: BTreeSet<Token> = acknowledged.map(|(token, _)| *token).collect();
        let mut unreleased = BTreeSet::new();
        while !left.is_empty() || !unreleased.is_empty() {
            match away.receive().unwrap() {
                Packet::Publish(publish) => {
                    let id = publish.delivery.packet_id().unwrap();
                    match publish.qos() {
                        QoS::AtLeastOnce => away.send(Puback::new(id)).unwrap(),
                        _ => {
                            unreleased.insert(id);
                            away.send(Pubrec::new(id)).unwrap();
                        }
                    }
                    left.remove(&Token::of(&publish.payload).expect("the payload is whole"));
                }
                Packet::Pubrel(pubrel) => {
                    unreleased.remove(&pubrel.packet_id);
                    away.send(Pubcomp::new(pubrel.packet_id)).unwrap();
                }
                other => panic!("expected PUBLISH, not {other:?}"),
            }
        }
        // Until all of it has been heard.
        away.send(Packet::Pingreq).unwrap();
        assert_eq!(away.receive().unwrap(), Packet::Pingresp);
    }

    /// Takes everything that waits for the durable session, and compares: nothing acknowledged is lost, nothing
    /// refused is there, nothing is there twice.
    pub(crate) fn settle(&self, address: SocketAddr) {
        self.settle_rest(address, 0);
    }

    /// The same, when so many of the first ones that were acknowledged were taken before.
    pub(crate) fn settle_rest(&self, address: SocketAddr, taken_before: usize) {
        let taken = take_all(address);
        let acknowledged = |(_, fate): &(&Token, &Fate)| **fate == Fate::Acknowledged;
        let gone: BTreeSet<&Token> =
            self.fates.iter().filter(acknowledged).map(|(token, _)| token).take(taken_before).collect();
        for (token, fate) in &self.fates {
            if gone.contains(token) {
                assert!(!taken.contains(token), "{token:?} was settled, and is there again");
                continue;
            }
            match fate {
                Fate::Acknowledged => {
                    assert!(taken.contains(token), "{token:?} was acknowledged, and is lost")
                }
                Fate::Refused(reason) => {
                    assert!(!taken.contains(token), "{token:?} was refused with {reason:?}")
                }
                Fate::Closed(_) => {}
            }
        }
        let unknown: Vec<_> = taken.iter().filter(|token| !self.fates.contains_key(token)).collect();
        assert!(unknown.is_empty(), "{unknown:?} come from nowhere");
    }
}

/// Makes the durable session that gets everything.
pub(crate) fn subscribe(address: SocketAddr) -> std::io::Result<()> {
    let mut away = Client::durable(address, "away")?;
    match away.subscribe("a/#", QoS::ExactlyOnce)? {
        reason if reason.is_error() => Err(std::io::Error::other(format!("SUBACK {reason:?}"))),
        _ => Ok(()),
    }
}

/// Comes back as the durable session, takes and settles everything.
pub(crate) fn take_all(address: SocketAddr) -> BTreeSet<Token> {
    let mut away = Client::durable(address, "away").unwrap();
    // Behind all that waits: those of one QoS on one topic keep their order.
    let mut last: BTreeSet<Token> = [(9, QoS::AtLeastOnce), (10, QoS::ExactlyOnce)]
        .map(|(publisher, qos)| {
            let token = Token { publisher, n: 0 };
            let mut client = Client::transient(address, "end").unwrap();
            let answer = client.publish(qos, false, "a/b", &token.payload(20)).unwrap();
            assert!(matches!(answer, Answer::Reason(reason) if !reason.is_error()), "{answer:?}");
            token
        })
        .into();
    let mut taken = BTreeSet::new();
    while !last.is_empty() {
        match away.receive().unwrap() {
            Packet::Publish(publish) => {
                let id = publish.delivery.packet_id().unwrap();
                match publish.qos() {
                    QoS::AtLeastOnce => away.send(Puback::new(id)).unwrap(),
                    _ => away.send(Pubrec::new(id)).unwrap(),
                }
                let token = Token::of(&publish.payload).expect("the payload is whole");
                if !last.remove(&token) {
                    assert!(taken.insert(token), "{token:?} twice");
                }
            }
            Packet::Pubrel(pubrel) => away.send(Pubcomp::new(pubrel.packet_id)).unwrap(),
            other => panic!("expected PUBLISH, not {other:?}"),
        }
    }
    taken
}

/// Two clients that need no store, and talk to each other whatever becomes of it.
pub(crate) struct Talk {
    talker: Client,
    listener: Client,
    said: u32,
}

impl Talk {
    /// They want nothing retained, which would have to be read.
    pub(crate) fn start(address: SocketAddr) -> std::io::Result<Talk> {
        let mut listener = Client::transient(address, "listener")?;
        let mut options = SubscriptionOptions::from(QoS::AtLeastOnce);
        options.retain_handling = RetainHandling::DoNotSend;
        match listener.subscribe_with("talk", options)? {
            reason if reason.is_error() => return Err(std::io::Error::other(format!("SUBACK {reason:?}"))),
            _ => {}
        }
        Ok(Talk { talker: Client::transient(address, "talker")?, listener, said: 0 })
    }

    /// They talk, in QoS 0 and 1, and are served at once.
    pub(crate) fn expect_served(&mut self) {
        let begun = Instant::now();
        for _ in 0..20 {
            self.said += 1;
            let payload = format!("message {}", self.said).into_bytes();
            if self.said.is_multiple_of(2) {
                self.talker.start_publish(QoS::AtMostOnce, false, "talk", &payload).unwrap();
            } else {
                let answer = self.talker.publish(QoS::AtLeastOnce, false, "talk", &payload).unwrap();
                assert_eq!(answer, Answer::Reason(ReasonCode::Success));
            }
            match self.listener.receive().unwrap() {
                Packet::Publish(publish) => {
                    assert_eq!(&*publish.payload, payload);
                    if let Some(id) = publish.delivery.packet_id() {
                        self.listener.send(Puback::new(id)).unwrap();
                    }
                }
                other => panic!("expected PUBLISH, not {other:?}"),
            }
        }
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    }
}

/// 0x97, of the message alone or of the connection.
pub(crate) fn expect_refused(fate: Fate, process: &Process) {
    let refused = matches!(
        fate,
        Fate::Refused(ReasonCode::QuotaExceeded) | Fate::Closed(Some(ReasonCode::QuotaExceeded))
    );
    assert!(refused, "{fate:?}: {}", process.said());
}
