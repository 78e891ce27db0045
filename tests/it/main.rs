//! All integration tests, in one binary: a file per behaviour, listed here.

mod scenarios;
mod sim_twilio;
mod tidy;
