//! What a plugin asks for, and whether the operator grants it.

use std::fmt;

use crate::tool::hooks::Hook;
use crate::tool::outbound::Pattern;

use super::settings::Grants;

/// Something that the operator has to grant before it works.
#[derive(Clone, Debug, PartialEq)]
pub enum Need {
    /// A key-value namespace.
    Kv,
    /// Requests to what this pattern matches.
    Http(Pattern),
    /// The secret of this name.
    Secret(String),
    /// To read what was said in the call so far.
    History,
    /// To act on the call.
    Call(Power),
    /// To be asked or told at this moment of every call.
    Hook(Hook),
}

/// One way to act on a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Power {
    /// Have the model say something.
    Say,
    /// Have the model know something.
    InjectContext,
    /// Hand the caller over.
    Transfer,
    /// End the call.
    HangUp,
    /// Set a variable of the call.
    SetVariable,
}

/// A grant that the plugin does not ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unused {
    /// Where it stands in `[plugins.NAME.allow]`: `kv`, `http[1]`, `secrets.CRM_TOKEN`.
    pub place: String,
}

impl Power {
    /// All of them.
    pub const ALL: [Power; 5] =
        [Power::Say, Power::InjectContext, Power::Transfer, Power::HangUp, Power::SetVariable];

    /// The name in `allow.calls` and in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Power::Say => "say",
            Power::InjectContext => "inject-context",
            Power::Transfer => "transfer",
            Power::HangUp => "hang-up",
            Power::SetVariable => "set-variable",
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Need::Kv => f.write_str("kv"),
            Need::Http(pattern) => write!(f, "http {pattern}"),
            Need::Secret(name) => write!(f, "secret {name}"),
            Need::History => f.write_str("history"),
            Need::Call(power) => write!(f, "call {}", power.as_str()),
            Need::Hook(hook) => write!(f, "hook {}", hook.as_str()),
        }
    }
}

impl Grants {
    /// Claims that this allows all that the plugin asks for here.
    pub fn covers(&self, need: &Need) -> bool {
        match need {
            Need::Kv => self.kv.is_some(),
            Need::Http(asked) => self.http.iter().any(|granted| granted.covers(asked)),
            Need::Secret(name) => self.secrets.contains_key(name),
            Need::History => self.history,
            Need::Call(power) => self.calls.contains(power),
            Need::Hook(hook) => self.hooks.contains(hook),
        }
    }

    /// The grants without which nothing that the plugin asks for would be missing.
    pub fn unused(&self, needs: &[Need]) -> Vec<Unused> {
        let asks = |need: &Need| needs.contains(need);
        let asks_http = needs.iter().any(|need| matches!(need, Need::Http(_)));
        let covers_one = |granted: &Pattern| {
            needs.iter().any(|need| matches!(need, Need::Http(asked) if granted.covers(asked)))
        };
        let mut places = Vec::new();
        let mut check = |is_used: bool, place: String| {
            if !is_used {
                places.push(Unused { place });
            }
        };
        check(self.kv.is_none() || asks(&Need::Kv), "kv".to_owned());
        for (at, granted) in self.http.iter().enumerate() {
            check(covers_one(granted), format!("http[{at}]"));
        }
        for at in 0..self.private_hosts.len() {
            check(asks_http, format!("private_hosts[{at}]"));
        }
        for name in self.secrets.keys() {
            check(asks(&Need::Secret(name.clone())), format!("secrets.{name}"));
        }
        for (at, name) in self.reveal.iter().enumerate() {
            check(asks(&Need::Secret(name.clone())), format!("reveal[{at}]"));
        }
        check(!self.history || asks(&Need::History), "history".to_owned());
        for (at, power) in self.calls.iter().enumerate() {
            check(asks(&Need::Call(*power)), format!("calls[{at}]"));
        }
        for (at, hook) in self.hooks.iter().enumerate() {
            check(asks(&Need::Hook(*hook)), format!("hooks[{at}]"));
        }
        places
    }

