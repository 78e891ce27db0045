//! Switchboard: a self-hosted, plugin-driven gateway that answers phone calls with a voice model.
//!
//! This page is the floor plan. Modules stand in order from the ground up, and **a module leans only
//! on modules listed above it**; `tests/it/tidy.rs` checks that. `ARCHITECTURE.md` tells what each is
//! for and walks one call through them.

// floor 1, words: pure data and small ports; no I/O
pub mod clock;
pub mod ids;
pub mod phone;
pub mod secret;
pub mod template;
pub mod text;
pub mod wire;
pub mod speech;

// the one piece of plumbing that both sides of a test share: accepting connections
pub mod net;

// beside floor 1, the outside world simulated; only `cli` and the tests lean on it
pub mod sim;

// floor 2, rules: decisions as functions of data
pub mod call;
pub mod routing;
pub mod session;

// floor 3, hands: each touches one outside thing
pub mod breaker;
pub mod metrics;
pub mod telemetry;
pub mod store;
pub mod openai;
pub mod twilio;
pub mod tool;
pub mod media;

// floor 4, call control: where calls live
pub mod call_control;

// beside floor 4, the rules played through whole simulated days; only its own command and the tests lean on it
pub mod proof;

// floor 5, doors: the only rooms strangers enter
pub mod http;
pub mod config;
pub mod gateway;
pub mod cli;
