//! The tables of `[plugins.NAME]`, `[sandbox]` and `[tools.NAME]`.

use super::*;

tables! {
    /// Tools in WebAssembly.
    Plugin [path] {
        /// The WebAssembly component.
        path: String,
        /// The hash its file must have; `switchboard plugin inspect` prints it.
        sha256: String,
        /// What the plugin can read.
        config: BTreeMap<String, toml::Value>,
        /// What it may do; nothing else is allowed.
        allow: Allow,
        /// What one tool call, or one call of a hook, may use up.
        limits: PluginLimits,
        /// After so many failures in a row it is not called for a while; "off": never.
        breaker: WordOr<Breaker> = Form::Words(&["off"]),
    }

    /// What a plugin may do.
    Allow {
        /// The key-value namespace of this name; plugins with the same one share it.
        kv: String,
        /// Where its requests may go: "https://api.example.com/v2/*", "GET,HEAD https://*.example.com/*".
        http: Vec<String>,
        /// Hosts, as URLs name them, that may be at addresses which are not public.
        private_hosts: Vec<String>,
        /// Secrets by name, to be put into a request's header: `{ CRM_TOKEN = "${CRM_TOKEN}" }`.
        secrets: BTreeMap<String, String>,
        /// Those of the `secrets` that it may read itself.
        reveal: Vec<String>,
        /// To read what was said in the call so far.
        history: Flag,
        /// What it may do to the call.
        calls: Vec<String> = Form::Words(&["say", "inject-context", "transfer", "hang-up", "set-variable"]),
        /// When it is asked or told.
        hooks: Vec<String> = Form::Words(&["incoming", "event", "ended"]),
    }

    /// What one call of a plugin may use up.
    PluginLimits {
        /// Its memory.
        memory: String = Form::Size,
        /// Elements of its tables.
        table_elements: Count,
        /// Core modules of one component.
        instances: Count,
        /// How long it may compute and wait together.
        time: String = Form::Duration,
        /// How long a call may wait for its turn.
        wait: String = Form::Duration,
        /// Its longest answer.
        output: String = Form::Size,
        /// What it may log.
        log: String = Form::Size,
        /// Requests of one call.
        http_requests: Count,
        /// The longest answer of a request.
        http_response: String = Form::Size,
        /// Bytes of all requests and answers of one call.
        http_bytes: String = Form::Size,
        /// Keys in its namespace.
        kv_keys: Count,
        /// Bytes in its namespace.
        kv_bytes: String = Form::Size,
        /// Calls at once.
        concurrency: Count,
    }

    /// The machine that all plugins run on.
    Sandbox {
        /// Calls of plugins that run at once, all plugins together, 1 to 2000.
        instances: Count,
        /// The stack of each call, 64KiB to 8MiB.
        stack: String = Form::Size,
    }

    /// A tool that is one HTTP request.
    Tool [description, http] {
        /// What it does and when to call it; the model reads this.
        description: String,
        /// What the caller hears when the answer takes a while.
        say_first: String,
        /// Whether the model listens while it runs.
        interruptible: Flag,
        /// Running it twice does no harm, so that it need not be written down first.
        repeatable: Flag,
        /// Parameters by name.
        params: BTreeMap<String, Param>,
        /// In place of `params`: a JSON Schema, or the path of a file with one.
        parameters: WordOr<BTreeMap<String, toml::Value>>,
        /// The request.
        http: ToolHttp,
    }

    /// A parameter that the model fills in.
    Param [r#type] {
        /// What it is.
        r#type: String = Form::Words(&["string", "integer", "number", "boolean", "array", "object"]),
        /// What the model reads about it.
        description: String,
        /// A text's format, such as "date".
        format: String,
        /// A regular expression that a text must match.
        pattern: String,
        /// The only values there are.
        r#enum: Vec<toml::Value>,
        /// The least number.
        minimum: Number,
        /// The greatest number.
        maximum: Number,
        /// The shortest text.
        min_length: Count,
        /// The longest text.
        max_length: Count,
        /// The shortest list.
        min_items: Count,
        /// The longest list.
        max_items: Count,
        /// What the elements of a list are.
        items: Box<Param>,
        /// The model may leave it out.
        optional: Flag,
        /// What is put in where the model leaves it out.
        default: toml::Value,
    }

    /// A tool's request. Its texts are templates that know `args`, `vars` and `call`.
    ToolHttp [url] {
        /// The method.
        method: String = Form::Words(&["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]),
        /// Where it goes; the host is no template.
        url: String,
        /// Headers.
        headers: BTreeMap<String, String>,
        /// What stands behind the `?`.
        query: BTreeMap<String, String>,
        /// Text as body.
        body: String,
        /// A JSON body.
        json: toml::Value,
        /// A form as body.
        form: BTreeMap<String, String>,
        /// The longest the whole takes, all tries together, 100ms to 60s.
        timeout: String = Form::Duration,
        /// When it is tried again.
        retry: Retry,
        /// After so many failures in a row nothing is sent for a while; "off": never.
        breaker: WordOr<Breaker> = Form::Words(&["off"]),
        /// How long an answer serves the same request again; GET and HEAD only.
        cache: String = Form::Duration,
        /// JSON pointer to the part of the answer that the model sees.
        pick: String,
        /// The longest answer, before `pick`.
        max_response: String = Form::Size,
        /// Hosts, as the URL names them, that may be at addresses which are not public.
        private_hosts: Vec<String>,
        /// Where redirects may lead beyond the URL's own host: "https://files.example.com/*".
        follow: Vec<String>,
        /// What a status means: `{ 409 = "not_found" }`.
        status: BTreeMap<String, String> = Form::Words(&[
            "ok", "not_found", "invalid", "denied", "unavailable", "failed",
        ]),
        /// What the model is told when the backend does not answer as it should.
        on_error: String,
    }

    /// When a request is tried again.
    Retry {
        /// Tries, at most 5.
        attempts: Count,
        /// What another try is made for.
        on: Vec<String> = Form::Words(&["timeout", "connect", "5xx", "429"]),
        /// Also requests that change something.
        r#unsafe: Flag,
    }
}
