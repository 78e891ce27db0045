//! All integration tests, in one binary: a file per behaviour, listed here.

mod signatures;
mod tidy;
