//! Every kind of problem a configuration can have, in one list. `docs/errors.md` is made from it and from `cli/catalogue`.

/// Whether the gateway can run all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, but probably not as meant.
    Warning,
}

/// A kind of problem. Its id never changes its meaning.
#[derive(Debug, PartialEq, Eq)]
pub struct Code {
    /// `E…` for errors, `W…` for warnings.
    pub id: &'static str,
    /// Whether the gateway can run all the same.
    pub severity: Severity,
    /// The kind, in a few words.
    pub title: &'static str,
    /// What it means and where it comes from, in one paragraph.
    pub explanation: &'static str,
    /// What to do.
    pub fix: &'static str,
}

/// Declares the codes and their list.
macro_rules! codes {
    ($($severity:ident $name:ident = $id:literal, $title:literal, $explanation:literal, $fix:literal;)*) => {
        $(pub(super) static $name: Code = Code {
            id: $id,
            severity: Severity::$severity,
            title: $title,
            explanation: $explanation,
            fix: $fix,
        };)*

        /// All codes, in the order of their ids.
        pub static ALL: &[&Code] = &[$(&$name),*];
    };
}

codes! {
    Error FILE = "E0101", "the configuration cannot be read",
        "The file does not exist, is not a plain file, may not be read by this user, or is larger than 1 MiB.",
        "Give its path with `--config`, and let this user read it.";
    Error ENCODING = "E0102", "not UTF-8",
        "Configuration files are UTF-8 text.",
        "Save it again as UTF-8: an editor may have saved it as Shift_JIS or UTF-16.";
    Error SYNTAX = "E0103", "not TOML",
        "The text breaks the rules of TOML 1.1 (toml.io). The most common causes are a missing quote, a table that is \
         opened twice, and a key that is given twice.",
        "Correct the line that the message names.";
    Error UNKNOWN_KEY = "E0104", "unknown key",
        "No such key exists in this table, so it would have no effect. It is misspelt, or stands in the wrong table.",
        "Correct the name, or move the key to its table; `docs/config.md` lists all keys.";
    Error WRONG_TYPE = "E0105", "wrong type",
        "The value is of another type than the key wants: for example a number where a text is wanted. Durations and \
         sizes are texts with a unit: \"30s\", \"64MiB\".",
        "Write the value as `docs/config.md` says; the message names the type that is wanted.";
    Error MISSING_KEY = "E0106", "missing key",
        "The table lacks a key without which it means nothing.",
        "Add the key that the message names.";
    Error VARIABLE = "E0107", "environment variable not set",
        "A text refers to `${NAME}`, and there is no such variable in the environment or in the file `.env` beside \
         the configuration.",
        "Set it, or give a value to use without it: `${NAME:-value}`. To write a dollar sign itself, write `$$`.";
    Error INTERPOLATION = "E0108", "unreadable `${…}`",
        "After `${` there must be a variable's name, or `file:` and a path, and then `}`.",
        "Complete it. To write a dollar sign itself, write `$$`.";
    Error INCLUDED_FILE = "E0109", "a file it names cannot be read",
        "A file named by `${file:…}` or `instructions_file` does not exist, is not a plain file, is too large, or is \
         not UTF-8.",
        "Correct the path; it is relative to the directory of the configuration.";
    Error DOTENV = "E0110", "unreadable line in `.env`",
        "Lines of `.env` have the form `NAME=value`, `NAME=\"value\"` or `NAME='value'`; `#` begins a comment. The line \
         itself is not shown, as it may hold a secret.",
        "Rewrite the line whose number the message has.";
    Error OVERRIDE = "E0111", "an override has no place",
        "Variables of the form `SWITCHBOARD__SERVER__LISTEN` replace `server.listen`. They reach keys of tables, not \
         elements of lists, and cannot go below a key that holds a plain value.",
        "Name a key of a table; elements of lists are set in the file.";
    Error UNIT = "E0112", "unreadable duration or size",
        "A duration is a whole number and a unit: `250ms`, `30s`, `15m`, `2h`, `90d`, or several of them. A size is a \
         whole number and `B`, `KiB`, `MiB`, `GiB`, `kB`, `MB` or `GB`.",
        "Write it in this form.";
    Error NAME = "E0113", "not usable as a name",
        "Names of sessions, routes, plugins and their like become labels of metrics and parts of keys. They have 1 to \
         64 ASCII letters, digits, `-` or `_`.",
        "Choose a name of these characters.";
    Error RANGE = "E0114", "out of range",
        "The number, duration or size is smaller or larger than what is possible or sensible here.",
        "Choose a value within the range that the message names.";
    Error WORD = "E0115", "not one of the possible words",
        "The key takes one of a few words, and this is none of them.",
        "Write one of the words that the message lists.";
    Error TIME_ZONE = "E0116", "unknown time zone",
        "Time zones have the names of the IANA database, such as `Asia/Tokyo` or `UTC`.",
        "Correct the name. Should a well-known one be refused, the machine lacks that database: install the package \
         `tzdata`.";
    Error ROUTE_TWICE = "E0201", "two routes of one name",
        "Records and metrics name the route that took a call, so each route needs a name of its own.",
        "Rename one of them.";
    Error ROUTE_ACTION = "E0202", "a route must do exactly one thing",
        "A route says exactly one of `session` (a model answers), `reject` (the call is turned away with a SIP code) \
         and `forward` (the call is sent to a number). `vars` make sense only with `session`.",
        "Keep the one that is meant, and remove the others.";
    Error UNKNOWN_SESSION = "E0203", "unknown session",
        "A route or `extends` names a session, and there is no `[sessions.NAME]` of that name.",
        "Correct the name, or add the session.";
    Error NUMBER_PATTERN = "E0204", "not a number pattern",
        "Numbers are written in E.164, `+` and country code first, with an optional `*` at the end: `+815012345678`, \
         `+8150*`. A caller can also be `anonymous`.",
        "Write it in this form.";
    Error HOURS = "E0205", "unreadable hours",
        "Hours are written like `{ days = \"mon-fri\", between = \"09:00-18:00\", tz = \"Asia/Tokyo\" }`, or with `outside` \
         in place of `between`. A span that ends before it begins goes over midnight.",
        "Write them in this form.";
    Error REJECT_CODE = "E0206", "not a SIP code that refuses",
        "A call is refused with a SIP final response of 400 to 699: 486 (busy), 603 (declined), 404 (nobody here). \
         Carriers with only two answers are told `busy` for 486 and 600, else `rejected`.",
        "Choose such a code.";
    Error TARGET = "E0207", "not a place to send a call",
        "A call can be sent to a number in E.164 (`+81312345678`, `tel:+81312345678`) or to a SIP address \
         (`sip:desk@example.com`).",
        "Write it in one of these forms.";
    Error HEADER_NAME = "E0208", "not a header name",
        "A SIP header's name has letters, digits and `-` only.",
        "Write the header's name as it stands before the colon.";
    Warning UNREACHABLE = "W0209", "a route is never reached",
        "The first route that matches takes the call. A route above has no condition and takes every call, so this \
         one has no effect.",
        "Move the route without conditions to the end.";
    Warning NO_CATCH_ALL = "W0210", "calls may match no route",
        "Every route has conditions. A call that matches none is rejected with 404.",
        "End the list with a route without conditions to say what should happen instead.";
    Error NOTHING_ANSWERS = "E0211", "nothing answers",
        "Without `[[routes]]` every call is answered with the only session. With no session there is nothing to \
         answer with, and with several it is not clear which one is meant.",
        "Add a session, or a route that says which one answers.";
    Warning UNANNOUNCED = "W0212", "calls are recorded without a word",
        "Calls of this route are recorded, and no announcement tells callers so. In many places a recording must be \
         announced, and everywhere it is the norm.",
        "Give `announcement` here or in `[recordings]`, or say `recording = false`.";
    Warning NOT_RECORDED = "W0213", "a route's recording has no effect",
        "Calls are recorded only while `features.recordings` is on and Twilio's keys are given, and only when a model \
         answers them.",
        "Switch the feature on, or remove `recording` and `announcement` from the route.";
    Error ROLLOUT = "E0214", "not a share of callers",
        "`openai_sip` is `true` (all calls go over SIP), `false` (none) or a share such as \"25%\", which always holds \
         the same callers and keeps them while it grows.",
        "Write it in one of these forms.";
    Error FALLBACK = "E0215", "not something to fall back on",
        "When all paths to a model have failed, a caller hears an apology (`\"apology\"`, or words of the route's own), \
         is sent to a number, or leaves a message. A route's `fallback` says exactly one of these.",
        "Keep one of them.";
    Error RATE = "E0216", "not a rate of calls",
        "How many calls may begin within a span of time is written as a number and a span of a second to a day: \
         `\"20/10m\"`.",
        "Write it in this form.";
    Error TEST = "E0217", "not a usable test",
        "A test has a name of its own, a call in `given` (`to`, `from`, `at`, `headers`) and something in `expect` (`route`, \
         `session`, `action`, `reject`, `forward`, `path`). Where a route that could take the call has hours, `at` says \
         when it comes, so that the test finds the same at any time.",
        "Give the test what it lacks.";
    Error TEST_FAILS = "E0218", "a test fails",
        "The routes decide otherwise about the call of a test in `[[tests]]` than the test expects; what each route said \
         to it is below. A configuration whose tests fail is not used: the gateway does not start with it, and a running \
         one keeps the one it has.",
        "Either the routes are wrong or the test is: correct that one.";
    Error EXTENDS_ITSELF = "E0301", "a session extends itself",
        "`extends` names a session whose values are used where this one has none. Following `extends` must come to an \
         end.",
        "Remove `extends` from one of the sessions in the circle.";
    Error WRONG_API = "E0302", "the model speaks another API",
        "Switchboard speaks OpenAI's Realtime API over SIP. Models of the Live API do not understand it.",
        "Choose a model of the Realtime API.";
    Warning RETIRING = "W0303", "the model will be switched off",
        "The provider has announced the day on which the model stops working.",
        "Choose its successor before then.";
    Error UNFITTING = "E0304", "settings that do not go together",
        "The provider refuses a session in which these settings meet, and the call would fail.",
        "Remove one of them.";
    Error TEMPLATE = "E0305", "unreadable template",
        "Instructions, greetings and the requests of tools are templates (minijinja, a Jinja2 dialect): `{{ vars.shop \
         }}` puts a value in, `{% if call.from %}…{% endif %}` makes a part conditional. This one cannot be compiled \
         or rendered.",
        "Correct the place that the message names.";
    Error TEMPLATE_NAME = "E0306", "a template uses an unknown name",
        "Templates know `call.id`, `call.from`, `call.from_masked`, `call.to`, `call.path`, `now`, and `vars.NAME` \
         for every variable of the session or of the route that chose it. Requests of tools know `args.NAME`, \
         `call.id`, `call.from`, `call.to`, `call.language`, `call.route`, `call.session` and `vars.NAME`.",
        "Correct the name. A variable that only some routes set needs a value in the session too, or a default: `{{ \
         vars.shop | default(\"\") }}`.";
    Error INSTRUCTIONS = "E0307", "no instructions, or two",
        "A session says what the model is told in exactly one of `instructions` and `instructions_file`. Only a \
         session with a stored `prompt` can do without.",
        "Keep one of the two, or write one.";
    Error LANGUAGE = "E0308", "not a language code",
        "Languages are written with two lower-case letters (ISO 639-1): `ja`, `en`.",
        "Write such a code.";
    Error NO_TRANSFER_TARGET = "E0309", "`transfer` has nowhere to go",
        "The session offers the built-in tool `transfer`, which sends the caller to one of the places of \
         `[sessions.NAME.transfer]`. There are none.",
        "Add a target there, or take `transfer` out of `tools`.";
    Error UNKNOWN_TOOL = "E0310", "no such tool",
        "The session offers a tool by a name or pattern that no built-in tool and no plugin has. A gateway with \
         plugins that is started all the same does not offer it.",
        "Correct the name, or bring the plugin or the `[tools.NAME]` that provides it.";
    Warning UNUSED_SESSION = "W0311", "a session is not used",
        "No route answers with this session, and no other session extends it.",
        "Add a route that answers with it, or remove it.";
    Warning UNPROTECTED = "W0312", "no greeting to protect",
        "`greeting_protected` keeps the caller from interrupting the greeting, but there is none, or turn detection \
         is off anyway.",
        "Add a `greeting`, or remove `greeting_protected`.";
    Error ADDRESS = "E0401", "not an address to listen on",
        "An address is an IP address and a port: `0.0.0.0:8080`, `127.0.0.1:9797`, `[::1]:8080`.",
        "Write it in this form.";
    Error URL = "E0402", "not a usable URL",
        "URLs must be `https://` (`http://` only for this machine itself), and have no user, password, query or \
         fragment. Twilio signs the URL it calls: `public_url` must be the one it sees.",
        "Write the URL in this form; for `public_url` as Twilio calls it.";
    Error NO_SECRET = "E0403", "missing secret",
        "The gateway cannot work without it.",
        "Set the environment variable, or write it into the file `.env` beside the configuration.";
    Warning LITERAL_SECRET = "W0404", "a secret stands in the file",
        "Configuration files are copied, shown and put under version control.",
        "Put the secret into the environment, into `.env`, or into a file of its own, and refer to it: `${NAME}`, \
         `${file:/run/secrets/name}`.";
    Error CREDENTIAL = "E0405", "not a credential of its kind",
        "The value cannot be what the key wants: an account SID begins with `AC`, a project id has only letters, \
         digits, `_` and `-`, what follows `whsec_` in a webhook secret is base64 (of 24 to 64 bytes in a secret of \
         `[notifications.NAME]`, which always begins so), and a key for encryption is 32 bytes in base64.",
        "Copy the value again from where the vendor shows it, whole and without spaces; make a key with `openssl rand \
         -base64 32`.";
    Warning REGION = "W0406", "API and SIP host are of different regions",
        "Calls that arrive at a regional SIP host are known only to the API of that region: accepting them elsewhere \
         fails with 404.",
        "Leave `sip_host` out to have it follow from `base_url`.";
    Error TOKEN = "E0407", "not a token of an operator",
        "Each of `[[admin.tokens]]` has a name of its own, a role and the hash of a token: `sha256:` and 64 \
         hexadecimal digits. The token itself does not stand here.",
        "`switchboard token new --name NAME --role ROLE` makes one and prints the lines to paste.";
    Error PLUGIN_FILE = "E0501", "the plugin's file is missing",
        "`path` must name a WebAssembly component, relative to the directory of the configuration. A gateway that is \
         started all the same runs without the plugin, and takes it in once the file is there.",
        "Build or copy the plugin to this path, or correct the path.";
    Error HASH = "E0502", "not a SHA-256",
        "`sha256` pins the plugin's file: 64 hexadecimal digits, as `sha256sum` prints them.",
        "Write what `sha256sum FILE` prints, or remove the key.";
    Error PLUGIN = "E0503", "the plugin cannot be loaded",
        "The file is there, but it is no plugin of this version, not the one that was pinned, or it uses what `allow` \
         does not grant; the message says which. A gateway that is started all the same runs without the plugin, and \
         takes it in once its file is good.",
        "Do what the message says: build it anew, bring the pinned file, or grant what it uses. See \
         plugins/reference.md.";
    Error NOT_GRANTED = "E0504", "a plugin asks for what it is not granted",
        "A plugin says what it needs, and works only with all of it. What it asks for stands in the message, the \
         lines of `[plugins.NAME.allow]` that grant it in the help. A pattern of addresses must cover all that is \
         asked for: a narrower one grants less.",
        "Grant it if you trust the plugin with it, or do without the plugin, as a gateway does that is started all \
         the same.";
    Warning UNUSED_GRANT = "W0505", "a grant that nobody asks for",
        "The plugin does not ask for this, so it has no effect today, but a later version of the plugin could ask for \
         it and would have it at once.",
        "Remove the grant.";
    Error PATTERN = "E0506", "not a pattern of addresses",
        "What may be reached is written like `https://api.example.com/v2/*`: scheme, host and path, `*` at the end of \
         the path for all that is below, `*.` before the host for all of its subdomains, and methods in front where \
         only some are meant: `GET,HEAD https://api.example.com/*`.",
        "Write it in this form.";
    Error HOST = "E0507", "not a host",
        "`private_hosts` names hosts whose addresses need not be public, as URLs name them: a name or an address, \
         without scheme, port or path.",
        "Write the host alone, as it stands in the URL.";
    Error REVEAL = "E0508", "a secret to reveal that is not granted",
        "`reveal` names those of the granted `secrets` that the plugin may read itself. The others it can only have \
         put into a request's header.",
        "Add it to `secrets`, or take it out of `reveal`.";
    Error TOOL_NAME = "E0510", "a tool's name is taken",
        "The model knows a tool by its name alone. Two plugins, or a plugin and a `[tools.NAME]`, provide a tool of \
         one name, or a tool has the name of a built-in one (`hangup`, `transfer`). A gateway that is started all the \
         same leaves out the plugin that comes later.",
        "Rename one of them, or leave one out.";
    Error TOOL_SCHEMA = "E0511", "not a schema of arguments",
        "`parameters` is a JSON Schema that describes an object (`type = \"object\"`), in the file or in a JSON file of \
         its own. It refers to nothing outside of itself.",
        "Write a schema of an object that is whole in itself.";
    Error TOOL_PARAM = "E0512", "not a usable parameter",
        "A parameter has a `type` (`string`, `integer`, `number`, `boolean`, `array`, `object`), and rules that go \
         with it: `format`, `pattern`, `min_length` and `max_length` with texts, `minimum` and `maximum` with \
         numbers, `items`, `min_items` and `max_items` with arrays. `default` and the values of `enum` must keep \
         these rules.",
        "Correct the rule or the value that the message names.";
    Error TOOL_URL = "E0513", "not a usable URL of a tool",
        "A tool's URL begins with `https://` (or `http://`, where that is meant) and a host that is no template; path \
         and query may be templates. It has no user, password or fragment: credentials go into `headers`.",
        "Write the host out, and put credentials into `headers`.";
    Error TOOL_REQUEST = "E0514", "not a usable request",
        "A tool sends one request: a method that HTTP has, headers that belong to the request and not to the \
         connection, and at most one of `json`, `form` and `body`. JSON is written as `json`, so that values are \
         encoded and not pasted.",
        "Correct what the message names.";
    Error TOOL_REPEAT = "E0515", "what may not be repeated is",
        "A request that changes something can be carried out although no answer came, so that another try would do it \
         twice. `retry` needs a method without that danger (GET, HEAD, PUT, DELETE, OPTIONS) or `unsafe = true`, and \
         `cache` needs GET or HEAD.",
        "Remove `retry` or `cache`, or say `unsafe = true` in `retry` where the backend notices repetitions.";
    Warning TOOL_VARIABLE = "W0516", "no session or route sets a variable",
        "A tool uses `vars.NAME`, and no session and no route sets it. Unless a plugin sets it during the call, the \
         tool fails.",
        "Give it a value in `vars`, or a default: `{{ vars.shop | default(\"\") }}`.";
    Error TOOL_STATUS = "E0517", "not a status",
        "`status` says what an answer means: its keys are statuses of 200 to 599, its values `ok`, `not_found`, \
         `invalid`, `denied`, `unavailable` or `failed`.",
        "Write it in this form.";
    Error TOOL_PLACE = "E0518", "not a place that can be allowed",
        "`follow` has patterns such as `https://files.example.com/*` or `GET https://*.example.com/v2/*`; \
         `private_hosts` has host names or addresses as the URL names them, without port or path.",
        "Write it in this form.";
    Error MCP = "E0520", "not a usable MCP server",
        "The provider itself connects to a remote MCP server, so it has a public `https://` URL. Its label has 1 to \
         64 letters, digits, `-` and `_`. `require_approval` can only be `never`: on a phone call nobody is there to \
         approve.",
        "Correct what the message names; leave dangerous tools out with `allowed_tools`.";
    Error EVENT = "E0530", "no such event",
        "`events` names what an endpoint is told of: `call.started`, `call.ended`, `transcript.ready`, \
         `recording.ready`, or several of them by a pattern such as `call.*`. Without `events` it is told of all.",
        "Write one of these names, or such a pattern.";
    Error PRICE = "E0601", "not a price",
        "Prices are US dollars per million tokens, or per minute, and never negative.",
        "Write the price in this unit.";
    Error REDACT = "E0602", "not a pattern of what is not kept",
        "`redact.patterns` are regular expressions as the crate `regex` reads them: without looking around and back \
         references, so that they never take long. There may be 32 of them, of 1000 bytes each, that are not huge once \
         compiled, and each must match something: one that also matches where there is nothing would leave nothing.",
        "Write it within these bounds, or as several.";
}
