//! The runner of normative statements: every rule of MQTT 3.1.1 and 5.0 that has a number, and for each the cases that
//! hold a broker to it. It talks to a broker as its clients do, packet by packet and with broken bytes, so that it runs
//! against any broker at an address as well as over an in-memory transport.
//!
//! There is no client library in here and no broker: a [`Wire`] sends what a case says, and takes what comes. What binds
//! clients is shown of ours by its own tests, which the [`manifest`] lists.
//!
//! Reading order: [`Target`] and [`Descriptor`] (what is tested), [`Scene`] and [`Wire`] (the words that cases are written
//! in), [`Case`] and [`cases`], [`manifest`], then [`run`] and its [`Report`].

mod case;
pub mod cases;
mod descriptor;
mod early_end;
pub mod manifest;
mod offers;
mod probe;
mod report;
mod restart;
mod runner;
mod scene;
mod stop;
mod target;
mod transcript;
mod websocket;
mod wire;

pub use case::{Case, Chapter, Claims, Outcome};
pub use descriptor::{Authentication, Descriptor, DescriptorError, Login, WebSocketUrl};
pub use early_end::EarlyEnd;
pub use offers::Offers;
pub use probe::Unusable;
pub use report::{Report, StatementVerdict};
pub use runner::{CaseReport, CaseVerdict, Options, run};
pub use scene::Scene;
pub use stop::Stop;
pub use target::{BoxFuture, Stream, Target, TcpTarget};
pub use websocket::{Answer, Opcode, WebSocket};
pub use wire::{Event, Wire};
