//! A server that does what a test says and nothing else, over blocking sockets: what a client command says to it can be
//! looked at packet by packet. Not a broker: it hands on no message.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use opifex_packet::{
    Connack, Connect, DecodeOptions, Decoded, Packet, Publish, ReasonCode, Role, Suback, Version, decode,
};

use crate::child::PATIENCE;
use crate::tool::Address;

/// Where clients connect to.
pub(crate) struct Server {
    listener: TcpListener,
    version: Version,
}

/// A connection of a client, with its CONNECT.
pub(crate) struct Guest {
    stream: TcpStream,
    received: Vec<u8>,
    version: Version,
    pub(crate) connect: Connect<'static>,
}

impl From<&Server> for Address {
    fn from(server: &Server) -> Address {
        Address(server.listener.local_addr().unwrap().port().to_string())
    }
}

impl Server {
    /// It listens, and nobody is answered yet.
    pub(crate) fn new(version: Version) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Server { listener, version }
    }

    /// The next connection, when its CONNECT is there.
    pub(crate) fn meet(&self) -> Guest {
        let deadline = Instant::now() + PATIENCE;
        let stream = loop {
            match self.listener.accept() {
                Ok((stream, _)) => break stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => panic!("{error}"),
            }
            assert!(Instant::now() < deadline, "nobody connects");
            // The listener has no end to its patience of its own.
            thread::sleep(Duration::from_millis(2));
        };
        stream.set_nonblocking(false).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let connect = Connect::new(self.version, "");
        let mut guest = Guest { stream, received: Vec::new(), version: self.version, connect };
        match guest.receive() {
            Some(Packet::Connect(connect)) => guest.connect = *connect,
            other => panic!("expected CONNECT, not {other:?}"),
        }
        guest
    }

    /// The next connection, accepted.
    pub(crate) fn accept(&self) -> Guest {
        let mut guest = self.meet();
        guest.send(Connack::new(ReasonCode::Success));
        guest
    }
}

impl Guest {
    pub(crate) fn send<'p>(&mut self, packet: impl Into<Packet<'p>>) {
        let mut bytes = Vec::new();
        packet.into().encode(self.version, &mut bytes);
        self.stream.write_all(&bytes).unwrap();
    }

    /// The next packet; `None` at the end of the connection.
    pub(crate) fn receive(&mut self) -> Option<Packet<'static>> {
        self.receive_within(PATIENCE).unwrap_or_else(|| panic!("nothing comes"))
    }

    /// The same, if something comes in that time.
    pub(crate) fn receive_within(&mut self, patience: Duration) -> Option<Option<Packet<'static>>> {
        self.stream.set_read_timeout(Some(patience)).unwrap();
        loop {
            if let Decoded::Packet { packet, len } =
                decode(&self.received, &DecodeOptions::new(self.version, Role::Server)).unwrap()
            {
                let packet = packet.into_owned();
                self.received.drain(..len);
                return Some(Some(packet));
            }
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Some(None),
                Ok(len) => self.received.extend_from_slice(&chunk[..len]),
                // Closed with bytes of ours unread.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Some(None),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return None;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Grants the subscription that comes next.
    pub(crate) fn grant(&mut self) {
        match self.receive() {
            Some(Packet::Subscribe(subscribe)) => {
                self.send(Suback::new(subscribe.packet_id, vec![ReasonCode::Success]));
            }
            other => panic!("expected SUBSCRIBE, not {other:?}"),
        }
    }

    /// The next packet, which has to be a PUBLISH.
    pub(crate) fn published(&mut self) -> Publish<'static> {
        match self.receive() {
            Some(Packet::Publish(publish)) => publish,
            other => panic!("expected PUBLISH, not {other:?}"),
        }
    }

    /// Sends a message over and over, until the client does not take any more. Reads nothing meanwhile.
    pub(crate) fn flood(mut self, message: Publish<'_>) {
        let mut bytes = Vec::new();
        while bytes.len() < 64 * 1024 {
            Packet::from(message.clone()).encode(self.version, &mut bytes);
        }
        while self.stream.write_all(&bytes).is_ok() {}
    }
}
