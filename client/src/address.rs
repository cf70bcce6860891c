//! Where a server is, as a URL: `mqtt://user:password@host:port`. What is behind it is a connector's affair.

use std::fmt;
use std::str::FromStr;

/// The port of MQTT without TLS.
const PORT: u16 = 1883;

/// The address of a server that is reached over TCP, and who connects to it.
///
/// ```
/// use opifex_client::Address;
///
/// let address = Address::parse("mqtt://lamp:s%40cret@broker.example")?;
/// assert_eq!((address.host(), address.port()), ("broker.example", 1883));
/// assert_eq!(address.user_name(), Some("lamp"));
/// assert_eq!(address.to_string(), "mqtt://broker.example:1883");
/// # Ok::<(), opifex_client::AddressError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
    user_name: Option<String>,
    password: Option<Vec<u8>>,
}

/// Why a text is no address.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// There is no scheme that is known here.
    #[error("an address begins with mqtt:// (for TLS and WebSocket give a connector of your own)")]
    Scheme,
    /// There is no host.
    #[error("the address has no host; expected mqtt://host or mqtt://host:port")]
    Host,
    /// The port is no number from 1 to 65535.
    #[error("the port in the address is no number from 1 to 65535")]
    Port,
    /// An escape in user name or password is none.
    #[error("user name and password are text in which % stands in front of two hexadecimal digits")]
    Credentials,
    /// Something follows the port.
    #[error("nothing may follow the port: topics are given apart from the address")]
    Path,
}

impl Address {
    /// The server on that host, without credentials. An IPv6 address stands without brackets.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Address { host: host.into(), port, user_name: None, password: None }
    }

    /// The address of that text: `mqtt://` (or `tcp://`), an optional `user:password@` in which other than letters and
    /// digits are percent-encoded, a host (IPv6 in brackets), and a port that is 1883 when it is left out.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let (scheme, rest) = text.split_once("://").ok_or(AddressError::Scheme)?;
        if !["mqtt", "tcp"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
            return Err(AddressError::Scheme);
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (credentials, place) = match rest.rsplit_once('@') {
            Some((credentials, place)) => (Some(credentials), place),
            None => (None, rest),
        };
        if place.contains(['/', '?', '#']) {
            return Err(AddressError::Path);
        }
        let (host, port) = match place.strip_prefix('[') {
            Some(bracketed) => {
                let (host, port) = bracketed.split_once(']').ok_or(AddressError::Host)?;
                let port = match port.strip_prefix(':') {
                    Some(port) => Some(port),
                    None if port.is_empty() => None,
                    None => return Err(AddressError::Port),
                };
                (host, port)
            }
            None => match place.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (place, None),
            },
        };
        if host.is_empty() {
            return Err(AddressError::Host);
        }
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or(AddressError::Port)?,
            None => PORT,
        };
        let mut address = Address::new(host, port);
        if let Some(credentials) = credentials {
            let (user_name, password) = match credentials.split_once(':') {
                Some((user_name, password)) => (user_name, Some(unescaped(password)?)),
                None => (credentials, None),
            };
            let user_name = String::from_utf8(unescaped(user_name)?);
            address.user_name = Some(user_name.map_err(|_| AddressError::Credentials)?);
            address.password = password;
        }
        Ok(address)
    }

    /// The host: a name or an IP address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The user name in the address.
    pub fn user_name(&self) -> Option<&str> {
        self.user_name.as_deref()
    }

    /// The password in the address.
    pub fn password(&self) -> Option<&[u8]> {
        self.password.as_deref()
    }
}

fn unescaped(text: &str) -> Result<Vec<u8>, AddressError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let (digits, after) = rest.split_first_chunk::<2>().ok_or(AddressError::Credentials)?;
        let digit = |digit: u8| char::from(digit).to_digit(16).ok_or(AddressError::Credentials);
        bytes.push((digit(digits[0])? * 16 + digit(digits[1])?) as u8);
        rest = after;
    }
    Ok(bytes)
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Address::parse(text)
    }
}

/// Without the credentials: addresses end up in logs.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Address { host, port, .. } = self;
        if host.contains(':') {
            write!(f, "mqtt://[{host}]:{port}")
        } else {
            write!(f, "mqtt://{host}:{port}")
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Address")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("user_name", &self.user_name)
            .field("password", &self.password.as_ref().map(|_| "..."))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (String, u16, Option<String>, Option<Vec<u8>>) {
        let Address { host, port, user_name, password } = Address::parse(text).unwrap();
        (host, port, user_name, password)
    }

    #[test]
    fn an_address_has_a_host_and_what_else_is_said() {
        assert_eq!(parsed("mqtt://h"), ("h".into(), 1883, None, None));
        assert_eq!(parsed("MQTT://h:1/"), ("h".into(), 1, None, None));
        assert_eq!(parsed("tcp://[::1]:1884"), ("::1".into(), 1884, None, None));
        assert_eq!(parsed("mqtt://[fe80::1%eth0]"), ("fe80::1%eth0".into(), 1883, None, None));
        assert_eq!(parsed("mqtt://u@h"), ("h".into(), 1883, Some("u".into()), None));
        assert_eq!(parsed("mqtt://u:p:q@h"), ("h".into(), 1883, Some("u".into()), Some(b"p:q".to_vec())));
        assert_eq!(parsed("mqtt://:p@h"), ("h".into(), 1883, Some(String::new()), Some(b"p".to_vec())));
        let escaped = parsed("mqtt://a%40b:%00%ff@h:9");
        assert_eq!(escaped, ("h".into(), 9, Some("a@b".into()), Some(vec![0, 255])));
    }

    #[test]
    fn what_is_no_address_is_told_why() {
        for (text, error) in [
            ("h:1883", AddressError::Scheme),
            ("mqtts://h", AddressError::Scheme),
            ("mqtt://", AddressError::Host),
            ("mqtt://:1883", AddressError::Host),
            ("mqtt://u@", AddressError::Host),
            ("mqtt://[::1", AddressError::Host),
            ("mqtt://[::1]1883", AddressError::Port),
            ("mqtt://h:0", AddressError::Port),
            ("mqtt://h:65536", AddressError::Port),
            ("mqtt://::1", AddressError::Host),
            ("mqtt://h:", AddressError::Port),
            ("mqtt://u%4@h", AddressError::Credentials),
            ("mqtt://u%zz@h", AddressError::Credentials),
            ("mqtt://%ff@h", AddressError::Credentials),
            ("mqtt://h/topic", AddressError::Path),
            ("mqtt://h?q", AddressError::Path),
        ] {
            assert_eq!(Address::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn neither_text_of_an_address_shows_the_password() {
        let address = Address::parse("mqtt://u:hush@[::1]:7").unwrap();
        assert_eq!(address.to_string(), "mqtt://[::1]:7");
        assert!(!format!("{address:?}").contains("hush"));
        assert_eq!(Address::parse(&address.to_string()).unwrap().host(), "::1");
    }
}
