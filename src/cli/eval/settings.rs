//! What is compared: sessions of the configuration, with other models, transcription models or languages.

use std::sync::Arc;

use anyhow::anyhow;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use crate::config::Config;
use crate::session::{Session, Transcription, TurnDetection, catalog};
use crate::text::hex;

/// The most settings of one run: every combination of what is given.
const SETTINGS_MAX: usize = 16;
/// So many bytes of a digest name a setting.
const DIGEST_BYTES: usize = 8;

/// How a session is set up, as far as hearing goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// The session of the configuration.
    pub session: String,
    /// The voice model.
    pub model: String,
    /// The transcription model.
    pub transcription_model: String,
    /// The language that it is told; none: it finds out.
    pub language: Option<String>,
    /// Changes with everything that the provider is told.
    pub digest: String,
}

impl Setting {
    /// The setting in a line.
    pub fn label(&self) -> String {
        let language = self.language.as_deref().unwrap_or("any language");
        format!("{} · {} · {} · {language}", self.session, self.model, self.transcription_model)
    }
}

/// A setting, ready to be used.
#[derive(Clone, Debug)]
pub(super) struct Prepared {
    pub setting: Setting,
    /// The session, which listens and does nothing else.
    pub session: Session,
    /// The same as that of a `session.update`.
    pub body: Box<RawValue>,
    /// No turn detection: the end of an utterance has to be said.
    pub commits: bool,
}

/// What differs from the configuration.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    pub sessions: Vec<String>,
    pub models: Vec<String>,
    pub transcription_models: Vec<String>,
    pub languages: Vec<String>,
}

/// Every combination of what is wanted.
pub(super) fn prepare(config: &Config, wanted: &Wanted) -> anyhow::Result<Vec<Prepared>> {
    let mut prepared: Vec<Prepared> = Vec::new();
    for session in sessions(config, &wanted.sessions)? {
        for model in alternatives(&wanted.models) {
            for transcription in alternatives(&wanted.transcription_models) {
                for language in alternatives(&wanted.languages) {
                    let one = of(&session, model, transcription, language)?;
                    if prepared.iter().all(|known| known.setting != one.setting) {
                        prepared.push(one);
                    }
                }
            }
        }
    }
    match prepared.len() {
        0..=SETTINGS_MAX => Ok(prepared),
        many => Err(anyhow!("that is {many} settings, at most {SETTINGS_MAX} are compared in one run")),
    }
}

fn alternatives(given: &[String]) -> Vec<Option<&str>> {
    if given.is_empty() { vec![None] } else { given.iter().map(|one| Some(one.as_str())).collect() }
}

fn sessions(config: &Config, names: &[String]) -> anyhow::Result<Vec<Arc<Session>>> {
    let known = || config.sessions.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if names.is_empty() {
        return match config.sessions.len() {
            1 => Ok(config.sessions.values().cloned().collect()),
            _ => Err(anyhow!("which session? Give `--session NAME`, one of {}", known())),
        };
    }
    let find = |name: &String| config.sessions.get(name).cloned();
    names
        .iter()
        .map(|name| find(name).ok_or_else(|| anyhow!("there is no session `{name}`; there is {}", known())))
        .collect()
}

fn of(
    session: &Session,
    model: Option<&str>,
    transcription_model: Option<&str>,
    language: Option<&str>,
) -> anyhow::Result<Prepared> {
    let mut session = session.clone();
    if let Some(model) = model {
        session.model = model.to_owned();
    }
    let mut transcription = match (session.transcription.take(), transcription_model) {
        (Some(own), None) => own,
        (Some(own), Some(model)) if own.model == model => own,
        (own, Some(model)) => other(own, model),
        (None, None) => {
            return Err(anyhow!(
                "session `{}` does not have callers' words written down: give `--transcription-model NAME`",
                session.name
            ));
        }
    };
    if let Some(language) = language {
        transcription.language = Some(language.to_owned());
        transcription.languages.clear();
    }
    only_listening(&mut session);
    let setting = Setting {
        session: session.name.clone(),
        model: session.model.clone(),
        transcription_model: transcription.model.clone(),
        language: transcription.language.clone(),
        digest: String::new(),
    };
    session.transcription = Some(transcription);
    let body = session.bridge_body("", &[]);
    let digest = Sha256::new().chain_update(&setting.model).chain_update(&body).finalize();
    Ok(Prepared {
        setting: Setting { digest: hex(&digest[..DIGEST_BYTES]), ..setting },
        commits: session.turn_detection.is_none(),
        body: RawValue::from_string(body)?,
        session,
    })
}

/// The transcription with another model, which is not told what it would not take.
fn other(own: Option<Transcription>, model: &str) -> Transcription {
    let own = own.unwrap_or(Transcription {
        model: String::new(),
        language: None,
        languages: Vec::new(),
        prompt: None,
        keywords: Vec::new(),
        delay: None,
    });
    let known = catalog::transcription_model(model);
    let takes_keywords = known.is_some_and(|known| known.takes_keywords);
    Transcription {
        model: model.to_owned(),
        language: own.language,
        languages: if takes_keywords { own.languages } else { Vec::new() },
        prompt: own.prompt.filter(|_| known.is_some_and(|known| known.takes_prompt)),
        keywords: if takes_keywords { own.keywords } else { Vec::new() },
        delay: own.delay.filter(|_| known.is_some_and(|known| known.takes_delay)),
    }
}

/// Takes away what has to do with answering: nobody is answered, nothing is called, and no turn is made by the model
/// (OpenAI, "Realtime: voice activity detection": with `create_response` and `interrupt_response` both false there are
/// the detector's events and nothing else).
fn only_listening(session: &mut Session) {
    session.instructions = None;
    session.greeting = None;
    session.greeting_protected = false;
    session.tool_choice = None;
    session.parallel_tool_calls = None;
    session.reasoning_effort = None;
    session.tracing = None;
    session.prompt = None;
    session.tools.clear();
    session.mcp.clear();
    session.turn_detection = session.turn_detection.take().map(TurnDetection::deferring).map(never_idle);
}

/// A silence makes the model speak, whatever `create_response` says.
fn never_idle(mut detection: TurnDetection) -> TurnDetection {
    if let TurnDetection::ServerVad { idle_timeout_ms, .. } = &mut detection {
        *idle_timeout_ms = None;
    }
    detection
}
