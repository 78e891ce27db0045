//! From a tree of XML to verbs: names, attributes, values and nesting, all problems collected.

use std::fmt::Display;
use std::ops::RangeInclusive;

use super::xml::Element;
use super::{
    Dial, Document, LegEvent, Method, Noun, Problem, Recording, RejectReason, Request, SipUri, Stream,
    Target, Verb,
};

/// Twilio's "schema validation warning", for everything that is XML but not TwiML.
const SCHEMA: u32 = 12200;

pub(super) fn document(root: Element) -> Result<Document, Vec<Problem>> {
    if root.name != "Response" {
        let text = format!("the root element is <{}>, not <Response>", root.name);
        return Err(vec![Problem::new(12102, text)]);
    }
    let mut problems = Vec::new();
    let mut response = Checked::new(root, &mut problems);
    response.no_text();
    let elements = response.finish();
    let verbs = elements
        .into_iter()
        .enumerate()
        .filter_map(|(index, element)| verb(index, element, &mut problems))
        .collect();
    if problems.is_empty() { Ok(Document { verbs }) } else { Err(problems) }
}

fn verb(index: usize, element: Element, problems: &mut Vec<Problem>) -> Option<Verb> {
    match element.name.as_str() {
        "Dial" => dial(element, problems),
        "Connect" => connect(element, problems),
        "Say" => Some(say(Checked::new(element, problems))),
        "Pause" => {
            let mut pause = Checked::new(element, problems);
            let length_s = pause.number("length", 1, 0..=3600);
            pause.leaf();
            Some(Verb::Pause(length_s))
        }
        "Hangup" => {
            Checked::new(element, problems).leaf();
            Some(Verb::Hangup)
        }
        "Reject" => Some(reject(index, Checked::new(element, problems))),
        "Redirect" => Some(redirect(Checked::new(element, problems))),
        name => {
            problems.push(Problem::new(SCHEMA, format!("<{name}> is no verb this simulator knows")));
            None
        }
    }
}

fn connect(element: Element, problems: &mut Vec<Problem>) -> Option<Verb> {
    let mut connect = Checked::new(element, problems);
    connect.no_text();
    let children = connect.finish();
    let count = children.len();
    let stream = children.into_iter().next().filter(|child| count == 1 && child.name == "Stream");
    let Some(stream) = stream else {
        problems.push(Problem::new(SCHEMA, "<Connect>: exactly one <Stream> must stand in it"));
        return None;
    };
    let mut stream = Checked::new(stream, problems);
    let url = stream.take("url").unwrap_or_default();
    if !url.starts_with("wss://") {
        stream.wrong(format!("url `{url}` is not `wss`"));
    }
    if url.contains(['?', '#']) {
        stream.wrong("url has a query, which is stripped");
    }
    stream.no_text();
    let children = stream.finish();
    let parameters = children.into_iter().filter_map(|child| parameter(child, problems)).collect();
    Some(Verb::Connect(Stream { url, parameters }))
}

fn parameter(element: Element, problems: &mut Vec<Problem>) -> Option<(String, String)> {
    let mut parameter = Checked::new(element, problems);
    if parameter.element.name != "Parameter" {
        parameter.wrong("only <Parameter> may stand in a <Stream>");
        return None;
    }
    let (name, value) = (parameter.take("name"), parameter.take("value"));
    match (name, value) {
        (Some(name), Some(value)) if name.len() + value.len() < 500 => {
            parameter.leaf();
            Some((name, value))
        }
        _ => {
            parameter.wrong("it needs a name and a value, together below 500 characters");
            None
        }
    }
}

fn say(mut say: Checked<'_>) -> Verb {
    let text = say.element.text.trim().to_owned();
    if text.is_empty() {
        say.wrong("there is nothing to say");
    }
    let language = say.take("language");
    say.take("voice");
    say.no_children();
    Verb::Say { text, language }
}

fn reject(index: usize, mut reject: Checked<'_>) -> Verb {
    let reason = match reject.take("reason").as_deref() {
        None | Some("rejected") => RejectReason::Rejected,
        Some("busy") => RejectReason::Busy,
        Some(other) => {
            reject.wrong(format!("reason `{other}` is neither `rejected` nor `busy`"));
            RejectReason::Rejected
        }
    };
    if index > 0 {
        reject.wrong("it must be the first verb");
    }
    reject.leaf();
    Verb::Reject(reason)
}

