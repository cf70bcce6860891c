//! Conversations with the broker over an in-memory transport, packet by packet, with time paused; each on every
//! backend.

// A panic is how a test fails.
#![allow(clippy::unwrap_used)]

mod attention;
mod backend;
mod failing_engine;
mod gates;
mod packets;
mod peer;
mod place;
mod store;

mod abandoned;
mod access;
mod delivery;
mod failed_commit;
mod faults;
mod flow;
mod in_flight;
mod keep_alive;
mod late_ends;
mod limits;
mod local;
mod properties;
mod qos;
mod recovery;
mod replay;
mod retained;
mod session;
mod shared;
mod shutdown;
mod waiting;
mod will;
