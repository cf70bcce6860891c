//! Conversations with the broker over an in-memory transport, packet by packet, with time paused.

// A panic is how a test fails.
#![allow(clippy::unwrap_used)]

mod peer;

mod delivery;
mod retained;
mod session;
mod will;
