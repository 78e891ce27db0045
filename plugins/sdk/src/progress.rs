//! How far a long tool is. Needs no grant.

use crate::HAS_HOST;
use crate::bindings::tools::switchboard::plugin::progress as host;

/// Words for the caller; the model says them when it can. What is too much is dropped.
pub fn report(text: &str) {
    if HAS_HOST {
        host::report(text);
    }
}
