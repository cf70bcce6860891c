//! The library `opifex-client` against the built program: every QoS, requests, and brokers and clients that die while
//! messages flow. The checks are an example of the client's, which runs them with other brokers, too.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "../../../client/examples/interop/broker.rs"]
#[allow(dead_code, reason = "shared with the example, which has other brokers")]
mod broker;
#[path = "../../../client/examples/interop/checks.rs"]
mod checks;

use broker::{Broker, Kind};
use opifex_packet::Version;

fn started() -> Broker {
    Broker::start(Kind::Opifex, env!("CARGO_BIN_EXE_opifex").into())
}

const VERSIONS: [Version; 2] = [Version::V3_1_1, Version::V5_0];

#[tokio::test(flavor = "multi_thread")]
async fn every_qos_arrives_in_order_and_requests_are_answered() {
    let broker = started();
    for version in VERSIONS {
        checks::every_qos(&broker, version).await;
        checks::request_and_response(&broker, version).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_killed_mid_flow_costs_no_message_and_doubles_none_of_qos_2() {
    let mut broker = started();
    for version in VERSIONS {
        checks::restarts(&mut broker, version, Broker::kill).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_stopped_mid_flow_costs_no_message_and_doubles_none_of_qos_2() {
    let mut broker = started();
    for version in VERSIONS {
        checks::restarts(&mut broker, version, Broker::stop).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_dies_mid_flow_goes_on_where_it_was() {
    let broker = started();
    for version in VERSIONS {
        checks::dying_publisher(&broker, version).await;
    }
}
