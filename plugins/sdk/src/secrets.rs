//! Secrets that the operator grants by name. Most plugins need none of this: see
//! [`http::Request::credential`](crate::http::Request::credential).

use crate::HAS_HOST;
use crate::bindings::tools::switchboard::plugin::secrets as host;

pub use host::Error;

/// The secret itself.
///
/// # Errors
/// `Denied`, unless `allow.reveal` names it.
pub fn reveal(name: &str) -> Result<String, Error> {
    if HAS_HOST { host::reveal(name) } else { Err(Error::Denied) }
}
