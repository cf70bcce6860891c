//! Password hashes in the PHC string format, argon2id alone. A value of [`PasswordHash`] can be verified without an
//! error: whatever cannot is refused when it is parsed.

use std::fmt;

use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc};
use argon2::{Algorithm, Argon2, Params};

use super::StaticUsersError;

/// The most memory that a hash may ask for.
pub(super) const MAX_MEMORY_KIB: u32 = 1 << 20;

/// An argon2id hash of a password, with its salt and costs: `$argon2id$v=19$m=19456,t=2,p=1$salt$hash`.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash {
    phc: phc::PasswordHash,
    params: Params,
}

/// The argon2id hash of a password under a fresh salt, as a PHC string. Takes a processor for tens of milliseconds.
pub fn hash_password(password: &[u8]) -> String {
    let hash = Argon2::default().hash_password(password);
    // It fails for passwords over 4 GiB and where the system has no randomness to give, without which nothing is safe.
    hash.expect("hashing with the default costs and a random salt of the system").to_string()
}

impl PasswordHash {
    /// Parses a PHC string.
    ///
    /// # Errors
    /// It is plain text, broken, of another algorithm, or asks for more than a GiB.
    pub fn new(hash: &str) -> Result<PasswordHash, StaticUsersError> {
        let Some(algorithm) = hash.strip_prefix('$').and_then(|rest| rest.split('$').next()) else {
            return Err(StaticUsersError::NotAHash);
        };
        match Algorithm::try_from(algorithm) {
            Ok(Algorithm::Argon2id) => {}
            Ok(other) => return Err(StaticUsersError::OtherAlgorithm(other.as_str().into())),
            Err(_) if KNOWN_ALGORITHMS.contains(&algorithm) => {
                return Err(StaticUsersError::OtherAlgorithm(algorithm.into()));
            }
            // A password may begin with a dollar sign.
            Err(_) => return Err(StaticUsersError::NotAHash),
        }
        let phc = phc::PasswordHash::new(hash).map_err(|_| StaticUsersError::BrokenHash)?;
        let params = Params::try_from(&phc).map_err(|_| StaticUsersError::BrokenHash)?;
        let complete =
            phc.salt.is_some() && phc.hash.is_some() && matches!(phc.version, None | Some(0x10 | 0x13));
        if !complete {
            return Err(StaticUsersError::BrokenHash);
        }
        if params.m_cost() > MAX_MEMORY_KIB {
            return Err(StaticUsersError::TooDear(params.m_cost()));
        }
        Ok(PasswordHash { phc, params })
    }

    /// A hash with the default costs that no password is known for.
    pub(super) fn decoy() -> PasswordHash {
        const DECOY: &str = "$argon2id$v=19$m=19456,t=2,p=1$b3BpZmV4LWRlY295LXNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        PasswordHash::new(DECOY).expect("a complete hash")
    }

    /// Whether that is the password. Takes a processor for tens of milliseconds and the memory that the hash names.
    pub fn verify(&self, password: &[u8]) -> bool {
        // The costs of the hash are used, not those of this default; the comparison takes constant time.
        Argon2::default().verify_password(password, &self.phc).is_ok()
    }

    /// What a verification costs, to compare with others: memory filled, summed over the passes.
    pub(super) fn cost(&self) -> u64 {
        u64::from(self.params.m_cost()) * u64::from(self.params.t_cost())
    }
}

/// What other servers' files hold: named in the error, where a plain-text password must not be.
const KNOWN_ALGORITHMS: [&str; 9] = ["1", "2a", "2b", "2y", "5", "6", "7", "pbkdf2-sha512", "scrypt"];

impl TryFrom<&str> for PasswordHash {
    type Error = StaticUsersError;

    fn try_from(hash: &str) -> Result<PasswordHash, StaticUsersError> {
        PasswordHash::new(hash)
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordHash").finish_non_exhaustive()
    }
}
