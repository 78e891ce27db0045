//! TwiML as the simulated carrier reads it: strictly, so that a document which Twilio would refuse,
//! skip or silently reinterpret is a recorded [`Problem`] instead of a surprise in production.
//!
//! It knows the verbs this product answers with: `Dial` with `Sip` or `Number`, `Connect` with `Stream`,
//! `Say`, `Pause`, `Hangup`, `Reject`, `Redirect`. Anything else is a problem, with Twilio's error code.

mod check;
mod sip_uri;
mod xml;

use std::fmt;

pub use sip_uri::SipUri;

/// The largest document Twilio fetches, in bytes (error 11750).
const DOCUMENT_BYTES_MAX: usize = 64 * 1024;

/// A whole document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// What to do, in order; nothing means: hang up.
    pub verbs: Vec<Verb>,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Connect the caller with somebody else.
    Dial(Box<Dial>),
    /// Send the call's audio to a WebSocket, both ways; answers the call.
    Connect(Stream),
    /// Speak with the carrier's voice; answers the call.
    Say {
        /// The words.
        text: String,
        /// `language`, such as `ja-JP`.
        language: Option<String>,
    },
    /// Wait this many seconds.
    Pause(u32),
    /// End the call.
    Hangup,
    /// Turn the call away without answering it.
    Reject(RejectReason),
    /// Go on with another document.
    Redirect(Request),
}

/// `<Stream>` inside `<Connect>` (Twilio, "TwiML Voice: <Stream>").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Where to: `wss`, without a query.
    pub url: String,
    /// What is told again in `start`.
    pub parameters: Vec<(String, String)>,
}

/// What a caller who is turned away hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectReason {
    /// "Not in service".
    Rejected,
    /// The busy tone.
    Busy,
}

/// A URL to ask, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Absolute, or relative to the document it stands in.
    pub url: String,
    /// GET or POST.
    pub method: Method,
}

/// An HTTP method of TwiML.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Parameters go into the query.
    Get,
    /// Parameters go into the body.
    Post,
}

impl Method {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
        }
    }
}

/// `<Dial>` (Twilio, "TwiML Voice: <Dial>").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dial {
    /// Whether the caller keeps hearing ringing until the other end answers.
    pub answer_on_bridge: bool,
    /// Seconds until the other end must have answered; Twilio adds about five.
    pub timeout_s: u32,
    /// The longest bridged call in seconds.
    pub time_limit_s: u32,
    /// The number shown to the other end; by default the caller's.
    pub caller_id: Option<String>,
    /// Asked when the dial has ended; verbs after it are then unreachable.
    pub action: Option<Request>,
    /// Asked when the other end sends REFER; without it REFER is refused.
    pub refer: Option<Request>,
    /// Country of the ringing tone, such as `jp`.
    pub ring_tone: Option<String>,
    /// How the dial is recorded; none: it is not.
    pub recording: Option<Recording>,
    /// Whom to dial.
    pub noun: Noun,
}

/// `record` and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// Whether caller and callee have a channel each.
    pub is_dual: bool,
    /// Told how the recording goes.
    pub callback: Option<Request>,
    /// What it is told: `in-progress`, `completed`, `absent`.
    pub events: Vec<String>,
}

/// Whom to dial, and who is told about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noun {
    /// The other end.
    pub target: Target,
    /// Told about the leg's progress.
    pub status_callback: Option<Request>,
    /// What it is told.
    pub events: Vec<LegEvent>,
}

/// The other end of a dial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `<Sip>`.
    Sip(SipUri),
    /// `<Number>`: a telephone, in E.164.
    Number(String),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Sip(uri) => write!(f, "Sip {}", uri.address),
            Target::Number(number) => write!(f, "Number {number}"),
        }
    }
}

/// Progress of a leg, as named in `statusCallbackEvent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegEvent {
    /// The leg was created.
    Initiated,
    /// It rings.
    Ringing,
    /// It was answered.
    Answered,
    /// It is over, however it ended.
    Completed,
}

