//! The client against a broker that it starts, kills and starts again:
//!
//! ```text
//! interop opifex|mosquitto PROGRAM [PART-OF-A-CHECK'S-NAME]
//! ```
//! Each check panics when it fails. It leaves nothing behind, and uses the loopback interface only.

#![allow(clippy::unwrap_used, reason = "a check that panics is the report")]

mod broker;
mod checks;
mod endurance;
mod proxy;

use std::time::Instant;

use broker::{Broker, Kind};
use opifex_packet::{QoS, Version};

const USAGE: &str = "usage: interop opifex|mosquitto PROGRAM [PART-OF-A-CHECK'S-NAME]";

const CHECKS: [&str; 8] = [
    "every QoS",
    "request and response",
    "the broker stops and starts mid-flow",
    "the broker is killed mid-flow",
    "the broker stands still now and then",
    "the broker stands still until it is given up",
    "the client dies mid-flow",
    "100,000 messages in order in their window",
];

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1);
    let kind = match args.next().as_deref() {
        Some("opifex") => Kind::Opifex,
        Some("mosquitto") => Kind::Mosquitto,
        _ => panic!("{USAGE}"),
    };
    let program = args.next().expect(USAGE);
    let only = args.next().unwrap_or_default();
    let mut broker = Broker::start(kind, program.into());
    let passed = |name: &str, version, begin: Instant| {
        println!("ok    {name}, {version:?} ({:.1} s)", begin.elapsed().as_secs_f64());
    };
    for version in [Version::V3_1_1, Version::V5_0] {
        for name in CHECKS.into_iter().filter(|name| name.contains(&only)) {
            let begin = Instant::now();
            match name {
                "every QoS" => checks::every_qos(&broker, version).await,
                "request and response" => checks::request_and_response(&broker, version).await,
                "the broker stops and starts mid-flow" => {
                    checks::restarts(&mut broker, version, Broker::stop).await;
                }
                "the broker is killed mid-flow" if kind == Kind::Opifex => {
                    checks::restarts(&mut broker, version, Broker::kill).await;
                }
                "the broker is killed mid-flow" => endurance::forgetful_kill(&mut broker, version).await,
                "the broker stands still now and then" => endurance::short_stalls(&broker, version).await,
                "the broker stands still until it is given up" => {
                    endurance::long_stall(&broker, version).await
                }
                "the client dies mid-flow" => checks::dying_publisher(&broker, version).await,
                _ => {
                    // Once each, in the version with the smaller window the flow with more packets.
                    let qos = if version.is_v5() { QoS::AtLeastOnce } else { QoS::ExactlyOnce };
                    endurance::a_hundred_thousand(&broker, version, qos).await;
                }
            }
            passed(name, version, begin);
        }
    }
}
