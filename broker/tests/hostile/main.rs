//! Hostile clients over TCP: whatever bytes they send, or do not take, the broker closes that connection with the right
//! word and nobody else notices. Each test is one behaviour; variants by version or QoS stand inside it. A bystander
//! pair exchanges a message after each variant, and no task of the broker may have panicked at the end.

// A panic is how a test fails.
#![allow(clippy::unwrap_used)]

mod house;
mod peer;

mod acks;
mod connect;
mod flood;
mod framing;
mod mutation;
mod properties;
mod publish;
mod sequence;
mod slow;
mod subscribe;
mod transport;
