//! 6 MQTT over WebSocket: the client over `opifex-websocket`, as a connector opens it, with a server that somebody else wrote.

use futures_util::{SinkExt as _, StreamExt as _};
use opifex_client::{Client, Error, Reconnect, Subscription};
use opifex_packet::{QoS, Version};
use tokio::io::{DuplexStream, duplex};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

use crate::peer::lasting;
use crate::statements;

statements! { "websocket";
    it_offers_the_subprotocol_mqtt: v4 ["MQTT-6.0.0-3"], v5 ["MQTT-6.0.0-3"];
    it_sends_binary_frames_and_a_text_frame_ends_the_connection: v4 ["MQTT-6.0.0-1"], v5 ["MQTT-6.0.0-1"];
    packets_may_share_frames_and_span_them: v4 ["MQTT-6.0.0-2"], v5 ["MQTT-6.0.0-2"];
}

type Server = WebSocketStream<DuplexStream>;

fn talk(conversation: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.unwrap().block_on(conversation);
}

/// A server, what the client offered it, and the client's end of the WebSocket.
async fn opened() -> (Server, String, opifex_websocket::WebSocket<DuplexStream>) {
    let (ours, theirs) = duplex(1 << 16);
    let mut offered = String::new();
    #[allow(clippy::result_large_err, reason = "tungstenite's signature")]
    let picks = |request: &Request, mut response: Response| {
        offered = request.headers()["Sec-WebSocket-Protocol"].to_str().unwrap().to_owned();
        response.headers_mut().insert("Sec-WebSocket-Protocol", "mqtt".parse().unwrap());
        Ok(response)
    };
    let server = tokio_tungstenite::accept_hdr_async(theirs, picks);
    let (client, server) = tokio::join!(opifex_websocket::connect(ours, "broker", "/mqtt"), server);
    (server.unwrap(), offered, client.unwrap())
}

/// The payload of the next frame of the client's, which is binary.
async fn said(server: &mut Server) -> Vec<u8> {
    match server.next().await.unwrap().unwrap() {
        Frame::Binary(bytes) => bytes.to_vec(),
        other => panic!("{other:?}"),
    }
}

fn connack(version: Version) -> &'static [u8] {
    if version.is_v5() { &[0x20, 3, 0, 0, 0] } else { &[0x20, 2, 0, 0] }
}

/// A client that is connected to that server, and does not come again.
async fn connected(version: Version) -> (Server, Client) {
    let (mut server, _, socket) = opened().await;
    let client = Client::builder(lasting(version)).reconnect(Reconnect::never()).over(socket);
    let serve = async {
        let hello = said(&mut server).await;
        assert_eq!((hello[0], &hello[2..8], hello[8]), (0x10, &b"\0\x04MQTT"[..], version.level()));
        server.send(Frame::binary(connack(version).to_vec())).await.unwrap();
    };
    let (client, ()) = tokio::join!(client, serve);
    (server, client.unwrap())
}

/// The SUBACK of this SUBSCRIBE to one filter.
fn suback_of(subscribe: &[u8], version: Version) -> Vec<u8> {
    let none: &[u8] = if version.is_v5() { &[0] } else { &[] };
    [&[0x90, 3 + none.len() as u8], &subscribe[2..4], none, &[0]].concat()
}

/// Subscribes to `a`.
async fn subscribed(server: &mut Server, client: &Client, version: Version) -> Subscription {
    let (subscription, ()) = tokio::join!(client.subscribe("a", QoS::AtMostOnce), async {
        let suback = suback_of(&said(server).await, version);
        server.send(Frame::binary(suback)).await.unwrap();
    });
    subscription.unwrap()
}

fn it_offers_the_subprotocol_mqtt(_version: Version) {
    talk(async {
        let (_, offered, _) = opened().await;
        assert_eq!(offered, "mqtt");
    });
}

fn it_sends_binary_frames_and_a_text_frame_ends_the_connection(version: Version) {
    talk(async {
        let (mut server, client) = connected(version).await;
        let mut messages = subscribed(&mut server, &client, version).await;
        // A text frame with a packet that would be right.
        let publish = if version.is_v5() { "0\u{5}\0\u{1}a\0x" } else { "0\u{4}\0\u{1}ax" };
        server.send(Frame::text(publish)).await.unwrap();
        assert!(messages.next().await.is_none(), "it is not read");
        let publish = client.publish(crate::peer::message("m", QoS::AtLeastOnce));
        assert!(matches!(publish.await, Err(Error::Ended(_) | Error::Lost)));
        while let Some(Ok(frame)) = server.next().await {
            assert!(matches!(frame, Frame::Binary(_) | Frame::Close(_)), "{frame:?}");
        }
    });
}

fn packets_may_share_frames_and_span_them(version: Version) {
    talk(async {
        let (mut server, client) = connected(version).await;
        let none: &[u8] = if version.is_v5() { &[0] } else { &[] };
        let (first, second) = tokio::join!(client.subscribe("a", QoS::AtMostOnce), async {
            let suback = suback_of(&said(&mut server).await, version);
            // Its bytes one by one, the last of them with the message behind it.
            let publish = [&[0x30, 4 + none.len() as u8, 0, 1, b'a'], none, b"x"].concat();
            let (last, front) = suback.split_last().unwrap();
            for byte in front {
                server.send(Frame::binary(vec![*byte])).await.unwrap();
            }
            let together = [&[*last], &publish[..], &publish[..]].concat();
            server.send(Frame::binary(together)).await.unwrap();
        });
        let mut messages = first.unwrap();
        let () = second;
        for _ in 0..2 {
            assert_eq!(&messages.next().await.unwrap().payload[..], b"x");
        }
    });
}
