//! The asynchronous client in conversations with a scripted server, over pipes in memory, with the clock stopped.

#![allow(clippy::unwrap_used, reason = "a test's parts fail with it")]

mod publishing;
mod server;
mod subscribing;
