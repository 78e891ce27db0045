//! The admin API through real sockets: who may ask what, what each sees, and what is done.

mod acting;
mod described;
mod events;
mod gateway;
mod knowing;
mod remote;
mod roles;

use reqwest::Method;
use serde_json::Value;
use switchboard::http::{Role, TokenSettings};
use switchboard::sim::fault::ProviderFaults;

use crate::harness::{CONFIG, House, Operator, Plan};

/// A gateway whose operators have tokens of each role.
pub struct Office {
    pub house: House,
}

impl Office {
    /// The shop without its plugin, and with this at the end of its configuration.
    pub async fn open(more: &str) -> Office {
        let shop = CONFIG.split("[plugins").next().unwrap_or_default();
        Office::of(&format!("{shop}{more}"), ProviderFaults::default()).await
    }

    /// A gateway of this configuration.
    pub async fn of(config: &str, faults: ProviderFaults) -> Office {
        let tokens = Role::ALL.map(|role| {
            let hash = TokenSettings::of(role.as_str(), role, token_of(role)).hash();
            format!("[[admin.tokens]]\nname = \"the-{role}\"\nrole = \"{role}\"\nhash = \"{hash}\"\n")
        });
        let config = format!("{config}\n{}", tokens.concat());
        Office { house: House::with(Plan { config, faults, ..Plan::default() }).await }
    }

    /// Somebody with a token of this role.
    pub fn anybody(&self, role: Role) -> Operator {
        Operator::of(&self.house).showing(token_of(role))
    }

    /// The status and the JSON of an answer.
    pub async fn ask(&self, role: Role, method: Method, path: &str, body: &str) -> (u16, Value) {
        let path = format!("/api/v1{path}");
        let (status, text) = self.anybody(role).ask(method, &path, body).await;
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// The JSON of an answer that is well.
    pub async fn get(&self, role: Role, path: &str) -> Value {
        let (status, value) = self.ask(role, Method::GET, path, "").await;
        assert_eq!(status, 200, "{path}: {value}");
        value
    }

    /// What stands in the audit log, oldest first: who, what and more of it.
    pub async fn audit(&self) -> Vec<String> {
        let page = self.get(Role::Admin, "/audit?limit=1000").await;
        let entries = page["entries"].as_array().expect("a list").iter().rev();
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        entries
            .map(|entry| {
                format!("{} {} {}", text(&entry["who"]), text(&entry["what"]), text(&entry["detail"]))
            })
            .collect()
    }
}

fn token_of(role: Role) -> &'static str {
    match role {
        Role::Viewer => "swb_viewer",
        Role::Listener => "swb_listener",
        Role::Operator => "swb_operator",
        Role::Admin => "swb_admin",
    }
}
