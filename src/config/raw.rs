//! `gateway.toml` as it is typed: every key optional, unknown keys refused, no logic.
//!
//! The doc comments here are short; `docs/config.md` is the reference, and a test checks that it
//! mentions every key.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::forms::{Count, Flag, Number, OneOrMany, Scalar, WordOr};

/// Declares a table of optional keys.
macro_rules! tables {
    ($($(#[$doc:meta])* $name:ident { $($key:ident: $kind:ty,)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, Default, Deserialize)]
            #[serde(default, deny_unknown_fields)]
            pub(super) struct $name {
                $(pub(super) $key: Option<$kind>,)*
            }
        )*

        /// Every key of every table, for the test of the reference.
        #[cfg(test)]
        pub(super) const KEYS: &[&str] = &[$($(stringify!($key),)*)*];
    };
}

/// The whole file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Raw {
    pub(super) server: Server,
    pub(super) admin: Admin,
    pub(super) admission: Admission,
    pub(super) openai: OpenAi,
    pub(super) twilio: Twilio,
    pub(super) features: Features,
    pub(super) failover: Failover,
    pub(super) store: Store,
    pub(super) recordings: Recordings,
    pub(super) retention: Retention,
    pub(super) telemetry: Telemetry,
    pub(super) redact: Redact,
    pub(super) sessions: BTreeMap<String, Session>,
    pub(super) routes: Vec<Route>,
    pub(super) plugins: BTreeMap<String, Plugin>,
    pub(super) sandbox: Sandbox,
    pub(super) tools: BTreeMap<String, Tool>,
    pub(super) pricing: BTreeMap<String, Price>,
}

