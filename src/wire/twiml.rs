//! TwiML, the documents we answer Twilio with.
//!
//! Verbs are values; [`Response::to_xml`] writes them. Whatever text they hold, the document has the
//! elements and attributes it was given and no others: everything is escaped, and characters that XML
//! 1.0 cannot hold are dropped.
//!
//! Vendor documentation: Twilio, "TwiML for Programmable Voice" and the page of each verb.

use crate::phone::E164;
use crate::wire::sip_uri::SipUri;

/// A document: verbs that run from top to bottom. When they end, Twilio hangs up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// The verbs in order; none for a document that says there is nothing more to do.
    pub verbs: Vec<Verb>,
}

/// One instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verb {
    /// `<Dial>`: connects the caller to somebody else and waits.
    Dial(Dial),
    /// `<Connect><Stream>`: answers the call and sends its audio to a WebSocket of ours, both ways, until
    /// that is closed by us.
    Connect(Stream),
    /// `<Say>`: answers the call and speaks.
    Say(Say),
    /// `<Pause>`: waits for so many seconds.
    Pause {
        /// `length`.
        length_s: u32,
    },
    /// `<Redirect>`: the document at this URL takes over, asked for with POST.
    Redirect {
        /// The URL.
        url: String,
    },
    /// `<Reject>`: refuses without answering. It must be the first verb.
    Reject(RejectReason),
    /// `<Hangup>`: ends the call.
    Hangup,
}

/// `<Dial>` and whom it dials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dial {
    /// `answerOnBridge`: the caller hears ringing until the other end answers.
    pub answer_on_bridge: bool,
    /// `timeout`: seconds until the other end must have answered; 5 to 600, Twilio adds about 5.
    pub timeout_s: u32,
    /// `timeLimit`: seconds after which the call ends.
    pub time_limit_s: u32,
    /// `callerId`; none for the caller's own, as the carrier gave it.
    pub caller_id: Option<E164>,
    /// `ringTone`: two letters of a country; none for the carrier's.
    pub ring_tone: Option<String>,
    /// `action`: asked with POST what to do when the dial is over; verbs after this one then never run.
    /// None: the next verb, and after the last one the call ends.
    pub action: Option<String>,
    /// `referUrl`: asked with POST what to do when the other end sends REFER; none refuses it.
    pub refer_url: Option<String>,
    /// `recordingStatusCallback`: the dial is recorded from the answer on, caller and callee on a channel
    /// each, and this is told by POST how the recording goes; none records nothing.
    pub recording_callback: Option<String>,
    /// `statusCallback` of the noun: told by POST of each step of the new leg.
    pub status_callback: Option<String>,
    /// Whom.
    pub noun: Noun,
}

/// `<Stream>` inside `<Connect>`: where the audio goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// `url`: `wss://`, without a query, which Twilio would strip.
    pub url: String,
    /// `<Parameter>`: name and value, told again in the stream's `start`; together below 500 characters.
    pub parameters: Vec<(&'static str, String)>,
}

/// Whom a `<Dial>` dials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Noun {
    /// `<Sip>`: an address.
    Sip(SipUri),
    /// `<Number>`: a phone number.
    Number(E164),
}

/// Words spoken by Twilio's own voice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Say {
    /// The words.
    pub text: String,
    /// `language`: BCP 47, such as `ja-JP`.
    pub language: String,
    /// `voice`: Twilio's name of it, such as `Polly.Kazuha-Neural`; none for the default.
    pub voice: Option<String>,
}

/// What the caller of a refused call hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectReason {
    /// That the number cannot be reached.
    Rejected,
    /// A busy tone.
    Busy,
}

