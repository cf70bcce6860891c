//! Builds a list of static users; every mistake is an error here, none is left for the time of a connection.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::{PasswordHash, Rules, StaticUsers, StaticUsersError, User};

/// Builds [`StaticUsers`].
#[derive(Default)]
pub struct StaticUsersBuilder {
    users: HashMap<Arc<str>, User>,
    allow_anonymous: bool,
    anonymous_rules: Rules,
}

impl StaticUsersBuilder {
    pub(super) fn new() -> StaticUsersBuilder {
        StaticUsersBuilder::default()
    }

    /// Adds a user, by the argon2id hash of its password (see [`super::hash_password`]). It may do everything until
    /// [`StaticUsersBuilder::rules`] says otherwise.
    ///
    /// # Errors
    /// The name exists already, or the hash is none: a plain-text password is never taken.
    pub fn user<H>(mut self, name: &str, hash: H) -> Result<StaticUsersBuilder, StaticUsersError>
    where
        H: TryInto<PasswordHash>,
        StaticUsersError: From<H::Error>,
    {
        let user = User { password: hash.try_into()?, rules: Rules::new() };
        match self.users.insert(Arc::from(name), user) {
            Some(_) => Err(StaticUsersError::DuplicateUser(name.into())),
            None => Ok(self),
        }
    }

    /// What a user may do.
    ///
    /// # Errors
    /// There is no user of that name (yet).
    pub fn rules(mut self, name: &str, rules: Rules) -> Result<StaticUsersBuilder, StaticUsersError> {
        let user = self.users.get_mut(name).ok_or_else(|| StaticUsersError::UnknownUser(name.into()))?;
        user.rules = rules;
        Ok(self)
    }

    /// Whether a client without user name and password is let in. Not, unless this says so.
    pub fn allow_anonymous(mut self, allow: bool) -> StaticUsersBuilder {
        self.allow_anonymous = allow;
        self
    }

    /// What an anonymous client may do, where it is let in.
    pub fn anonymous_rules(mut self, rules: Rules) -> StaticUsersBuilder {
        self.anonymous_rules = rules;
        self
    }

    /// The finished list.
    pub fn build(self) -> StaticUsers {
        let anonymous = self.allow_anonymous.then_some(self.anonymous_rules);
        let mut all_rules = self.users.values().map(|user| &user.rules).chain(&anonymous);
        let checks_receive = all_rules.any(Rules::checks_receive);
        let decoy = self.users.values().map(|user| &user.password).max_by_key(|hash| hash.cost());
        let decoy = decoy.cloned().unwrap_or_else(PasswordHash::decoy);
        let at_once = std::thread::available_parallelism().map_or(1, usize::from);
        StaticUsers {
            users: self.users,
            anonymous,
            checks_receive,
            decoy,
            verifications: Arc::new(Semaphore::new(at_once)),
        }
    }
}
