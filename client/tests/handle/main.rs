//! The asynchronous client in conversations with a scripted server, over pipes in memory, with the clock stopped.

#![allow(clippy::unwrap_used, reason = "a test's parts fail with it")]

mod bad_servers;
mod batches;
mod exchanges;
mod holding;
mod leaving;
mod order;
mod publishing;
mod reconnecting;
mod server;
mod subscribing;
mod unclaimed;