impl Response {
    /// The document, to be sent as `text/xml`.
    pub fn to_xml(&self) -> String {
        let mut xml = Xml("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned());
        xml.element("Response", &[], |xml| self.verbs.iter().for_each(|verb| verb.write(xml)));
        xml.0
    }
}

impl From<Vec<Verb>> for Response {
    fn from(verbs: Vec<Verb>) -> Response {
        Response { verbs }
    }
}

impl Verb {
    fn write(&self, xml: &mut Xml) {
        match self {
            Verb::Dial(dial) => dial.write(xml),
            Verb::Connect(stream) => xml.element("Connect", &[], |xml| stream.write(xml)),
            Verb::Say(say) => say.write(xml),
            Verb::Pause { length_s } => xml.empty("Pause", &[("length", Some(&length_s.to_string()))]),
            Verb::Redirect { url } => {
                xml.element("Redirect", &[("method", Some("POST"))], |xml| xml.text(url))
            }
            Verb::Reject(reason) => {
                let reason = match reason {
                    RejectReason::Rejected => "rejected",
                    RejectReason::Busy => "busy",
                };
                xml.empty("Reject", &[("reason", Some(reason))]);
            }
            Verb::Hangup => xml.empty("Hangup", &[]),
        }
    }
}

impl Dial {
    fn write(&self, xml: &mut Xml) {
        let recorded = self.recording_callback.as_deref();
        let attributes = [
            ("answerOnBridge", self.answer_on_bridge.then_some("true")),
            ("timeout", Some(&*self.timeout_s.to_string())),
            ("timeLimit", Some(&*self.time_limit_s.to_string())),
            ("callerId", self.caller_id.as_ref().map(E164::as_str)),
            ("ringTone", self.ring_tone.as_deref()),
            ("action", self.action.as_deref()),
            ("method", self.action.as_ref().map(|_| "POST")),
            ("referUrl", self.refer_url.as_deref()),
            ("referMethod", self.refer_url.as_ref().map(|_| "POST")),
            ("record", recorded.map(|_| "record-from-answer-dual")),
            // Trimmed sound would not lie on the time line of the transcript.
            ("trim", recorded.map(|_| "do-not-trim")),
            ("recordingStatusCallback", recorded),
            ("recordingStatusCallbackMethod", recorded.map(|_| "POST")),
            ("recordingStatusCallbackEvent", recorded.map(|_| "in-progress completed absent")),
        ];
        xml.element("Dial", &attributes, |xml| self.write_noun(xml));
    }

    fn write_noun(&self, xml: &mut Xml) {
        let callback = self.status_callback.as_deref();
        let attributes = [
            ("statusCallback", callback),
            ("statusCallbackMethod", callback.map(|_| "POST")),
            ("statusCallbackEvent", callback.map(|_| "initiated ringing answered completed")),
        ];
        match &self.noun {
            Noun::Sip(uri) => xml.element("Sip", &attributes, |xml| xml.text(uri.as_str())),
            Noun::Number(number) => xml.element("Number", &attributes, |xml| xml.text(number.as_str())),
        }
    }
}

impl Stream {
    fn write(&self, xml: &mut Xml) {
        xml.element("Stream", &[("url", Some(self.url.as_str()))], |xml| {
            for (name, value) in &self.parameters {
                xml.empty("Parameter", &[("name", Some(name)), ("value", Some(value))]);
            }
        });
    }
}

impl Say {
    fn write(&self, xml: &mut Xml) {
        let attributes = [("language", Some(self.language.as_str())), ("voice", self.voice.as_deref())];
        xml.element("Say", &attributes, |xml| xml.text(&self.text));
    }
}

/// XML as it is written. Names are ours; only text and attributes' values come from outside.
struct Xml(String);

impl Xml {
    /// An element with content. An attribute without a value is left out.
    fn element(
        &mut self,
        name: &'static str,
        attributes: &[(&'static str, Option<&str>)],
        content: impl FnOnce(&mut Xml),
    ) {
        self.tag(name, attributes);
        self.0.push('>');
        content(self);
        self.0.push_str("</");
        self.0.push_str(name);
        self.0.push('>');
    }

    fn empty(&mut self, name: &'static str, attributes: &[(&'static str, Option<&str>)]) {
        self.tag(name, attributes);
        self.0.push_str("/>");
    }

