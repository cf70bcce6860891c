//! `-D PACKET PROPERTY VALUE`: one property of MQTT 5.0, as mosquitto's programs take it. clap knows no option with two
//! or three values depending on the second one, so [`join`] makes one argument of them before clap sees them.

use std::ffi::{OsStr, OsString};
use std::str::FromStr;

use opifex_packet::{Properties, Property, PropertyContext};

/// Between the values of one `-D`: a character that means nothing anywhere. clap leaves it in its messages, which it does
/// not do with control characters.
pub(super) const SEPARATOR: char = '\u{f8ff}';

/// A property, and the packet that it goes into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PropertyFlag {
    pub(crate) packet: PropertyContext,
    /// That one property.
    pub(crate) property: Properties<'static>,
}

/// The packets that these programs send, as mosquitto names them.
const PACKETS: [(&str, PropertyContext); 7] = [
    ("connect", PropertyContext::Connect),
    ("publish", PropertyContext::Publish),
    ("subscribe", PropertyContext::Subscribe),
    ("unsubscribe", PropertyContext::Unsubscribe),
    ("disconnect", PropertyContext::Disconnect),
    ("auth", PropertyContext::Auth),
    ("will", PropertyContext::Will),
];

/// The packet's name on the command line.
pub(crate) fn packet_name(packet: PropertyContext) -> &'static str {
    PACKETS.iter().find(|(_, known)| *known == packet).map_or("packet", |(name, _)| name)
}

impl FromStr for PropertyFlag {
    type Err = String;

    fn from_str(joined: &str) -> Result<PropertyFlag, String> {
        let words: Vec<&str> = joined.split(SEPARATOR).collect();
        let [packet, name, values @ ..] = &words[..] else {
            return Err("expected PACKET PROPERTY VALUE".into());
        };
        let lower = packet.to_ascii_lowercase();
        let found = PACKETS.iter().find(|(known, _)| *known == lower);
        let Some(&(_, packet)) = found else {
            let known = PACKETS.map(|(name, _)| name).join(", ");
            return Err(format!("{packet:?} is no packet, expected one of {known}"));
        };
        let property = property(name, values)?;
        if !packet.allows(property.id()) {
            return Err(format!("{name} is no property of {}", packet_name(packet).to_uppercase()));
        }
        let block = Properties::new().with(property);
        Properties::from_bytes(packet, block.as_bytes()).map_err(|error| format!("{name}: {error}"))?;
        Ok(PropertyFlag { packet, property: block.into_owned() })
    }
}

fn property<'a>(name: &str, values: &[&'a str]) -> Result<Property<'a>, String> {
    if name == "user-property" {
        return match values {
            [name, value] => Ok(Property::UserProperty(name, value)),
            _ => Err("user-property has a name and a value".into()),
        };
    }
    let [value] = *values else { return Err(format!("{name} has one value")) };
    let number = |most: u32| -> Result<u32, String> {
        let number = value.parse().ok().filter(|number| *number <= most);
        number.ok_or_else(|| format!("{name}: {value:?} is no number from 0 to {most}"))
    };
    let two_bytes = || number(u16::MAX.into()).map(|number| number as u16);
    let flag = || number(1).map(|number| number == 1);
    Ok(match name {
        "payload-format-indicator" => Property::PayloadFormatIndicator(flag()?),
        "message-expiry-interval" => Property::MessageExpiryInterval(number(u32::MAX)?),
        "content-type" => Property::ContentType(value),
        "response-topic" => Property::ResponseTopic(value),
        "correlation-data" => Property::CorrelationData(value.as_bytes()),
        "subscription-identifier" => Property::SubscriptionIdentifier(number(268_435_455)?),
        "session-expiry-interval" => Property::SessionExpiryInterval(number(u32::MAX)?),
        "authentication-method" => Property::AuthenticationMethod(value),
        "authentication-data" => Property::AuthenticationData(value.as_bytes()),
        "request-problem-information" => Property::RequestProblemInformation(flag()?),
        "will-delay-interval" => Property::WillDelayInterval(number(u32::MAX)?),
        "request-response-information" => Property::RequestResponseInformation(flag()?),
        "reason-string" => Property::ReasonString(value),
        "receive-maximum" => Property::ReceiveMaximum(two_bytes()?),
        "topic-alias-maximum" => Property::TopicAliasMaximum(two_bytes()?),
        "topic-alias" => Property::TopicAlias(two_bytes()?),
        "maximum-packet-size" => Property::MaximumPacketSize(number(u32::MAX)?),
        _ => return Err(format!("{name:?} is no property that a client sends")),
    })
}

