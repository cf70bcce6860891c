//! Where to listen.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::text;

/// A listener. A table, as transports to come will have more to say.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listener {
    pub(crate) address: ListenAddress,
    #[serde(default)]
    pub(crate) protocol: Protocol,
    /// Of a WebSocket listener: the pages that are served beside those of the same host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) origins: Vec<PageOrigin>,
}

/// What is spoken there.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    /// MQTT over TCP.
    #[default]
    Mqtt,
    /// MQTT over WebSocket over TCP.
    Websocket,
}

/// `HOST:PORT`. The host is an address or a name; port 0 stands for a free one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListenAddress(String);

impl ListenAddress {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a browser says in `Origin`: `SCHEME://HOST` or `SCHEME://HOST:PORT`, or `null`; `*` stands for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PageOrigin(String);

impl PageOrigin {
    #[cfg(feature = "websocket")]
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Listener {
    fn default() -> Listener {
        let address = ListenAddress("127.0.0.1:1883".to_owned());
        Listener { address, protocol: Protocol::Mqtt, origins: Vec::new() }
    }
}

impl FromStr for PageOrigin {
    type Err = String;

    fn from_str(text: &str) -> Result<PageOrigin, String> {
        let right = text.split_once("://").is_some_and(|(scheme, host)| {
            let says_the_default =
                (scheme == "http" && host.ends_with(":80")) || (scheme == "https" && host.ends_with(":443"));
            let fits = |byte: u8| byte.is_ascii_graphic() && !b"/?#@,".contains(&byte);
            !scheme.is_empty() && !host.is_empty() && host.bytes().all(fits) && !says_the_default
        });
        if !right && !matches!(text, "*" | "null") {
            let expected = "expected what a browser says: https://example.org or http://localhost:3000, without a path and \
                without the port 443 of https or 80 of http; or null, or * for any";
            return Err(format!("{text:?} is no origin of pages, {expected}"));
        }
        Ok(PageOrigin(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for PageOrigin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<PageOrigin, D::Error> {
        text::deserialize(deserializer, "an origin of pages")
    }
}

impl Serialize for PageOrigin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<ListenAddress, String> {
        let parts = text.rsplit_once(':');
        let right = parts.is_some_and(|(host, port)| {
            let bare_v6 = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
            !host.is_empty() && !bare_v6 && port.parse::<u16>().is_ok()
        });
        if !right {
            let expected = "expected HOST:PORT such as 127.0.0.1:1883, [::1]:1883 or localhost:0";
            return Err(format!("{text:?} is no address to listen on, {expected}"));
        }
        Ok(ListenAddress(text.to_owned()))
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ListenAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ListenAddress, D::Error> {
        text::deserialize(deserializer, "\"HOST:PORT\"")
    }
}

impl Serialize for ListenAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{ListenAddress, PageOrigin};

    #[test]
    fn an_address_to_listen_on_has_a_host_and_a_port() {
        for right in ["127.0.0.1:1883", "[::1]:0", "localhost:65535"] {
            assert!(right.parse::<ListenAddress>().is_ok(), "{right}");
        }
        for wrong in ["", "1883", ":1883", "localhost", "::1:1883", "127.0.0.1:65536", "127.0.0.1:mqtt"] {
            assert!(wrong.parse::<ListenAddress>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_origin_is_what_a_browser_says() {
        for right in
            ["https://example.org", "http://localhost:3000", "http://[::1]", "https://a:80", "null", "*"]
        {
            assert!(right.parse::<PageOrigin>().is_ok(), "{right}");
        }
        for wrong in [
            "",
            "example.org",
            "https://",
            "https://example.org/",
            "https://example.org/page",
            "https://example.org:443",
            "http://example.org:80",
            "https://user@example.org",
            "https://a, https://b",
            "https://*\u{a0}",
        ] {
            assert!(wrong.parse::<PageOrigin>().is_err(), "{wrong}");
        }
    }
}
