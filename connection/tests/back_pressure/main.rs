//! Back-pressure over real transports: two tasks fill an outlet and flush it, the transport is full most of the time,
//! and what they could not send is sent by the owner. Every byte is checked at the other end.

#![allow(clippy::unwrap_used, reason = "also in the functions that the tests share, what fails is the test")]

mod message;
mod relay;

use std::time::Duration;

use relay::{Load, run};
use tokio::net::{TcpListener, TcpStream, UnixStream};

/// 6.6 GB.
const FULL: Load = Load {
    messages: 100_000,
    message_bytes: 64 * 1024,
    queue_bytes: 1024 * 1024,
    lost_after: Duration::from_secs(300),
};

async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connected = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (listener.accept().await.unwrap().0, connected)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_arrives_over_tcp() {
    let (ours, peer) = tcp_pair().await;
    let (reader, writer) = ours.into_split();
    run(FULL, reader, writer, peer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_arrives_over_a_unix_socket() {
    let (ours, peer) = UnixStream::pair().unwrap();
    let (reader, writer) = ours.into_split();
    run(FULL, reader, writer, peer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_arrives_over_a_split_duplex() {
    let (ours, peer) = tokio::io::duplex(64 * 1024);
    let (reader, writer) = tokio::io::split(ours);
    run(FULL, reader, writer, peer).await;
}

/// 30 messages of 64 KiB, 2 MB: each byte is a write, a wake-up and a read. All 100,000 are half an hour of a quiet core
/// in release mode: `OPIFEX_ONE_BYTE_MESSAGES=100000 cargo test --release -p opifex-connection --test back_pressure
/// one_byte`. Last run, of 2026-11-22 on a busy machine: all arrived, 22 minutes of processor time, 51 of the clock.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn everything_arrives_over_a_duplex_of_one_byte() {
    let messages = std::env::var("OPIFEX_ONE_BYTE_MESSAGES").map_or(30, |count| count.parse().unwrap());
    let (ours, peer) = tokio::io::duplex(1);
    let (reader, writer) = tokio::io::split(ours);
    let lost_after = FULL.lost_after + Duration::from_millis(200) * messages;
    run(Load { messages, queue_bytes: 64 * 1024, lost_after, ..FULL }, reader, writer, peer).await;
}

/// The writer takes everything at once and is `Pending` in `poll_flush`, as TLS and WebSocket may be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_arrives_through_a_buffer_that_blocks_in_flush() {
    let (ours, peer) = tokio::io::duplex(1024);
    let (reader, writer) = tokio::io::split(ours);
    let writer = tokio::io::BufWriter::with_capacity(1024 * 1024, writer);
    run(Load { messages: 2_000, ..FULL }, reader, writer, peer).await;
}
