//! Property blocks: any properties that may stand in a place, in any order.

use proptest::collection::vec;
use proptest::prelude::*;

use super::fields::{binary, text, topic_name};
use crate::{MAX_REMAINING_LENGTH, Properties, Property, PropertyContext, Version};

/// Any valid block for that place; empty before 5.0.
pub fn properties(context: PropertyContext, version: Version) -> BoxedStrategy<Properties<'static>> {
    if !version.is_v5() {
        return Just(Properties::new()).boxed();
    }
    let ids: Vec<u8> = (0..=u8::MAX).filter(|&id| context.allows(id)).collect();
    let one = prop::sample::select(ids).prop_flat_map(property);
    prop_oneof![1 => Just(Vec::new()), 4 => vec(one, 0..6)].prop_map(move |all| gather(context, &all)).boxed()
}

/// One block of several, without what may not stand twice or alone.
fn gather(context: PropertyContext, blocks: &[Properties<'_>]) -> Properties<'static> {
    let mut gathered = Properties::new();
    for property in blocks.iter().flat_map(Properties::iter) {
        let may_repeat = match property {
            Property::UserProperty(..) => true,
            Property::SubscriptionIdentifier(_) => context == PropertyContext::Publish,
            _ => false,
        };
        if may_repeat || !gathered.contains(property.id()) {
            gathered.push(property);
        }
    }
    if context == PropertyContext::Connect && gathered.authentication_method().is_none() {
        gathered = gathered.retain(|property| !matches!(property, Property::AuthenticationData(_)));
    }
    gathered
}

/// A block of one property with that identifier.
fn property(id: u8) -> BoxedStrategy<Properties<'static>> {
    let block = |property: Property<'_>| Properties::new().with(property);
    match id {
        0x01 => any::<bool>().prop_map(move |it| block(Property::PayloadFormatIndicator(it))).boxed(),
        0x02 => any::<u32>().prop_map(move |it| block(Property::MessageExpiryInterval(it))).boxed(),
        0x03 => text().prop_map(move |it| block(Property::ContentType(&it))).boxed(),
        0x08 => topic_name().prop_map(move |it| block(Property::ResponseTopic(it.as_str()))).boxed(),
        0x09 => binary().prop_map(move |it| block(Property::CorrelationData(&it))).boxed(),
        0x0b => {
            (1..=MAX_REMAINING_LENGTH).prop_map(move |it| block(Property::SubscriptionIdentifier(it))).boxed()
        }
        0x11 => any::<u32>().prop_map(move |it| block(Property::SessionExpiryInterval(it))).boxed(),
        0x12 => text().prop_map(move |it| block(Property::AssignedClientIdentifier(&it))).boxed(),
        0x13 => any::<u16>().prop_map(move |it| block(Property::ServerKeepAlive(it))).boxed(),
        0x15 => text().prop_map(move |it| block(Property::AuthenticationMethod(&it))).boxed(),
        0x16 => binary().prop_map(move |it| block(Property::AuthenticationData(&it))).boxed(),
        0x17 => any::<bool>().prop_map(move |it| block(Property::RequestProblemInformation(it))).boxed(),
        0x18 => any::<u32>().prop_map(move |it| block(Property::WillDelayInterval(it))).boxed(),
        0x19 => any::<bool>().prop_map(move |it| block(Property::RequestResponseInformation(it))).boxed(),
        0x1a => text().prop_map(move |it| block(Property::ResponseInformation(&it))).boxed(),
        0x1c => text().prop_map(move |it| block(Property::ServerReference(&it))).boxed(),
        0x1f => text().prop_map(move |it| block(Property::ReasonString(&it))).boxed(),
        0x21 => (1..=u16::MAX).prop_map(move |it| block(Property::ReceiveMaximum(it))).boxed(),
        0x22 => any::<u16>().prop_map(move |it| block(Property::TopicAliasMaximum(it))).boxed(),
        0x23 => (1..=u16::MAX).prop_map(move |it| block(Property::TopicAlias(it))).boxed(),
        0x24 => (0..=1u8).prop_map(move |it| block(Property::MaximumQoS(it))).boxed(),
        0x25 => any::<bool>().prop_map(move |it| block(Property::RetainAvailable(it))).boxed(),
        0x27 => (1..=u32::MAX).prop_map(move |it| block(Property::MaximumPacketSize(it))).boxed(),
        0x28 => any::<bool>().prop_map(move |it| block(Property::WildcardSubscriptionAvailable(it))).boxed(),
        0x29 => {
            any::<bool>().prop_map(move |it| block(Property::SubscriptionIdentifierAvailable(it))).boxed()
        }
        0x2a => any::<bool>().prop_map(move |it| block(Property::SharedSubscriptionAvailable(it))).boxed(),
        _ => (text(), text())
            .prop_map(move |(name, value)| block(Property::UserProperty(&name, &value)))
            .boxed(),
    }
}
