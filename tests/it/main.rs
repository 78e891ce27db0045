//! All integration tests, in one binary: a file per behaviour, listed here.

mod admin;
mod call;
mod call_path;
mod call_properties;
mod carrier;
mod cli;
mod config;
mod conversation;
mod docs;
mod harness;
mod joining;
mod openai;
mod plugin;
mod provider_faults;
mod recordings;
mod scenarios;
mod signatures;
mod sim_openai;
mod sim_twilio;
mod store;
mod store_crash;
mod tidy;
mod webhooks;
