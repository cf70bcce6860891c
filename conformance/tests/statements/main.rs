//! The runner of normative statements itself: its manifest, and how it ends where there is no broker. That it is right about
//! brokers is tested where there is one, in the tests of `opifex-broker`.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod descriptor;
mod ends;
mod manifest;
mod restarts;
