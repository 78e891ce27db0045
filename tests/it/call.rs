//! The life of a call, told as stories: what happens and when, what the call does about it, what is
//! kept. Only the public surface is used; the driver in `story` follows the deadlines in between.

mod ending;
mod failover;
mod floods;
mod leaving;
mod limits;
mod readback;
mod restarted;
mod sideband;
pub mod story;
mod talking;
mod tools;
mod waiting;
mod wishes;
