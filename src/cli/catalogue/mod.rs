//! Every code that an operator meets, with its cause and what to do: one list for `switchboard explain` and
//! `docs/errors.md`.
//!
//! Codes of `check` stand in [`crate::config::codes`]; all others here, a file for each kind. A code that has no
//! explanation does not compile: each list is held against its type.

mod calls;
mod doors;
mod exits;

use std::fmt::Write as _;

use crate::config::codes;

/// Where somebody meets a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `switchboard check`, a start, a reload.
    Config,
    /// Why a call ended: `outcome` of lists and metrics.
    Ended,
    /// What came of a tool call.
    Tool,
    /// A refusal of the admin API.
    Refusal,
    /// The `verdict` on a request of the carrier or the provider.
    Verdict,
    /// How a command ended.
    Exit,
}

impl Kind {
    /// All of them, in the order of the page.
    pub const ALL: [Kind; 6] =
        [Kind::Config, Kind::Ended, Kind::Tool, Kind::Refusal, Kind::Verdict, Kind::Exit];

    /// The kind in a few words.
    pub fn title(self) -> &'static str {
        match self {
            Kind::Config => "a problem of the configuration",
            Kind::Ended => "why a call ended",
            Kind::Tool => "what came of a tool call",
            Kind::Refusal => "a refusal of the admin API",
            Kind::Verdict => "the verdict on a request of carrier or provider",
            Kind::Exit => "how a command ended",
        }
    }

    fn heading(self) -> &'static str {
        match self {
            Kind::Config => "Problems of a configuration",
            Kind::Ended => "Why a call ended",
            Kind::Tool => "What came of a tool call",
            Kind::Refusal => "Refusals of the admin API",
            Kind::Verdict => "Verdicts on webhooks",
            Kind::Exit => "Exit codes",
        }
    }

    fn introduction(self) -> &'static str {
        match self {
            Kind::Config => {
                "`switchboard check` names each problem by a code. Errors (`E…`) keep the gateway from starting,\n\
                 unless it is said below that it runs without a plugin or a tool; warnings (`W…`) do not."
            }
            Kind::Ended => {
                "It stands in `calls ls` and `calls show`, on the dashboard, as `outcome` in filters and in\n\
                 `switchboard_calls_total`."
            }
            Kind::Tool => {
                "It stands with each tool call in `calls show`, is the `outcome` of `switchboard_tool_calls_total`,\n\
                 and is the `error` that the model reads. Nobody else notices a tool that fails: the call goes on."
            }
            Kind::Refusal => {
                "The `code` in `{\"error\": {\"code\": …, \"message\": …}}`; the message says what is wrong in\n\
                 this case."
            }
            Kind::Verdict => {
                "The `verdict` of `GET /api/v1/webhooks`, of the dashboard and of `switchboard_webhooks_total`, whose\n\
                 `source` is `openai`, `twilio` or, for media streams, `twilio_media`. Who sent the request is not told\n\
                 more than the status."
            }
            Kind::Exit => "Of every command of `switchboard`.",
        }
    }
}

/// A code, explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it is met.
    pub kind: Kind,
    /// As it is met.
    pub code: &'static str,
    /// What it means and where it comes from.
    pub cause: &'static str,
    /// What to do about it.
    pub fix: &'static str,
}

/// Declares the codes of one kind. Does not compile where a variant of the type has no explanation.
macro_rules! explained {
    ($list:ident: $kind:ident of $type:ident by $name:ident $(without [$others:pat])?;
     $($variant:ident: $cause:literal, $fix:literal;)*) => {
        pub(super) fn $list() -> impl Iterator<Item = super::Entry> {
            let _is_whole = |one: $type| match one {
                $($type::$variant => (),)*
                $($others => (),)?
            };
            let kind = super::Kind::$kind;
            [$(super::Entry { kind, code: $type::$variant.$name(), cause: $cause, fix: $fix },)*].into_iter()
        }
    };
}
use explained;

/// All codes, in the order of the page. One code may be met in several places.
pub fn all() -> Vec<Entry> {
    let config = codes::ALL.iter().map(|code| Entry {
        kind: Kind::Config,
        code: code.id,
        cause: code.explanation,
        fix: code.fix,
    });
    let mut all: Vec<Entry> = config.collect();
    all.extend(calls::ended());
    all.extend(calls::tools());
    all.extend(doors::refusals());
    all.extend(doors::verdicts());
    all.extend(doors::webhooks());
    all.extend(doors::signatures());
    all.extend(doors::starts());
    all.extend(doors::tokens());
    all.extend(exits::exits());
    all
}

/// The reference page of all codes, in Markdown.
pub fn reference() -> String {
    let mut page = String::from(
        "# Errors by code\n\n\
         What an operator meets, with its cause and what to do. `switchboard explain CODE` says the same. This page\n\
         is made from `src/config/codes.rs` and `src/cli/catalogue`.\n\n",
    );
    for kind in Kind::ALL {
        let anchor = kind.heading().to_lowercase().replace(' ', "-");
        let _ = writeln!(page, "- [{}](#{anchor})", kind.heading());
    }
    for kind in Kind::ALL {
        let _ = write!(page, "\n## {}\n\n{}\n", kind.heading(), kind.introduction());
        if kind == Kind::Config {
            for code in codes::ALL {
                let _ = write!(
                    page,
                    "\n### {}: {}\n\n{}\n\n*What to do:* {}\n",
                    code.id, code.title, code.explanation, code.fix
                );
            }
            continue;
        }
        page.push_str("\n| code | cause | what to do |\n| --- | --- | --- |\n");
        for entry in all().iter().filter(|entry| entry.kind == kind) {
            let _ = writeln!(page, "| `{}` | {} | {} |", entry.code, entry.cause, entry.fix);
        }
    }
    page
}
