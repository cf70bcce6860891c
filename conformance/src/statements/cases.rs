//! The cases, a file for each packet or section of the standard. A chapter that is not in [`CHAPTERS`] is dead code.

use super::case::Chapter;

mod auth;
mod auth_steps;
mod client_id;
mod connack;
mod connect;
mod connect_properties;
mod connect_values;
mod credentials;
mod disconnect;
mod flow;
mod framing;
mod keep_alive;
mod message_properties;
mod ordering;
mod publish;
mod qos;
mod reasons;
mod restart;
mod retained;
mod session;
mod shared;
mod size_limits;
mod strings;
mod subscribe;
mod topic_alias;
mod topics;
mod unsubscribe;
mod websocket;
mod will;

/// Every chapter, in the order of the standard.
pub const CHAPTERS: &[Chapter] = &[
    strings::CHAPTER,
    framing::CHAPTER,
    connect::CHAPTER,
    credentials::CHAPTER,
    client_id::CHAPTER,
    keep_alive::CHAPTER,
    connect_properties::CHAPTER,
    connect_values::CHAPTER,
    size_limits::CHAPTER,
    reasons::CHAPTER,
    will::CHAPTER,
    connack::CHAPTER,
    publish::CHAPTER,
    message_properties::CHAPTER,
    topic_alias::CHAPTER,
    retained::CHAPTER,
    subscribe::CHAPTER,
    unsubscribe::CHAPTER,
    disconnect::CHAPTER,
    auth::CHAPTER,
    auth_steps::CHAPTER,
    session::CHAPTER,
    qos::CHAPTER,
    ordering::CHAPTER,
    topics::CHAPTER,
    shared::CHAPTER,
    flow::CHAPTER,
    websocket::CHAPTER,
    restart::CHAPTER,
];
