//! Access control by a fixed list of users: argon2 hashes and topic rules that are known when the broker starts.
//! Where the list comes from (a file, a vault) is the embedder's affair, and so is changing it: it is never edited.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use opifex_packet::ReasonCode;
use tokio::sync::Semaphore;

use crate::access::{AccessControl, Action, Credentials, Identity, Peer, Verdict, VerdictFuture};

mod builder;
mod covers;
mod error;
mod password_hash;
mod rules;

pub use builder::StaticUsersBuilder;
pub use error::StaticUsersError;
pub use password_hash::{PasswordHash, hash_password};
pub use rules::Rules;

/// A fixed list of users, and what each may do.
///
/// ```
/// use opifex_broker::{Rules, StaticUsers, hash_password};
///
/// let hash = hash_password(b"correct horse"); // made once and kept: `$argon2id$v=19$...`
/// let users = StaticUsers::builder()
///     .user("sensor", hash.as_str())?
///     .rules("sensor", Rules::new().publish(["sensors/#"])?.subscribe([])?)?
///     .allow_anonymous(false)
///     .build();
/// # Ok::<(), opifex_broker::StaticUsersError>(())
/// ```
pub struct StaticUsers {
    users: HashMap<Arc<str>, User>,
    /// `None`: nobody comes in without a user name.
    anonymous: Option<Rules>,
    checks_receive: bool,
    /// Verified, in vain, for a name that nobody has: an answer takes as long for it as for a wrong password, so that
    /// its time does not tell which names exist.
    decoy: PasswordHash,
    /// A verification takes a processor and some 19 MiB for a while: this many at once, the others wait.
    verifications: Arc<Semaphore>,
}

struct User {
    password: PasswordHash,
    rules: Rules,
}

impl StaticUsers {
    /// Begins an empty list that lets nobody in.
    pub fn builder() -> StaticUsersBuilder {
        StaticUsersBuilder::new()
    }

    /// Whether that is the user's password.
    async fn verify(&self, name: &str, password: &[u8]) -> bool {
        let user = self.users.get(name);
        let hash = user.map_or(&self.decoy, |user| &user.password).clone();
        let password = password.to_vec();
        let Ok(permit) = Arc::clone(&self.verifications).acquire_owned().await else {
            return false; // Closed, which nobody does.
        };
        // The permit goes along: a client that gives up leaves the thread busy until the hash is done.
        let verified = tokio::task::spawn_blocking(move || {
            let verified = hash.verify(&password);
            drop(permit);
            verified
        });
        // An error: the runtime is shutting down, or the verification panicked. Neither lets anybody in.
        verified.await.unwrap_or(false) && user.is_some()
    }

    fn rules_of(&self, identity: &Identity) -> Option<&Rules> {
        match &identity.user {
            Some(name) => self.users.get(name).map(|user| &user.rules),
            None => self.anonymous.as_ref(),
        }
    }
}

impl AccessControl for StaticUsers {
    fn admit(&self, _peer: &Peer) -> bool {
        true
    }

    fn authenticate<'a>(&'a self, credentials: Credentials<'a>) -> VerdictFuture<'a> {
        Box::pin(async move {
            if credentials.method.is_some() {
                return Verdict::Refuse(ReasonCode::BadAuthenticationMethod);
            }
            let user = match (credentials.user_name, credentials.password) {
                (None, None) if self.anonymous.is_some() => None,
                (None, None) => return Verdict::Refuse(ReasonCode::NotAuthorized),
                (Some(name), Some(password)) if self.verify(name, password).await => Some(Arc::from(name)),
                // A name without its password, or (5.0) a password without a name: no anonymous user sends these.
                _ => return Verdict::Refuse(ReasonCode::BadUserNameOrPassword),
            };
            Verdict::Accept { identity: Identity { user }, data: None }
        })
    }

    fn authorize(&self, identity: &Identity, _client_id: &str, action: Action<'_>) -> bool {
        self.rules_of(identity).is_some_and(|rules| rules.allow(action))
    }

    fn checks_receive(&self) -> bool {
        self.checks_receive
    }
}

impl fmt::Debug for StaticUsers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names and hashes stay out of logs.
        f.debug_struct("StaticUsers")
            .field("users", &self.users.len())
            .field("anonymous", &self.anonymous.is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
