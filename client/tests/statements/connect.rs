//! 3.1 CONNECT: its bytes, taken apart by hand.

use opifex_client::{Machine, MemoryStore, Options};
use opifex_packet::{Properties, Property, QoS, TopicName, Version, Will};

use crate::peer::Peer;
use crate::statements;

statements! { "connect";
    its_payload_is_what_its_flags_say_in_their_order:
        v4 ["MQTT-3.1.0-1", "MQTT-3.1.2-9", "MQTT-3.1.2-11", "MQTT-3.1.2-13", "MQTT-3.1.2-14", "MQTT-3.1.2-15",
            "MQTT-3.1.2-18", "MQTT-3.1.2-19", "MQTT-3.1.2-20", "MQTT-3.1.2-21", "MQTT-3.1.3-1", "MQTT-3.1.3-3",
            "MQTT-3.1.3-4", "MQTT-3.1.3-10", "MQTT-3.1.3-11"],
        v5 ["MQTT-3.1.0-1", "MQTT-3.1.2-1", "MQTT-3.1.2-9", "MQTT-3.1.2-11", "MQTT-3.1.2-12", "MQTT-3.1.2-13", "MQTT-3.1.2-16",
            "MQTT-3.1.2-17", "MQTT-3.1.2-18", "MQTT-3.1.2-19", "MQTT-3.1.3-1", "MQTT-3.1.3-3", "MQTT-3.1.3-4",
            "MQTT-3.1.3-11", "MQTT-3.1.3-12"];
    a_password_needs_a_user_name: v4 ["MQTT-3.1.2-22"];
    an_empty_client_id_needs_a_clean_session: v4 ["MQTT-3.1.3-7"];
    a_property_stands_in_it_once: v5 ["U5-3", "U5-7", "U5-8", "U5-9", "U5-10", "U5-11"];
}

/// What is left of a CONNECT, read from its front.
struct Bytes(Vec<u8>);

impl Bytes {
    fn take(&mut self, len: usize) -> Vec<u8> {
        self.0.drain(..len).collect()
    }

    /// A field with its length in two bytes before it.
    fn field(&mut self) -> Vec<u8> {
        let len = self.take(2);
        self.take(usize::from(len[0]) << 8 | usize::from(len[1]))
    }

    fn text(&mut self) -> String {
        String::from_utf8(self.field()).expect("text is UTF-8")
    }

    /// Properties with their length, which is short here, in one byte before them.
    fn properties(&mut self) -> Vec<u8> {
        let len = self.take(1)[0];
        assert!(len < 0x80);
        self.take(len.into())
    }
}

fn its_payload_is_what_its_flags_say_in_their_order(version: Version) {
    let wills = [
        None,
        Some((QoS::AtMostOnce, false)),
        Some((QoS::AtLeastOnce, true)),
        Some((QoS::ExactlyOnce, false)),
    ];
    for will in wills {
        for (user, password) in [(None, None), (Some("us\u{e9}r"), None), (Some("u"), Some("secret"))] {
            check_connect(version, will, user, password);
        }
    }
    if version.is_v5() {
        check_connect(version, None, None, Some("secret"));
    }
}

fn check_connect(version: Version, will: Option<(QoS, bool)>, user: Option<&str>, password: Option<&str>) {
    let mut options = Options::new(version, "cli\u{eb}nt");
    options.user_name = user.map(str::to_owned);
    options.password = password.map(|password| password.as_bytes().to_vec());
    options.will = will.map(|(qos, retain)| {
        let mut will = Will::new(TopicName::new("w\u{ef}ll").unwrap(), &b"gone"[..]);
        (will.qos, will.retain) = (qos, retain);
        will
    });
    let mut peer = Peer::new(options);
    peer.machine.connect(std::time::Instant::now()).unwrap();
    let mut bytes = Bytes(peer.sent_bytes());

    let header = bytes.take(2);
    assert_eq!((header[0], usize::from(header[1])), (0x10, bytes.0.len()), "CONNECT, and nothing behind it");
    assert_eq!((bytes.text(), bytes.take(1)), ("MQTT".to_owned(), vec![version.level()]));
    let flags = bytes.take(1)[0];
    assert_eq!(flags & 1, 0, "reserved");
    assert_eq!(flags & 0x04 != 0, will.is_some(), "will");
    let (qos, retain) = will.unwrap_or((QoS::AtMostOnce, false));
    assert_eq!((flags >> 3 & 3, flags & 0x20 != 0), (qos as u8, retain), "will QoS and RETAIN");
    assert_eq!((flags & 0x80 != 0, flags & 0x40 != 0), (user.is_some(), password.is_some()));
    bytes.take(2);
    if version.is_v5() {
        bytes.properties();
    }

    assert_eq!(bytes.text(), "cli\u{eb}nt");
    if will.is_some() {
        if version.is_v5() {
            bytes.properties();
        }
        assert_eq!((bytes.text(), bytes.field()), ("w\u{ef}ll".to_owned(), b"gone".to_vec()));
    }
    if let Some(user) = user {
        assert_eq!(bytes.text(), user);
    }
    if let Some(password) = password {
        assert_eq!(bytes.field(), password.as_bytes());
    }
    assert!(bytes.0.is_empty(), "nothing follows");
}

fn is_refused(options: Options) -> bool {
    Machine::new(options, MemoryStore::default()).is_err()
}

fn a_password_needs_a_user_name(version: Version) {
    let options = Options { password: Some(b"secret".to_vec()), ..Options::new(version, "c") };
    assert!(is_refused(options.clone()));
    assert!(!is_refused(Options { user_name: Some("u".to_owned()), ..options }));
}

fn an_empty_client_id_needs_a_clean_session(version: Version) {
    assert!(is_refused(Options { clean_start: false, ..Options::new(version, "") }));
    assert!(!is_refused(Options::new(version, "")));
}

fn a_property_stands_in_it_once(version: Version) {
    for property in [
        Property::SessionExpiryInterval(1),
        Property::RequestResponseInformation(true),
        Property::RequestProblemInformation(true),
        Property::AuthenticationMethod("m"),
    ] {
        let twice = Properties::new().with(property).with(property);
        assert!(is_refused(Options { properties: twice, ..Options::new(version, "c") }), "{property:?}");
    }
    let without_method = Properties::new().with(Property::AuthenticationData(b"d"));
    assert!(is_refused(Options { properties: without_method, ..Options::new(version, "c") }));
    for property in [
        Property::WillDelayInterval(1),
        Property::PayloadFormatIndicator(false),
        Property::MessageExpiryInterval(1),
        Property::ContentType("t"),
        Property::ResponseTopic("r"),
        Property::CorrelationData(b"c"),
    ] {
        let mut will = Will::new(TopicName::new("w").unwrap(), &b"gone"[..]);
        will.properties = Properties::new().with(property).with(property);
        assert!(is_refused(Options { will: Some(will), ..Options::new(version, "c") }), "{property:?}");
    }
}
