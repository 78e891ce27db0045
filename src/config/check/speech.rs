//! What a session says to the provider: voice, hearing, turns, thinking.

use std::time::Duration;

use crate::config::codes;
use crate::config::document::Place;
use crate::config::forms::{Scalar, WordOr, texts};
use crate::config::raw;
use crate::config::suggest::{did_you_mean, list};
use crate::session::catalog::{self, Api};
use crate::session::{
    Eagerness, Effort, Include, MaxOutputTokens, NoiseKind, NoiseReduction, ToolChoice, Tracing,
    Transcription, Truncation, TurnDetection, Voice,
};

use super::Checker;
use super::sessions::SessionPlace;

const EFFORTS: [(&str, Effort); 5] = [
    ("minimal", Effort::Minimal),
    ("low", Effort::Low),
    ("medium", Effort::Medium),
    ("high", Effort::High),
    ("xhigh", Effort::Xhigh),
];

/// The provider's part of a session.
pub(super) struct Speech {
    pub(super) model: String,
    pub(super) voice: Voice,
    pub(super) speed: Option<f64>,
    pub(super) noise_reduction: Option<NoiseReduction>,
    pub(super) transcription: Option<Transcription>,
    pub(super) turn_detection: Option<TurnDetection>,
    pub(super) tool_choice: Option<ToolChoice>,
    pub(super) reasoning_effort: Option<Effort>,
    pub(super) max_output_tokens: Option<MaxOutputTokens>,
    pub(super) truncation: Option<Truncation>,
    pub(super) tracing: Option<Tracing>,
    pub(super) include: Vec<Include>,
}

