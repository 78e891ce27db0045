//! The TwiML documents we answer with (Twilio, "TwiML for Programmable Voice").
//!
//! Whatever is put in is data: it is escaped, and characters that XML does not know are dropped, so that
//! no caller can write an element.

use std::fmt;

use crate::phone::percent;

/// The longest SIP URI and header part that Twilio takes, in bytes (Twilio, "TwiML Voice: Sip").
const URI_BYTES_MAX: usize = 255;
const HEADERS_BYTES_MAX: usize = 1_024;

/// A document: verbs that run from top to bottom; its end hangs up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TwiMl(String);

/// How a leg is dialled; what is not set is left to Twilio.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dial {
    /// `answerOnBridge`: the caller hears ringing until the far end answers.
    pub answer_on_bridge: bool,
    /// `timeout`: seconds, 5 to 600.
    pub timeout_s: Option<u32>,
    /// `timeLimit`: the longest call in seconds.
    pub time_limit_s: Option<u32>,
    /// `callerId`.
    pub caller_id: Option<String>,
    /// `ringTone`: a country.
    pub ring_tone: Option<String>,
    /// `action`: where the result is told and the next document is asked for.
    pub action: Option<String>,
    /// `<Sip statusCallback>`: where progress is told.
    pub status_callback: Option<String>,
}

/// A SIP URI with Twilio's parameters and headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SipUri {
    address: String,
    headers: Vec<String>,
}

/// A SIP URI that Twilio would refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unwritable {
    /// The address is too long.
    #[error("the SIP address has more than {URI_BYTES_MAX} bytes")]
    UriTooLong,
    /// The headers are too long.
    #[error("the SIP headers have more than {HEADERS_BYTES_MAX} bytes")]
    HeadersTooLong,
}

impl TwiMl {
    /// An empty document: nothing more to do, Twilio hangs up.
    pub fn new() -> TwiMl {
        TwiMl::default()
    }

    /// `<Dial><Sip>`.
    #[must_use]
    pub fn dial_sip(self, dial: &Dial, uri: &SipUri) -> TwiMl {
        let mut sip = Element::new("Sip");
        if let Some(url) = &dial.status_callback {
            sip = sip.attribute("statusCallback", url);
            sip = sip.attribute("statusCallbackEvent", "initiated ringing answered completed");
        }
        let sip = sip.text(&uri.to_string());
        self.verb(&dial.element().inside(&sip))
    }

    /// `<Dial><Number>`: to a person.
    #[must_use]
    pub fn dial_number(self, number: &str) -> TwiMl {
        let number = Element::new("Number").text(number);
        self.verb(&Dial::default().element().inside(&number))
    }

    /// `<Say>`.
    #[must_use]
    pub fn say(self, text: &str, language: &str, voice: Option<&str>) -> TwiMl {
        let mut say = Element::new("Say").attribute("language", language);
        if let Some(voice) = voice {
            say = say.attribute("voice", voice);
        }
        self.verb(&say.text(text))
    }

    /// `<Hangup>`.
    #[must_use]
    pub fn hang_up(self) -> TwiMl {
        self.verb(&Element::new("Hangup").empty())
    }

    /// `<Reject>`: `busy` or `rejected`; only as the first verb.
    #[must_use]
    pub fn reject(self, reason: &str) -> TwiMl {
        self.verb(&Element::new("Reject").attribute("reason", reason).empty())
    }

    fn verb(mut self, xml: &str) -> TwiMl {
        self.0.push_str(xml);
        self
    }
}

impl fmt::Display for TwiMl {
    /// The document; nothing may stand before `<?xml`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response>{}</Response>", self.0)
    }
}

impl Dial {
    fn element(&self) -> Element {
        let mut dial = Element::new("Dial");
        if self.answer_on_bridge {
            dial = dial.attribute("answerOnBridge", "true");
        }
        let numbers = [("timeout", self.timeout_s), ("timeLimit", self.time_limit_s)];
        for (name, value) in numbers {
            if let Some(value) = value {
                dial = dial.attribute(name, &value.to_string());
            }
        }
        let texts = [("callerId", &self.caller_id), ("ringTone", &self.ring_tone), ("action", &self.action)];
        for (name, value) in texts {
            if let Some(value) = value {
                dial = dial.attribute(name, value);
            }
        }
        dial
    }
}

impl SipUri {
    /// `sip:user@host;transport=tls`.
    pub fn new(user: &str, host: &str) -> SipUri {
        SipUri { address: format!("sip:{user}@{host};transport=tls"), headers: Vec::new() }
    }

    /// A URI that is used as it is.
    pub fn plain(uri: String) -> SipUri {
        SipUri { address: uri, headers: Vec::new() }
    }

    /// `;secure=true`: SRTP.
    #[must_use]
    pub fn secure_media(mut self, is_secure: bool) -> SipUri {
        if is_secure {
            self.address.push_str(";secure=true");
        }
        self
    }

    /// `;edge=…`: where the INVITE leaves Twilio.
    #[must_use]
    pub fn edge(mut self, edge: Option<&str>) -> SipUri {
        if let Some(edge) = edge {
            self.address.push_str(";edge=");
            self.address.push_str(edge);
        }
        self
    }

    /// A header of the INVITE; Twilio passes those whose names begin with `X-`.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> SipUri {
        let mut header = format!("{name}=");
        percent::encode_into(&mut header, value);
        self.headers.push(header);
        self
    }

    /// The URI, if Twilio takes it.
    ///
    /// # Errors
    ///
    /// [`Unwritable`].
    pub fn build(self) -> Result<SipUri, Unwritable> {
        if self.address.len() > URI_BYTES_MAX {
            return Err(Unwritable::UriTooLong);
        }
        if self.headers.iter().map(|header| header.len() + 1).sum::<usize>() > HEADERS_BYTES_MAX {
            return Err(Unwritable::HeadersTooLong);
        }
        Ok(self)
    }
}

impl fmt::Display for SipUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)?;
        if !self.headers.is_empty() {
            write!(f, "?{}", self.headers.join("&"))?;
        }
        Ok(())
    }
}

/// An element that is being opened.
struct Element {
    name: &'static str,
    open: String,
}

impl Element {
    fn new(name: &'static str) -> Element {
        Element { name, open: format!("<{name}") }
    }

    fn attribute(mut self, name: &str, value: &str) -> Element {
        self.open.push_str(&format!(" {name}=\"{}\"", escape(value)));
        self
    }

    fn text(self, text: &str) -> String {
        let escaped = escape(text);
        self.inside(&escaped)
    }

    fn inside(self, xml: &str) -> String {
        format!("{}>{xml}</{}>", self.open, self.name)
    }

    fn empty(self) -> String {
        self.open + "/>"
    }
}

/// Escapes for text and attributes alike; what is no XML character is dropped (XML 1.0, production 2).
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            // As references, so that reading an attribute does not turn them into spaces.
            '\t' | '\n' | '\r' => escaped.push_str(&format!("&#{};", u32::from(letter))),
            letter if is_xml(letter) => escaped.push(letter),
            _ => {}
        }
    }
    escaped
}

fn is_xml(letter: char) -> bool {
    matches!(letter, '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}')
}
