//! (in the making)

pub mod plugin;
