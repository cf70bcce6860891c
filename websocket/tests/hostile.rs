//! A peer that means harm: it costs a bounded amount of memory, and ends clearly.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use opifex_websocket::{Origins, WebSocket, accept};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";

fn talk(conversation: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    // Time is paused: it passes when nothing else can happen, and then nothing ever will.
    let limited = async { tokio::time::timeout(std::time::Duration::from_secs(60), conversation).await };
    runtime.unwrap().block_on(limited).expect("the conversation came to its end");
}

/// Our server, and a client that has read the answer to its handshake.
async fn opened(pipe: usize) -> (WebSocket<DuplexStream>, DuplexStream) {
    let (mut client, server) = duplex(pipe);
    let ask = async move {
        client.write_all(REQUEST).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(client.read_u8().await.unwrap());
        }
        client
    };
    let origins = Origins::default();
    let (server, client) = tokio::join!(accept(server, &origins), ask);
    (server.unwrap(), client)
}

/// A masked frame whose mask is nothing.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    assert!(payload.len() < 126);
    [&[first, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat()
}

#[test]
fn pings_of_one_who_does_not_read_are_answered_once_or_twice() {
    talk(async {
        let (mut server, mut client) = opened(300).await;
        let read = tokio::spawn(async move { (server.read_u8().await, server) });
        for number in 0..1_000_u16 {
            client.write_all(&frame(0x89, &number.to_be_bytes().repeat(40))).await.unwrap();
        }
        client.write_all(&frame(0x82, b"x")).await.unwrap();
        // Every Ping was read, though no Pong was.
        let (came, mut server) = read.await.unwrap();
        assert_eq!(came.unwrap(), b'x');
        // Now it reads: three of 82 bytes and the beginning of a fourth are in the pipe, and none was kept but the last.
        let read = tokio::spawn(async move { server.read_u8().await });
        let (mut pongs, mut pong) = (0, [0; 82]);
        while !pong.ends_with(&999_u16.to_be_bytes()) {
            client.read_exact(&mut pong).await.unwrap();
            assert_eq!(pong[..2], [0x8a, 80]);
            pongs += 1;
        }
        assert!(pongs <= 5, "{pongs}");
        read.abort();
    });
}

#[test]
fn the_payload_of_a_frame_without_end_is_read_as_it_comes() {
    talk(async {
        let (mut server, mut client) = opened(300).await;
        // 2^62 bytes.
        client.write_all(&[0x82, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).await.unwrap();
        for byte in 0..100 {
            client.write_all(&[byte]).await.unwrap();
            assert_eq!(server.read_u8().await.unwrap(), byte);
        }
    });
}

#[test]
fn a_frame_that_breaks_a_rule_ends_it_with_a_status() {
    talk(async {
        for (wrong, status) in [
            (vec![0x82, 0x01, b'x'], 1002_u16),
            (frame(0xc2, b"x"), 1002),
            (frame(0x83, b"x"), 1002),
            (frame(0x80, b"x"), 1002),
            (frame(0x09, b"x"), 1002),
            (frame(0x81, b"x"), 1003),
            (frame(0x88, &[3]), 1002),
            (frame(0x88, &[0, 0]), 1002),
            (frame(0x88, &999_u16.to_be_bytes()), 1002),
            (frame(0x88, &1004_u16.to_be_bytes()), 1002),
            (frame(0x88, &1005_u16.to_be_bytes()), 1002),
            (frame(0x88, &1006_u16.to_be_bytes()), 1002),
            (frame(0x88, &1015_u16.to_be_bytes()), 1002),
            (frame(0x88, &5000_u16.to_be_bytes()), 1002),
            // The beginning of a text message tells it.
            (vec![0x01, 0xff], 1003),
        ] {
            let (mut server, mut client) = opened(300).await;
            client.write_all(&frame(0x82, b"a")).await.unwrap();
            client.write_all(&wrong).await.unwrap();
            assert_eq!(server.read_u8().await.unwrap(), b'a');
            let error = server.read_u8().await.unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::InvalidData, "{wrong:x?}");
            drop(server);
            let mut said = Vec::new();
            client.read_to_end(&mut said).await.unwrap();
            let [high, low] = status.to_be_bytes();
            assert_eq!(said, [0x88, 2, high, low], "{wrong:x?}");
        }
    });
}

#[test]
fn a_close_is_answered_and_what_follows_it_is_nothing() {
    talk(async {
        let (mut server, mut client) = opened(300).await;
        client.write_all(&frame(0x88, &[0x0b, 0xb8, b'b', b'y', b'e'])).await.unwrap();
        client.write_all(&frame(0x82, b"late")).await.unwrap();
        assert_eq!(server.read_to_end(&mut Vec::new()).await.unwrap(), 0);
        drop(server);
        let mut said = Vec::new();
        client.read_to_end(&mut said).await.unwrap();
        assert_eq!(said, [0x88, 2, 0x0b, 0xb8]);
    });
}

#[test]
fn what_a_reader_has_to_say_leaves_a_stream_that_holds_back() {
    talk(async {
        let (mut client, server) = duplex(1 << 16);
        client.write_all(REQUEST).await.unwrap();
        let mut server = accept(tokio::io::BufStream::new(server), &Origins::default()).await.unwrap();
        while !matches!(client.read_u8().await.unwrap(), b'\r') || client.read_u16().await.unwrap() != 0x0a0d
        {
        }
        assert_eq!(client.read_u8().await.unwrap(), b'\n');
        let read = tokio::spawn(async move { (server.read_u8().await, server) });
        client.write_all(&frame(0x89, b"?")).await.unwrap();
        let mut pong = [0; 3];
        client.read_exact(&mut pong).await.unwrap();
        assert_eq!(pong, [0x8a, 1, b'?']);
        client.write_all(&frame(0x81, b"x")).await.unwrap();
        let (came, server) = read.await.unwrap();
        assert!(came.is_err());
        let mut close = [0; 4];
        client.read_exact(&mut close).await.unwrap();
        assert_eq!(close, [0x88, 2, 0x03, 0xeb]);
        drop(server);
    });
}

#[test]
fn a_shutdown_in_the_middle_of_a_frame_says_that_it_is_cut() {
    talk(async {
        let (mut server, mut client) = opened(16).await;
        let write = server.write_all(&[7; 100]);
        assert!(tokio::time::timeout(std::time::Duration::from_millis(1), write).await.is_err());
        assert!(server.shutdown().await.is_err());
        drop(server);
        let mut said = Vec::new();
        client.read_to_end(&mut said).await.unwrap();
        assert_eq!(said, [&[0x82, 100], &[7; 14][..]].concat());
    });
}

#[test]
fn a_pong_waits_for_the_end_of_the_frame_that_is_being_written() {
    talk(async {
        let (server, mut client) = opened(16).await;
        let (mut reader, mut writer) = tokio::io::split(server);
        let write = tokio::spawn(async move {
            writer.write_all(&[7; 100]).await.unwrap();
            writer.flush().await.unwrap();
        });
        let read = tokio::spawn(async move { reader.read_u8().await });
        client.write_all(&frame(0x89, b"?")).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        let mut said = vec![0; 2 + 100 + 3];
        client.read_exact(&mut said).await.unwrap();
        write.await.unwrap();
        assert_eq!(said, [&[0x82, 100], &[7; 100][..], &[0x8a, 1, b'?']].concat());
        read.abort();
    });
}
