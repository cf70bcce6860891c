//! Rules of the transport: a client that breaks one over WebSocket is one that breaks a rule, not one that was lost.

use opifex_broker::Peer as Origin;
use opifex_packet::Version;
use opifex_websocket::{Origins, accept};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::time::timeout;

use crate::house::{House, PATIENCE};
use crate::peer::*;

const REQUEST: &[u8] = b"GET /mqtt HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";

/// A masked frame whose mask is nothing.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    [&[first, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat()
}

/// A client over WebSocket whose CONNECT was accepted.
async fn connected(house: &House) -> DuplexStream {
    let (mut client, server) = duplex(1 << 16);
    client.write_all(REQUEST).await.unwrap();
    let socket = accept(server, &Origins::default()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(client.read_u8().await.unwrap());
    }
    let broker = house.broker.clone();
    tokio::spawn(async move { broker.serve(socket, Origin::Local).await });
    let connect = encoded(opifex_packet::Connect::new(Version::V3_1_1, "offender"), Version::V3_1_1);
    client.write_all(&frame(0x82, &connect)).await.unwrap();
    let mut connack = [0; 6];
    client.read_exact(&mut connack).await.unwrap();
    assert_eq!(connack, [0x82, 4, 0x20, 2, 0, 0]);
    client
}

#[tokio::test]
async fn a_broken_rule_of_websocket_is_counted_as_one_and_told() {
    let mut house = House::start().await;
    let text = frame(0x81, b"x");
    for (errors, bytes) in [(1, text.clone()), (2, [frame(0x82, &[0xc0, 0]), text].concat())] {
        let mut client = connected(&house).await;
        client.write_all(&bytes).await.unwrap();
        let mut said = Vec::new();
        timeout(PATIENCE, client.read_to_end(&mut said)).await.unwrap().unwrap();
        // [MQTT-6.0.0-1]
        assert!(said.ends_with(&[0x88, 2, 0x03, 0xeb]), "{said:x?}");
        house.only_bystanders_are_left().await;
        assert_eq!(house.stats().protocol_errors, errors);
        house.bystanders_are_served().await;
    }
    house.finish().await;
}

#[tokio::test]
async fn a_connection_that_is_lost_is_no_broken_rule() {
    let house = House::start().await;
    drop(connected(&house).await);
    house.only_bystanders_are_left().await;
    assert_eq!(house.stats().protocol_errors, 0);
    house.finish().await;
}
