//! All integration tests, in one binary: a file per behaviour, listed here.

mod call;
mod call_properties;
mod tidy;
