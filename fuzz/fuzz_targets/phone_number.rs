//! Phone numbers as people and carriers write them: what is read as E.164 reads as itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use switchboard::phone::{CallingCode, E164, PartyNumber};
use switchboard::routing::Target;

fuzz_target!(|text: &str| {
    if let Ok(number) = E164::parse(text, CallingCode::JAPAN) {
        let digits = number.as_str().strip_prefix('+').expect("E.164 begins with a plus");
        assert!((1..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()));
        let again = E164::parse(number.as_str(), CallingCode::JAPAN).expect("E.164 is a number");
        assert_eq!(again.as_str(), number.as_str());
    }
    let _ = PartyNumber::read(text, CallingCode::JAPAN).masked();
    if let Ok(target) = Target::parse(text) {
        let shown = target.to_string();
        assert!(!shown.chars().any(|letter| letter.is_control() || "<>\"".contains(letter)), "{shown:?}");
    }
});
