//! `[sessions.NAME]`: what it inherits, and what is not about speech.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::codes;
use crate::config::document::{Document, Place, underlay};
use crate::config::forms::texts;
use crate::config::raw;
use crate::config::{Offered, files};
use crate::routing::{Target, Wildcard};
use crate::session::{Limits, Prompt, Session, ToolChoice};

use super::Checker;
use super::routes::CheckedRoutes;
use super::speech::Speech;
use super::templates::{Surroundings, Written};

/// The provider ends every call after an hour.
const DURATION_MAX: Duration = Duration::from_secs(3_600);

/// Tables of which a session may replace single keys; all others are replaced whole.
const MERGED: [&str; 4] = ["vars", "limits", "transfer", "mcp"];

/// The session itself, then what it extends, and so on; ends where that is unknown or circular.
pub(super) fn lineage(document: &Document<'_>, name: &str) -> Vec<String> {
    let mut names = vec![name.to_owned()];
    loop {
        let last = names.last().map(String::as_str).unwrap_or_default();
        let parent = document.get(&Place::of(&["sessions", last, "extends"])).and_then(DeValue::as_str);
        match parent {
            Some(parent) if !names.iter().any(|known| known == parent) => {
                if !document.has(&Place::of(&["sessions", parent])) {
                    return names;
                }
                names.push(parent.to_owned());
            }
            _ => return names,
        }
    }
}

/// Gives every session of `merged` what it inherits, from what it extends and then from `defaults`.
pub(in crate::config) fn inherit<'i>(
    merged: &mut DeTable<'i>,
    document: &Document<'i>,
    defaults: &DeTable<'i>,
) {
    let Some(DeValue::Table(sessions)) = merged.get_mut("sessions").map(Spanned::get_mut) else { return };
    for (name, session) in sessions.iter_mut() {
        let DeValue::Table(session) = session.get_mut() else { continue };
        for ancestor in lineage(document, name.get_ref()).iter().skip(1) {
            if let Some(DeValue::Table(below)) = document.get(&Place::of(&["sessions", ancestor])) {
                take_over(session, below);
            }
        }
        take_over(session, defaults);
    }
}

fn take_over<'i>(session: &mut DeTable<'i>, below: &DeTable<'i>) {
    let says_instructions = session.contains_key("instructions") || session.contains_key("instructions_file");
    for (key, value) in below.iter() {
        let key_text = key.get_ref().as_ref();
        if says_instructions && matches!(key_text, "instructions" | "instructions_file") {
            continue;
        }
        match session.get_mut(key_text).map(Spanned::get_mut) {
            None => drop(session.insert(key.clone(), value.clone())),
            Some(DeValue::Table(own)) if MERGED.contains(&key_text) => {
                if let DeValue::Table(inherited) = value.get_ref() {
                    underlay(own, inherited, 0);
                }
            }
            Some(_) => {}
        }
    }
}

/// Where a session's values stand: in itself, or in what it extends.
pub(super) struct SessionPlace<'a> {
    document: &'a Document<'a>,
    lineage: Vec<String>,
}

impl<'a> SessionPlace<'a> {
    pub(super) fn new(document: &'a Document<'a>, name: &str) -> SessionPlace<'a> {
        SessionPlace { document, lineage: lineage(document, name) }
    }

    /// The session's own table.
    pub(super) fn own(&self) -> Place {
        Place::of(&["sessions", &self.lineage[0]])
    }

    /// The place of a value, wherever it is inherited from.
    pub(super) fn key(&self, keys: &[&str]) -> Place {
        let full =
            |name: &String| keys.iter().fold(Place::of(&["sessions", name]), |place, key| place.key(key));
        let found = self.lineage.iter().map(full).find(|place| self.document.has(place));
        found.unwrap_or_else(|| full(&self.lineage[0]))
    }
}

/// Every tool pattern of every session, with its place, for the check against real tools.
pub(in crate::config) fn offered_tools(
    document: &Document<'_>,
    sessions: &BTreeMap<String, Arc<Session>>,
) -> Vec<Offered> {
    let mut offered = Vec::new();
    for (name, session) in sessions {
        let place = SessionPlace::new(document, name).key(&["tools"]);
        for (index, pattern) in session.tools.iter().enumerate() {
            let location = document.locate(&place.index(index));
            offered.push(Offered { session: name.clone(), pattern: pattern.clone(), location });
        }
    }
    offered
}

