//! What `pub`, `sub`, `rr` and `bench` share: from flags to a client and its connection, and how a client's errors end
//! the program. The protocol is `opifex-client`'s.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::num::{NonZeroU16, NonZeroU32};
use std::os::unix::ffi::OsStringExt as _;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use opifex_client::{Address, Options};
use opifex_packet::{Properties, Property, PropertyContext, QoS, TopicName, Version, Will};

use crate::cli::{PropertyFlag, ServerFlags, ServerUrl, SessionFlags, UrlFlag, packet_name};
use crate::failure::Failure;

mod connected;
mod ending;

pub(crate) use connected::Connected;
pub(crate) use ending::{end, failure, interrupted};

/// How long a session of a command's own outlives a connection: longer than the attempts to make another.
const OWN_SESSION_SECS: u32 = 300;
/// The same of a command that never gives up. Its last DISCONNECT ends the session; one that is killed leaves it so long.
const OWN_LONG_SESSION_SECS: u32 = 24 * 3600;

/// What a client's flags come to.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) address: Address,
    pub(crate) options: Options,
    properties: Vec<PropertyFlag>,
    /// The session is the command's own, and ends with it.
    own_session: bool,
    /// What is said on standard error.
    pub(crate) debug: bool,
    pub(crate) quiet: bool,
}

/// What a command does that flags have to fit.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Command {
    /// Its name, for client ids.
    pub(crate) name: &'static str,
    /// The version without `-V`, when nothing asks for 5.0.
    pub(crate) version: Version,
    /// The flag of its own that asks for 5.0.
    pub(crate) wants_v5: Option<&'static str>,
    /// The packets besides CONNECT, will and DISCONNECT that `-D` may name.
    pub(crate) packets: &'static [PropertyContext],
}

impl Setup {
    /// Reads the flags.
    pub(crate) fn new(
        command: &Command,
        server: &ServerFlags,
        url: &UrlFlag,
        session: &SessionFlags,
    ) -> Result<Setup, Failure> {
        let address = address(server, url);
        let version = version(command, server, session)?;
        let id = client_id(command, session, version)?;
        let mut options = Options::new(version, id);
        options.keep_alive_secs = session.keepalive;
        options.clean_start = !session.keep_session;
        // Nothing of a session is kept on this side.
        options.adopt_session = session.keep_session;
        let expiry = session.session_expiry_interval;
        options.session_expiry_secs = expiry.unwrap_or(if session.keep_session { u32::MAX } else { 0 });
        (options.user_name, options.password) = login(server, &address)?;
        if options.password.is_some() && options.user_name.is_none() && !version.is_v5() {
            return Err(usage("before 5.0 a password needs a user name: add -u"));
        }

        let own = [PropertyContext::Connect, PropertyContext::Disconnect, PropertyContext::Will];
        for flag in &session.property {
            if !own.contains(&flag.packet) && !command.packets.contains(&flag.packet) {
                let packet = packet_name(flag.packet).to_uppercase();
                return Err(usage(&format!("`opifex {}` sends no {packet}: remove that -D", command.name)));
            }
        }
        let properties = session.property.clone();
        let mut setup = Setup {
            address,
            options,
            properties,
            own_session: false,
            debug: session.debug,
            quiet: session.quiet,
        };
        setup.connect_properties()?;
        setup.options.will = setup.will(session)?;
        Ok(setup)
    }

    /// Gives a command that publishes at QoS 2 a session for its lifetime: a message is ended over a new connection then,
    /// and not sent anew. With `-c` and `-x` it has one. Before 5.0 there is none that ends by itself.
    /// `for_ever`: it never gives up.
    pub(crate) fn with_own_session(mut self, qos: QoS, session: &SessionFlags, for_ever: bool) -> Setup {
        let asked = session.session_expiry_interval.is_some() || self.options.session_expiry_secs > 0;
        if qos == QoS::ExactlyOnce && self.options.version.is_v5() && !asked {
            self.options.session_expiry_secs =
                if for_ever { OWN_LONG_SESSION_SECS } else { OWN_SESSION_SECS };
            self.own_session = true;
        }
        self
    }

    /// The properties of DISCONNECT.
    pub(crate) fn disconnect_properties(&self) -> Result<Properties<'static>, Failure> {
        let mut properties = self.properties(PropertyContext::Disconnect)?;
        if self.own_session && properties.session_expiry_interval().is_none() {
            properties.push(Property::SessionExpiryInterval(0));
        }
        Ok(properties)
    }

    /// The properties that `-D` gives to a packet, in their order.
    pub(crate) fn properties(&self, packet: PropertyContext) -> Result<Properties<'static>, Failure> {
        let mut all = Properties::new();
        for flag in self.properties.iter().filter(|flag| flag.packet == packet) {
            flag.property.iter().for_each(|property| all.push(property));
        }
        let checked = Properties::from_bytes(packet, all.as_bytes());
        let name = || format!("-D {}", packet_name(packet));
        checked.with_context(name).map_err(Failure::Usage)?;
        Ok(all.into_owned())
    }

    /// Some of CONNECT's properties are options of the client.
    fn connect_properties(&mut self) -> Result<(), Failure> {
        let said = self.properties(PropertyContext::Connect)?;
        let options = &mut self.options;
        const OPTIONS: [u8; 4] = [0x11, 0x21, 0x22, 0x27];
        if let Some(secs) = said.session_expiry_interval() {
            options.session_expiry_secs = secs;
        }
        if let Some(maximum) = said.receive_maximum() {
            options.receive_maximum = maximum;
        }
        if let Some(maximum) = said.topic_alias_maximum() {
            options.topic_alias_maximum = maximum;
        }
        if let Some(size) = said.maximum_packet_size() {
            options.max_packet_size = Some(size);
        }
        options.properties = said.retain(|property| !OPTIONS.contains(&property.id()));
        Ok(())
    }

    fn will(&self, session: &SessionFlags) -> Result<Option<Will<'static>>, Failure> {
        let properties = self.properties(PropertyContext::Will)?;
        let Some(topic) = &session.will_topic else {
            return match properties.is_empty() {
                true => Ok(None),
                false => Err(usage("-D will needs --will-topic")),
            };
        };
        let payload = session.will_payload.clone().unwrap_or_default().into_vec();
        Ok(Some(Will {
            qos: session.will_qos.map_or(QoS::AtMostOnce, |qos| qos.0),
            retain: session.will_retain,
            topic: topic.clone(),
            payload: payload.into(),
            properties,
        }))
    }
}

