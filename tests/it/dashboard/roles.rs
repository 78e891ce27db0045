//! What those below `admin` see, which buttons they have, and signing out.

use std::time::Duration;

use serde_json::json;
use switchboard::http::{Role, TokenSettings};
use switchboard::ids::CallId;
use switchboard::sim::twilio::CallerSetup;

use super::Office;
use crate::harness::{CALLEE, CALLER, script};

/// The caller goes on speaking until somebody hangs up.
const HELD: &str = r#"steps = [
    { model = { says = "少々お待ちください。" } },
    { caller = { says = "あのう", for_ms = 3000000 } },
    { hang_up = "gateway" },
]"#;
/// What the caller of the order said.
const WORDS: &str = "発送済みでございます。";

/// Tokens of every role for the configuration.
pub fn tokens() -> String {
    let token = |role: Role| {
        let hash = TokenSettings::of(role.as_str(), role, &token_of(role)).hash();
        format!("[[admin.tokens]]\nname = \"the-{role}\"\nrole = \"{role}\"\nhash = \"{hash}\"\n")
    };
    Role::ALL.map(token).concat()
}

fn token_of(role: Role) -> String {
    format!("swb_{role}")
}

/// What a page has to be for a role.
struct Page<'a> {
    path: &'a str,
    /// Words that are shown, and words that are not.
    shown: &'a [&'a str],
    hidden: &'a [&'a str],
    /// All buttons beside the title.
    buttons: &'a [&'a str],
}

impl Office {
    pub async fn signs_in_as(&self, role: Role) {
        let browser = &self.browser;
        browser.until("the field has the focus", "document.activeElement.name === 'token'").await;
        browser.write(&token_of(role)).await;
        browser.key("Enter").await;
        browser.shows(&format!("the-{role}")).await;
    }

    /// Ends the session, by keyboard; the browser has nothing any more.
    pub async fn signs_out(&self) {
        let browser = &self.browser;
        browser.go("/live").await;
        browser.tab_to("Sign out").await;
        browser.key("Enter").await;
        browser.shows("Sign in to Switchboard").await;
        assert_eq!(browser.eval("document.querySelector('nav')?.offsetHeight ?? 0").await, 0, "no pages");
        let status = "fetch('/api/v1/calls').then((answer) => answer.status)";
        assert_eq!(browser.eval(status).await, 401, "the session is over");
        browser.go("/calls").await;
        browser.shows("Sign in to Switchboard").await;
        assert_eq!(browser.text("location.search").await, "?next=%2Fcalls");
    }

    /// Below `admin`; in the end nobody is signed in.
    pub async fn is_seen_by_every_role(&self, order: CallId) {
        let browser = &self.browser;
        self.signs_out().await;
        let looking = async {
            self.signs_in_as(Role::Viewer).await;
            self.looks_as_a_viewer(order).await;
            self.signs_out().await;
            self.signs_in_as(Role::Listener).await;
            self.looks_as_a_listener(order).await;
            self.signs_out().await;
            self.signs_in_as(Role::Operator).await;
            self.looks_as_an_operator(order).await;
            browser.go("/live").await;
            browser.press("Hang up").await;
            browser.click("dialog[open] button.danger").await;
            browser.shows("The call is being ended.").await;
        };
        let mut setup = CallerSetup::new(CALLER, CALLEE, script(HELD));
        setup.time_limit = Duration::from_secs(24 * 3600);
        let (played, ()) = tokio::join!(self.house.play(setup), looking);
        assert_eq!(played.carrier.problems, [""; 0]);
        self.signs_out().await;
    }

