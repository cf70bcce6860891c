//! `mqtt://[USER[:PASSWORD]@]HOST[:PORT]/TOPIC`, the value of `-L`: a client's address, and a topic that stands behind it
//! as it is, not percent-encoded.

use std::str::FromStr;

use opifex_client::Address;

/// A server, a login and a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerUrl {
    pub(crate) address: Address,
    /// What stands behind the slash, unless that is nothing.
    pub(crate) topic: Option<String>,
}

impl FromStr for ServerUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<ServerUrl, String> {
        let authority = text.find("://").map_or(0, |at| at + 3);
        let slash = text[authority..].find('/').map(|at| authority + at);
        let (address, topic) = slash.map_or((text, ""), |at| (&text[..at], &text[at + 1..]));
        let address = Address::parse(address).map_err(|error| error.to_string())?;
        Ok(ServerUrl { address, topic: (!topic.is_empty()).then(|| topic.to_owned()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> ServerUrl {
        text.parse().expect(text)
    }

    #[test]
    fn a_topic_stands_behind_the_address_as_it_is() {
        let whole = url("mqtt://me:se%40cret@broker.lan:1884/rooms/50%25/#");
        assert_eq!((whole.address.host(), whole.address.port()), ("broker.lan", 1884));
        assert_eq!(whole.address.user_name(), Some("me"));
        assert_eq!(whole.address.password(), Some(&b"se@cret"[..]));
        assert_eq!(whole.topic.as_deref(), Some("rooms/50%25/#"));
        assert_eq!(url("mqtt://[::1]//leading").topic.as_deref(), Some("/leading"));
    }

    #[test]
    fn a_topic_may_be_missing() {
        assert_eq!(url("mqtt://h").topic, None);
        assert_eq!(url("mqtt://h:1883/"), ServerUrl { address: Address::new("h", 1883), topic: None });
    }

    #[test]
    fn what_is_no_url_is_refused_with_what_was_expected() {
        for (text, expected) in [
            ("localhost/t", "begins with mqtt://"),
            ("h://", "begins with mqtt://"),
            ("mqtt:///t", "no host"),
            ("mqtt://h:0/t", "1 to 65535"),
        ] {
            let error = text.parse::<ServerUrl>().expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