fn redirect(mut redirect: Checked<'_>) -> Verb {
    let url = redirect.element.text.trim().to_owned();
    redirect.url("its text", &url);
    let method = redirect.method("method");
    redirect.no_children();
    Verb::Redirect(Request { url, method })
}

fn dial(element: Element, problems: &mut Vec<Problem>) -> Option<Verb> {
    let mut dial = Checked::new(element, problems);
    let answer_on_bridge = dial.flag("answerOnBridge");
    let timeout_s = dial.number("timeout", 30, 5..=600);
    let time_limit_s = dial.number("timeLimit", 14_400, 1..=14_400);
    let caller_id = dial.take("callerId");
    if let Some(id) = &caller_id
        && (id.is_empty() || !id.chars().all(|c| c.is_ascii_alphanumeric() || "+-_.".contains(c)))
    {
        dial.wrong(format!("callerId `{id}` may have letters, digits and `+ - _ .` only"));
    }
    let ring_tone = dial.take("ringTone");
    if let Some(tone) = &ring_tone
        && (tone.len() != 2 || !tone.chars().all(|c| c.is_ascii_lowercase()))
    {
        dial.wrong(format!("ringTone `{tone}` is no two-letter country"));
    }
    let action = dial.request("action", "method");
    let refer = dial.request("referUrl", "referMethod");
    let recording = recording(&mut dial);
    let number = dial.element.text.trim().to_owned();
    let children = dial.finish();
    let noun = the_noun(number, children, problems)?;
    Some(Verb::Dial(Box::new(Dial {
        answer_on_bridge,
        timeout_s,
        time_limit_s,
        caller_id,
        action,
        refer,
        ring_tone,
        recording,
        noun,
    })))
}

/// `record` of a `<Dial>`, and who is told about it.
fn recording(dial: &mut Checked<'_>) -> Option<Recording> {
    let kind = dial.take("record");
    match dial.take("trim").as_deref() {
        None | Some("do-not-trim" | "trim-silence") => {}
        Some(other) => dial.wrong(format!("trim `{other}` does not exist")),
    }
    let callback = dial.request("recordingStatusCallback", "recordingStatusCallbackMethod");
    let events = dial.take("recordingStatusCallbackEvent");
    let events: Vec<String> =
        events.as_deref().unwrap_or("completed").split_ascii_whitespace().map(str::to_owned).collect();
    if let Some(odd) =
        events.iter().find(|event| !["in-progress", "completed", "absent"].contains(&event.as_str()))
    {
        dial.wrong(format!("recordingStatusCallbackEvent `{odd}` does not exist"));
    }
    let is_dual = match kind.as_deref() {
        None | Some("do-not-record") => {
            if callback.is_some() {
                dial.wrong("recordingStatusCallback without `record` is never asked");
            }
            return None;
        }
        Some("record-from-answer-dual" | "record-from-ringing-dual") => true,
        Some("true" | "record-from-answer" | "record-from-ringing") => false,
        Some(other) => {
            dial.wrong(format!("record `{other}` does not exist"));
            return None;
        }
    };
    Some(Recording { is_dual, callback, events })
}

/// The one noun of a `<Dial>`: a child element, or its own text as a number.
fn the_noun(text: String, children: Vec<Element>, problems: &mut Vec<Problem>) -> Option<Noun> {
    let mut wrong = |text: String| problems.push(Problem::new(SCHEMA, format!("<Dial>: {text}")));
    if !children.is_empty() && !text.is_empty() {
        wrong("text and a noun beside each other".to_owned());
        return None;
    }
    if children.len() + usize::from(!text.is_empty()) != 1 {
        wrong(format!("{} nouns (this simulator dials exactly one)", children.len()));
        return None;
    }
    let child = match children.into_iter().next() {
        Some(child) => child,
        None => Element { name: "Number".to_owned(), text, ..Element::default() },
    };
    if child.name != "Sip" && child.name != "Number" {
        wrong(format!("<{}> is no noun this simulator knows", child.name));
        return None;
    }
    noun(Checked::new(child, problems))
}

