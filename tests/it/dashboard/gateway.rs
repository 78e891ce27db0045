//! What an operator does with the gateway itself: has it read its configuration again, and send notifications again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Office;
use crate::backend::{Backend, Reply};
use crate::notifications::endpoint;

/// Two that are told of calls: one that is away until it is mended, and one that wants nothing.
pub struct Receivers {
    pub config: String,
    is_mended: Arc<AtomicBool>,
    _crm: Backend,
    _archive: Backend,
}

impl Receivers {
    pub async fn open() -> Receivers {
        let is_mended = Arc::new(AtomicBool::new(false));
        let state = Arc::clone(&is_mended);
        let crm =
            Backend::start(move |_, _| Reply::new(if state.load(Ordering::SeqCst) { 204 } else { 503 }, ""))
                .await;
        let archive = Backend::answering(410, "").await;
        let ended = "events = [\"call.ended\"]";
        let config = format!("{}{}", endpoint("crm", &crm, ended), endpoint("archive", &archive, ended));
        Receivers { config, is_mended, _crm: crm, _archive: archive }
    }
}

impl Office {
    pub async fn has_the_configuration_read_again(&self) {
        let browser = &self.browser;
        let text = std::fs::read_to_string(&self.path).expect("a file");
        let write = |text: &str| std::fs::write(&self.path, text).expect("written");
        browser.go("/config?q=shop.instructions").await;
        browser.shows("You are the shop.").await;
        write(&text.replace("You are the shop.", "You are the new shop."));
        browser.tab_to("Reload").await;
        browser.key("Enter").await;
        browser.shows("1 change is followed").await;
        let value =
            |words: &str| format!("document.querySelector('tbody .data').textContent.includes('{words}')");
        browser.until("the new value is shown", &value("You are the new shop.")).await;
        browser
            .until(
                "and when",
                "document.querySelector('.head .badge.good').textContent.startsWith('reloaded')",
            )
            .await;
        browser.until("the focus stayed", "document.activeElement.textContent === 'Reload'").await;

        write(&text.replace("session = \"shop\"", "session = \"shopp\""));
        browser.press("Reload").await;
        browser
            .until(
                "it is refused",
                "document.querySelector('.head .badge.bad').textContent.startsWith('refused')",
            )
            .await;
        browser
            .until("with what is wrong", "document.querySelector('.aside pre').textContent.includes('shopp')")
            .await;
        browser.until("and nothing is changed", &value("You are the new shop.")).await;

        write(&text);
        browser.press("Reload").await;
        browser.until("it is as it was", &value("You are the shop.")).await;
        browser.until("and nothing is wrong", "!document.querySelector('.badge.bad')").await;
    }

    pub async fn sends_notifications_again(&self) {
        let browser = &self.browser;
        browser.go("/notifications").await;
        for words in ["left alone", "dead letter", "status 503"] {
            browser.shows(words).await;
        }
        browser.picture("notifications").await;
        browser.choose(".bar select", "crm").await;
        let rows = "document.querySelectorAll('[data-key^=msg_]').length";
        browser.until("one endpoint is shown", &format!("location.search === '?endpoint=crm' && {rows} >= 2 && !document.querySelector('tbody [data-key$=archive]')")).await;
        self.receivers.is_mended.store(true, Ordering::SeqCst);
        browser.tab_to("Send again").await;
        let key = browser.text("document.activeElement.dataset.key").await;
        assert!(key.starts_with("msg_") && key.ends_with(" crm"), "{key}");
        browser.key("Enter").await;
        browser.shows("1 notification is being sent again.").await;
        let is_listed = format!("document.querySelector('[data-key=\"{key}\"]')");
        browser.until("it was taken", &format!("!{is_listed}")).await;
        browser.until("the focus stays there", "document.activeElement.matches('.scroll, [data-key]')").await;
        browser.press("Send all again").await;
        browser.shows("All dead letters of crm").await;
        browser.click("dialog[open] button.main").await;
        browser.shows("Nothing matches.").await;
        browser.until("all was taken", "[...document.querySelectorAll('tbody tr')].some((row) => row.textContent.includes('crm') && row.textContent.includes('all taken'))").await;
    }
}
