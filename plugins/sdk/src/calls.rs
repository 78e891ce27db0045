//! What can be done to the call itself. Actions are queued; what came of them is not waited for.
//!
//! Each needs its own power: `call(say)`, `call(inject_context)`, `call(transfer)`, `call(hang_up)`,
//! `call(set_variable)`.

use crate::HAS_HOST;
use crate::bindings::tools::switchboard::plugin::calls as host;

pub use host::{Action, Error};

/// The model says this to the caller, in its own voice.
///
/// # Errors
/// As the host says; so do all of these.
pub fn say(text: impl Into<String>) -> Result<(), Error> {
    act(&Action::Say(text.into()))
}

/// The model knows this from now on; nothing is said.
pub fn inject_context(text: impl Into<String>) -> Result<(), Error> {
    act(&Action::InjectContext(text.into()))
}

/// The caller is handed to one of the session's transfer targets, by name, after a word about it.
pub fn transfer(target: impl Into<String>) -> Result<(), Error> {
    act(&Action::Transfer(target.into()))
}

/// The call ends, after a goodbye.
pub fn hang_up() -> Result<(), Error> {
    act(&Action::HangUp)
}

/// Sets a variable of the call; tools see it from their next call on.
pub fn set_variable(name: impl Into<String>, value: impl Into<String>) -> Result<(), Error> {
    act(&Action::SetVariable((name.into(), value.into())))
}

fn act(action: &Action) -> Result<(), Error> {
    if HAS_HOST { host::act(action) } else { Err(Error::NoCall) }
}
