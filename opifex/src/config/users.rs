//! The users of the file, and what they and anonymous clients may do.

use std::ops::Range;

use opifex_broker::{PasswordHash, Rules, StaticUsers, StaticUsersError};
use serde::{Deserialize, Deserializer, Serialize};
use toml::Spanned;

/// A `[[users]]` entry.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserConfig {
    name: Spanned<String>,
    password_hash: HashText,
    #[serde(default)]
    allow: RulesConfig,
}

/// What a user may do, by topic filters. Without a list everything of that kind.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RulesConfig {
    publish: Option<Vec<RuleText>>,
    subscribe: Option<Vec<RuleText>>,
    receive: Option<Vec<RuleText>>,
}

/// The text of a password hash, known to be one.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
struct HashText(String);

/// The text of a topic filter, known to be one that may be a rule.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
struct RuleText(String);

impl<'de> Deserialize<'de> for HashText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<HashText, D::Error> {
        let text = String::deserialize(deserializer)?;
        match PasswordHash::new(&text) {
            Ok(_) => Ok(HashText(text)),
            Err(error) => Err(serde::de::Error::custom(format!("{error}; `opifex hash-password` makes one"))),
        }
    }
}

impl<'de> Deserialize<'de> for RuleText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RuleText, D::Error> {
        let text = String::deserialize(deserializer)?;
        match Rules::new().publish([text.as_str()]) {
            Ok(_) => Ok(RuleText(text)),
            Err(error) => Err(serde::de::Error::custom(format!("{:#}", anyhow::Error::from(error)))),
        }
    }
}

impl RulesConfig {
    fn to_rules(&self) -> Result<Rules, StaticUsersError> {
        let mut rules = Rules::new();
        if let Some(publish) = &self.publish {
            rules = rules.publish(texts(publish))?;
        }
        if let Some(subscribe) = &self.subscribe {
            rules = rules.subscribe(texts(subscribe))?;
        }
        if let Some(receive) = &self.receive {
            rules = rules.receive(texts(receive))?;
        }
        Ok(rules)
    }
}

fn texts(rules: &[RuleText]) -> impl Iterator<Item = &str> {
    rules.iter().map(|rule| rule.0.as_str())
}

/// The access control of these users. An error says where in the file it is.
pub(super) fn static_users(
    users: &[UserConfig],
    anonymous: Option<&RulesConfig>,
) -> Result<StaticUsers, (Range<usize>, StaticUsersError)> {
    let mut builder = StaticUsers::builder();
    for user in users {
        let name = user.name.as_ref();
        let at_name = |error| (user.name.span(), error);
        let rules = user.allow.to_rules().map_err(at_name)?;
        builder = builder.user(name, user.password_hash.0.as_str()).map_err(at_name)?;
        builder = builder.rules(name, rules).map_err(at_name)?;
    }
    if let Some(anonymous) = anonymous {
        let rules = anonymous.to_rules().map_err(|error| (0..0, error))?;
        builder = builder.allow_anonymous(true).anonymous_rules(rules);
    }
    Ok(builder.build())
}
