//! Lines in the operator's log, under the plugin's name. Callers' words and numbers do not belong there.

use crate::HAS_HOST;
use crate::bindings::tools::switchboard::plugin::log as host;

pub use host::Level;

/// For whoever looks for a bug.
pub fn debug(message: impl AsRef<str>) {
    write(Level::Debug, message.as_ref());
}

/// What an operator may want to know.
pub fn info(message: impl AsRef<str>) {
    write(Level::Info, message.as_ref());
}

/// What an operator should know.
pub fn warn(message: impl AsRef<str>) {
    write(Level::Warn, message.as_ref());
}

/// What an operator has to mend.
pub fn error(message: impl AsRef<str>) {
    write(Level::Error, message.as_ref());
}

fn write(level: Level, message: &str) {
    if HAS_HOST {
        host::write(level, message);
    } else {
        eprintln!("{level:?}: {message}");
    }
}
