//! What is printed of a message, held against what mosquitto_sub prints where it does as it says.

use opifex_packet::{Property, QoS, TopicName};

use super::*;

fn message(topic: &str, payload: impl Into<Vec<u8>>) -> Message {
    Message::new(TopicName::new(topic).unwrap(), payload.into())
}

fn full() -> Message {
    let mut full = message("rooms/1", "21.5°").with_qos(QoS::AtLeastOnce);
    full.retain = true;
    for property in [
        Property::PayloadFormatIndicator(true),
        Property::MessageExpiryInterval(100),
        Property::ContentType("text/plain"),
        Property::ResponseTopic("r/t"),
        Property::CorrelationData(b"abc"),
        Property::SubscriptionIdentifier(7),
        Property::UserProperty("k", "v"),
        Property::UserProperty("k2", "v2"),
    ] {
        full.properties.push(property);
    }
    full
}

/// 2020-05-06T22:12:00.000012034Z.
fn at() -> Timestamp {
    Timestamp::new(1_588_803_120, 12_034).unwrap()
}

fn printed(flags: &OutputFlags, message: &Message) -> Vec<u8> {
    let mut out = Vec::new();
    Printer::new(flags).print(&Arrived { message, at: at() }, &mut out).unwrap();
    out
}

fn formatted(format: &str, message: &Message) -> String {
    let flags =
        OutputFlags { format: Some(format.parse().unwrap()), no_newline: true, ..OutputFlags::default() };
    String::from_utf8(printed(&flags, message)).unwrap()
}

fn json(flags: OutputFlags, message: &Message) -> serde_json::Value {
    let line = printed(&flags, message);
    if !flags.pretty {
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1, "an object is one line");
    }
    serde_json::from_slice(&line).unwrap()
}

fn lossless() -> OutputFlags {
    OutputFlags { json: true, ..OutputFlags::default() }
}

#[test]
fn a_payload_is_printed_as_it_is_and_a_line_ends() {
    let plain = OutputFlags::default();
    assert_eq!(printed(&plain, &message("a", b"\xff\0\n")), b"\xff\0\n\n");
    assert_eq!(printed(&plain, &message("a", "")), b"\n");
    let no_newline = OutputFlags { no_newline: true, ..OutputFlags::default() };
    assert_eq!(printed(&no_newline, &message("a", "x")), b"x");
}

#[test]
fn verbose_has_the_topic_in_front_and_a_word_for_nothing() {
    let verbose = OutputFlags { verbose: true, ..OutputFlags::default() };
    assert_eq!(printed(&verbose, &message("a/b", "x y")), b"a/b x y\n");
    assert_eq!(printed(&verbose, &message("a/b", "")), b"a/b (null)\n");
}

#[test]
fn every_part_of_a_message_has_its_letter() {
    let all = "%t|%p|%q|%r|%l|%x|%X|%A|%C|%D|%E|%F|%P|%R|%S|%%";
    assert_eq!(
        formatted(all, &full()),
        "rooms/1|21.5°|1|1|6|32312e35c2b0|32312E35C2B0||text/plain|abc|100|1|k:v k2:v2|r/t|7|%"
    );
    assert_eq!(formatted(all, &message("a", "")), "a||0|0|0|||||||||||%");
}

#[test]
fn widths_are_minima_and_fill_on_the_left_unless_told_otherwise() {
    let m = message("abc", "é");
    assert_eq!(formatted("[%5t][%-5t][%2t][%05t]", &m), "[  abc][abc  ][abc][  abc]");
    assert_eq!(formatted("[%5l][%05l][%-05l][%5x][%06X]", &m), "[    2][00002][2    ][ c3a9][00C3A9]");
    assert_eq!(formatted("[%3p][%-3p]", &m), "[  é][é  ]");
    assert_eq!(formatted("[%3C][%03E]", &m), "[   ][000]");
}

#[test]
fn maxima_cut_the_texts_that_they_are_for() {
    let m = message("äbcdef", "payload");
    assert_eq!(
        formatted("[%.2t][%5.2t][%-5.2t][%.t][%.99t][%.2p]", &m),
        "[äb][   äb][äb   ][][äbcdef][payload]"
    );
}

#[test]
fn the_time_of_arrival_is_printed_in_parts_or_at_once() {
    let m = message("a", "b");
    assert_eq!(formatted("%U @s @N @@", &m), "1588803120.000012034 1588803120 000012034 @");
    let zoned = at().to_zoned(TimeZone::system());
    assert_eq!(formatted("@Y-@m-@d @H:@M:@S@z", &m), zoned.strftime("%Y-%m-%d %H:%M:%S%z").to_string());
    assert_eq!(formatted("%I", &m), zoned.strftime("%Y-%m-%dT%H:%M:%S%z").to_string());
    assert_eq!(formatted("%.4I", &m), zoned.strftime("%Y").to_string());
}