impl Checker<'_> {
    pub(super) fn speech(
        &mut self,
        raw: &raw::Session,
        language: Option<String>,
        place: &SessionPlace<'_>,
    ) -> Option<Speech> {
        let raw = raw.clone();
        let model = raw.model?;
        self.model(&model, raw.reasoning_effort.is_some(), raw.parallel_tool_calls.is_some(), place);
        let voice = self.voice(raw.voice?, &place.key(&["voice"]));
        let speed = self.optional(raw.speed.map(|speed| speed.0), &place.key(&["speed"]), 0.25..=1.5);
        let noise_reduction = self.noise_reduction(raw.noise_reduction, &place.key(&["noise_reduction"]));
        let transcription = self.transcription(raw.transcription?, language, &place.key(&["transcription"]));
        let turn_detection = self.turn_detection(raw.turn_detection?, &place.key(&["turn_detection"]));
        let tool_choice = self.tool_choice(raw.tool_choice, &place.key(&["tool_choice"]));
        let effort = self.effort(raw.reasoning_effort, &place.key(&["reasoning_effort"]));
        let max_output_tokens =
            self.max_output_tokens(raw.max_output_tokens, &place.key(&["max_output_tokens"]));
        let truncation = self.truncation(raw.truncation, &place.key(&["truncation"]));
        let tracing = self.tracing(raw.tracing, &place.key(&["tracing"]));
        let include = self.include(raw.include.unwrap_or_default(), &place.key(&["include"]));
        Some(Speech {
            model,
            voice: voice?,
            speed: speed?,
            noise_reduction: noise_reduction?,
            transcription: transcription?,
            turn_detection: turn_detection?,
            tool_choice: tool_choice?,
            reasoning_effort: effort?,
            max_output_tokens: max_output_tokens?,
            truncation: truncation?,
            tracing: tracing?,
            include: include?,
        })
    }

    fn model(&mut self, name: &str, has_effort: bool, has_parallel: bool, place: &SessionPlace<'_>) {
        let Some(model) = catalog::model(name) else { return };
        if model.api == Api::Live {
            self.report(&codes::WRONG_API, &place.key(&["model"]), format!("`{name}` speaks the Live API"))
                .help("choose a model of the Realtime API, such as `gpt-realtime-2.1`");
        }
        if let Some(day) = model.shutdown {
            self.retiring(name, day, &place.key(&["model"]), "`gpt-realtime-2.1`");
        }
        let reasoning_only = [("reasoning_effort", has_effort), ("parallel_tool_calls", has_parallel)];
        for (key, _) in reasoning_only.into_iter().filter(|(_, is_set)| *is_set && !model.reasons) {
            self.report(&codes::UNFITTING, &place.key(&[key]), format!("`{name}` does not take `{key}`"))
                .help("remove it, or choose a reasoning model such as `gpt-realtime-2.1`");
        }
    }

    fn retiring(&mut self, name: &str, day: &str, place: &Place, successor: &str) {
        self.report(&codes::RETIRING, place, format!("`{name}` will be switched off on {day}"))
            .help(format!("choose a successor, such as {successor}"));
    }

    /// `Some(None)` where there is no number; none, and a problem, where it is out of range.
    fn optional<T: PartialOrd + Copy + std::fmt::Display>(
        &mut self,
        value: Option<T>,
        place: &Place,
        range: std::ops::RangeInclusive<T>,
    ) -> Option<Option<T>> {
        match value {
            Some(_) => self.within(value, place, range).map(Some),
            None => Some(None),
        }
    }

    fn voice(&mut self, raw: WordOr<raw::CustomVoice>, place: &Place) -> Option<Voice> {
        match raw {
            WordOr::Word(name) if catalog::VOICES.contains(&name.as_str()) => Some(Voice::Named(name)),
            WordOr::Word(name) => {
                let help = match did_you_mean(&name, catalog::VOICES) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => {
                        format!("voices are {}; your own is `{{ id = \"voice_…\" }}`", list(catalog::VOICES))
                    }
                };
                self.report(&codes::WORD, place, format!("there is no voice `{}`", name.escape_debug()))
                    .help(help);
                None
            }
            WordOr::Table(custom) => {
                let id = self.required(custom.id, place, "id", "write the voice's id, `voice_…`")?;
                Some(Voice::Custom { id })
            }
        }
    }

    fn noise_reduction(
        &mut self,
        raw: Option<WordOr<raw::NoiseReduction>>,
        place: &Place,
    ) -> Option<Option<NoiseReduction>> {
        let (kind, kind_place, strength) = match raw {
            None => return Some(None),
            Some(WordOr::Word(word)) if word == "off" => return Some(None),
            Some(WordOr::Word(word)) => (Some(word), place.clone(), None),
            Some(WordOr::Table(table)) => (table.r#type, place.key("type"), table.strength),
        };
        let kind = self.required(kind, place, "type", "write `near_field` or `far_field`");
        let kinds = [("near_field", NoiseKind::NearField), ("far_field", NoiseKind::FarField)];
        let kind = kind.and_then(|word| self.word(&word, &kind_place, &kinds));
        let strength = self.optional(strength.map(|strength| strength.0), &place.key("strength"), 0.0..=1.0);
        Some(Some(NoiseReduction { kind: kind?, strength: strength? }))
    }

    fn transcription(
        &mut self,
        raw: WordOr<raw::Transcription>,
        language: Option<String>,
        place: &Place,
    ) -> Option<Option<Transcription>> {
        let raw = match raw {
            WordOr::Word(word) => {
                self.word(&word, place, &[("off", ())])?;
                return Some(None);
            }
            WordOr::Table(table) => table,
        };
        let model =
            self.required(raw.model, place, "model", "write the model's name, such as `gpt-transcribe`");
        let languages = raw.languages.unwrap_or_default();
        let are_languages = self.languages(&languages, &place.key("languages"))
            & raw.language.as_ref().is_none_or(|code| self.is_language(code, &place.key("language")));
        let keywords = raw.keywords.unwrap_or_default();
        let delay = self.effort(raw.delay, &place.key("delay"));
        let model = model?;
        let has = [
            ("languages", !languages.is_empty()),
            ("keywords", !keywords.is_empty()),
            ("prompt", raw.prompt.is_some()),
            ("delay", delay.flatten().is_some()),
        ];
        let fits = self.transcription_model(&model, has, place);
        (fits && are_languages).then_some(())?;
        let language = raw.language.or(if languages.is_empty() { language } else { None });
        Some(Some(Transcription { model, language, languages, prompt: raw.prompt, keywords, delay: delay? }))
    }

    fn is_language(&mut self, code: &str, place: &Place) -> bool {
        self.language(Some(code.to_owned()), place).is_some()
    }

    fn transcription_model(&mut self, name: &str, has: [(&str, bool); 4], place: &Place) -> bool {
        let Some(model) = catalog::transcription_model(name) else { return true };
        if let Some(day) = model.shutdown {
            self.retiring(name, day, &place.key("model"), "`gpt-transcribe`");
        }
        let mut fits = true;
        for (key, _) in has.into_iter().filter(|(_, is_set)| *is_set) {
            let takes = match key {
                "prompt" => model.takes_prompt,
                "delay" => model.takes_delay,
                _ => model.takes_keywords,
            };
            if !takes {
                fits = false;
                let message = format!("`{name}` does not take `{key}`");
                self.report(&codes::UNFITTING, &place.key(key), message)
                    .help("remove it, or choose another model");
            }
        }
        fits
    }

    fn turn_detection(
        &mut self,
        raw: WordOr<raw::TurnDetection>,
        place: &Place,
    ) -> Option<Option<TurnDetection>> {
        let raw = match raw {
            WordOr::Table(table) => table,
            WordOr::Word(word) if word == "off" => return Some(None),
            WordOr::Word(word) => raw::TurnDetection { r#type: Some(word), ..Default::default() },
        };
        let type_place =
            if self.document.has(&place.key("type")) { place.key("type") } else { place.clone() };
        let kind =
            self.required(raw.r#type.clone(), place, "type", "write `server_vad` or `semantic_vad`")?;
        match self.word(&kind, &type_place, &[("server_vad", true), ("semantic_vad", false)])? {
            true => self.server_vad(raw, place).map(Some),
            false => self.semantic_vad(raw, place).map(Some),
        }
    }

    fn server_vad(&mut self, raw: raw::TurnDetection, place: &Place) -> Option<TurnDetection> {
        let fits = self.unfitting([("eagerness", raw.eagerness.is_some())], "server_vad", place);
        let default = self.defaults.server_vad.clone();
        let threshold = self.number(raw.threshold.or(default.threshold), &place.key("threshold"), 0.0..=1.0);
        let padding = raw.prefix_padding.or(default.prefix_padding);
        let padding = self.millis(padding, &place.key("prefix_padding"), 0..=10_000);
        let silence = raw.silence_duration.or(default.silence_duration);
        let silence = self.millis(silence, &place.key("silence_duration"), 1..=10_000);
        let idle = self.millis(raw.idle_timeout, &place.key("idle_timeout"), 5_000..=30_000);
        fits.then_some(())?;
        Some(TurnDetection::ServerVad {
            threshold: threshold?,
            prefix_padding_ms: padding??,
            silence_duration_ms: silence??,
            idle_timeout_ms: idle?,
            create_response: raw.create_response.or(default.create_response)?.0,
            interrupt_response: raw.interrupt_response.or(default.interrupt_response)?.0,
        })
    }

    fn semantic_vad(&mut self, raw: raw::TurnDetection, place: &Place) -> Option<TurnDetection> {
        let of_silence = [
            ("threshold", raw.threshold.is_some()),
            ("prefix_padding", raw.prefix_padding.is_some()),
            ("silence_duration", raw.silence_duration.is_some()),
            ("idle_timeout", raw.idle_timeout.is_some()),
        ];
        let fits = self.unfitting(of_silence, "semantic_vad", place);
        let default = self.defaults.semantic_vad.clone();
        let words = [
            ("low", Eagerness::Low),
            ("medium", Eagerness::Medium),
            ("high", Eagerness::High),
            ("auto", Eagerness::Auto),
        ];
        let eagerness = self.word(&raw.eagerness.or(default.eagerness)?, &place.key("eagerness"), &words);
        fits.then_some(())?;
        Some(TurnDetection::SemanticVad {
            eagerness: eagerness?,
            create_response: raw.create_response.or(default.create_response)?.0,
            interrupt_response: raw.interrupt_response.or(default.interrupt_response)?.0,
        })
    }

    fn unfitting<const N: usize>(&mut self, keys: [(&str, bool); N], kind: &str, place: &Place) -> bool {
        let mut fits = true;
        for (key, _) in keys.into_iter().filter(|(_, is_set)| *is_set) {
            fits = false;
            let message = format!("`{kind}` does not take `{key}`");
            self.report(&codes::UNFITTING, &place.key(key), message).help("remove it, or change `type`");
        }
        fits
    }

    fn millis(
        &mut self,
        text: Option<String>,
        place: &Place,
        range: std::ops::RangeInclusive<u64>,
    ) -> Option<Option<u32>> {
        let range = Duration::from_millis(*range.start())..=Duration::from_millis(*range.end());
        let span = self.duration(text, place, range)?;
        Some(span.and_then(|span| u32::try_from(span.as_millis()).ok()))
    }

    fn tool_choice(
        &mut self,
        raw: Option<WordOr<raw::ToolChoice>>,
        place: &Place,
    ) -> Option<Option<ToolChoice>> {
        let words = [("auto", 0), ("none", 1), ("required", 2)];
        match raw {
            None => Some(None),
            Some(WordOr::Word(word)) => Some(Some(match self.word(&word, place, &words)? {
                0 => ToolChoice::Auto,
                1 => ToolChoice::None,
                _ => ToolChoice::Required,
            })),
            Some(WordOr::Table(tool)) => {
                let name = self.required(tool.name, place, "name", "write the tool's name")?;
                Some(Some(ToolChoice::Tool(name)))
            }
        }
    }

    fn effort(&mut self, word: Option<String>, place: &Place) -> Option<Option<Effort>> {
        match word {
            Some(word) => self.word(&word, place, &EFFORTS).map(Some),
            None => Some(None),
        }
    }

    fn max_output_tokens(&mut self, raw: Option<Scalar>, place: &Place) -> Option<Option<MaxOutputTokens>> {
        let Some(Scalar(text)) = raw else { return Some(None) };
        if text == "inf" {
            return Some(Some(MaxOutputTokens::Inf));
        }
        match text.parse() {
            Ok(tokens) if (1..=4_096).contains(&tokens) => Some(Some(MaxOutputTokens::Tokens(tokens))),
            _ => {
                self.report(&codes::RANGE, place, format!("`{place}` is out of range"))
                    .label("must be 1 to 4096, or \"inf\"");
                None
            }
        }
    }

    fn truncation(
        &mut self,
        raw: Option<WordOr<raw::Truncation>>,
        place: &Place,
    ) -> Option<Option<Truncation>> {
        match raw {
            None => Some(None),
            Some(WordOr::Word(word)) => {
                let is_auto = self.word(&word, place, &[("auto", true), ("disabled", false)])?;
                Some(Some(if is_auto { Truncation::Auto } else { Truncation::Disabled }))
            }
            Some(WordOr::Table(table)) => {
                let ratio =
                    self.required(table.retention_ratio, place, "retention_ratio", "write 0.0 to 1.0");
                let retention_ratio = self.number(ratio, &place.key("retention_ratio"), 0.0..=1.0)?;
                let post_instructions = table.post_instructions_tokens.map(|tokens| tokens.0);
                Some(Some(Truncation::RetentionRatio { retention_ratio, post_instructions }))
            }
        }
    }

    fn tracing(&mut self, raw: Option<WordOr<raw::Tracing>>, place: &Place) -> Option<Option<Tracing>> {
        match raw {
            None => Some(None),
            Some(WordOr::Word(word)) => {
                let is_on = self.word(&word, place, &[("auto", true), ("off", false)])?;
                Some(is_on.then_some(Tracing::Auto))
            }
            Some(WordOr::Table(table)) => Some(Some(Tracing::Named {
                workflow_name: table.workflow_name,
                group_id: table.group_id,
                metadata: texts(table.metadata),
            })),
        }
    }

    fn include(&mut self, words: Vec<String>, place: &Place) -> Option<Vec<Include>> {
        let known = [("item.input_audio_transcription.logprobs", Include::TranscriptionLogprobs)];
        let found: Vec<Option<Include>> = words
            .iter()
            .enumerate()
            .map(|(index, word)| self.word(word, &place.index(index), &known))
            .collect();
        found.into_iter().collect()
    }
}
