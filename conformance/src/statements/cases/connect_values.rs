//! 3.1.2.11 the values of CONNECT's properties (5.0 only): each right one is taken, so that it is the wrong one beside it that is
//! refused.

use opifex_packet::raw::RawPacket;
use opifex_packet::{Properties, Property, ReasonCode};

use crate::statements::Scene;
use crate::statements::case::{Outcome, chapter};
use crate::statements::stop::ensure;

chapter! { "connect_values", "3.1.2 values of CONNECT's properties";
    a_session_expiry_stands_once: v5 ["U5-3"];
    a_receive_maximum_stands_once_and_is_not_0: v5 ["U5-4"];
    a_maximum_packet_size_stands_once_and_is_not_0: v5 ["U5-5"];
    a_topic_alias_maximum_stands_once_and_may_be_0: v5 ["U5-6"];
    request_response_information_stands_once_and_is_0_or_1: v5 ["U5-7"];
    request_problem_information_stands_once_and_is_0_or_1: v5 ["U5-8"];
    user_properties_may_repeat: v5 ["MQTT-3.1.4-5"];
}

/// A CONNECT of this case's client `a` with that property block, right or wrong.
fn connect_with(s: &Scene, block: &[u8]) -> RawPacket {
    const CLEAN_START: u8 = 0x02;
    const PASSWORD: u8 = 0x40;
    const USER_NAME: u8 = 0x80;
    const KEEP_ALIVE_SECS: u16 = 60;
    let user = s.descriptor.user.as_ref();
    let flags = user.map_or(CLEAN_START, |_| CLEAN_START | USER_NAME | PASSWORD);
    let packet = RawPacket::new(0x10)
        .string("MQTT")
        .u8(s.version.level())
        .u8(flags)
        .u16(KEEP_ALIVE_SECS)
        .properties(block)
        .string(&s.client_id("a"));
    user.into_iter().fold(packet, |packet, user| packet.string(&user.name).string(&user.password))
}

/// CONNECT is accepted with the first property block, and refused with each of the others.
async fn only_the_first_is_accepted(s: &Scene, blocks: &[&[u8]]) -> Outcome {
    let (right, wrong) = blocks.split_first().expect("there is a right one");
    let mut wire = s.open("a").await?;
    wire.send_raw(&connect_with(s, right)).await?;
    let connack = wire.expect_connack().await?;
    ensure!(
        connack.reason == ReasonCode::Success,
        "the property block {right:02x?} is right, and {connack:?} comes"
    );
    wire.expect_alive().await?;
    for block in wrong {
        let mut wire = s.open("a").await?;
        wire.send_raw(&connect_with(s, block)).await?;
        wire.expect_broken().await?;
    }
    Ok(())
}

async fn a_session_expiry_stands_once(s: &Scene) -> Outcome {
    only_the_first_is_accepted(s, &[&[0x11, 0, 0, 0, 0], &[0x11, 0, 0, 0, 9, 0x11, 0, 0, 0, 9]]).await
}

async fn a_receive_maximum_stands_once_and_is_not_0(s: &Scene) -> Outcome {
    only_the_first_is_accepted(s, &[&[0x21, 0, 1], &[0x21, 0, 1, 0x21, 0, 1], &[0x21, 0, 0]]).await
}

async fn a_maximum_packet_size_stands_once_and_is_not_0(s: &Scene) -> Outcome {
    let blocks: &[&[u8]] = &[&[0x27, 0, 1, 0, 0], &[0x27, 0, 1, 0, 0, 0x27, 0, 1, 0, 0], &[0x27, 0, 0, 0, 0]];
    only_the_first_is_accepted(s, blocks).await
}

async fn request_response_information_stands_once_and_is_0_or_1(s: &Scene) -> Outcome {
    only_the_first_is_accepted(s, &[&[0x19, 0], &[0x19, 0, 0x19, 0], &[0x19, 2]]).await?;
    only_the_first_is_accepted(s, &[&[0x19, 1]]).await
}

async fn request_problem_information_stands_once_and_is_0_or_1(s: &Scene) -> Outcome {
    only_the_first_is_accepted(s, &[&[0x17, 0], &[0x17, 1, 0x17, 1], &[0x17, 2]]).await?;
    only_the_first_is_accepted(s, &[&[0x17, 1]]).await
}

async fn user_properties_may_repeat(s: &Scene) -> Outcome {
    let property = Property::UserProperty("name", "value");
    let twice = Properties::new().with(property).with(property);
    only_the_first_is_accepted(s, &[twice.as_bytes()]).await
}

async fn a_topic_alias_maximum_stands_once_and_may_be_0(s: &Scene) -> Outcome {
    only_the_first_is_accepted(s, &[&[0x22, 0, 3], &[0x22, 0, 3, 0x22, 0, 3]]).await?;
    only_the_first_is_accepted(s, &[&[0x22, 0, 0]]).await
}