/// Where the server is.
pub(crate) fn address(server: &ServerFlags, url: &UrlFlag) -> Address {
    let host = || server.host.clone().unwrap_or_else(|| "localhost".into());
    let port = server.port.map_or(1883, NonZeroU16::get);
    url.url.as_ref().map_or_else(|| Address::new(host(), port), |url| url.address.clone())
}

/// User name and password: a flag wins over the URL.
pub(crate) fn login(
    server: &ServerFlags,
    address: &Address,
) -> Result<(Option<String>, Option<Vec<u8>>), Failure> {
    let user_name = server.username.clone().or(address.user_name().map(str::to_owned));
    let password = password(server)?.or(address.password().map(<[u8]>::to_vec));
    Ok((user_name, password))
}

/// The topic of `-t`, or the URL's.
pub(crate) fn topic(
    flag: Option<&TopicName<'static>>,
    url: Option<&ServerUrl>,
) -> Result<TopicName<'static>, Failure> {
    match (flag, url.and_then(|url| url.topic.clone())) {
        (Some(_), Some(_)) => Err(usage("the URL has a topic already: remove -t")),
        (Some(topic), None) => Ok(topic.clone()),
        (None, Some(topic)) => TopicName::new(topic).map_err(Failure::usage),
        (None, None) => Err(usage("there is no topic: add -t TOPIC")),
    }
}

fn version(command: &Command, server: &ServerFlags, session: &SessionFlags) -> Result<Version, Failure> {
    let wants_v5 = if !session.property.is_empty() {
        Some("-D")
    } else if session.session_expiry_interval.is_some() {
        Some("-x")
    } else {
        command.wants_v5
    };
    match (server.protocol_version, wants_v5) {
        (Some(version), Some(flag)) if !version.is_v5() => {
            Err(usage(&format!("{flag} needs MQTT 5.0: use -V 5")))
        }
        (Some(version), _) => Ok(version),
        (None, Some(_)) => Ok(Version::V5_0),
        (None, None) => Ok(command.version),
    }
}

fn client_id(command: &Command, session: &SessionFlags, version: Version) -> Result<String, Failure> {
    if let Some(id) = &session.id {
        return Ok(id.clone());
    }
    if let Some(prefix) = &session.id_prefix {
        return Ok(format!("{prefix}{}", std::process::id()));
    }
    if session.keep_session {
        return Err(usage("a session that is kept needs a client id: add -i"));
    }
    // The server makes one up. Before 5.0 not every one does so, and 3.1 has 23 characters at most.
    Ok(if version.is_v5() { String::new() } else { format!("opifex-{}-{:08x}", command.name, random()) })
}

/// How many QoS 1 and 2 messages may be on their way at once. A 5.0 server says how many it takes. Before, it cannot, and
/// mosquitto closes connections that have more than some under way: 20 is what its own clients use.
pub(crate) fn max_inflight(flag: Option<NonZeroU16>, version: Version) -> u16 {
    flag.map_or(if version.is_v5() { 1000 } else { 20 }, NonZeroU16::get)
}

/// A number that no other process has at the same time: a hasher with random keys is all the randomness that the
/// standard library has.
pub(crate) fn random() -> u32 {
    RandomState::new().build_hasher().finish() as u32
}

fn password(server: &ServerFlags) -> Result<Option<Vec<u8>>, Failure> {
    let Some(file) = &server.password_file else {
        return Ok(server.password.clone().map(|password| password.into_vec()));
    };
    let mut bytes = std::fs::read(file)
        .with_context(|| format!("cannot read {}", file.display()))
        .map_err(Failure::Runtime)?;
    if let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
        bytes.truncate(end);
    }
    if bytes.ends_with(b"\r") {
        bytes.pop();
    }
    Ok(Some(bytes))
}

/// The time of `-W`, which begins with the command; without the flag it is never over.
pub(crate) async fn patience(secs: Option<NonZeroU32>) {
    match secs {
        Some(secs) => tokio::time::sleep(Duration::from_secs(secs.get().into())).await,
        None => std::future::pending().await,
    }
}

/// Flags that do not go together.
pub(crate) fn usage(what: &str) -> Failure {
    Failure::usage(anyhow!("{what}"))
}
