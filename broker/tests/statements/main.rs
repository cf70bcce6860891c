//! Every normative statement of MQTT 3.1.1 and 5.0 that binds a server, held against the broker over an in-memory
//! transport with each backend; and brokers that are wrong on purpose, each of which the cases have to catch.

// A panic is how a test fails.
#![allow(clippy::unwrap_used)]

// The stores under paused time that the conversations run on.
#[allow(dead_code, reason = "the conversations use more of it")]
#[path = "../conversation/attention.rs"]
mod attention;
#[allow(dead_code, unused_imports, unused_macros, reason = "the conversations use more of it")]
#[path = "../conversation/backend.rs"]
mod backend;
#[allow(dead_code, reason = "the conversations use more of it")]
#[path = "../conversation/failing_engine.rs"]
mod failing_engine;
#[allow(dead_code, reason = "the conversations use more of it")]
#[path = "../conversation/store.rs"]
mod store;

mod doorman;
mod held;
mod house;
mod pipe;
mod wrong;
