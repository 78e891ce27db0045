//! All integration tests, in one binary: a file per behaviour, listed here.

mod call;
mod call_path;
mod config;
mod harness;
mod openai;
mod plugin;
mod signatures;
mod sim_twilio;
mod store;
mod tidy;
