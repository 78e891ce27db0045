//! What is known of the provider's models and voices (OpenAI, "Models" and "Deprecations"; read
//! November 2026). A name that is not listed is passed on unchecked: models appear faster than
//! releases of this program.

/// Voices that have a name (OpenAI, "Realtime: session object"); custom ones have an id.
pub const VOICES: [&str; 10] =
    ["alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar"];

/// What is known of a voice model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Model {
    /// Its name.
    pub name: &'static str,
    /// Which API serves it.
    pub api: Api,
    /// Whether it takes `reasoning` and `parallel_tool_calls`.
    pub reasons: bool,
    /// The day on which it is switched off, where that is announced.
    pub shutdown: Option<&'static str>,
}

/// Which API serves a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// The Realtime API, which this gateway speaks.
    Realtime,
    /// The Live API.
    Live,
}

/// The voice models that are known by name.
pub const MODELS: [Model; 10] = [
    realtime("gpt-realtime-2.1", true, None),
    realtime("gpt-realtime-2.1-mini", true, None),
    realtime("gpt-realtime-2", true, None),
    realtime("gpt-realtime-1.5", false, None),
    realtime("gpt-realtime", false, Some("2027-01-20")),
    realtime("gpt-realtime-2025-08-28", false, Some("2027-01-20")),
    realtime("gpt-realtime-mini", false, Some("2027-01-20")),
    realtime("gpt-realtime-mini-2025-12-15", false, Some("2027-01-20")),
    Model { name: "gpt-live-1", api: Api::Live, reasons: false, shutdown: None },
    Model { name: "gpt-live-1.1", api: Api::Live, reasons: false, shutdown: None },
];

/// What is known of a transcription model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TranscriptionModel {
    /// Its name.
    pub name: &'static str,
    /// Whether it takes `languages` and `keywords`.
    pub takes_keywords: bool,
    /// Whether it takes `prompt`.
    pub takes_prompt: bool,
    /// Whether it takes `delay`.
    pub takes_delay: bool,
    /// The day on which it is switched off, where that is announced.
    pub shutdown: Option<&'static str>,
}

/// The transcription models that are known by name.
pub const TRANSCRIPTION_MODELS: [TranscriptionModel; 8] = [
    transcription("whisper-1"),
    transcription("gpt-4o-mini-transcribe"),
    transcription("gpt-4o-mini-transcribe-2025-12-15"),
    transcription("gpt-4o-transcribe"),
    transcription("gpt-4o-transcribe-diarize"),
    TranscriptionModel { takes_keywords: true, shutdown: None, ..transcription("gpt-transcribe") },
    TranscriptionModel { takes_keywords: true, shutdown: None, ..transcription("gpt-live-transcribe") },
    TranscriptionModel {
        takes_prompt: false,
        takes_delay: true,
        shutdown: None,
        ..transcription("gpt-realtime-whisper")
    },
];

/// The voice model of this name, where it is known.
pub fn model(name: &str) -> Option<&'static Model> {
    MODELS.iter().find(|model| model.name == name)
}

/// The transcription model of this name, where it is known.
pub fn transcription_model(name: &str) -> Option<&'static TranscriptionModel> {
    TRANSCRIPTION_MODELS.iter().find(|model| model.name == name)
}

const fn realtime(name: &'static str, reasons: bool, shutdown: Option<&'static str>) -> Model {
    Model { name, api: Api::Realtime, reasons, shutdown }
}

/// A model of the older family: all of them end on one day.
const fn transcription(name: &'static str) -> TranscriptionModel {
    TranscriptionModel {
        name,
        takes_keywords: false,
        takes_prompt: true,
        takes_delay: false,
        shutdown: Some("2027-02-26"),
    }
}
