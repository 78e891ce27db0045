//! All integration tests, in one binary: a file per behaviour, listed here.

mod admin;
mod call;
mod call_path;
mod carrier;
mod config;
mod harness;
mod joining;
mod openai;
mod signatures;
mod sim_twilio;
mod store;
mod tidy;
mod webhooks;
