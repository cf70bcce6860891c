//! A message as a JSON object. `%j` and `%J` have mosquitto_sub's members; `--json` the same ones, but for those in which
//! something could get lost: properties that may come several times are lists. What is no UTF-8 stands as base64, in a
//! member of another name.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use opifex_packet::Properties;
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::Arrived;

/// The payload is no JSON.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotJson;

#[derive(Serialize)]
struct Object<'a> {
    tst: String,
    topic: &'a str,
    qos: u8,
    retain: u8,
    payloadlen: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    properties: Option<Members<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Payload<'a>>,
    #[serde(rename = "payload-base64", skip_serializing_if = "Option::is_none")]
    payload_base64: Option<String>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Payload<'a> {
    Text(&'a str),
    Json(Box<RawValue>),
    Nothing(()),
}

/// Appends `--json`'s object.
pub(super) fn print_lossless(arrived: &Arrived<'_>, pretty: bool, out: &mut Vec<u8>) {
    let (payload, payload_base64) = text_or_base64(&arrived.message.payload);
    write(arrived, payload.map(Payload::Text), payload_base64, true, pretty, out);
}

/// Appends `%j`'s object.
pub(super) fn print(arrived: &Arrived<'_>, pretty: bool, out: &mut Vec<u8>) {
    let (payload, payload_base64) = text_or_base64(&arrived.message.payload);
    write(arrived, payload.map(Payload::Text), payload_base64, false, pretty, out);
}

/// Appends `%J`'s object, in which the payload stands as the JSON that it is.
pub(super) fn print_with_json(arrived: &Arrived<'_>, pretty: bool, out: &mut Vec<u8>) -> Result<(), NotJson> {
    let payload = &arrived.message.payload;
    let payload = match &payload[..] {
        [] => Payload::Nothing(()),
        json => {
            let value: &RawValue = serde_json::from_slice(json).map_err(|_| NotJson)?;
            let value = without_space(value.get());
            Payload::Json(RawValue::from_string(value).map_err(|_| NotJson)?)
        }
    };
    write(arrived, Some(payload), None, false, pretty, out);
    Ok(())
}

fn write(
    arrived: &Arrived<'_>,
    payload: Option<Payload<'_>>,
    payload_base64: Option<String>,
    lossless: bool,
    pretty: bool,
    out: &mut Vec<u8>,
) {
    let message = arrived.message;
    let properties = &message.properties;
    let object = Object {
        tst: arrived.local_time().strftime("%Y-%m-%dT%H:%M:%S.%6f%z").to_string(),
        topic: message.topic.as_str(),
        qos: u8::from(message.qos),
        retain: u8::from(message.retain),
        payloadlen: message.payload.len(),
        properties: (!properties.is_empty()).then_some(Members { properties, lossless }),
        payload,
        payload_base64,
    };
    let written =
        if pretty { serde_json::to_writer_pretty(out, &object) } else { serde_json::to_writer(out, &object) };
    written.expect("a Vec takes all, and every key is a text");
}

fn text_or_base64(bytes: &[u8]) -> (Option<&str>, Option<String>) {
    match str::from_utf8(bytes) {
        Ok(text) => (Some(text), None),
        Err(_) => (None, Some(STANDARD.encode(bytes))),
    }
}

/// The properties of a message, as members of an object.
struct Members<'a> {
    properties: &'a Properties<'a>,
    lossless: bool,
}

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let said = self.properties;
        let mut map = serializer.serialize_map(None)?;
        if let Some(indicator) = said.payload_format_indicator() {
            map.serialize_entry("payload-format-indicator", &u8::from(indicator))?;
        }
        if let Some(secs) = said.message_expiry_interval() {
            map.serialize_entry("message-expiry-interval", &secs)?;
        }
        if let Some(content_type) = said.content_type() {
            map.serialize_entry("content-type", content_type)?;
        }
        if let Some(topic) = said.response_topic() {
            map.serialize_entry("response-topic", topic)?;
        }
        if let Some(data) = said.correlation_data() {
            match text_or_base64(data) {
                (Some(text), _) => map.serialize_entry("correlation-data", text)?,
                (None, base64) => map.serialize_entry("correlation-data-base64", &base64)?,
            }
        }
        let numbers: Vec<u32> = said.subscription_identifiers().collect();
        match numbers[..] {
            [] => {}
            _ if self.lossless => map.serialize_entry("subscription-identifiers", &numbers)?,
            [number] => map.serialize_entry("subscription-identifier", &number)?,
            _ => map.serialize_entry("subscription-identifier", &numbers)?,
        }
        let pairs: Vec<(&str, &str)> = said.user_properties().collect();
        if !pairs.is_empty() {
            if self.lossless {
                map.serialize_entry("user-properties", &pairs)?;
            } else {
                map.serialize_entry("user-properties", &Pairs(&pairs))?;
            }
        }
        map.end()
    }
}

/// User properties as an object. A name that comes twice stands twice.
struct Pairs<'a>(&'a [(&'a str, &'a str)]);

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}

/// JSON on one line: the space between its tokens is left out, whatever stands in its strings.
fn without_space(json: &str) -> String {
    let (mut in_string, mut escaped) = (false, false);
    json.chars()
        .filter(|char| {
            let keep = in_string || !char.is_ascii_whitespace();
            match char {
                _ if escaped => escaped = false,
                '\\' => escaped = in_string,
                '"' => in_string = !in_string,
                _ => {}
            }
            keep
        })
        .collect()
}
