//! The built program from outside, as its operator meets it.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[allow(dead_code, reason = "shared with the other tests")]
mod child;
mod faulty;
mod peer;
mod server;
mod tool;

mod bench;
mod command_line;
mod commands_page;
mod config_file;
mod conformance;
mod endings;
mod hash_password;
mod publish;
mod request;
mod restart;
mod session_flags;
mod stop;
mod storage;
mod store_command;
mod subscribe;
mod users;
mod websocket;
