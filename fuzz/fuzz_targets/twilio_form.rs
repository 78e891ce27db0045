//! The carrier's forms: any bytes are fields or a refusal, and fields read back as they were written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use switchboard::phone::CallingCode;
use switchboard::wire::form::Form;
use switchboard::wire::twilio::{
    DialResult, LegCallback, MessageLeft, ReferRequest, StatusCallback, VoiceRequest,
};

fuzz_target!(|body: &[u8]| {
    let Ok(form) = Form::parse(body) else { return };
    let again = Form::parse(form.encode().as_bytes()).expect("what was encoded can be read");
    assert_eq!(form.as_slice(), again.as_slice());
    let _ = VoiceRequest::read(&form, CallingCode::JAPAN);
    let _ = LegCallback::read(&form);
    let _ = StatusCallback::read(&form);
    let _ = DialResult::read(&form);
    let _ = MessageLeft::read(&form);
    let _ = ReferRequest::read(&form);
});
