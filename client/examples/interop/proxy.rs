//! A road to the broker on which it is counted how many QoS 1 and 2 messages of the client are under way at once. What comes is
//! handed on as it is, behind the count.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use opifex_client::Address;
use opifex_packet::{DecodeOptions, Decoded, Packet, PacketId, Role, Version, decode};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

pub(crate) struct Proxy {
    address: Address,
    window: Arc<Mutex<Window>>,
}

#[derive(Default)]
struct Window {
    under_way: HashSet<PacketId>,
    most: usize,
    /// What CONNACK says.
    allowed: usize,
}

impl Proxy {
    /// A road for one client.
    pub(crate) async fn start(broker: Address, version: Version) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address::new("127.0.0.1", listener.local_addr().unwrap().port());
        let window = Arc::new(Mutex::new(Window::default()));
        let counted = Arc::clone(&window);
        // Ends with its two connections.
        tokio::spawn(async move {
            let (client, _) = listener.accept().await.unwrap();
            let server = TcpStream::connect((broker.host(), broker.port())).await.unwrap();
            for stream in [&client, &server] {
                stream.set_nodelay(true).unwrap();
            }
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            let up = |packet: Packet<'_>| counted.lock().unwrap().sent(&packet);
            let down = |packet: Packet<'_>| counted.lock().unwrap().answered(&packet, version);
            tokio::join!(
                hand_on(from_client, to_server, DecodeOptions::new(version, Role::Server), up),
                hand_on(from_server, to_client, DecodeOptions::new(version, Role::Client), down),
            );
        });
        Proxy { address, window }
    }

    pub(crate) fn address(&self) -> Address {
        self.address.clone()
    }

    /// How many were under way at most, and how many were allowed.
    pub(crate) fn window(&self) -> (usize, usize) {
        let window = self.window.lock().unwrap();
        (window.most, window.allowed)
    }
}

impl Window {
    fn sent(&mut self, packet: &Packet<'_>) {
        if let Packet::Publish(publish) = packet {
            self.under_way.extend(publish.delivery.packet_id());
            self.most = self.most.max(self.under_way.len());
        }
    }

    fn answered(&mut self, packet: &Packet<'_>, version: Version) {
        match packet {
            Packet::Connack(connack) if version.is_v5() => {
                self.allowed = connack.properties.receive_maximum().unwrap_or(u16::MAX).into();
            }
            // The client's own limit, since none can be said.
            Packet::Connack(_) => self.allowed = 20,
            Packet::Puback(puback) => drop(self.under_way.remove(&puback.packet_id)),
            Packet::Pubcomp(pubcomp) => drop(self.under_way.remove(&pubcomp.packet_id)),
            _ => {}
        }
    }
}

/// Until one of them ends.
async fn hand_on(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    options: DecodeOptions,
    mut seen: impl FnMut(Packet<'_>),
) {
    let (mut pending, mut chunk) = (Vec::new(), vec![0; 64 * 1024]);
    while let Ok(len @ 1..) = from.read(&mut chunk).await {
        pending.extend_from_slice(&chunk[..len]);
        let mut used = 0;
        while let Decoded::Packet { packet, len } = decode(&pending[used..], &options).unwrap() {
            seen(packet);
            used += len;
        }
        pending.drain(..used);
        if to.write_all(&chunk[..len]).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}
