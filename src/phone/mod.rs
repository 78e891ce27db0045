//! Phone numbers and SIP addresses: who calls, and which number was dialled.
//!
//! Everything here reads text that strangers wrote. It is bounded and cleaned on the way in, nothing
//! panics on it, and none of it proves anything: a caller's number can be forged.

mod number;
pub(crate) mod percent;
mod sip;

pub use number::{CallingCode, E164, Normalised, NotANumber, PartyNumber, Presentation, normalise};
pub(crate) use sip::is_header_name;
pub use sip::{SipHeaders, uri_user};
