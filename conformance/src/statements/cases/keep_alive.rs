//! 3.1.2.10 keep-alive, 3.12 PINGREQ and 3.13 PINGRESP.

use std::time::Duration;

use opifex_packet::{Packet, QoS, ReasonCode};

use crate::statements::Scene;
use crate::statements::case::{Outcome, chapter};
use crate::statements::stop::ensure;

chapter! { "keep_alive", "3.1.2 keep-alive, 3.12 PINGREQ";
    pingreq_is_answered: v4 ["MQTT-3.12.4-1"], v5 ["MQTT-3.12.4-1"];
    silence_for_half_again_the_keep_alive_ends_the_connection:
        v4 ["MQTT-3.1.2-24", "MQTT-3.1.2-8"], v5 ["MQTT-3.1.2-22", "MQTT-3.2.2-22", "U5-12"];
    any_packet_keeps_the_connection_alive: v4 ["MQTT-3.1.2-24"], v5 ["MQTT-3.1.2-22", "MQTT-3.2.2-22"];
    the_servers_keep_alive_replaces_the_clients: v5 ["MQTT-3.1.2-22"];
}

/// In seconds: short, since the run waits for it.
const KEEP_ALIVE: u16 = 2;

/// How long after its time a connection may be closed: brokers look at their clocks every few seconds.
const LATE: Duration = Duration::from_secs(6);

async fn pingreq_is_answered(s: &Scene) -> Outcome {
    let mut wire = s.connected("a").await?;
    for _ in 0..3 {
        wire.send(Packet::Pingreq).await?;
        wire.expect(Packet::Pingresp).await?;
    }
    Ok(())
}

/// Never before, and not much later.
async fn silence_for_half_again_the_keep_alive_ends_the_connection(s: &Scene) -> Outcome {
    let mut mourner = s.subscriber("m", "will", QoS::AtLeastOnce).await?;
    let mut connect = s.connect("a");
    connect.keep_alive_secs = KEEP_ALIVE;
    connect.will = Some(s.will("will", "closed as on a failure", QoS::AtLeastOnce));
    let (mut wire, connack) = s.join(connect).await?;
    let replaced = connack.properties.server_keep_alive().is_some();
    s.needs(!replaced, "a broker that takes a keep-alive of 2 s")?;
    let keep_alive = Duration::from_secs(KEEP_ALIVE.into());
    wire.expect_nothing(keep_alive).await?;
    let late = keep_alive / 2 + LATE;
    wire.expect_refused_within(late, &[ReasonCode::KeepAliveTimeout]).await?;
    mourner.expect_message(&s.topic("will"), "closed as on a failure").await?;
    Ok(())
}

async fn any_packet_keeps_the_connection_alive(s: &Scene) -> Outcome {
    let mut connect = s.connect("a");
    connect.keep_alive_secs = KEEP_ALIVE;
    let (mut wire, connack) = s.join(connect).await?;
    let told = connack.properties.server_keep_alive().unwrap_or(KEEP_ALIVE);
    s.needs(told <= 2 * KEEP_ALIVE, "a broker that takes a keep-alive of 2 s")?;
    for _ in 0..4 {
        s.pass(Duration::from_millis(u64::from(told) * 900)).await;
        wire.publish(&s.topic("t"), "still here", QoS::AtMostOnce).await?;
    }
    wire.expect_alive().await
}

async fn the_servers_keep_alive_replaces_the_clients(s: &Scene) -> Outcome {
    let (mut wire, connack) = s.join(s.connect("a")).await?;
    let Some(told) = connack.properties.server_keep_alive() else {
        return s.needs(false, "a broker that sets a keep-alive of its own");
    };
    ensure!(told > 0, "a keep-alive of 0 replaces none");
    s.needs(told <= 30, "a broker that sets a keep-alive of 30 s or less")?;
    let told = Duration::from_secs(told.into());
    wire.expect_nothing(told).await?;
    let late = told / 2 + LATE;
    wire.expect_refused_within(late, &[ReasonCode::KeepAliveTimeout]).await
}