#[test]
fn escapes_are_characters() {
    let m = message("a", "b");
    assert_eq!(formatted(r"\\\0\a\e\n\r\t\v", &m), "\\\0\x07\x1b\n\r\t\x0b");
    assert_eq!(formatted(r"\e[92m%t\e[0m", &m), "\x1b[92ma\x1b[0m");
}

#[test]
fn what_is_no_format_is_refused_by_name() {
    for (format, expected) in [
        ("%", "% stands at the end"),
        ("x%-05", "% stands at the end"),
        ("%z", "%z is no part of a message"),
        ("%5.5", "% stands at the end"),
        ("@", "@ stands at the end"),
        ("@!", "@! is no part of a time"),
        ("\\", "\\ stands at the end"),
        ("\\q", "\\q is no escape"),
        ("%99999t", "10000 characters at most"),
        ("%999999999999999999999999t", "10000 characters at most"),
    ] {
        let error = format.parse::<Format>().unwrap_err();
        assert!(error.contains(expected), "{format}: {error}");
    }
}

#[test]
fn json_in_a_format_has_mosquittos_members() {
    let line = formatted("%j", &full());
    let time = at().to_zoned(TimeZone::system()).strftime("%Y-%m-%dT%H:%M:%S.%6f%z").to_string();
    let expected = format!(
        "{{\"tst\":\"{time}\",\"topic\":\"rooms/1\",\"qos\":1,\"retain\":1,\"payloadlen\":6,\"properties\":\
         {{\"payload-format-indicator\":1,\"message-expiry-interval\":100,\"content-type\":\"text/plain\",\
         \"response-topic\":\"r/t\",\"correlation-data\":\"abc\",\"subscription-identifier\":7,\
         \"user-properties\":{{\"k\":\"v\",\"k2\":\"v2\"}}}},\"payload\":\"21.5°\"}}"
    );
    assert_eq!(line, expected);
}

#[test]
fn json_loses_no_payload() {
    let text = "quote \" backslash \\ line\nnull \0 é";
    assert_eq!(json(lossless(), &message("a", text))["payload"], text);
    assert_eq!(json(lossless(), &message("a", ""))["payload"], "");
    let line = json(lossless(), &message("a", b"\xff\0\x01"));
    assert_eq!((&line["payload-base64"], line.get("payload")), (&"/wAB".into(), None));
}

#[test]
fn json_loses_no_property() {
    let mut m = full();
    m.properties.push(Property::UserProperty("k", "again"));
    m.properties.push(Property::SubscriptionIdentifier(9));
    let mut m2 = message("a", "");
    m2.properties.push(Property::CorrelationData(b"\xff"));
    let properties = &json(lossless(), &m)["properties"];
    assert_eq!(properties["user-properties"], serde_json::json!([["k", "v"], ["k2", "v2"], ["k", "again"]]));
    assert_eq!(properties["subscription-identifiers"], serde_json::json!([7, 9]));
    assert_eq!(json(lossless(), &m2)["properties"], serde_json::json!({"correlation-data-base64": "/w=="}));
}

#[test]
fn a_payload_that_is_json_stands_in_the_line_as_it_is_but_for_space() {
    let line =
        formatted("%J", &message("a", "{ \"a\\\" b\" :\n 1.50, \"big\": 123456789012345678901234567890 }"));
    assert!(
        line.ends_with("\"payload\":{\"a\\\" b\":1.50,\"big\":123456789012345678901234567890}}"),
        "{line}"
    );
    assert!(formatted("%J", &message("a", "")).ends_with("\"payload\":null}"));
}

#[test]
fn a_payload_that_is_no_json_is_an_error_and_prints_nothing() {
    let flags = OutputFlags { format: Some("%t %J".parse().unwrap()), ..OutputFlags::default() };
    for payload in [&b"{"[..], b"x", b"\xff", b"1 2", b"{\"a\":1}}"] {
        let message = message("a", payload);
        let mut out = b"before".to_vec();
        let printed = Printer::new(&flags).print(&Arrived { message: &message, at: at() }, &mut out);
        assert_eq!((printed, &out[..]), (Err(NotJson), &b"before"[..]), "{payload:?}");
    }
}

#[test]
fn pretty_json_is_the_same_over_several_lines() {
    let pretty = OutputFlags { json: true, pretty: true, ..OutputFlags::default() };
    assert!(printed(&pretty, &full()).starts_with(b"{\n  \"tst\": "));
    assert_eq!(json(pretty, &full()), json(lossless(), &full()));
}
