//! The client against a broker that it starts, kills and starts again:
//!
//! ```text
//! interop opifex PROGRAM
//! interop mosquitto PROGRAM
//! ```
//! Each check panics when it fails. It leaves nothing behind, and uses the loopback interface only.

#![allow(clippy::unwrap_used, reason = "a check that panics is the report")]

mod broker;
mod checks;

use broker::{Broker, Kind};
use opifex_packet::Version;

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1);
    let kind = match args.next().as_deref() {
        Some("opifex") => Kind::Opifex,
        Some("mosquitto") => Kind::Mosquitto,
        _ => panic!("usage: interop opifex|mosquitto PROGRAM"),
    };
    let program = args.next().expect("usage: interop opifex|mosquitto PROGRAM");
    let mut broker = Broker::start(kind, program.into());
    for version in [Version::V3_1_1, Version::V5_0] {
        checks::every_qos(&broker, version).await;
        println!("ok    every QoS, {version:?}");
        checks::request_and_response(&broker, version).await;
        println!("ok    request and response, {version:?}");
        checks::restarts(&mut broker, version, Broker::stop).await;
        println!("ok    the broker stops and starts mid-flow, {version:?}");
        // What mosquitto has not written down yet is gone with kill -9.
        if kind == Kind::Opifex {
            checks::restarts(&mut broker, version, Broker::kill).await;
            println!("ok    the broker is killed mid-flow, {version:?}");
        }
        checks::dying_publisher(&broker, version).await;
        println!("ok    the client dies mid-flow, {version:?}");
    }
}
