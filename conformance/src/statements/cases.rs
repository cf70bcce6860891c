//! The cases, a file for each packet or section of the standard. A chapter that is not in [`CHAPTERS`] is dead code.

use super::case::Chapter;

mod client_id;
mod connack;
mod connect;
mod credentials;
mod keep_alive;

/// Every chapter, in the order of the standard.
pub const CHAPTERS: &[Chapter] =
    &[connect::CHAPTER, credentials::CHAPTER, client_id::CHAPTER, keep_alive::CHAPTER, connack::CHAPTER];