impl Checker<'_> {
    pub(super) fn sessions(
        &mut self,
        raw: BTreeMap<String, raw::Session>,
        routes: &CheckedRoutes,
    ) -> BTreeMap<String, Arc<Session>> {
        let mut sessions = BTreeMap::new();
        for (name, session) in &raw {
            self.name(name, &Place::of(&["sessions", name]));
            self.extends(name, session, &raw);
            if let Some(session) = self.session(name, session.clone(), routes) {
                sessions.insert(name.clone(), Arc::new(session));
            }
        }
        self.unused(&raw, routes);
        sessions
    }

    fn extends(&mut self, name: &str, session: &raw::Session, all: &BTreeMap<String, raw::Session>) {
        let place = Place::of(&["sessions", name, "extends"]);
        // What a parent extends stands in the parent.
        let Some(parent) = session.extends.as_ref().filter(|_| self.document.has(&place)) else { return };
        if self.known_session(parent, &format!("session `{name}`"), &place, all).is_none() {
            return;
        }
        let names = lineage(self.document, name);
        let last = names.last().map(String::as_str).unwrap_or_default();
        let beyond = self.document.get(&Place::of(&["sessions", last, "extends"])).and_then(DeValue::as_str);
        if beyond.is_some_and(|beyond| beyond == name) {
            self.report(&codes::EXTENDS_ITSELF, &place, format!("session `{name}` extends itself"))
                .label(names.iter().chain([&name.to_owned()]).cloned().collect::<Vec<_>>().join(" → "));
        }
    }

    fn unused(&mut self, all: &BTreeMap<String, raw::Session>, routes: &CheckedRoutes) {
        if self.has_errors() {
            return;
        }
        let parents: BTreeSet<&String> =
            all.values().filter_map(|session| session.extends.as_ref()).collect();
        for name in all.keys() {
            if routes.answered_by(name).next().is_none() && !parents.contains(name) {
                let place = Place::of(&["sessions", name]);
                self.report(&codes::UNUSED_SESSION, &place, format!("session `{name}` is not used"))
                    .label("no route answers with it");
            }
        }
    }

    fn session(&mut self, name: &str, raw: raw::Session, routes: &CheckedRoutes) -> Option<Session> {
        let place = SessionPlace::new(self.document, name);
        let time_zone = self.time_zone(&raw.timezone.clone()?, &place.key(&["timezone"]));
        let language = self.language(raw.language.clone(), &place.key(&["language"]));
        let vars = texts(raw.vars.clone());
        let limits = self.limits(raw.limits.clone().unwrap_or_default(), &place);
        let tools = raw.tools.clone().unwrap_or_default();
        let transfer = self.transfer(raw.transfer.clone().unwrap_or_default(), &tools, &place);
        let mcp = self.mcp(raw.mcp.clone(), &place);
        let instructions = self.instructions(&raw, &place);
        let greeting = raw
            .greeting
            .as_ref()
            .map(|text| Written::in_config(self.document, &place.key(&["greeting"]), text));
        let speech = self.speech(&raw, language.clone().flatten(), &place);
        let is_protected = raw.greeting_protected.is_some_and(|flag| flag.0);
        if let Some(speech) = &speech {
            let is_idle = greeting.is_none() || speech.turn_detection.is_none();
            self.protection(is_protected && is_idle, &place);
            self.chosen_tool(speech, &tools, &place);
        }
        let (time_zone, language) = (time_zone?, language?);
        let surroundings = Surroundings::new(name, &vars, &time_zone, language.as_deref(), routes);
        let instructions = self.template(instructions?, &surroundings);
        let greeting = self.template(greeting, &surroundings);
        let speech = speech?;
        Some(Session {
            name: name.to_owned(),
            model: speech.model,
            instructions: instructions?,
            greeting: greeting?,
            greeting_protected: is_protected,
            voice: speech.voice,
            speed: speech.speed,
            noise_reduction: speech.noise_reduction,
            transcription: speech.transcription,
            turn_detection: speech.turn_detection,
            tool_choice: speech.tool_choice,
            parallel_tool_calls: raw.parallel_tool_calls.map(|flag| flag.0),
            reasoning_effort: speech.reasoning_effort,
            max_output_tokens: speech.max_output_tokens,
            truncation: speech.truncation,
            tracing: speech.tracing,
            prompt: self.prompt(raw.prompt, &place)?,
            include: speech.include,
            vars,
            time_zone,
            language,
            tools: tools.into_iter().map(Wildcard::new).collect(),
            limits: limits?,
            transfer: transfer?,
            mcp: mcp?,
        })
    }

    fn protection(&mut self, is_idle: bool, place: &SessionPlace<'_>) {
        if is_idle {
            let place = place.key(&["greeting_protected"]);
            self.report(
                &codes::UNPROTECTED,
                &place,
                "there is no greeting to protect, or turn detection is off",
            );
        }
    }

    /// The provider refuses a session that must call a tool it does not have.
    fn chosen_tool(&mut self, speech: &Speech, tools: &[String], place: &SessionPlace<'_>) {
        let Some(ToolChoice::Tool(name)) = &speech.tool_choice else { return };
        if !tools.iter().any(|pattern| Wildcard::new(pattern.as_str()).matches(name)) {
            let message =
                format!("`tool_choice` names a tool that is not offered: `{}`", name.escape_debug());
            self.report(&codes::UNFITTING, &place.key(&["tool_choice"]), message).help("add it to `tools`");
        }
    }

    pub(super) fn language(&mut self, code: Option<String>, place: &Place) -> Option<Option<String>> {
        let is_code = |code: &String| code.len() == 2 && code.bytes().all(|c| c.is_ascii_lowercase());
        if code.as_ref().is_none_or(is_code) {
            return Some(code);
        }
        self.report(&codes::LANGUAGE, place, format!("`{place}` is not a language code"))
            .help("write two lower-case letters, such as \"ja\" or \"en\"");
        None
    }

    /// A language that must be one, where it is given.
    pub(super) fn languages(&mut self, codes: &[String], place: &Place) -> bool {
        let mut are_fit = true;
        for (index, code) in codes.iter().enumerate() {
            are_fit &= self.language(Some(code.clone()), &place.index(index)).is_some();
        }
        are_fit
    }

    /// The instructions as they are written; `Some(None)` where a stored prompt says them.
    fn instructions(&mut self, raw: &raw::Session, place: &SessionPlace<'_>) -> Option<Option<Written>> {
        match (&raw.instructions, &raw.instructions_file) {
            (Some(text), None) => {
                Some(Some(Written::in_config(self.document, &place.key(&["instructions"]), text)))
            }
            (None, Some(path)) => self.instructions_file(path, &place.key(&["instructions_file"])).map(Some),
            (None, None) if raw.prompt.is_some() => Some(None),
            (None, None) if self.document.is_tainted(&place.own()) => None,
            (instructions, _) => {
                let (message, help) = match instructions {
                    None => ("has no instructions", "tell the model what to do: `instructions = \"…\"`"),
                    Some(_) => ("has instructions twice", "keep `instructions` or `instructions_file`"),
                };
                let message = format!("session `{}` {message}", place.lineage[0]);
                self.report(&codes::INSTRUCTIONS, &place.own(), message).help(help);
                None
            }
        }
    }

    fn instructions_file(&mut self, path: &str, place: &Place) -> Option<Written> {
        let file = self.path(path);
        match files::read_text(&file, files::INSTRUCTIONS_BYTES_MAX) {
            Ok(text) => Some(Written::in_file(file.display().to_string(), text)),
            Err(why) => {
                self.report(
                    &codes::INCLUDED_FILE,
                    place,
                    format!("`{place}` names a file that cannot be read"),
                )
                .label(why)
                .help("the path is relative to this file's directory");
                None
            }
        }
    }

    fn limits(&mut self, raw: raw::Limits, place: &SessionPlace<'_>) -> Option<Limits> {
        let second = Duration::from_secs(1);
        let duration = self.span(raw.duration, &place.key(&["limits", "duration"]), second..=DURATION_MAX);
        let silence = self.duration(raw.silence, &place.key(&["limits", "silence"]), second..=DURATION_MAX);
        let tool_calls = self.count(raw.tool_calls, &place.key(&["limits", "tool_calls"]), 0..=1_000);
        let tool_output = self.size(raw.tool_output, &place.key(&["limits", "tool_output"]), 256..=1 << 20);
        Some(Limits {
            duration: duration?,
            silence: silence?,
            tool_calls: tool_calls?,
            tool_output_bytes: usize::try_from(tool_output?).ok()?,
        })
    }

    fn transfer(
        &mut self,
        raw: BTreeMap<String, String>,
        tools: &[String],
        place: &SessionPlace<'_>,
    ) -> Option<BTreeMap<String, Target>> {
        if let (Some(index), true) = (tools.iter().position(|tool| tool == "transfer"), raw.is_empty()) {
            let tool = place.key(&["tools"]).index(index);
            let help = format!("add `[{}.transfer]` with names and numbers, or remove the tool", place.own());
            self.report(&codes::NO_TRANSFER_TARGET, &tool, "`transfer` has nowhere to send a caller")
                .help(help);
            return None;
        }
        let mut targets = Some(BTreeMap::new());
        for (name, text) in raw {
            match self.target(&text, &place.key(&["transfer", &name])) {
                Some(target) => drop(targets.as_mut().map(|targets| targets.insert(name, target))),
                None => targets = None,
            }
        }
        targets
    }

    fn prompt(&mut self, raw: Option<raw::Prompt>, place: &SessionPlace<'_>) -> Option<Option<Prompt>> {
        let Some(raw) = raw else { return Some(None) };
        let id =
            self.required(raw.id, &place.key(&["prompt"]), "id", "write the stored prompt's id, `pmpt_…`")?;
        Some(Some(Prompt { id, version: raw.version, variables: texts(raw.variables) }))
    }
}
