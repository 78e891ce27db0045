//! All integration tests, in one binary: a file per behaviour, listed here.

mod store;
mod store_crash;
mod tidy;
