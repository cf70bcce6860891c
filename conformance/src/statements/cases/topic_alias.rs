//! 3.3.2.3.4 topic aliases, in both directions.

use opifex_packet::raw::RawPacket;
use opifex_packet::{Property, Publish, QoS, ReasonCode};

use crate::statements::case::{Outcome, chapter};
use crate::statements::stop::{Stop, ensure};
use crate::statements::{Scene, Wire};

chapter! { "topic_alias", "3.3.2 topic alias";
    every_alias_up_to_the_maximum_is_taken: v5 ["MQTT-3.3.2-12"];
    an_alias_ends_with_its_connection: v5 ["MQTT-3.3.2-7"];
    alias_0_and_those_above_the_maximum_are_refused:
        v5 ["MQTT-3.3.2-8", "MQTT-3.3.2-9", "MQTT-3.2.2-17", "U5-22"];
    an_alias_that_nobody_set_is_refused: v5 ["U5-22"];
    no_alias_is_taken_where_none_is_announced: v5 ["MQTT-3.2.2-18"];
    a_client_without_maximum_gets_no_aliases: v5 ["MQTT-3.1.2-27", "U5-6"];
    a_client_gets_aliases_up_to_its_maximum: v5 ["MQTT-3.1.2-26", "MQTT-3.3.2-11"];
}

/// A QoS 0 message with this alias, and with its topic or without.
fn aliased(wire: &mut Wire, s: &Scene, alias: u16, topic: Option<&str>, payload: &str) -> Publish<'static> {
    let mut publish = wire.message(&s.topic(topic.unwrap_or("unused")), payload, QoS::AtMostOnce);
    if topic.is_none() {
        publish.topic = None;
    }
    publish.properties.push(Property::TopicAlias(alias));
    publish
}

fn needs_aliases(s: &Scene) -> Result<u16, Stop> {
    s.needs(s.offers.topic_alias_maximum > 0, "topic aliases")?;
    Ok(s.offers.topic_alias_maximum)
}

async fn every_alias_up_to_the_maximum_is_taken(s: &Scene) -> Outcome {
    let maximum = needs_aliases(s)?;
    let mut wire = s.connected("a").await?;
    wire.subscribe(&s.topic("#"), QoS::AtMostOnce).await?;
    let mut publisher = s.connected("p").await?;
    let step = (maximum / 16).max(1);
    let mut aliases: Vec<u16> = (1..=maximum).step_by(step.into()).collect();
    aliases.push(maximum);
    for alias in aliases {
        let name = format!("t{alias}");
        let set = aliased(&mut publisher, s, alias, Some(&name), "set");
        publisher.send(set).await?;
        wire.expect_message(&s.topic(&name), "set").await?;
        let used = aliased(&mut publisher, s, alias, None, "used");
        publisher.send(used).await?;
        wire.expect_message(&s.topic(&name), "used").await?;
    }
    // One that is set again stands for the new topic.
    let set = aliased(&mut publisher, s, 1, Some("other"), "set");
    publisher.send(set).await?;
    wire.expect_message(&s.topic("other"), "set").await?;
    let used = aliased(&mut publisher, s, 1, None, "used");
    publisher.send(used).await?;
    wire.expect_message(&s.topic("other"), "used").await?;
    Ok(())
}

async fn an_alias_ends_with_its_connection(s: &Scene) -> Outcome {
    needs_aliases(s)?;
    let mut watcher = s.subscriber("w", "t", QoS::AtMostOnce).await?;
    let mut publisher = s.connected_durable("p").await?;
    let set = aliased(&mut publisher, s, 1, Some("t"), "set");
    publisher.send(set).await?;
    watcher.expect_message(&s.topic("t"), "set").await?;
    publisher.disconnect().await?;
    // The session goes on, the alias does not.
    let mut publisher = s.connected_durable("p").await?;
    let used = aliased(&mut publisher, s, 1, None, "used");
    publisher.send(used).await?;
    publisher.expect_refused(&[ReasonCode::ProtocolError, ReasonCode::TopicAliasInvalid]).await?;
    watcher.expect_silence().await
}