/// Puts the values of each `-D` into one argument. `takes_value` says whether an argument, such as `-m` or `--message`,
/// is an option whose value is the next argument: that one is passed over, whatever it looks like.
pub(crate) fn join(
    args: impl IntoIterator<Item = OsString>,
    takes_value: impl Fn(&OsStr) -> bool,
) -> Vec<OsString> {
    let mut joined = Vec::new();
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        if arg == "-D" || arg == "--property" {
            let mut words: Vec<OsString> = args.by_ref().take(3).collect();
            if words.get(1).is_some_and(|name| name == "user-property") {
                words.extend(args.next());
            }
            joined.push(arg);
            if !words.is_empty() {
                joined.push(words.join(OsStr::new("\u{f8ff}")));
            }
        } else if takes_value(&arg) {
            joined.push(arg);
            joined.extend(args.next());
        } else {
            joined.push(arg);
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<PropertyFlag, String> {
        words.join("\u{f8ff}").parse()
    }

    fn joined(args: &[&str]) -> Vec<String> {
        let joined = join(args.iter().map(OsString::from), |arg| arg == "-m");
        joined.into_iter().map(|arg| arg.into_string().expect("these are UTF-8")).collect()
    }

    #[test]
    fn a_property_has_one_value_and_a_user_property_two() {
        let flag = parse(&["publish", "content-type", "text/plain"]).expect("right");
        assert_eq!(flag.packet, PropertyContext::Publish);
        assert_eq!(flag.property.content_type(), Some("text/plain"));
        let flag = parse(&["CONNECT", "user-property", "name", "a value"]).expect("right");
        assert_eq!(flag.property.user_properties().collect::<Vec<_>>(), [("name", "a value")]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (words, expected) in [
            (&["publish"][..], "expected PACKET PROPERTY VALUE"),
            (&["publish", "content-type"], "content-type has one value"),
            (&["publish", "user-property", "name"], "a name and a value"),
            (
                &["connack", "reason-string", "x"],
                "\"connack\" is no packet, expected one of connect, publish",
            ),
            (&["publish", "colour", "x"], "\"colour\" is no property"),
            (&["publish", "receive-maximum", "10"], "receive-maximum is no property of PUBLISH"),
            (&["connect", "receive-maximum", "70000"], "\"70000\" is no number from 0 to 65535"),
            (&["connect", "receive-maximum", "0"], "receive-maximum"),
            (&["publish", "payload-format-indicator", "2"], "is no number from 0 to 1"),
            (&["publish", "message-expiry-interval", "-1"], "is no number"),
            (&["publish", "response-topic", "a/#"], "response-topic"),
        ] {
            let error = parse(words).expect_err("wrong");
            assert!(error.contains(expected), "{words:?}: {error}");
        }
    }

    #[test]
    fn the_values_of_one_option_become_one_argument() {
        assert_eq!(
            joined(&["-D", "publish", "content-type", "-t", "-t", "x"]),
            ["-D", "publish\u{f8ff}content-type\u{f8ff}-t", "-t", "x"]
        );
        assert_eq!(
            joined(&["--property", "will", "user-property", "a", "-b", "-D", "publish"]),
            ["--property", "will\u{f8ff}user-property\u{f8ff}a\u{f8ff}-b", "-D", "publish"]
        );
        assert_eq!(joined(&["-D"]), ["-D"]);
    }

    #[test]
    fn the_value_of_another_option_may_look_like_this_one() {
        assert_eq!(joined(&["-m", "-D", "-t", "x", "y", "z"]), ["-m", "-D", "-t", "x", "y", "z"]);
    }
}
