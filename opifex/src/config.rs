//! The configuration: a TOML file whose every key is known, has a default, and is refused with its line and column
//! when it is wrong. What the values do is the affair of whoever they are handed to.

use std::num::NonZeroUsize;

use anyhow::anyhow;
use opifex_broker::StaticUsers;
use serde::{Deserialize, Serialize};

use crate::cli::ServeArgs;
use crate::failure::Failure;

mod bytes;
mod error;
mod limits;
mod listener;
mod log;
mod period;
mod qos;
mod storage;
mod text;
mod users;

pub(crate) use bytes::{ByteCount, PacketSize};
pub(crate) use limits::LimitsConfig;
pub(crate) use listener::{ListenAddress, Listener, PageOrigin, Protocol};
pub(crate) use log::{LogConfig, LogFilter, LogFormat};
pub(crate) use period::Period;
pub(crate) use qos::Qos;
pub(crate) use storage::{Backend, DurabilityLevel, StorageConfig};

use error::Source;
use users::{RulesConfig, UserConfig};

/// All that can be configured. An empty file is a broker for this machine.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// Whether clients without user name and password come in; `None`: if no users are listed, or rules for
    /// anonymous ones are.
    pub(crate) allow_anonymous: Option<bool>,
    /// Threads that serve connections; `None`: one a processor.
    pub(crate) workers: Option<NonZeroUsize>,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) storage: StorageConfig,
    pub(crate) log: LogConfig,
    pub(crate) users: Vec<UserConfig>,
    pub(crate) anonymous: Option<RulesConfig>,
    pub(crate) limits: LimitsConfig,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            allow_anonymous: None,
            workers: None,
            listeners: vec![Listener::default()],
            storage: StorageConfig::default(),
            log: LogConfig::default(),
            users: Vec::new(),
            anonymous: None,
            limits: LimitsConfig::default(),
        }
    }
}

/// Who is let in.
#[derive(Debug)]
pub(crate) enum Access {
    /// Everybody, under whatever name, to do everything.
    Everybody,
    /// Those of the list.
    Users(Box<StaticUsers>),
}

impl Config {
    /// The file that the flags name, if any, and the flags on top.
    pub(crate) fn load(args: &ServeArgs) -> Result<(Config, Access), Failure> {
        let source = args.config.as_deref().map(Source::read).transpose()?;
        let mut config: Config = source.as_ref().map_or(Ok(Config::default()), Source::parse)?;
        args.apply(&mut config);
        config.storage.settle()?;
        let access = config.access(source.as_ref())?;
        if config.listeners.is_empty() {
            return Err(Failure::usage(anyhow!("no listeners: nobody could connect")));
        }
        let is_idle =
            |listener: &&Listener| listener.protocol != Protocol::Websocket && !listener.origins.is_empty();
        if let Some(listener) = config.listeners.iter().find(is_idle) {
            let address = &listener.address;
            return Err(Failure::usage(anyhow!(
                "origins of pages for {address}, which is no WebSocket listener"
            )));
        }
        if !cfg!(feature = "websocket")
            && config.listeners.iter().any(|listener| listener.protocol == Protocol::Websocket)
        {
            let missing = "a WebSocket listener, and this program was built without the feature `websocket`";
            return Err(Failure::usage(anyhow!(missing)));
        }
        Ok((config, access))
    }

    fn allows_anonymous(&self) -> bool {
        self.allow_anonymous.unwrap_or(self.users.is_empty() || self.anonymous.is_some())
    }

    fn access(&self, source: Option<&Source>) -> Result<Access, Failure> {
        let anonymous = self.allows_anonymous().then(|| self.anonymous.clone().unwrap_or_default());
        if self.users.is_empty() && anonymous.is_none() {
            return Err(Failure::usage(anyhow!(
                "no users and no anonymous clients: nobody could connect; list [[users]] in the configuration file"
            )));
        }
        if self.users.is_empty() && self.anonymous.is_none() {
            return Ok(Access::Everybody);
        }
        let users = users::static_users(&self.users, anonymous.as_ref());
        users.map(|users| Access::Users(Box::new(users))).map_err(|(at, error)| match source {
            Some(source) => source.failure(Some(at), &error.to_string()),
            None => Failure::usage(error),
        })
    }

    /// The configuration as a file.
    pub(crate) fn to_toml(&self) -> Result<String, Failure> {
        toml::to_string(self).map_err(Failure::runtime)
    }
}

impl Source {
    fn parse(&self) -> Result<Config, Failure> {
        toml::from_str(self.text()).map_err(|error| self.failure(error.span(), error.message()))
    }
}