async fn alias_0_and_those_above_the_maximum_are_refused(s: &Scene) -> Outcome {
    let maximum = needs_aliases(s)?;
    let mut aliases = vec![0];
    aliases.extend(maximum.checked_add(1));
    for alias in aliases {
        let mut wire = s.connected("a").await?;
        let [high, low] = alias.to_be_bytes();
        let packet = RawPacket::new(0x30).string(&s.topic("t")).properties([0x23, high, low]).bytes("x");
        wire.send_raw(&packet).await?;
        wire.expect_refused(&[
            ReasonCode::TopicAliasInvalid,
            ReasonCode::ProtocolError,
            ReasonCode::MalformedPacket,
        ])
        .await?;
    }
    Ok(())
}

async fn an_alias_that_nobody_set_is_refused(s: &Scene) -> Outcome {
    needs_aliases(s)?;
    let mut wire = s.connected("a").await?;
    let used = aliased(&mut wire, s, 1, None, "used");
    wire.send(used).await?;
    wire.expect_refused(&[ReasonCode::ProtocolError, ReasonCode::TopicAliasInvalid]).await
}

async fn no_alias_is_taken_where_none_is_announced(s: &Scene) -> Outcome {
    s.needs(s.offers.topic_alias_maximum == 0, "a broker without topic aliases")?;
    let mut wire = s.connected("a").await?;
    let set = aliased(&mut wire, s, 1, Some("t"), "set");
    wire.send_whatever(set).await?;
    wire.expect_refused(&[ReasonCode::TopicAliasInvalid, ReasonCode::ProtocolError]).await
}

/// The aliases that come with eight topics, each published to three times.
async fn aliases_that_come(s: &Scene, maximum: Option<u16>) -> Result<Vec<u16>, Stop> {
    let mut connect = s.connect("a");
    if let Some(maximum) = maximum {
        connect.properties.push(Property::TopicAliasMaximum(maximum));
    }
    let (mut wire, _) = s.join(connect).await?;
    for number in 0..8 {
        wire.subscribe(&s.topic(&format!("t{number}")), QoS::AtMostOnce).await?;
    }
    let mut publisher = s.connected("p").await?;
    let mut names = std::collections::HashMap::new();
    let mut came = Vec::new();
    for _ in 0..3 {
        for number in 0..8 {
            let topic = s.topic(&format!("t{number}"));
            publisher.publish(&topic, "x", QoS::AtMostOnce).await?;
            let publish = wire.expect_publish().await?;
            let alias = publish.properties.topic_alias();
            let named = publish.topic.as_ref().map(|name| name.as_str().to_owned());
            if let (Some(alias), Some(name)) = (alias, &named) {
                names.insert(alias, name.clone());
            }
            let meant = named.or_else(|| names.get(&alias?).cloned());
            ensure!(
                meant.as_ref() == Some(&topic),
                "expected a message for {topic}, and it was for {meant:?}"
            );
            came.extend(alias);
        }
    }
    Ok(came)
}

async fn a_client_without_maximum_gets_no_aliases(s: &Scene) -> Outcome {
    for maximum in [None, Some(0)] {
        let came = aliases_that_come(s, maximum).await?;
        ensure!(came.is_empty(), "a client that takes no aliases got {came:?}");
    }
    Ok(())
}

async fn a_client_gets_aliases_up_to_its_maximum(s: &Scene) -> Outcome {
    let came = aliases_that_come(s, Some(3)).await?;
    s.needs(!came.is_empty(), "a server that uses topic aliases")?;
    ensure!(came.iter().all(|alias| (1..=3).contains(alias)), "a client that takes 3 aliases got {came:?}");
    Ok(())
}
