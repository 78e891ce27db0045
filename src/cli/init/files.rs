//! The files that `init` writes.

use std::fmt::Write as _;
use std::path::Path;

use super::answers::Known;
use crate::config::{self, Environment, Problems, schema};
use crate::http::{OPENAI_WEBHOOK, TWILIO_STATUS, TWILIO_VOICE};

/// The variables of `.env`, each with what it is and where it is found (OpenAI, "Realtime API with SIP" and "Webhooks";
/// Twilio, "Webhooks security").
const VARIABLES: [(&str, &str); 5] = [
    (
        "OPENAI_API_KEY",
        "At OpenAI, in the platform's settings of your project: a standard API key, `sk-…`, of the project below.\n\
         A secret.",
    ),
    (
        "OPENAI_PROJECT_ID",
        "In the same place: the id of the project, `proj_…`, that owns the key and the webhook. It is the user part of\n\
         the address to which calls are sent: sip:proj_…@sip.api.openai.com",
    ),
    (
        "OPENAI_WEBHOOK_SECRET",
        "In the same place, under webhooks: add an endpoint for the event realtime.call.incoming with the URL below.\n\
         Its signing secret, `whsec_…`, is shown once. A secret.",
    ),
    ("TWILIO_ACCOUNT_SID", "At Twilio: the SID, `AC…`, of the account that owns the number."),
    (
        "TWILIO_AUTH_TOKEN",
        "The primary auth token of that same account; Twilio signs its requests with it. A secret.\n\
         At the number itself set these addresses, with POST:",
    ),
];

/// Values of their kind, for checking a configuration whose secrets are not there yet.
const PLACEHOLDERS: [(&str, &str); 7] = [
    ("OPENAI_API_KEY", "sk-placeholder"),
    ("OPENAI_PROJECT_ID", "proj_placeholder"),
    ("OPENAI_WEBHOOK_SECRET", "whsec_cGxhY2Vob2xkZXI="),
    ("TWILIO_ACCOUNT_SID", "AC00000000000000000000000000000000"),
    ("TWILIO_AUTH_TOKEN", "placeholder"),
    ("BASE_URL", "https://voice.example.com"),
    ("USE_OPENAI_SIP", "true"),
];

/// An environment in which everything is set that a small configuration needs, to nothing real.
pub(in crate::cli) fn placeholders() -> Environment {
    PLACEHOLDERS.into_iter().collect()
}

/// The same with these variables alone.
pub(in crate::cli) fn placeholders_of(names: &[&str]) -> Environment {
    PLACEHOLDERS.into_iter().filter(|(name, _)| names.contains(name)).collect()
}

/// Checks the text as if it stood in the folder and its variables were set.
///
/// # Errors
///
/// What an answer made wrong, such as a brace that begins a template.
pub(super) fn check(text: &str, folder: &Path) -> Result<(), Problems> {
    config::parse("gateway.toml", text.as_bytes(), folder, &placeholders()).map(|_| ())
}

/// A scenario that goes with every session, and so with this one.
const FIRST_CALL: &str = include_str!("../../../examples/scenarios/first-call.toml");

/// The first scenario for `switchboard test`.
pub(super) fn scenario() -> String {
    let text: String = FIRST_CALL.split_inclusive('\n').skip_while(|line| line.starts_with('#')).collect();
    format!(
        "# `switchboard test` plays this call through the configuration beside this folder. The page \"Testing\n\
         # conversations\" (docs/testing.md) says what else can be said and expected.\n{text}"
    )
}