tables! {
    Server {
        listen: String,
        public_url: String,
        max_calls: Count,
        max_connections: Count,
        drain_timeout: String,
        body_max: String,
        called_number_headers: Vec<String>,
        default_country: String,
        direct_sip: Flag,
    }

    Admin {
        listen: String,
        hosts: Vec<String>,
        tokens: Vec<Token>,
    }

    Token {
        name: String,
        role: String,
        hash: String,
    }

    Admission {
        answer: String,
        per_caller: String,
        max_lag: String,
    }

    OpenAi {
        api_key: String,
        project_id: String,
        organization: String,
        base_url: String,
        realtime_url: String,
        sip_host: String,
        webhook_secrets: OneOrMany<String>,
        tolerance: String,
    }

    Twilio {
        account_sid: String,
        auth_tokens: OneOrMany<String>,
        shared_keys: Vec<SharedKey>,
        require_shared_key: Flag,
        base_url: String,
        api_key: ApiKey,
        dial: Dial,
        apology: Say,
    }

    ApiKey {
        sid: String,
        secret: String,
    }

    SharedKey {
        id: String,
        secret: String,
    }

    Dial {
        timeout: String,
        time_limit: String,
        ring_tone: String,
        edge: String,
        secure_media: Scalar,
    }

    Say {
        text: String,
        language: String,
        voice: String,
    }

    Features {
        openai_sip: Scalar,
        failover: Flag,
        recordings: Flag,
    }

    Failover {
        accept_within: String,
        webhook_within: String,
        dial_timeout: String,
        breaker: WordOr<Breaker>,
    }

    Recordings {
        announcement: Announcement,
        delete_at_carrier: Flag,
        file_max: String,
        keep_free: String,
    }

    Retention {
        calls: String,
        recordings: String,
        recordings_max: String,
        audit: String,
    }

    Announcement {
        text: String,
        language: String,
        voice: String,
        by: String,
    }

    Store {
        path: String,
        cache: String,
        encryption_keys: OneOrMany<String>,
    }

    Telemetry {
        log: Log,
        otlp: Otlp,
    }

    Otlp {
        endpoint: String,
        headers: BTreeMap<String, String>,
        sample: Number,
        content: Flag,
    }

    Redact {
        patterns: Vec<String>,
    }

    Log {
        level: String,
        format: String,
    }

    Session {
        extends: String,
        model: String,
        instructions: String,
        instructions_file: String,
        greeting: String,
        greeting_protected: Flag,
        vars: BTreeMap<String, Scalar>,
        timezone: String,
        language: String,
        voice: WordOr<CustomVoice>,
        speed: Number,
        noise_reduction: WordOr<NoiseReduction>,
        transcription: WordOr<Transcription>,
        turn_detection: WordOr<TurnDetection>,
        tools: Vec<String>,
        tool_choice: WordOr<ToolChoice>,
        parallel_tool_calls: Flag,
        reasoning_effort: String,
        max_output_tokens: Scalar,
        truncation: WordOr<Truncation>,
        tracing: WordOr<Tracing>,
        prompt: Prompt,
        include: Vec<String>,
        limits: Limits,
        transfer: BTreeMap<String, String>,
        mcp: BTreeMap<String, Mcp>,
    }

    Mcp {
        url: String,
        authorization: String,
        headers: BTreeMap<String, String>,
        allowed_tools: Vec<String>,
        require_approval: String,
        description: String,
    }

    CustomVoice {
        id: String,
    }

    NoiseReduction {
        r#type: String,
        strength: Number,
    }

    Transcription {
        model: String,
        language: String,
        languages: Vec<String>,
        prompt: String,
        keywords: Vec<String>,
        delay: String,
    }

    TurnDetection {
        r#type: String,
        threshold: Number,
        prefix_padding: String,
        silence_duration: String,
        idle_timeout: String,
        eagerness: String,
        create_response: Flag,
        interrupt_response: Flag,
    }

    ToolChoice {
        name: String,
    }

    Truncation {
        retention_ratio: Number,
        post_instructions_tokens: Count,
    }

    Tracing {
        workflow_name: String,
        group_id: String,
        metadata: BTreeMap<String, Scalar>,
    }

    Prompt {
        id: String,
        version: String,
        variables: BTreeMap<String, Scalar>,
    }

    Limits {
        duration: String,
        silence: String,
        tool_calls: Count,
        tool_output: String,
    }

    Route {
        name: String,
        r#match: Match,
        session: String,
        vars: BTreeMap<String, Scalar>,
        reject: Count,
        forward: String,
        recording: Flag,
        announcement: Announcement,
        openai_sip: Scalar,
        max_calls: Count,
        rate: String,
        fallback: WordOr<Fallback>,
    }

    Fallback {
        forward: String,
        voicemail: Voicemail,
        apology: Say,
    }

    Voicemail {
        text: String,
        language: String,
        voice: String,
        length: String,
    }

    Match {
        to: OneOrMany<String>,
        from: OneOrMany<String>,
        header: BTreeMap<String, String>,
        hours: Hours,
        percent: Number,
    }

    Hours {
        days: String,
        between: String,
        outside: String,
        tz: String,
    }

    Plugin {
        path: String,
        sha256: String,
        config: BTreeMap<String, toml::Value>,
        allow: Allow,
        limits: PluginLimits,
        breaker: WordOr<Breaker>,
    }

    Allow {
        kv: String,
        http: Vec<String>,
        private_hosts: Vec<String>,
        secrets: BTreeMap<String, String>,
        reveal: Vec<String>,
        history: Flag,
        calls: Vec<String>,
        hooks: Vec<String>,
    }

    PluginLimits {
        memory: String,
        table_elements: Count,
        instances: Count,
        time: String,
        wait: String,
        output: String,
        log: String,
        http_requests: Count,
        http_response: String,
        http_bytes: String,
        kv_keys: Count,
        kv_bytes: String,
        concurrency: Count,
    }

    Sandbox {
        instances: Count,
        stack: String,
    }

    Tool {
        description: String,
        say_first: String,
        interruptible: Flag,
        repeatable: Flag,
        params: BTreeMap<String, Param>,
        parameters: WordOr<BTreeMap<String, toml::Value>>,
        http: ToolHttp,
    }

    Param {
        r#type: String,
        description: String,
        format: String,
        pattern: String,
        r#enum: Vec<toml::Value>,
        minimum: Number,
        maximum: Number,
        min_length: Count,
        max_length: Count,
        min_items: Count,
        max_items: Count,
        items: Box<Param>,
        optional: Flag,
        default: toml::Value,
    }

    ToolHttp {
        method: String,
        url: String,
        headers: BTreeMap<String, String>,
        query: BTreeMap<String, String>,
        body: String,
        json: toml::Value,
        form: BTreeMap<String, String>,
        timeout: String,
        retry: Retry,
        breaker: WordOr<Breaker>,
        cache: String,
        pick: String,
        max_response: String,
        private_hosts: Vec<String>,
        follow: Vec<String>,
        status: BTreeMap<String, String>,
        on_error: String,
    }

    Retry {
        attempts: Count,
        on: Vec<String>,
        r#unsafe: Flag,
    }

    Breaker {
        failures: Count,
        open_for: String,
    }

    Price {
        as_of: String,
        text: Rates,
        audio: Rates,
        image: Rates,
        per_minute: Number,
    }

    Rates {
        input: Number,
        cached: Number,
        output: Number,
    }
}
