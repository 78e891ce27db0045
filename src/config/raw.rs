//! `gateway.toml` as it is typed: every key optional, unknown keys refused, no logic.
//!
//! Each key's comment is what editors show (`switchboard config schema`), and what follows its type is the form of its
//! text. `docs/config.md` is the reference; a test checks that it mentions every key.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde_json::Value;

use super::forms::{Count, Flag, Number, OneOrMany, Scalar, WordOr};
use super::schema::{Form, TableSchema, Typed};

/// The form of a key's text: any, where none is given.
macro_rules! form {
    () => {
        Form::Text
    };
    ($form:expr) => {
        $form
    };
}

/// Declares tables of optional keys. The keys in brackets are those without which a table means nothing.
macro_rules! tables {
    ($($(#[doc = $about:literal])+ $name:ident $([$($required:ident),+])? {
        $($(#[doc = $doc:literal])+ $key:ident: $kind:ty $(= $form:expr)?,)*
    })*) => {
        $(
            $(#[doc = $about])+
            #[derive(Clone, Debug, Default, Deserialize)]
            #[serde(default, deny_unknown_fields)]
            pub(in crate::config) struct $name {
                $($(#[doc = $doc])+ pub(in crate::config) $key: Option<$kind>,)*
            }

            impl JsonSchema for $name {
                fn schema_name() -> Cow<'static, str> {
                    stringify!($name).into()
                }

                fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                    let mut table = TableSchema::new(&[$($about),+]);
                    $(
                        let value = <$kind as Typed>::schema(&form!($($form)?), generator);
                        table.key(stringify!($key), &[$($doc),+], value);
                    )*
                    $($(table.require(stringify!($required));)+)?
                    table.into_schema()
                }
            }

            impl Typed for $name {
                fn schema(_: &Form, generator: &mut SchemaGenerator) -> Value {
                    generator.subschema_for::<$name>().into()
                }
            }
        )*
    };
}

mod sessions;
mod tools;

pub(super) use sessions::*;
pub(super) use tools::*;

/// The configuration of a Switchboard gateway: `docs/config.md` explains every key.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Raw {
    /// The public listener, and what calls may use up.
    pub(super) server: Server,
    /// The operators' listener: metrics, health, API, dashboard.
    pub(super) admin: Admin,
    /// What happens to callers who are one too many.
    pub(super) admission: Admission,
    /// The voice provider.
    pub(super) openai: OpenAi,
    /// The carrier. Leave it out, with its variables, when calls come over a SIP trunk of your own.
    pub(super) twilio: Twilio,
    /// What is switched on.
    pub(super) features: Features,
    /// When a path is given up for the other one.
    pub(super) failover: Failover,
    /// The data directory.
    pub(super) store: Store,
    /// What becomes of recordings.
    pub(super) recordings: Recordings,
    /// How long things are kept.
    pub(super) retention: Retention,
    /// Who is told of calls by signed webhooks, by name.
    pub(super) notifications: BTreeMap<String, Notified>,
    /// Logs.
    pub(super) telemetry: Telemetry,
    /// What is not kept of what is said.
    pub(super) redact: Redact,
    /// What the model is told, and how it speaks and listens: one table per kind of call.
    pub(super) sessions: BTreeMap<String, Session>,
    /// Which call gets which session: the first route that matches takes the call.
    pub(super) routes: Vec<Route>,
    /// Tools in WebAssembly: nothing is allowed unless it stands here.
    pub(super) plugins: BTreeMap<String, Plugin>,
    /// The machine that all plugins run on.
    pub(super) sandbox: Sandbox,
    /// Tools that are one HTTP request each.
    pub(super) tools: BTreeMap<String, Tool>,
    /// Prices in US dollars, by model; a table here replaces the built-in price of its model.
    pub(super) pricing: BTreeMap<String, Price>,
    /// Calls that might come, and what is to become of them: `check` plays them.
    pub(super) tests: Vec<Test>,
}

tables! {
    /// The public listener, and what calls may use up.
    Server {
        /// IP address and port for webhooks and media.
        listen: String = Form::Address,
        /// The address under which the world reaches the gateway (`BASE_URL`): `https`, no query, no password.
        public_url: String = Form::Url,
        /// Calls at once; what one more gets is `admission.answer`.
        max_calls: Count,
        /// Connections of this listener at once; media streams do not count.
        max_connections: Count,
        /// How long running calls may finish on SIGTERM; the rest is left to the next process.
        drain_timeout: String = Form::Duration,
        /// Longest request body; longer ones get 413.
        body_max: String = Form::Size,
        /// SIP headers that may tell the called number, most trusted first.
        called_number_headers: Vec<String>,
        /// Calling code for numbers written without one, such as "81".
        default_country: String,
        /// Take calls that come over a bare SIP trunk, without a token of ours; their callers are unauthenticated.
        direct_sip: Flag,
    }

    /// The operators' listener.
    Admin {
        /// Where operators are heard: metrics, health, API, dashboard.
        listen: String = Form::Address,
        /// Names under which browsers reach this listener, such as "phones.example.com" behind a proxy.
        hosts: Vec<String>,
        /// Tokens for people who may do less than everything; `switchboard token new` makes one.
        tokens: Vec<Token>,
    }

    /// A token for a person.
    Token [name, role, hash] {
        /// Whose it is; stands in the audit log.
        name: String,
        /// What they may do.
        role: String = Form::Words(&["viewer", "listener", "operator", "admin"]),
        /// Its hash, as `switchboard token new` prints it.
        hash: String,
    }

    /// What happens to callers who are one too many.
    Admission {
        /// The busy tone, or what the route's `fallback` says.
        answer: String = Form::Words(&["busy", "fallback"]),
        /// How often one number may call, such as "20/10m".
        per_caller: String = Form::Rate,
        /// While a timer or the disk is later than this, nobody new is let in.
        max_lag: String = Form::Duration,
    }

    /// The voice provider.
    OpenAi {
        /// A standard key of the project (`OPENAI_API_KEY`).
        api_key: String,
        /// `proj_…`, the user part of the SIP address (`OPENAI_PROJECT_ID`).
        project_id: String,
        /// Sent as `OpenAI-Organization`.
        organization: String,
        /// The REST API.
        base_url: String = Form::Url,
        /// The sideband's WebSocket; follows from `base_url`.
        realtime_url: String = Form::Url,
        /// The host that is dialled; follows from `base_url`.
        sip_host: String,
        /// Signing secrets of the webhook, several while rotating (`OPENAI_WEBHOOK_SECRET`).
        webhook_secrets: OneOrMany<String>,
        /// How far a webhook's time may be from ours, 1s to 1h.
        tolerance: String = Form::Duration,
    }

    /// The carrier.
    Twilio {
        /// `AC…` (`TWILIO_ACCOUNT_SID`).
        account_sid: String,
        /// Tokens that may sign requests, several while rotating (`TWILIO_AUTH_TOKEN`).
        auth_tokens: OneOrMany<String>,
        /// Shared signing keys.
        shared_keys: Vec<SharedKey>,
        /// Refuse requests that are signed with an auth token.
        require_shared_key: Flag,
        /// The REST API; requests go to this host and no other.
        base_url: String = Form::Url,
        /// An API key for the REST API; without it the first of `auth_tokens` is used.
        api_key: ApiKey,
        /// How the provider is dialled.
        dial: Dial,
        /// What a caller hears when no model can answer.
        apology: Say,
    }

    /// A key of Twilio's REST API.
    ApiKey [sid, secret] {
        /// `SK…`
        sid: String,
        /// Its secret, as a reference: "${TWILIO_API_KEY_SECRET}".
        secret: String,
    }

    /// A key that signs Twilio's requests.
    SharedKey [id, secret] {
        /// Its id.
        id: String,
        /// Its secret, as a reference: "${TWILIO_SHARED_KEY}".
        secret: String,
    }

    /// How the provider is dialled.
    Dial {
        /// Until the provider must have answered, 5s to 10m.
        timeout: String = Form::Duration,
        /// The longest call over SIP; the carrier cuts it without a word, so `limits.duration` should be shorter.
        time_limit: String = Form::Duration,
        /// The country whose ringing the caller hears, such as "jp".
        ring_tone: String = Form::Code,
        /// Where the call leaves the carrier's network.
        edge: String = Form::Words(&[
            "ashburn", "san-jose", "dublin", "frankfurt", "singapore", "tokyo", "sao-paulo", "sydney",
        ]),
        /// Encrypt the sound (SRTP); "preferred" dials once more without, where the provider cannot.
        secure_media: Scalar = Form::Words(&["true", "false", "preferred"]),
    }

    /// Words that the carrier's voice says.
    Say {
        /// The words.
        text: String,
        /// Their language, such as "ja-JP".
        language: String,
        /// The carrier's name of a voice.
        voice: String,
    }

    /// What is switched on.
    Features {
        /// Calls go to the model over SIP: `true`, `false` (over the bridge), or a share of the callers: "25%".
        openai_sip: Scalar = Form::Share,
        /// A call whose path fails goes on over the other one.
        failover: Flag,
        /// Calls that a model answers are recorded, unless their route says otherwise.
        recordings: Flag,
    }

    /// When a path is given up for the other one.
    Failover {
        /// How long the provider may take to answer an accept, 200ms to 10s.
        accept_within: String = Form::Duration,
        /// How long the provider's webhook may take once Twilio dials, 200ms to 60s.
        webhook_within: String = Form::Duration,
        /// How long a leg to the provider may ring while there is another path, 5s to 10m.
        dial_timeout: String = Form::Duration,
        /// After so many failures in a row new calls do not take the path for a while; "off": never.
        breaker: WordOr<Breaker> = Form::Words(&["off"]),
    }

    /// What becomes of recordings.
    Recordings {
        /// What callers are told first; a route can have its own.
        announcement: Announcement,
        /// Delete the carrier's copy once ours is on disk.
        delete_at_carrier: Flag,
        /// A larger recording is not fetched, and one that is made here gets no longer.
        file_max: String = Form::Size,
        /// This much stays free on the disk.
        keep_free: String = Form::Size,
    }

    /// How long things are kept; "off" keeps them.
    Retention {
        /// Calls that began longer ago are erased.
        calls: String = Form::DurationOrOff,
        /// Recordings of calls that began longer ago are deleted; the transcript stays.
        recordings: String = Form::DurationOrOff,
        /// The oldest recordings are deleted while all together are larger.
        recordings_max: String = Form::Size,
        /// Entries of the audit log that are older are forgotten.
        audit: String = Form::DurationOrOff,
    }

    /// Whom calls are told to, by signed webhooks (Standard Webhooks).
    Notified [url, secrets] {
        /// Where they are sent.
        url: String = Form::Url,
        /// What signs them, `whsec_…`; up to four while they are rotated.
        secrets: OneOrMany<String>,
        /// Which events, by name or pattern; by default all.
        events: OneOrMany<String>,
        /// Words and whole numbers are told.
        content: Flag,
    }

    /// What callers are told of a recording.
    Announcement [text, language] {
        /// The words.
        text: String,
        /// Their language, such as "ja-JP".
        language: String,
        /// The carrier's name of a voice.
        voice: String,
        /// Who says it: the carrier's voice before anybody is dialled, or the model.
        by: String = Form::Words(&["carrier", "assistant"]),
    }

    /// The data directory.
    Store {
        /// Where it is; one process at a time.
        path: String,
        /// Memory for the index.
        cache: String = Form::Size,
        /// Keys that seal what is kept, 32 bytes in base64 each; the first one seals, all of them open.
        encryption_keys: OneOrMany<String>,
    }

    /// Logs.
    Telemetry {
        /// What is logged, and how it looks.
        log: Log,
        /// Where each call that is over is told as a trace (OpenTelemetry, OTLP over HTTP).
        otlp: Otlp,
    }

    /// Where each call that is over is told as a trace (OpenTelemetry, OTLP over HTTP).
    Otlp [endpoint] {
        /// The collector's URL.
        endpoint: String = Form::Url,
        /// Headers of each request.
        headers: BTreeMap<String, String>,
        /// The share of calls that is told, 0 to 1.
        sample: Number,
        /// What was said, and what tools were given and answered, is told too.
        content: Flag,
    }

    /// What is not kept of what is said.
    Redact {
        /// Regular expressions: dots stand in the place of what matches.
        patterns: Vec<String>,
    }

    /// What is logged, and how it looks.
    Log {
        /// A level, or directives per module: "info,switchboard::openai=debug".
        level: String = Form::Suggested(vec!["error", "warn", "info", "debug", "trace", "off"]),
        /// Text on a terminal and JSON elsewhere, or always one of them.
        format: String = Form::Words(&["auto", "text", "json"]),
    }

    /// Which call gets which session. It says exactly one of `session`, `reject` and `forward`.
    Route [name] {
        /// Stands in records and metrics.
        name: String,
        /// What a call must look like; without it every call matches.
        r#match: Match,
        /// Answer with this session.
        session: String,
        /// Variables of the templates, before the session's own.
        vars: BTreeMap<String, Scalar>,
        /// Turn the call away with this SIP code, 400 to 699.
        reject: Count,
        /// Send the call to "+81312345678", "tel:+81312345678" or "sip:desk@example.com".
        forward: String,
        /// Whether these calls are recorded, while `features.recordings` is on.
        recording: Flag,
        /// What these callers are told of it, in place of `recordings.announcement`.
        announcement: Announcement,
        /// In place of `features.openai_sip`.
        openai_sip: Scalar = Form::Share,
        /// So many of this route's calls at once.
        max_calls: Count,
        /// So many of its calls may begin within a span, such as "60/1m".
        rate: String = Form::Rate,
        /// What callers get when no path to the model is left; "apology": what `twilio.apology` says.
        fallback: WordOr<Fallback> = Form::Words(&["apology"]),
    }

    /// What callers get when no path to the model is left: one of these.
    Fallback {
        /// The caller is sent to this number or address.
        forward: String,
        /// The caller can leave a message.
        voicemail: Voicemail,
        /// Words of the route's own.
        apology: Say,
    }

    /// A message that a caller can leave.
    Voicemail {
        /// What is said before the beep.
        text: String,
        /// Its language, such as "ja-JP".
        language: String,
        /// The carrier's name of a voice.
        voice: String,
        /// The longest message, 5s to 1h.
        length: String = Form::Duration,
    }

    /// What a call must look like; all conditions must hold.
    Match {
        /// Called numbers: "+815012345678", or a prefix: "+8150*".
        to: OneOrMany<String>,
        /// Callers, likewise, or "anonymous" for withheld numbers.
        from: OneOrMany<String>,
        /// SIP headers: `{ "X-Campaign" = "spring*" }`, `*` for any characters.
        header: BTreeMap<String, String>,
        /// When the call comes.
        hours: Hours,
        /// The share of callers, 0 to 100; the same caller always falls on the same side.
        percent: Number,
    }

    /// Hours of a week.
    Hours [tz] {
        /// Such as "mon-fri,sun"; without it all days.
        days: String,
        /// Within this span of the day: "09:00-18:00".
        between: String = Form::Span,
        /// The opposite of `between`.
        outside: String = Form::Span,
        /// Where these hours are read, such as "Asia/Tokyo".
        tz: String,
    }

    /// When something that fails is left alone.
    Breaker {
        /// After so many failures in a row …
        failures: Count,
        /// … for so long.
        open_for: String = Form::Duration,
    }

    /// What a model costs, in US dollars.
    Price {
        /// The day on which the price was read.
        as_of: String,
        /// Per million text tokens.
        text: Rates,
        /// Per million audio tokens.
        audio: Rates,
        /// Per million image tokens.
        image: Rates,
        /// Per minute of sound.
        per_minute: Number,
    }

    /// US dollars per million tokens.
    Rates {
        /// Read.
        input: Number,
        /// Read from the cache; what `input` says where it is left out.
        cached: Number,
        /// Written.
        output: Number,
    }

    /// A call that might come, and what is to become of it.
    Test [name, given, expect] {
        /// What it shows, in a few words.
        name: String,
        /// The call.
        given: Given,
        /// What becomes of it.
        expect: Expect,
    }

    /// A call that might come.
    Given {
        /// The called number.
        to: String,
        /// The caller; without it, or "anonymous", the number is withheld.
        from: String,
        /// When it comes: "2026-01-10T23:30:00+01:00" or "2026-01-10T23:30[Europe/Berlin]".
        at: String,
        /// Its SIP headers.
        headers: BTreeMap<String, String>,
    }

    /// What becomes of it; each key that is given must hold.
    Expect {
        /// The route that takes it.
        route: String,
        /// The session that answers it.
        session: String,
        /// What is done with it.
        action: String = Form::Words(&["answer", "reject", "forward"]),
        /// The SIP code with which it is turned away.
        reject: Count,
        /// Where it is sent.
        forward: String,
        /// How its sound reaches the model first.
        path: String = Form::Words(&["sip", "media-streams"]),
    }
}