/// Why a document is not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Twilio's error code ("Error and Warning Dictionary"), such as 12100.
    pub code: u32,
    /// What is wrong and where.
    pub text: String,
}

impl Problem {
    pub(super) fn new(code: u32, text: impl Into<String>) -> Problem {
        Problem { code, text: text.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.text)
    }
}

impl Document {
    /// Reads the answer to a request for TwiML.
    ///
    /// # Errors
    /// Every problem of the document; one alone where no more could be read.
    pub fn read(content_type: Option<&str>, body: &[u8]) -> Result<Document, Vec<Problem>> {
        let root = well_formed(content_type, body).map_err(|problem| vec![problem])?;
        check::document(root)
    }

    /// The document in a few words, for the world's log: `Dial Sip sip:…`, `Say 「…」, Hangup`.
    pub fn summary(&self) -> String {
        if self.verbs.is_empty() {
            return "(empty Response)".to_owned();
        }
        self.verbs.iter().map(Verb::summary).collect::<Vec<_>>().join(", ")
    }
}

impl Verb {
    fn summary(&self) -> String {
        match self {
            Verb::Dial(dial) => format!("Dial {}", dial.noun.target),
            Verb::Connect(_) => "Connect Stream".to_owned(),
            Verb::Say { text, .. } => format!("Say 「{text}」"),
            Verb::Pause(seconds) => format!("Pause {seconds}"),
            Verb::Hangup => "Hangup".to_owned(),
            Verb::Reject(RejectReason::Busy) => "Reject busy".to_owned(),
            Verb::Reject(RejectReason::Rejected) => "Reject rejected".to_owned(),
            Verb::Redirect(_) => "Redirect".to_owned(),
        }
    }
}

