//! Which web pages may open a WebSocket. A browser lets any page ask any server, this machine's too, and says in `Origin`
//! whose page it is: the server has to look. Who is no browser says nothing, or what it likes: this keeps nobody else out.

/// The origins of pages that are served. The default: those whose host the request itself is for, on whichever port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    /// All of them.
    any: bool,
    named: Vec<String>,
    /// Of names, none but this machine's own make a page one of the same host.
    local: bool,
}

impl Origins {
    /// The default, and these: each as browsers write it, `https://example.org` or `http://localhost:3000`, without a path
    /// and without the scheme's own port; `*` stands for all.
    pub fn with<T: Into<String>>(named: impl IntoIterator<Item = T>) -> Origins {
        let named: Vec<String> = named.into_iter().map(Into::into).collect();
        Origins { any: named.iter().any(|name| name == "*"), named, local: false }
    }

    /// The same for a connection from this machine: by the default a page is one of the same host only if that is
    /// `localhost` or a loopback address. Whoever has a name in the web can have it stand for 127.0.0.1, and then page and
    /// request are of the same host.
    pub fn from_this_machine(self) -> Origins {
        Origins { local: true, ..self }
    }

    /// Whether a request for this `Host` may come from a page of this origin.
    pub(crate) fn allow(&self, origin: &[u8], host: &str) -> bool {
        let Ok(origin) = std::str::from_utf8(origin) else { return self.any };
        self.any
            || self.named.iter().any(|name| name.eq_ignore_ascii_case(origin))
            || self.is_own(origin, host)
    }

    fn is_own(&self, origin: &str, host: &str) -> bool {
        let Some((_, of_page)) = origin.split_once("://") else { return false };
        let (of_page, asked) = (without_port(of_page), without_port(host));
        !asked.is_empty() && of_page.eq_ignore_ascii_case(asked) && (!self.local || is_loopback(asked))
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        // Of an IPv6 address, what is in brackets is no port.
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => host,
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::Origins;

    fn allows(origins: &Origins, origin: &str, host: &str) -> bool {
        origins.allow(origin.as_bytes(), host)
    }

    #[test]
    fn a_page_of_the_same_host_is_served_and_no_other() {
        for origins in [Origins::default(), Origins::with(["https://third.example"])] {
            for (origin, host) in [
                ("http://broker.example", "broker.example:8083"),
                ("https://Broker.example:8443", "broker.EXAMPLE"),
                ("http://127.0.0.1:3000", "127.0.0.1:8083"),
                ("http://[::1]:3000", "[::1]"),
            ] {
                assert!(allows(&origins, origin, host), "{origin} {host}");
            }
            for (origin, host) in [
                ("https://evil.example", "127.0.0.1:8083"),
                ("https://evil.example", "localhost"),
                ("https://broker.example.evil.example", "broker.example"),
                ("https://evilbroker.example", "broker.example"),
                ("https://evil.example:broker.example", "broker.example"),
                ("https://broker.example@evil.example", "broker.example"),
                ("null", "null"),
                ("file://", ":8083"),
                ("broker.example", "broker.example"),
                ("", "broker.example"),
                ("http://[::2]", "[::1]"),
            ] {
                assert!(!allows(&origins, origin, host), "{origin} {host}");
            }
        }
    }

    #[test]
    fn a_page_that_is_named_is_served_from_anywhere() {
        let origins = Origins::with(["https://app.example", "null"]);
        assert!(allows(&origins, "https://App.example", "broker.example"));
        assert!(allows(&origins, "null", "broker.example"));
        for other in ["http://app.example", "https://app.example:444", "https://app.example.evil", "https://"]
        {
            assert!(!allows(&origins, other, "broker.example"), "{other}");
        }
        let origins = Origins::with(["*"]);
        assert!(allows(&origins, "https://evil.example", "broker.example"));
        assert!(origins.allow(b"\xff", "broker.example"));
    }

    #[test]
    fn on_this_machine_a_name_of_the_web_is_not_the_same_host() {
        let origins = Origins::default().from_this_machine();
        for host in ["localhost", "127.0.0.1", "127.1.2.3", "[::1]", "[::ffff:127.0.0.1]"] {
            assert!(allows(&origins, &format!("http://{host}:3000"), &format!("{host}:8083")), "{host}");
        }
        for host in ["rebound.example", "localhost.evil.example", "192.0.2.1"] {
            assert!(!allows(&origins, &format!("http://{host}:8083"), &format!("{host}:8083")), "{host}");
        }
        let origins = Origins::with(["https://mqtt.example"]).from_this_machine();
        assert!(allows(&origins, "https://mqtt.example", "mqtt.example"), "behind a proxy");
    }
}
