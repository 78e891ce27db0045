//! What an operator does with a call: tells the model, has something said, hands the caller on; saves it, erases it.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use switchboard::call::record::EndedReason;
use switchboard::ids::CallId;
use switchboard::sim::twilio::CallerSetup;

use super::Office;
use crate::harness::{CALLEE, eventually, script};

/// Who calls when the operator acts.
const SOMEBODY: &str = "+818011112222";
/// The model speaks again when it is asked to.
const ACTED_ON: &str = r#"steps = [
    { model = { says = "はい、さくら商店です。" } },
    { model = { says = "少々お待ちください。" } },
    { model = { says = "おつなぎします。" } },
    { hang_up = "gateway" },
]"#;

impl Office {
    /// By keyboard first, and then with the mouse.
    pub async fn acts_on_a_live_call(&self) -> CallId {
        let browser = &self.browser;
        let mut setup = CallerSetup::new(SOMEBODY, CALLEE, script(ACTED_ON));
        setup.time_limit = Duration::from_secs(24 * 3600);
        let acting = async {
            browser.go("/live").await;
            browser.shows("はい、さくら商店です。").await;
            browser.tab_to("Note").await;
            browser.key("Enter").await;
            let is_field = "document.activeElement.matches('dialog[open] textarea')";
            browser.until("the field has the focus", is_field).await;
            browser.write("The caller is a regular.").await;
            browser.tab_to("Send note").await;
            browser.key("Enter").await;
            browser.shows("The model was told.").await;
            let is_back = "document.activeElement.textContent === 'Note'";
            browser.until("the focus is where it was", is_back).await;
            // What is given up is not sent.
            browser.press("Say").await;
            browser.until("the field has the focus", is_field).await;
            browser.write("Nobody hears this.").await;
            browser.key("Escape").await;
            browser.until("the dialog is away", "!document.querySelector('dialog')").await;
            browser.press("Say").await;
            browser.until("the field has the focus", is_field).await;
            browser.write("少々お待ちください。").await;
            browser.click("dialog[open] button.main").await;
            browser.shows("The assistant will say it.").await;
            browser.shows("少々お待ちください。").await;
            browser.press("Transfer").await;
            let choice = "document.querySelector('dialog[open] select').value === 'desk'";
            browser.until("the desk can be chosen", choice).await;
            browser.click("dialog[open] button.main").await;
            browser.shows("The caller is being transferred to desk.").await;
            browser.until("the call is over", "!document.body.innerText.includes('Hang up')").await;
        };
        let (played, ()) = tokio::join!(self.house.play(setup), acting);
        assert_eq!(played.carrier.problems, [""; 0]);
        let id = self.call_of(|call| call.caller.as_deref() == Some(SOMEBODY)).await.expect("the call");
        let kept = self.house.ended_call(id).await;
        assert_eq!(kept.call.ended.as_ref().map(|ended| ended.reason), Some(EndedReason::Transferred));
        let wishes: Vec<&str> = kept
            .events
            .iter()
            .map(|event| event.kind.as_str())
            .filter(|kind| kind.starts_with("wish."))
            .collect();
        assert_eq!(wishes, ["wish.inject_context", "wish.say", "wish.transfer"]);
        id
    }

    pub async fn saves_calls_as_files(&self, id: CallId) {
        let (browser, folder) = (&self.browser, tempfile::tempdir().expect("a folder"));
        browser.saves_to(folder.path()).await;
        let calls = self.house.calls().await;
        browser.go("/calls").await;
        browser.shows(&format!("{} calls", calls.len())).await;
        browser.press("CSV").await;
        let csv =
            saved(folder.path(), "calls.csv", |text| text.ends_with("\r\n").then(|| text.to_owned())).await;
        assert_eq!(csv.lines().count(), calls.len() + 1, "{csv}");
        assert!(csv.starts_with("id,began,caller,callee,route,"), "{csv}");
        assert!(csv.contains(&id.to_string()) && csv.contains(",'+81•••••5678,"), "{csv}");
        browser.press("JSON").await;
        let json = saved(folder.path(), "calls.json", |text| serde_json::from_str::<Value>(text).ok()).await;
        assert_eq!(json.as_array().map(Vec::len), Some(calls.len()));
        browser.go(&format!("/calls/{id}")).await;
        browser.press("JSON").await;
        let name = format!("{id}.json");
        let one = saved(folder.path(), &name, |text| serde_json::from_str::<Value>(text).ok()).await;
        assert_eq!(one["call"]["id"], json!(id));
        assert!(one["lines"].as_array().is_some_and(|lines| lines.len() >= 4), "{one}");
    }

    pub async fn erases_a_call(&self, id: CallId) {
        let browser = &self.browser;
        browser.go(&format!("/calls/{id}")).await;
        browser.press("Delete").await;
        browser.key("Escape").await;
        browser.until("the dialog is away", "!document.querySelector('dialog')").await;
        assert!(self.call_of(|call| call.id == id).await.is_some(), "it was given up");
        browser.press("Delete").await;
        browser.click("dialog[open] button.danger").await;
        browser.shows("The call was erased.").await;
        let is_listed = format!("document.querySelector('.vbody a[href=\"/calls/{id}\"]')");
        let others =
            "location.pathname === '/calls' && document.querySelectorAll('.vbody .vrow').length >= 3";
        browser.until("only the others are listed", &format!("{others} && !{is_listed}")).await;
        assert!(self.call_of(|call| call.id == id).await.is_none(), "it is gone");
        browser.go(&format!("/calls/{id}")).await;
        browser.shows(&format!("no call `{id}`")).await;
    }
}

/// What a file holds, once it is whole.
async fn saved<T>(folder: &Path, name: &str, read: impl Fn(&str) -> Option<T>) -> T {
    eventually(&format!("{name} is saved"), || async {
        std::fs::read_to_string(folder.join(name)).ok().and_then(|text| read(&text))
    })
    .await
}
