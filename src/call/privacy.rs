//! What of a call is shown to whom: words to those who may read them, whole numbers to those who ask for them.
//!
//! Nothing is taken away but what could tell who somebody is or what was said; what is left keeps its form, so that
//! whoever reads records reads these too.

use std::ops::RangeInclusive;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::record::{CallRecord, EventRecord, Line, ToolCallRecord};

/// What stands for a text that is not shown.
const HIDDEN: &str = "•••";
/// What stands for the digits of a number that are not shown.
const DIGITS: &str = "•••••";
/// So many digits in a row may be a telephone number.
const NUMBER_DIGITS_MIN: usize = 7;
/// From so many digits on, a masked number shows four at its end, enough to tell callers apart; a shorter one two.
const LONG_NUMBER_DIGITS: usize = 10;
/// How long a number in JSON is that may be a telephone number (E.164 has 15 digits; times in microseconds have 16).
const NUMBER_LETTERS: RangeInclusive<usize> = LONG_NUMBER_DIGITS..=15;

/// How far somebody sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sight {
    /// What was said and written.
    pub words: bool,
    /// Numbers as they are.
    pub numbers: bool,
}

/// A call as it is shown to somebody.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ShownCall {
    #[serde(flatten)]
    call: CallRecord,
    /// Its words are left out.
    hidden: bool,
    /// Its numbers are masked.
    masked: bool,
}

impl ShownCall {
    /// What somebody with this sight sees of a call.
    pub fn of(mut call: CallRecord, sight: Sight) -> ShownCall {
        sight.of_record(&mut call);
        ShownCall { call, hidden: !sight.words, masked: !sight.numbers }
    }
}

impl Sight {
    /// Takes out of a record what is not seen.
    pub fn of_record(self, call: &mut CallRecord) {
        if !self.words {
            call.vars.values_mut().for_each(|value| *value = HIDDEN.to_owned());
            if let Some(consent) = &mut call.consent {
                consent.announcement = None;
            }
            if let Some(provider) = &mut call.provider {
                provider.sip_headers.clear();
            }
        }
        if self.numbers {
            return;
        }
        for number in [&mut call.caller, &mut call.callee].into_iter().flatten() {
            *number = masked(number);
        }
        let provider = call.provider.iter_mut();
        let headers = provider.flat_map(|provider| provider.sip_headers.iter_mut().map(|(_, value)| value));
        let ended = call.ended.iter_mut().filter_map(|ended| ended.detail.as_mut());
        let moved = call.moved.iter_mut().filter_map(|moved| moved.detail.as_mut());
        let texts = headers.chain(ended).chain(moved).chain(call.handed_to.iter_mut());
        for text in texts.chain(call.vars.values_mut()) {
            *text = masked_in(text);
        }
    }

    /// Takes out of a line what is not seen.
    pub fn of_line(self, line: &mut Line) {
        if !self.words {
            line.text.clear();
        }
    }

    /// Takes out of a tool call what is not seen.
    pub fn of_tool_call(self, tool_call: &mut ToolCallRecord) {
        if !self.words {
            tool_call.arguments.clear();
            tool_call.output = None;
        } else if !self.numbers {
            tool_call.arguments = masked_json(&tool_call.arguments);
            tool_call.output = tool_call.output.as_deref().map(masked_json);
        }
    }

    /// Takes out of an event what is not seen.
    pub fn of_event(self, event: &mut EventRecord) {
        if !self.words {
            event.data = None;
        } else if !self.numbers {
            let masked = event.data.as_ref().map(|data| masked_json(data.get()));
            event.data = masked.and_then(|data| RawValue::from_string(data).ok());
        }
    }
}

/// A number of which the country and the last digits can be read: `+81•••••5678`. What is no number becomes dots.
pub fn masked(number: &str) -> String {
    let digits = number.strip_prefix('+').unwrap_or(number);
    if digits.len() < NUMBER_DIGITS_MIN || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return DIGITS.to_owned();
    }
    let first = if number.starts_with('+') { &number[..3] } else { "" };
    let last = if digits.len() >= LONG_NUMBER_DIGITS { 4 } else { 2 };
    format!("{first}{DIGITS}{}", &digits[digits.len() - last..])
}

