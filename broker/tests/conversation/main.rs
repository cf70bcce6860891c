//! Conversations with the broker over an in-memory transport, packet by packet, with time paused.

mod delivery;
mod peer;
