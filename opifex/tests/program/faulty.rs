//! A broker for one publisher and one subscriber, that makes mistakes: what `opifex bench` has to find out. It speaks 5.0
//! and knows no topics.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use opifex_packet::{
    Connack, DecodeOptions, Decoded, Delivery, Packet, Property, Puback, ReasonCode, Role, Suback, Version,
    decode,
};

use crate::child::PATIENCE;

const VERSION: Version = Version::V5_0;

/// What it does wrong.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    // With each tenth message:
    Drop,
    Twice,
    Late,
    Refuse,
    /// Once, for 400 ms, it does nothing.
    Stall,
    /// The 95th message comes again 150 ms later.
    LastTwice,
    /// The 50th message comes 500 ms behind the 95th.
    Straggler,
    /// From the 50th message on it takes whatever comes, and does nothing with it.
    Sink,
    /// From the 3rd message on it acknowledges none.
    Deaf,
    /// It wants to hear something each second, and closes after one and a half.
    Impatient,
    /// The same, and it answers no PINGREQ.
    NoPingresp,
    /// It hands on nothing until nothing has come for a while.
    Withhold,
    /// It takes 20 ms for each message.
    Slow,
}

/// The broker; it ends with the test's process.
pub(crate) struct Faulty {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    fault: Fault,
    subscriber: Mutex<Option<TcpStream>>,
    /// Messages that have come.
    messages: Mutex<usize>,
    came: Condvar,
    most_held: AtomicUsize,
}

impl Faulty {
    pub(crate) fn new(fault: Fault) -> Faulty {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            fault,
            subscriber: Mutex::new(None),
            messages: Mutex::new(0),
            came: Condvar::new(),
            most_held: AtomicUsize::new(0),
        });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&serving);
                thread::spawn(move || Connection::new(stream, shared).serve());
            }
        });
        Faulty { address, shared }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn wait_for_messages(&self, count: usize) {
        let messages = self.shared.messages.lock().unwrap();
        let (messages, _) =
            self.shared.came.wait_timeout_while(messages, PATIENCE, |messages| *messages < count).unwrap();
        assert!(*messages >= count, "{} messages", *messages);
    }

    /// The most messages that it held back at once.
    pub(crate) fn most_held(&self) -> &AtomicUsize {
        &self.shared.most_held
    }
}

struct Connection {
    stream: TcpStream,
    shared: Arc<Shared>,
    received: Vec<u8>,
    /// Messages that are held back, one after the other, and how many they are.
    held: Vec<u8>,
    held_count: usize,
    number: u32,
}

fn encoded(packet: Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(VERSION, &mut bytes);
    bytes
}

impl Connection {
    fn new(stream: TcpStream, shared: Arc<Shared>) -> Connection {
        stream.set_nodelay(true).unwrap();
        let patience = match shared.fault {
            Fault::Impatient | Fault::NoPingresp => Some(Duration::from_millis(1500)),
            Fault::Withhold => Some(Duration::from_millis(300)),
            _ => None,
        };
        stream.set_read_timeout(patience).unwrap();
        Connection { stream, shared, received: Vec::new(), held: Vec::new(), held_count: 0, number: 0 }
    }

