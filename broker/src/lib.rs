//! Skeleton.

mod access;
mod limits;
mod static_users;
pub mod topic_tree;

pub use access::{AccessControl, Action, AllowAll, Credentials, Identity, Peer, Verdict, VerdictFuture};
pub use limits::Limits;
pub use static_users::{
    PasswordHash, Rules, StaticUsers, StaticUsersBuilder, StaticUsersError, hash_password,
};
