//! The packets that are little more than a reason code: all acknowledgements, DISCONNECT and AUTH.

use proptest::collection::vec;
use proptest::prelude::*;

use super::fields::{packet_id, text};
use super::properties::properties;
use crate::ack::Ack;
use crate::{
    Auth, Disconnect, Property, PropertyContext, Puback, Pubcomp, Pubrec, Pubrel, ReasonCode, Role, Suback,
    Unsuback, Version,
};

/// PUBACK.
pub fn puback(version: Version, reader: Role) -> impl Strategy<Value = Puback<'static>> {
    ack(version, reader)
}

/// PUBREC.
pub fn pubrec(version: Version, reader: Role) -> impl Strategy<Value = Pubrec<'static>> {
    ack(version, reader)
}

/// PUBREL.
pub fn pubrel(version: Version, reader: Role) -> impl Strategy<Value = Pubrel<'static>> {
    ack(version, reader)
}

/// PUBCOMP.
pub fn pubcomp(version: Version, reader: Role) -> impl Strategy<Value = Pubcomp<'static>> {
    ack(version, reader)
}

fn ack<A: Ack<'static> + std::fmt::Debug>(version: Version, reader: Role) -> impl Strategy<Value = A> {
    (
        packet_id(),
        reason(move |reason| reason == ReasonCode::Success || (version.is_v5() && A::allows(reason, reader))),
        properties(A::CONTEXT, version),
    )
        .prop_map(|(packet_id, reason, properties)| A::from_parts(packet_id, reason, properties))
}

/// SUBACK.
pub fn suback(version: Version) -> impl Strategy<Value = Suback<'static>> {
    let reasons = vec(reason(move |reason| crate::suback::allows(reason, version)), 1..5);
    (packet_id(), properties(PropertyContext::Suback, version), reasons)
        .prop_map(|(packet_id, properties, reasons)| Suback { packet_id, properties, reasons })
}

/// UNSUBACK; before 5.0 without reason codes.
pub fn unsuback(version: Version) -> impl Strategy<Value = Unsuback<'static>> {
    let count = if version.is_v5() { 1..5 } else { 0..1 };
    (packet_id(), properties(PropertyContext::Unsuback, version), vec(reason(crate::unsuback::allows), count))
        .prop_map(|(packet_id, properties, reasons)| Unsuback { packet_id, properties, reasons })
}

/// DISCONNECT; before 5.0 an empty one.
pub fn disconnect(version: Version, reader: Role) -> BoxedStrategy<Disconnect<'static>> {
    if !version.is_v5() {
        return Just(Disconnect::default()).boxed();
    }
    let reason = reason(move |reason| crate::disconnect::allows(reason, reader));
    (reason, properties(PropertyContext::Disconnect, version))
        .prop_map(move |(reason, properties)| {
            // [MQTT-3.14.2-2]
            let properties = properties.retain(|property| {
                reader == Role::Server || !matches!(property, Property::SessionExpiryInterval(_))
            });
            Disconnect { reason, properties }
        })
        .boxed()
}

/// AUTH, with a method unless it says nothing at all.
pub fn auth(reader: Role) -> impl Strategy<Value = Auth<'static>> {
    let reason = reason(move |reason| crate::auth::allows(reason, reader));
    (reason, properties(PropertyContext::Auth, Version::V5_0), text()).prop_map(
        |(reason, mut properties, method)| {
            let says_nothing = reason == ReasonCode::Success && properties.is_empty();
            if !says_nothing && properties.authentication_method().is_none() {
                properties.push(Property::AuthenticationMethod(&method));
            }
            Auth::new(reason, properties)
        },
    )
}

fn reason(allows: impl Fn(ReasonCode) -> bool) -> impl Strategy<Value = ReasonCode> {
    prop::sample::select(ReasonCode::ALL.into_iter().filter(|&reason| allows(reason)).collect::<Vec<_>>())
}