    /// The lines of `[plugins.NAME.allow]` that grant what is missing besides what is granted already.
    pub(super) fn lines_for(&self, plugin: &str, missing: &[&Need]) -> Vec<String> {
        let mut lines = Vec::new();
        let mut list = |key: &str, granted: Vec<String>, added: Vec<String>| {
            if !added.is_empty() {
                let all: Vec<String> =
                    granted.into_iter().chain(added).map(|text| format!("\"{text}\"")).collect();
                lines.push(format!("{key} = [{}]", all.join(", ")));
            }
        };
        let asked = |pick: &dyn Fn(&Need) -> Option<String>| -> Vec<String> {
            missing.iter().filter_map(|need| pick(need)).collect()
        };
        list(
            "http",
            self.http.iter().map(Pattern::to_string).collect(),
            asked(&|need| if let Need::Http(pattern) = need { Some(pattern.to_string()) } else { None }),
        );
        list(
            "calls",
            self.calls.iter().map(|power| power.as_str().to_owned()).collect(),
            asked(&|need| if let Need::Call(power) = need { Some(power.as_str().to_owned()) } else { None }),
        );
        list(
            "hooks",
            self.hooks.iter().map(|hook| hook.as_str().to_owned()).collect(),
            asked(&|need| if let Need::Hook(hook) = need { Some(hook.as_str().to_owned()) } else { None }),
        );
        let secrets = asked(&|need| if let Need::Secret(name) = need { Some(name.clone()) } else { None });
        if !secrets.is_empty() {
            let all = self.secrets.keys().chain(&secrets).map(|name| format!("{name} = \"${{{name}}}\""));
            lines.push(format!("secrets = {{ {} }}", all.collect::<Vec<_>>().join(", ")));
        }
        if missing.contains(&&Need::Kv) {
            lines.push(format!("kv = \"{plugin}\""));
        }
        if missing.contains(&&Need::History) {
            lines.push("history = true".to_owned());
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn http(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    fn some_of_everything() -> Grants {
        Grants {
            kv: Some("customers".to_owned()),
            http: vec![http("https://a.example/v2/*"), http("https://b.example/*")],
            private_hosts: vec!["crm.internal".to_owned()],
            secrets: [("CRM_TOKEN".to_owned(), Secret::new("x"))].into(),
            reveal: vec!["CRM_TOKEN".to_owned()],
            history: true,
            calls: vec![Power::Say],
            hooks: vec![Hook::Incoming],
        }
    }

    #[test]
    fn what_is_missing_comes_with_the_line_that_grants_it_besides_what_is_there() {
        let needs = [
            Need::Kv,
            Need::Http(http("https://a.example/*")),
            Need::Secret("OTHER".to_owned()),
            Need::History,
            Need::Call(Power::Transfer),
            Need::Hook(Hook::Ended),
        ];
        let all: Vec<&Need> = needs.iter().collect();
        assert_eq!(
            Grants::default().lines_for("crm", &all),
            [
                r#"http = ["https://a.example/*"]"#,
                r#"calls = ["transfer"]"#,
                r#"hooks = ["ended"]"#,
                r#"secrets = { OTHER = "${OTHER}" }"#,
                r#"kv = "crm""#,
                "history = true",
            ]
        );
        let granted = some_of_everything();
        let missing: Vec<&Need> = needs.iter().filter(|need| !granted.covers(need)).collect();
        assert_eq!(
            granted.lines_for("crm", &missing),
            [
                r#"http = ["https://a.example/v2/*", "https://b.example/*", "https://a.example/*"]"#,
                r#"calls = ["say", "transfer"]"#,
                r#"hooks = ["incoming", "ended"]"#,
                r#"secrets = { CRM_TOKEN = "${CRM_TOKEN}", OTHER = "${OTHER}" }"#,
            ]
        );
    }

    #[test]
    fn a_grant_that_nothing_asks_for_is_found() {
        let granted = some_of_everything();
        let unused = |needs: &[Need]| -> Vec<String> {
            granted.unused(needs).into_iter().map(|unused| unused.place).collect()
        };
        assert_eq!(
            unused(&[]),
            [
                "kv",
                "http[0]",
                "http[1]",
                "private_hosts[0]",
                "secrets.CRM_TOKEN",
                "reveal[0]",
                "history",
                "calls[0]",
                "hooks[0]"
            ]
        );
        let needs = [
            Need::Kv,
            Need::Http(http("https://a.example/v2/x")),
            Need::Secret("CRM_TOKEN".to_owned()),
            Need::History,
            Need::Call(Power::Say),
            Need::Hook(Hook::Incoming),
        ];
        assert_eq!(unused(&needs), ["http[1]"]);
    }
}