/// A text in which what may be a telephone number is masked, however it is written.
pub fn masked_in(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    let mut before: Option<char> = None;
    while let Some(letter) = rest.chars().next() {
        let length = if before.is_some_and(char::is_alphanumeric) { 0 } else { number_at(rest) };
        if length > 0 {
            let plain = rest[..length].chars().filter(|letter| *letter == '+' || letter.is_ascii_digit());
            shown.push_str(&masked(&plain.collect::<String>()));
            before = Some('0');
            rest = &rest[length..];
        } else {
            shown.push(letter);
            before = Some(letter);
            rest = &rest[letter.len_utf8()..];
        }
    }
    shown
}

/// How long the telephone number is that the text begins with, in bytes; zero: there is none.
fn number_at(text: &str) -> usize {
    let is_part = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b' ' | b'.' | b'(' | b')');
    let begins = usize::from(text.starts_with('+'));
    let digits_begin = text.as_bytes().get(begins).is_some_and(u8::is_ascii_digit);
    let run = text.bytes().skip(begins).take_while(is_part).count();
    let run = text[begins..begins + run].trim_end_matches(|letter: char| !letter.is_ascii_digit());
    let digits = run.bytes().filter(u8::is_ascii_digit).count();
    let end = begins + run.len();
    let ends = text[end..].chars().next().is_none_or(|next| !next.is_alphanumeric());
    if digits_begin && ends && digits >= NUMBER_DIGITS_MIN { end } else { 0 }
}

/// JSON in whose texts numbers are masked; what is no JSON is taken as text.
fn masked_json(text: &str) -> String {
    match serde_json::from_str::<Value>(text) {
        Ok(mut value) => {
            mask_value(&mut value);
            value.to_string()
        }
        Err(_) => masked_in(text),
    }
}

fn mask_value(value: &mut Value) {
    match value {
        Value::String(text) => *text = masked_in(text),
        Value::Array(list) => list.iter_mut().for_each(mask_value),
        Value::Object(table) => table.values_mut().for_each(mask_value),
        // Nobody keeps a telephone number as a number but a model that does not know better.
        Value::Number(number) if NUMBER_LETTERS.contains(&number.to_string().len()) => {
            *value = Value::String(DIGITS.to_owned());
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_shows_its_country_and_its_end() {
        for (number, shown) in [
            ("+819012345678", "+81•••••5678"),
            ("09012345678", "•••••5678"),
            ("1234567", "•••••67"),
            ("123", "•••••"),
            ("sip:desk@example.com", "•••••"),
            ("+８１９０１２３４５６７８", "•••••"),
            ("", "•••••"),
        ] {
            assert_eq!(masked(number), shown, "{number}");
        }
    }

    #[test]
    fn numbers_are_found_in_texts_however_they_are_written() {
        for (text, shown) in [
            ("<sip:+819012345678@carrier;user=phone>", "<sip:+81•••••5678@carrier;user=phone>"),
            ("call 090-1234-5678, please", "call •••••5678, please"),
            ("tel:+81 (90) 1234-5678", "tel:+81•••••5678"),
            ("A-1001 costs 1200 yen", "A-1001 costs 1200 yen"),
            ("call_0190a1b2c3d4e5f60123456789abcdef", "call_0190a1b2c3d4e5f60123456789abcdef"),
            ("日本09012345678", "日本09012345678"),
            ("", ""),
        ] {
            assert_eq!(masked_in(text), shown, "{text}");
        }
        assert_eq!(
            masked_json(r#"{"phone":"090-1234-5678","n":819012345678,"ok":[true,12]}"#),
            r#"{"n":"•••••","ok":[true,12],"phone":"•••••5678"}"#
        );
        assert_eq!(masked_json("no json 0312345678"), "no json •••••5678");
    }
}