    async fn looks_as_a_viewer(&self, order: CallId) {
        let call = format!("/calls/{order}");
        self.sees(&[
            Page {
                path: "/live",
                shown: &["1 active", "+81•••••5678", "hidden from your role"],
                hidden: &["少々お待ちください。", "Audit log"],
                buttons: &["Details"],
            },
            Page {
                path: &call,
                shown: &[
                    "Words, numbers and headers are hidden from your role.",
                    "Listening to recordings takes the role listener.",
                ],
                hidden: &[WORDS, &CALLER[1..], "Delete", "Show numbers"],
                buttons: &["Copy link", "JSON"],
            },
            Page { path: "/calls", shown: &["Outcome"], hidden: &["Words said"], buttons: &[] },
            Page {
                path: "/tools?tool=lookup_customer",
                shown: &["This takes the role operator."],
                hidden: &["Run", "Reload plugins"],
                buttons: &[],
            },
            Page {
                path: "/notifications",
                shown: &["crm", "dead letter"],
                hidden: &["Send again", "Send all again"],
                buttons: &[],
            },
            Page {
                path: "/config",
                shown: &["sessions.shop.voice", "This takes the role admin."],
                hidden: &["Paste a configuration"],
                buttons: &[],
            },
            Page {
                path: "/audit",
                shown: &["Reading the audit log takes the role admin."],
                hidden: &["signed in"],
                buttons: &[],
            },
        ])
        .await;
    }

    async fn looks_as_a_listener(&self, order: CallId) {
        let (call, browser) = (format!("/calls/{order}"), &self.browser);
        self.sees(&[
            Page {
                path: "/live",
                // It is seen though nothing changed since the page was opened.
                shown: &["少々お待ちください。", "+81•••••5678", "caller speaks"],
                hidden: &["hidden from your role"],
                buttons: &["Details"],
            },
            Page { path: "/calls", shown: &["Words said"], hidden: &[], buttons: &[] },
            Page {
                path: "/tools?tool=lookup_customer",
                shown: &["This takes the role operator."],
                hidden: &["Run"],
                buttons: &[],
            },
            Page {
                path: &call,
                shown: &[WORDS, "+81•••••5678"],
                hidden: &[&CALLER[1..], "Delete"],
                buttons: &["Show numbers", "Copy link", "JSON"],
            },
        ])
        .await;
        browser.until("it can be heard", "document.querySelector('.player input[type=range]')").await;
        browser.press("Show numbers").await;
        browser.shows(CALLER).await;
        assert_eq!(self.buttons().await, ["Copy link", "JSON"]);
    }

    async fn looks_as_an_operator(&self, order: CallId) {
        let call = format!("/calls/{order}");
        self.sees(&[
            Page {
                path: "/live",
                shown: &["少々お待ちください。"],
                hidden: &["Audit log"],
                buttons: &["Details", "Note", "Say", "Transfer", "Hang up"],
            },
            Page {
                path: &call,
                shown: &[WORDS],
                hidden: &["Delete"],
                buttons: &["Show numbers", "Copy link", "JSON"],
            },
            Page {
                path: "/tools?tool=lookup_customer",
                shown: &["Run"],
                hidden: &["This takes the role"],
                buttons: &["Reload plugins"],
            },
            Page {
                path: "/notifications",
                shown: &["crm", "Send again"],
                hidden: &[],
                buttons: &["Send all again"],
            },
            Page {
                path: "/config",
                shown: &["This takes the role admin."],
                hidden: &["Paste a configuration"],
                buttons: &[],
            },
        ])
        .await;
    }

    async fn sees(&self, pages: &[Page<'_>]) {
        for Page { path, shown, hidden, buttons } in pages {
            self.browser.go(path).await;
            for words in *shown {
                self.browser.shows(words).await;
            }
            let text = self.browser.text("document.body.innerText").await;
            for words in *hidden {
                assert!(!text.contains(words), "{path} shows {words}:\n{text}");
            }
            assert_eq!(json!(self.buttons().await), json!(buttons), "{path}");
        }
    }

    /// What can be done, as it stands beside the title and over a live call.
    async fn buttons(&self) -> Vec<String> {
        let all = "[...document.querySelectorAll('main .actions button, main .actions a')].map((each) => each.textContent)";
        serde_json::from_value(self.browser.eval(all).await).expect("a list")
    }
}
