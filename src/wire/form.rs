//! `application/x-www-form-urlencoded`, read into an ordered multimap.
//!
//! Signatures are made over every name and value, so nothing is dropped, trimmed or merged: repeated
//! names, empty values and spaces at the ends are kept as they came.

/// How many fields a form may have; Twilio sends about thirty.
const FIELDS_MAX: usize = 256;

/// The fields of a form, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form(Vec<(String, String)>);

/// Why a body is not a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAForm {
    /// A field is not UTF-8 once decoded.
    #[error("a field is not UTF-8")]
    NotUtf8,
    /// There are too many fields.
    #[error("more than {FIELDS_MAX} fields")]
    TooMany,
}

impl Form {
    /// Reads a body.
    ///
    /// # Errors
    ///
    /// [`NotAForm`].
    pub fn parse(body: &[u8]) -> Result<Form, NotAForm> {
        let mut fields = Vec::new();
        for field in body.split(|byte| *byte == b'&').filter(|field| !field.is_empty()) {
            if fields.len() == FIELDS_MAX {
                return Err(NotAForm::TooMany);
            }
            let middle = field.iter().position(|byte| *byte == b'=');
            let (name, value) = match middle {
                Some(at) => (&field[..at], &field[at + 1..]),
                None => (field, &[][..]),
            };
            fields.push((decode(name)?, decode(value)?));
        }
        Ok(Form(fields))
    }

    /// The first value of a name.
    pub fn first(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// All fields, in order.
    pub fn fields(&self) -> &[(String, String)] {
        &self.0
    }

    /// The form as a body.
    pub fn encode(&self) -> String {
        let pairs: Vec<String> =
            self.0.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
        pairs.join("&")
    }
}

impl FromIterator<(String, String)> for Form {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(fields: I) -> Form {
        Form(fields.into_iter().collect())
    }
}

fn decode(text: &[u8]) -> Result<String, NotAForm> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let (byte, used) = match text[at] {
            b'+' => (b' ', 1),
            b'%' => match hex(text.get(at + 1..at + 3)) {
                Some(byte) => (byte, 3),
                None => (b'%', 1),
            },
            byte => (byte, 1),
        };
        bytes.push(byte);
        at += used;
    }
    String::from_utf8(bytes).map_err(|_| NotAForm::NotUtf8)
}

fn hex(digits: Option<&[u8]>) -> Option<u8> {
    let digits = std::str::from_utf8(digits?).ok()?;
    // `from_str_radix` would take a sign.
    digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then(|| u8::from_str_radix(digits, 16).ok())?
}

fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => encoded.push(byte.into()),
            b' ' => encoded.push('+'),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}
