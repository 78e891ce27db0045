//! SIP headers and URIs of an INVITE, as the provider repeats them: untrusted text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use switchboard::phone::{CallingCode, SipHeaders, uri_user};

fuzz_target!(|headers: Vec<(&str, &str)>| {
    for (_, value) in &headers {
        let _ = uri_user(value);
    }
    let headers = SipHeaders::new(headers);
    let _ = headers.caller(CallingCode::JAPAN).masked();
    let _ = headers.called_number(&["To", "Diversion", "P-Called-Party-ID"], CallingCode::JAPAN);
    let _ = (headers.first("X-Switchboard-Token"), headers.all("via").count());
});