fn well_formed(content_type: Option<&str>, body: &[u8]) -> Result<xml::Element, Problem> {
    let kind = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if kind != "text/xml" && kind != "application/xml" {
        return Err(Problem::new(12300, format!("content type `{kind}` is not XML (expected `text/xml`)")));
    }
    if body.len() > DOCUMENT_BYTES_MAX {
        let text = format!("{} bytes of TwiML, at most {DOCUMENT_BYTES_MAX}", body.len());
        return Err(Problem::new(11750, text));
    }
    let text = std::str::from_utf8(body).map_err(|_| Problem::new(12100, "the document is not UTF-8"))?;
    if !text.starts_with("<?xml") && !text.starts_with("<Response") {
        return Err(Problem::new(12100, "the first byte does not begin `<?xml` or `<Response>`"));
    }
    xml::read(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Document, Vec<Problem>> {
        Document::read(Some("text/xml; charset=utf-8"), body.as_bytes())
    }

    fn verbs(inside: &str) -> Vec<Verb> {
        read(&format!("<Response>{inside}</Response>"))
            .unwrap_or_else(|problems| panic!("{problems:?}"))
            .verbs
    }

    /// The canonical document of an answered call, as Twilio's documentation writes such a thing.
    const CANONICAL: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<Response>
  <Dial answerOnBridge="true" timeout="8" timeLimit="3600" callerId="+819012345678" ringTone="jp"
        action="https://gw.example.jp/twilio/dial-action?c=c_01J9&amp;try=1" method="POST"
        referUrl="https://gw.example.jp/twilio/refer?c=c_01J9">
    <Sip statusCallback="https://gw.example.jp/twilio/leg?c=c_01J9&amp;try=1"
         statusCallbackEvent="initiated ringing answered completed"
    >sip:proj_demo123@sip.api.openai.com;transport=tls;edge=tokyo?X-Gw-Call=c_01J9&amp;X-Gw-Token=9f2c.b1</Sip>
  </Dial>
</Response>
"#;

    #[test]
    fn the_canonical_document_is_read() {
        let document = read(CANONICAL).unwrap();
        let [Verb::Dial(dial)] = document.verbs.as_slice() else { panic!("{document:?}") };
        assert!(dial.answer_on_bridge);
        assert_eq!((dial.timeout_s, dial.time_limit_s), (8, 3600));
        let action = dial.action.as_ref().unwrap();
        assert_eq!(action.url, "https://gw.example.jp/twilio/dial-action?c=c_01J9&try=1");
        assert_eq!(dial.noun.events.len(), 4);
        let Target::Sip(uri) = &dial.noun.target else { panic!("{dial:?}") };
        assert_eq!(uri.request_uri, "sip:proj_demo123@sip.api.openai.com;transport=tls");
        assert_eq!(uri.headers[1], ("X-Gw-Token".to_owned(), "9f2c.b1".to_owned()));
        assert_eq!(
            document.summary(),
            "Dial Sip sip:proj_demo123@sip.api.openai.com;transport=tls;edge=tokyo"
        );
    }

    #[test]
    fn defaults_are_twilios() {
        let [Verb::Dial(dial)] = &verbs("<Dial>+815012345678</Dial>")[..] else { panic!() };
        assert!(!dial.answer_on_bridge);
        assert_eq!((dial.timeout_s, dial.time_limit_s), (30, 14_400));
        assert_eq!(dial.noun.target, Target::Number("+815012345678".to_owned()));
        let [Verb::Dial(dial)] = &verbs(r#"<Dial><Sip statusCallback="/leg">sip:a@b</Sip></Dial>"#)[..]
        else {
            panic!()
        };
        assert_eq!(dial.noun.events, [LegEvent::Completed]);
        assert_eq!(verbs("<Reject/>"), [Verb::Reject(RejectReason::Rejected)]);
        assert_eq!(verbs("<Pause/>"), [Verb::Pause(1)]);
        assert_eq!(verbs(""), []);
    }

    #[test]
    fn entities_and_cdata_are_text() {
        let text = "<Say language=\"ja-JP\"> &lt;山田&gt; &amp; &#x5C71;<![CDATA[<b>]]> </Say>";
        let said = Verb::Say { text: "<山田> & 山<b>".to_owned(), language: Some("ja-JP".to_owned()) };
        assert_eq!(verbs(text), [said]);
    }

    #[test]
    fn only_xml_of_a_bearable_size_is_read() {
        let code = |content_type, body: &[u8]| Document::read(content_type, body).unwrap_err()[0].code;
        assert_eq!(code(Some("text/plain"), b"<Response/>"), 12300);
        assert_eq!(code(None, b"<Response/>"), 12300);
        assert_eq!(code(Some("text/xml"), &vec![b' '; DOCUMENT_BYTES_MAX + 1]), 11750);
        assert_eq!(code(Some("text/xml"), b"<Response>\xff</Response>"), 12100);
        assert!(Document::read(Some("application/xml"), b"<Response/>").is_ok());
    }

    #[test]
    fn what_twilio_refuses_is_a_problem() {
        for (body, code, expected) in [
            ("", 12100, "first byte"),
            (" <Response/>", 12100, "first byte"),
            ("\u{FEFF}<Response/>", 12100, "first byte"),
            ("<Response>", 12100, "not closed"),
            ("<Response></response>", 12100, "byte"),
            ("<Response/><Response/>", 12100, "second root"),
            ("<Response>&nbsp;</Response>", 12100, "no entity"),
            ("<Response>&#1;</Response>", 12100, "U+0001"),
            ("<Response><Pause length='1' length='2'/></Response>", 12100, "duplicated"),
            ("<?xml version='1.0'?><!DOCTYPE x><Response/>", 12100, "declaration"),
            ("<?xml version='1.0'?><response/>", 12102, "<response>"),
            ("<ResponseX/>", 12102, "<ResponseX>"),
            ("<Response x='1'/>", 12200, "`x`"),
            ("<Response>words</Response>", 12200, "text"),
            ("<Response><dial>+81312345678</dial></Response>", 12200, "<dial>"),
            ("<Response><Connect/></Response>", 12200, "<Connect>"),
            ("<Response><Enqueue>x</Enqueue></Response>", 12200, "<Enqueue>"),
            ("<Response><Connect><Stream/></Connect></Response>", 12200, "wss"),
            ("<Response><Connect><Stream url='https://x/y'/></Connect></Response>", 12200, "wss"),
            ("<Response><Connect><Stream url='wss://x/y?z=1'/></Connect></Response>", 12200, "query"),
            (
                "<Response><Connect><Stream url='wss://x'><Parameter name='a'/></Stream></Connect></Response>",
                12200,
                "value",
            ),
            ("<Response><Dial Timeout='8'>+81312345678</Dial></Response>", 12200, "`Timeout`"),
            ("<Response><Dial timeout='4'>+81312345678</Dial></Response>", 12200, "timeout"),
            ("<Response><Dial timeout='8s'>+81312345678</Dial></Response>", 12200, "timeout"),
            ("<Response><Dial timeLimit='14401'>+81312345678</Dial></Response>", 12200, "timeLimit"),
            ("<Response><Dial answerOnBridge='yes'>+81312345678</Dial></Response>", 12200, "answerOnBridge"),
            ("<Response><Dial callerId='a b'>+81312345678</Dial></Response>", 12200, "callerId"),
            ("<Response><Dial method='PUT'>+81312345678</Dial></Response>", 12200, "method"),
            ("<Response><Dial action='a b'>+81312345678</Dial></Response>", 12200, "action"),
            ("<Response><Dial ringTone='Japan'>+81312345678</Dial></Response>", 12200, "ringTone"),
            ("<Response><Dial record='yes'>+81312345678</Dial></Response>", 12200, "record"),
            ("<Response><Dial trim='all'>+81312345678</Dial></Response>", 12200, "trim"),
            (
                "<Response><Dial record='true' recordingStatusCallback='/r' recordingStatusCallbackEvent='done'>+81312345678</Dial></Response>",
                12200,
                "recordingStatusCallbackEvent",
            ),
            (
                "<Response><Dial recordingStatusCallback='/r'>+81312345678</Dial></Response>",
                12200,
                "without `record`",
            ),
            ("<Response><Dial/></Response>", 12200, "exactly one"),
            ("<Response><Dial>090-1234-5678</Dial></Response>", 12200, "E.164"),
            ("<Response><Dial><Sip>sip:a@b</Sip><Sip>sip:c@d</Sip></Dial></Response>", 12200, "exactly one"),
            ("<Response><Dial>x<Sip>sip:a@b</Sip></Dial></Response>", 12200, "text"),
            ("<Response><Dial><Say>x</Say></Dial></Response>", 12200, "<Say>"),
            ("<Response><Sip>sip:a@b</Sip></Response>", 12200, "<Sip>"),
            ("<Response><Dial><Sip codecs='pcmu'>sip:a@b</Sip></Dial></Response>", 12200, "`codecs`"),
            ("<Response><Dial><Sip>sip:a@b;x=1</Sip></Dial></Response>", 12200, "x=1"),
            (
                "<Response><Dial><Sip statusCallback='/l' statusCallbackEvent='ringing,answered'>sip:a@b</Sip></Dial></Response>",
                12200,
                "statusCallbackEvent",
            ),
            ("<Response><Say/></Response>", 12200, "nothing to say"),
            ("<Response><Say>a<b>c</b></Say></Response>", 12200, "<b>"),
            ("<Response><Pause length='-1'/></Response>", 12200, "length"),
            ("<Response><Hangup>x</Hangup></Response>", 12200, "text"),
            ("<Response><Reject reason='Busy'/></Response>", 12200, "reason"),
            ("<Response><Pause/><Reject/></Response>", 12200, "first"),
            ("<Response><Redirect/></Response>", 12200, "Redirect"),
        ] {
            let problems = read(body).expect_err(body);
            assert_eq!(problems[0].code, code, "{body}: {problems:?}");
            assert!(problems[0].text.contains(expected), "{body}: {problems:?}");
        }
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let problems = read("<Response><Dial timeout='1' x='2'>0</Dial><Foo/></Response>").unwrap_err();
        assert_eq!(problems.len(), 4, "{problems:?}");
    }

    #[test]
    fn deep_nesting_is_refused() {
        let body = format!("<Response>{}", "<a>".repeat(20_000));
        assert!(read(&body).unwrap_err()[0].text.contains("deep"));
    }
}
