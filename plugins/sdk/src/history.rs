//! What was said in the call so far. Needs `history`.

use crate::bindings::tools::switchboard::plugin::history as host;
use crate::{HAS_HOST, Line};

pub use host::Error;

/// The last lines, oldest first.
///
/// # Errors
/// `Denied`, where it was not granted.
pub fn lines(last: u32) -> Result<Vec<Line>, Error> {
    if HAS_HOST { host::lines(last) } else { Err(Error::Denied) }
}
