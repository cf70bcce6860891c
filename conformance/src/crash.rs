//! What a store must still hold after its process or its machine died in the middle of a history.
//!
//! A [`history`] is made of a seed alone, so that only its progress has to be told: the [`scribe`] performs it on a store
//! and tells ([`told`]) what was ordered and what is durable. Whoever ends it, by a kill (`child`) or by a power loss
//! ([`crate::power`]), reads what is left into [`books`] and asks the [`oracle`], which makes the same history again:
//! everything durable is there, each batch whole or absent, in order. The [`aftermath`] is that the store goes on with
//! numbers that nobody had.

pub(crate) mod aftermath;
pub(crate) mod books;
pub(crate) mod child;
pub(crate) mod history;
pub(crate) mod kill;
pub(crate) mod oracle;
pub(crate) mod scribe;
pub(crate) mod told;