    fn serve(mut self) {
        let mut chunk = vec![0; 64 * 1024];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return,
                Ok(_) if self.shared.fault == Fault::Sink && self.number >= 50 => continue,
                Ok(len) => self.received.extend_from_slice(&chunk[..len]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if self.shared.fault != Fault::Withhold {
                        return;
                    }
                    self.hand_on(Vec::new());
                }
                Err(_) => return,
            }
            while let Ok(Decoded::Packet { packet, len }) =
                decode(&self.received, &DecodeOptions::new(VERSION, Role::Server))
            {
                let packet = packet.into_owned();
                self.received.drain(..len);
                let Some(answer) = self.answer(packet) else {
                    if self.shared.fault == Fault::Withhold {
                        thread::sleep(Duration::from_millis(300));
                        self.hand_on(Vec::new());
                    }
                    return;
                };
                // The client may have ended.
                if self.stream.write_all(&answer).is_err() {
                    return;
                }
            }
        }
    }

    /// The answer to a packet; `None` at the end.
    fn answer(&mut self, packet: Packet<'static>) -> Option<Vec<u8>> {
        let fault = self.shared.fault;
        Some(match packet {
            Packet::Connect(_) => {
                let mut connack = Connack::new(ReasonCode::Success);
                if matches!(fault, Fault::Impatient | Fault::NoPingresp) {
                    connack.properties.push(Property::ServerKeepAlive(1));
                }
                encoded(connack.into())
            }
            Packet::Subscribe(subscribe) => {
                *self.shared.subscriber.lock().unwrap() = Some(self.stream.try_clone().unwrap());
                encoded(Suback::new(subscribe.packet_id, vec![ReasonCode::GrantedQoS1]).into())
            }
            Packet::Publish(publish) => {
                self.number += 1;
                *self.shared.messages.lock().unwrap() += 1;
                self.shared.came.notify_all();
                self.message(encoded(Packet::from(publish.clone())));
                let tenth = self.number.is_multiple_of(10);
                let reason = match fault {
                    Fault::Refuse if tenth => ReasonCode::QuotaExceeded,
                    _ => ReasonCode::Success,
                };
                match publish.delivery {
                    Delivery::AtLeastOnce(_) if fault == Fault::Deaf && self.number >= 3 => Vec::new(),
                    Delivery::AtLeastOnce(id) => encoded(Puback::new(id).with_reason(reason).into()),
                    _ => Vec::new(),
                }
            }
            Packet::Pingreq if fault != Fault::NoPingresp => encoded(Packet::Pingresp),
            Packet::Disconnect(_) => return None,
            _ => Vec::new(),
        })
    }

    fn message(&mut self, bytes: Vec<u8>) {
        let tenth = self.number.is_multiple_of(10);
        match (self.shared.fault, self.number) {
            (Fault::Drop | Fault::Refuse, _) if tenth => {}
            (Fault::Twice, _) if tenth => self.hand_on([bytes.clone(), bytes].concat()),
            (Fault::Late, _) if tenth => self.held = bytes,
            (Fault::Late, _) => {
                let held = std::mem::take(&mut self.held);
                self.hand_on([bytes, held].concat());
            }
            (Fault::Stall, 50) => {
                thread::sleep(Duration::from_millis(400));
                self.hand_on(bytes);
            }
            (Fault::LastTwice, 95) => {
                self.hand_on(bytes.clone());
                self.later(Duration::from_millis(150), bytes);
            }
            (Fault::Straggler, 50) => self.held = bytes,
            (Fault::Straggler, 95) => {
                self.hand_on(bytes);
                let held = std::mem::take(&mut self.held);
                self.later(Duration::from_millis(500), held);
            }
            (Fault::Withhold, _) => {
                self.held.extend_from_slice(&bytes);
                self.held_count += 1;
                self.shared.most_held.fetch_max(self.held_count, Relaxed);
            }
            (Fault::Slow, _) => {
                thread::sleep(Duration::from_millis(20));
                self.hand_on(bytes);
            }
            _ => self.hand_on(bytes),
        }
    }

    /// Sends that, and what is withheld.
    fn hand_on(&mut self, mut bytes: Vec<u8>) {
        if self.shared.fault == Fault::Withhold {
            bytes = std::mem::take(&mut self.held);
            self.held_count = 0;
        }
        if let Some(subscriber) = &mut *self.shared.subscriber.lock().unwrap() {
            // It may have ended.
            let _ = subscriber.write_all(&bytes);
        }
    }

    fn later(&self, time: Duration, bytes: Vec<u8>) {
        let shared = Arc::clone(&self.shared);
        thread::spawn(move || {
            thread::sleep(time);
            if let Some(subscriber) = &mut *shared.subscriber.lock().unwrap() {
                let _ = subscriber.write_all(&bytes);
            }
        });
    }
}