    fn tag(&mut self, name: &'static str, attributes: &[(&'static str, Option<&str>)]) {
        self.0.push('<');
        self.0.push_str(name);
        for (attribute, value) in attributes {
            let Some(value) = value else { continue };
            self.0.push(' ');
            self.0.push_str(attribute);
            self.0.push_str("=\"");
            self.text(value);
            self.0.push('"');
        }
    }

    /// Escapes for text and attributes alike. White space other than blanks is written as a reference,
    /// since a reader would otherwise turn it into blanks inside attributes.
    fn text(&mut self, text: &str) {
        for c in text.chars().filter(|c| is_xml_char(*c)) {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&apos;"),
                '\t' => self.0.push_str("&#9;"),
                '\n' => self.0.push_str("&#10;"),
                '\r' => self.0.push_str("&#13;"),
                _ => self.0.push(c),
            }
        }
    }
}

/// `Char` of XML 1.0, §2.2.
fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use quick_xml::events::Event;

    use super::*;
    use crate::phone::CallingCode;
    use crate::wire::sip_uri::SipUriParts;

    /// An element as another reader sees it.
    #[derive(Clone, Debug, Default, PartialEq)]
    struct Element {
        name: String,
        attributes: Vec<(String, String)>,
        text: String,
        children: Vec<Element>,
    }

    fn element(name: &str, attributes: &[(&str, &str)], text: &str, children: Vec<Element>) -> Element {
        let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), kept(value))).collect();
        Element { name: name.to_owned(), attributes, text: kept(text), children }
    }

    /// What XML can hold of a text, said another way than in the writer.
    fn kept(text: &str) -> String {
        let is_dropped =
            |c: &char| (*c < ' ' && !['\t', '\n', '\r'].contains(c)) || *c == '\u{FFFE}' || *c == '\u{FFFF}';
        text.chars().filter(|c| !is_dropped(c)).collect()
    }

    fn opened(start: &quick_xml::events::BytesStart<'_>) -> Element {
        let attributes = start.attributes().map(|attribute| {
            let attribute = attribute.expect("an attribute");
            let value = attribute.normalized_value(quick_xml::XmlVersion::Explicit1_0).expect("a value");
            (attribute.key.as_ref().to_owned(), value.into_owned())
        });
        Element {
            name: start.name().as_ref().to_owned(),
            attributes: attributes.collect(),
            ..Element::default()
        }
    }

    fn read_back(xml: &str) -> Element {
        let mut reader = quick_xml::Reader::from_str(xml);
        let mut open = vec![Element::default()];
        loop {
            let event = reader.read_event().expect("well-formed XML");
            let top = open.last_mut().expect("an open element");
            match event {
                Event::Start(start) => open.push(opened(&start)),
                Event::Empty(start) => top.children.push(opened(&start)),
                Event::End(_) => {
                    let closed = open.pop().expect("an open element");
                    open.last_mut().expect("a parent").children.push(closed);
                }
                Event::Text(text) => top.text.push_str(&text.xml10_content()),
                Event::GeneralRef(reference) => match reference.resolve_char_ref().expect("a reference") {
                    Some(c) => top.text.push(c),
                    None => top.text.push_str(
                        quick_xml::escape::resolve_predefined_entity(&reference).expect("a known entity"),
                    ),
                },
                Event::Decl(_) => {}
                Event::Eof => break,
                other => panic!("nothing else is written: {other:?}"),
            }
        }
        assert_eq!(open[0].children.len(), 1, "one root: {xml}");
        open.remove(0).children.remove(0)
    }

    fn number(text: &str) -> E164 {
        E164::parse(text, CallingCode::JAPAN).unwrap()
    }

    fn sip_uri() -> SipUri {
        SipUri::new(SipUriParts {
            user: "proj_demo123",
            host: "sip.api.openai.com",
            secure_media: true,
            edge: Some("tokyo"),
            headers: &[("X-Switchboard-Call", "call_01"), ("X-Switchboard-Token", "9f2c")],
        })
        .unwrap()
    }

    fn dial(noun: Noun) -> Dial {
        Dial {
            answer_on_bridge: true,
            timeout_s: 8,
            time_limit_s: 3600,
            caller_id: Some(number("+819012345678")),
            ring_tone: Some("jp".to_owned()),
            action: Some("https://gw.example.jp/twilio/dial-result?c=call_01&try=1".to_owned()),
            refer_url: Some("https://gw.example.jp/twilio/refer?c=call_01".to_owned()),
            recording_callback: None,
            status_callback: Some("https://gw.example.jp/twilio/leg?c=call_01".to_owned()),
            noun,
        }
    }

    #[test]
    fn the_provider_is_dialled() {
        let response = Response::from(vec![Verb::Dial(dial(Noun::Sip(sip_uri())))]);
        insta::assert_snapshot!(response.to_xml(), @r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <Response><Dial answerOnBridge="true" timeout="8" timeLimit="3600" callerId="+819012345678" ringTone="jp" action="https://gw.example.jp/twilio/dial-result?c=call_01&amp;try=1" method="POST" referUrl="https://gw.example.jp/twilio/refer?c=call_01" referMethod="POST"><Sip statusCallback="https://gw.example.jp/twilio/leg?c=call_01" statusCallbackMethod="POST" statusCallbackEvent="initiated ringing answered completed">sip:proj_demo123@sip.api.openai.com;transport=tls;secure=true;edge=tokyo?X-Switchboard-Call=call_01&amp;X-Switchboard-Token=9f2c</Sip></Dial></Response>
        "#);
    }

    #[test]
    fn a_dial_is_recorded_on_two_channels() {
        let callback = Some("https://gw.example.jp/twilio/recording?c=call_01&x=\"<".to_owned());
        let recorded = Dial { recording_callback: callback, ..dial(Noun::Number(number("+81312345678"))) };
        let read = read_back(&Response::from(vec![Verb::Dial(recorded)]).to_xml());
        let attributes = &read.children[0].attributes;
        let value =
            |name: &str| attributes.iter().find(|(known, _)| known == name).map(|(_, value)| &**value);
        assert_eq!(value("record"), Some("record-from-answer-dual"));
        assert_eq!(value("trim"), Some("do-not-trim"));
        assert_eq!(
            value("recordingStatusCallback"),
            Some("https://gw.example.jp/twilio/recording?c=call_01&x=\"<")
        );
        assert_eq!(value("recordingStatusCallbackEvent"), Some("in-progress completed absent"));
    }

    #[test]
    fn a_number_is_dialled() {
        let forward = Dial {
            answer_on_bridge: false,
            caller_id: None,
            ring_tone: None,
            action: None,
            refer_url: None,
            status_callback: None,
            ..dial(Noun::Number(number("03-1234-5678")))
        };
        insta::assert_snapshot!(Response::from(vec![Verb::Dial(forward)]).to_xml(), @r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <Response><Dial timeout="8" timeLimit="3600"><Number>+81312345678</Number></Dial></Response>
        "#);
    }

    #[test]
    fn a_stream_is_connected() {
        let response = Response::from(vec![
            Verb::Connect(Stream {
                url: "wss://gw.example.jp/twilio/media".to_owned(),
                parameters: vec![("call", "call_01".to_owned()), ("token", "a\"&<b".to_owned())],
            }),
            Verb::Redirect { url: "https://gw.example.jp/twilio/after-stream?call=call_01".to_owned() },
        ]);
        insta::assert_snapshot!(response.to_xml(), @r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <Response><Connect><Stream url="wss://gw.example.jp/twilio/media"><Parameter name="call" value="call_01"/><Parameter name="token" value="a&quot;&amp;&lt;b"/></Stream></Connect><Redirect method="POST">https://gw.example.jp/twilio/after-stream?call=call_01</Redirect></Response>
        "#);
    }

    #[test]
    fn the_small_verbs_are_written() {
        let say = Say {
            text: "ただいま電話が混み合っております。".to_owned(),
            language: "ja-JP".to_owned(),
            voice: Some("Polly.Kazuha-Neural".to_owned()),
        };
        let response = Response::from(vec![
            Verb::Say(say),
            Verb::Pause { length_s: 2 },
            Verb::Redirect { url: "https://gw.example.jp/twilio/voice?a=1&b=2".to_owned() },
            Verb::Hangup,
        ]);
        insta::assert_snapshot!(response.to_xml(), @r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <Response><Say language="ja-JP" voice="Polly.Kazuha-Neural">ただいま電話が混み合っております。</Say><Pause length="2"/><Redirect method="POST">https://gw.example.jp/twilio/voice?a=1&amp;b=2</Redirect><Hangup/></Response>
        "#);
        let refusals = [RejectReason::Busy, RejectReason::Rejected].map(Verb::Reject).to_vec();
        let refusals = Response::from(refusals).to_xml();
        assert!(
            refusals.ends_with(r#"<Response><Reject reason="busy"/><Reject reason="rejected"/></Response>"#)
        );
        assert!(Response::default().to_xml().ends_with("\n<Response></Response>"));
    }

    #[test]
    fn text_cannot_inject_an_element() {
        let text = "</Say><Dial>+81999999999</Dial><Say>\u{0}]]>&amp;";
        let say = Say { text: text.to_owned(), language: "\"><Hangup/>".to_owned(), voice: None };
        let read = read_back(&Response::from(vec![Verb::Say(say)]).to_xml());
        let expected = element("Say", &[("language", "\"><Hangup/>")], text, Vec::new());
        assert_eq!(read, element("Response", &[], "", vec![expected]));
    }

    /// Any characters at all; `any::<String>()` makes no control characters.
    fn any_text() -> impl Strategy<Value = String> {
        prop::collection::vec(any::<char>(), 0..40).prop_map(String::from_iter)
    }

    proptest! {
        #[test]
        fn another_reader_sees_what_was_put_in(
            text in any_text(),
            language in any_text(),
            voice in prop::option::of(any_text()),
            url in any_text(),
            ring_tone in prop::option::of(any_text()),
            callback in prop::option::of(any_text()),
            seconds: u32,
        ) {
            let say = Say { text: text.clone(), language: language.clone(), voice: voice.clone() };
            let dial = Dial {
                timeout_s: seconds,
                ring_tone: ring_tone.clone(),
                action: Some(url.clone()),
                refer_url: callback.clone(),
                status_callback: callback.clone(),
                ..dial(Noun::Sip(sip_uri()))
            };
            let redirect = Verb::Redirect { url: url.clone() };
            let xml = Response::from(vec![Verb::Say(say), Verb::Dial(dial), redirect]).to_xml();

            let mut say_attributes = vec![("language", language.as_str())];
            say_attributes.extend(voice.as_deref().map(|voice| ("voice", voice)));
            let seconds = seconds.to_string();
            let mut dial_attributes = vec![
                ("answerOnBridge", "true"),
                ("timeout", seconds.as_str()),
                ("timeLimit", "3600"),
                ("callerId", "+819012345678"),
            ];
            dial_attributes.extend(ring_tone.as_deref().map(|tone| ("ringTone", tone)));
            dial_attributes.extend([("action", url.as_str()), ("method", "POST")]);
            dial_attributes
                .extend(callback.iter().flat_map(|url| [("referUrl", url.as_str()), ("referMethod", "POST")]));
            let sip_attributes: Vec<_> = callback.iter().flat_map(|url| [
                ("statusCallback", url.as_str()),
                ("statusCallbackMethod", "POST"),
                ("statusCallbackEvent", "initiated ringing answered completed"),
            ]).collect();
            let sip = element("Sip", &sip_attributes, sip_uri().as_str(), Vec::new());
            let expected = element("Response", &[], "", vec![
                element("Say", &say_attributes, &text, Vec::new()),
                element("Dial", &dial_attributes, "", vec![sip]),
                element("Redirect", &[("method", "POST")], &url, Vec::new()),
            ]);
            prop_assert_eq!(read_back(&xml), expected);
        }
    }
}