/// `gateway.toml`.
pub(super) fn gateway_toml(known: &Known) -> String {
    let mut text = format!("#:schema ./{}\n", schema::FILE_NAME);
    text.push_str(
        "# Secrets come from the environment, or from a file `.env` beside this one: see `.env.example`.\n\
         # `switchboard check` says everything that is wrong; `switchboard config show --origin` what holds.\n\n[server]\n",
    );
    match &known.url {
        Some(url) => {
            let _ =
                writeln!(text, "public_url = {}          # as the world reaches this gateway", quoted(url));
        }
        None => text.push_str("# public_url = \"https://voice.example.com\"   # or BASE_URL in `.env`\n"),
    }
    if let Some(number) = &known.number {
        let code = number.calling_code();
        let _ = writeln!(
            text,
            "default_country = \"{code}\"          # how numbers without a country code are read"
        );
    }
    text.push_str("# listen = \"0.0.0.0:8080\"                   # behind a proxy that ends TLS\n");
    if let Some((words, language)) = apology(&known.language) {
        let _ = write!(
            text,
            "\n[twilio.apology]                            # what callers hear when nobody can answer\n\
             text = \"{words}\"\nlanguage = \"{language}\"\n"
        );
    }
    let _ = write!(
        text,
        "\n# ---- what the model is told: one table per kind of call ----\n\n[sessions.reception]\n\
         vars = {{ business = {} }}\n\
         language = \"{}\"                              # how dates are written, and a hint for understanding callers\n\
         timezone = \"UTC\"                             # such as \"Europe/Berlin\": where `now` is read\n\
         instructions = \"\"\"\n\
         You answer the phone of {{{{ vars.business }}}}. Be brief and kind, and answer in the caller's language.\n\
         Today is {{{{ now | weekday }}}}, {{{{ now | date }}}}; it is {{{{ now | time }}}}.\n\
         Do not guess: what you do not know, offer to have somebody call back about.\n\
         When the caller has what they wanted, say goodbye and call hangup.\n\"\"\"\n\
         greeting = {}\n\
         tools = [\"hangup\"]                           # your own: docs/tools.md\n\
         limits = {{ duration = \"15m\" }}\n",
        quoted(&known.name.replace('$', "$$")),
        known.language,
        quoted(&format!("Open the call with these words: {}", known.greeting)),
    );
    text.push_str(
        "\n# ---- which call gets which session: the first match wins ----\n\n\
         # [[routes]]                                # take the marks away to turn callers away at night\n\
         # name = \"night\"\n\
         # match = { hours = { outside = \"09:00-18:00\", days = \"mon-fri\", tz = \"Europe/Berlin\" } }\n\
         # reject = 480                              # or: session = \"…\", or: forward = \"+4930123456\"\n\n\
         [[routes]]\nname = \"everyone\"                           # no `match`: every call\nsession = \"reception\"\n",
    );
    if let Some(to) = &known.forward {
        let _ = writeln!(
            text,
            "fallback = {{ forward = {} }}     # when no way to the model is left",
            quoted(to.to_string().trim_start_matches("tel:"))
        );
    }
    let number = known.number.as_ref().map(|number| format!("to = {}, ", quoted(number.as_str())));
    let _ = write!(
        text,
        "\n# ---- what is meant, as proofs: `switchboard check` plays these calls ----\n\n\
         [[tests]]\nname = \"whoever calls is answered\"\n\
         given = {{ {}from = \"+12025550100\", at = \"2026-01-12T10:00:00Z\" }}\n\
         expect = {{ session = \"reception\" }}\n",
        number.unwrap_or_default()
    );
    text
}

/// `.env.example`.
pub(super) fn dotenv_example(known: &Known) -> String {
    let base = known.url.as_deref().unwrap_or("https://YOUR-HOST");
    let mut text = String::from(
        "# Copy this file to `.env` and fill it in. `.env` holds secrets: it is never committed.\n\
         # The environment of the process goes before it.\n",
    );
    for (name, about) in VARIABLES {
        text.push('\n');
        about.lines().for_each(|line| text.push_str(&format!("# {line}\n")));
        match name {
            "OPENAI_WEBHOOK_SECRET" => text.push_str(&format!("#   {base}{OPENAI_WEBHOOK}\n")),
            "TWILIO_AUTH_TOKEN" => text.push_str(&format!(
                "#   voice:            {base}{TWILIO_VOICE}\n#   status callback:  {base}{TWILIO_STATUS}\n"
            )),
            _ => {}
        }
        text.push_str(&format!("{name}=\n"));
    }
    let is_known = known.url.is_some();
    let mark = if is_known { "# " } else { "" };
    let why = if is_known { " (gateway.toml says it already)" } else { "" };
    text.push_str(&format!(
        "\n# The address under which the world reaches the gateway, over https{why}.\n{mark}BASE_URL={}\n\n\
         # true: calls go to the model over SIP. false: the gateway bridges their sound itself. \"25%\": a share of the callers.\n\
         USE_OPENAI_SIP=true\n",
        known.url.as_deref().unwrap_or_default()
    ));
    text
}

/// What callers hear when nobody can answer, in the languages that are known here; in English by default.
fn apology(language: &str) -> Option<(&'static str, &'static str)> {
    match language {
        "de" => Some((
            "Es tut uns leid, gerade kann niemand Ihren Anruf entgegennehmen. Bitte versuchen Sie es später noch einmal.",
            "de-DE",
        )),
        "ja" => Some((
            "申し訳ございません。ただいま電話に出ることができません。しばらくしてからおかけ直しください。",
            "ja-JP",
        )),
        _ => None,
    }
}

/// The text as TOML writes it.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