fn noun(mut noun: Checked<'_>) -> Option<Noun> {
    let text = noun.element.text.trim().to_owned();
    let target = if noun.element.name == "Sip" {
        SipUri::read(&text).map(Target::Sip)
    } else if is_e164(&text) {
        Ok(Target::Number(text))
    } else {
        Err(format!("`{text}` is not a number in E.164"))
    };
    let target = target.map_err(|error| noun.wrong(error)).ok();
    let status_callback = noun.request("statusCallback", "statusCallbackMethod");
    let events = match noun.take("statusCallbackEvent") {
        Some(names) => noun.events(&names),
        None => vec![LegEvent::Completed],
    };
    noun.no_children();
    Some(Noun { target: target?, status_callback, events })
}

fn is_e164(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|digits| {
        (7..=15).contains(&digits.len())
            && digits.bytes().all(|digit| digit.is_ascii_digit())
            && !digits.starts_with('0')
    })
}

/// An element under inspection: attributes are taken out one by one, what is left is unknown.
struct Checked<'a> {
    element: Element,
    problems: &'a mut Vec<Problem>,
}

impl<'a> Checked<'a> {
    fn new(element: Element, problems: &'a mut Vec<Problem>) -> Checked<'a> {
        Checked { element, problems }
    }

    fn wrong(&mut self, text: impl Display) {
        self.problems.push(Problem::new(SCHEMA, format!("<{}>: {text}", self.element.name)));
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let index = self.element.attributes.iter().position(|(known, _)| known == name)?;
        Some(self.element.attributes.remove(index).1)
    }

    fn flag(&mut self, name: &str) -> bool {
        match self.take(name).as_deref() {
            None | Some("false") => false,
            Some("true") => true,
            Some(other) => {
                self.wrong(format!("{name} `{other}` is neither `true` nor `false`"));
                false
            }
        }
    }

    fn number(&mut self, name: &str, default: u32, range: RangeInclusive<u32>) -> u32 {
        let Some(text) = self.take(name) else { return default };
        match text.parse() {
            Ok(number) if range.contains(&number) => number,
            _ => {
                self.wrong(format!("{name} `{text}` is not between {} and {}", range.start(), range.end()));
                default
            }
        }
    }

    fn request(&mut self, url: &str, method: &str) -> Option<Request> {
        let method = self.method(method);
        let text = self.take(url)?;
        self.url(url, &text);
        Some(Request { url: text, method })
    }

    fn method(&mut self, name: &str) -> Method {
        match self.take(name).as_deref() {
            None | Some("POST") => Method::Post,
            Some("GET") => Method::Get,
            Some(other) => {
                self.wrong(format!("{name} `{other}` is neither `GET` nor `POST`"));
                Method::Post
            }
        }
    }

    fn url(&mut self, name: &str, url: &str) {
        if url.is_empty() || !url.bytes().all(|byte| byte.is_ascii_graphic()) {
            self.wrong(format!("{name} `{url}` is no URL"));
        }
    }

    fn events(&mut self, names: &str) -> Vec<LegEvent> {
        let mut events = Vec::new();
        for name in names.split_ascii_whitespace() {
            match name {
                "initiated" => events.push(LegEvent::Initiated),
                "ringing" => events.push(LegEvent::Ringing),
                "answered" => events.push(LegEvent::Answered),
                "completed" => events.push(LegEvent::Completed),
                other => self.wrong(format!("statusCallbackEvent `{other}` does not exist")),
            }
        }
        events
    }

    /// Claims that nothing is inside, and that every attribute was known.
    fn leaf(mut self) {
        self.no_text();
        self.no_children();
    }

    fn no_text(&mut self) {
        if !self.element.text.trim().is_empty() {
            self.wrong("no text may stand in it");
        }
    }

    fn no_children(self) {
        let name = self.element.name.clone();
        let problems = &mut *self.problems;
        let elements = Checked { element: self.element, problems }.finish();
        for child in elements {
            problems.push(Problem::new(SCHEMA, format!("<{name}>: <{}> may not stand in it", child.name)));
        }
    }

    /// Claims that every attribute was known, and gives the elements inside.
    fn finish(mut self) -> Vec<Element> {
        for (name, _) in std::mem::take(&mut self.element.attributes) {
            self.wrong(format!("attribute `{name}` is unknown here"));
        }
        self.element.children
    }
}
