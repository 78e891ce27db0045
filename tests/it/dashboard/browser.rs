//! A real browser without a window, and what a person does in it.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::devtools::Devtools;
use crate::harness::eventually;

/// A page has fewer stops for the keyboard than this.
const STOPS_MAX: usize = 120;
/// Where browsers are that speak this protocol.
const PROGRAMS: [&str; 4] =
    ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome", "/opt/google/chrome/chrome"];
/// A picture of the documentation is not larger than this.
const PICTURE_BYTES_MAX: usize = 150_000;

/// The browser's program, where there is one.
pub fn program() -> Option<PathBuf> {
    PROGRAMS.iter().map(PathBuf::from).find(|path| path.is_file())
}

/// A browser with one page; it ends when this is dropped.
pub struct Browser {
    pub devtools: Devtools,
    session: String,
    base: String,
    _program: Child,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Opens a browser for the pages at `base`.
    pub async fn open(program: &Path, base: String) -> Browser {
        let profile = tempfile::tempdir().expect("a profile");
        let mut child = Command::new(program)
            .args([
                "--headless=new",
                "--no-sandbox",
                "--remote-debugging-port=0",
                "--hide-scrollbars",
                "--mute-audio",
            ])
            .args([
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--disable-background-networking",
            ])
            .args(["--disable-component-update", "--disable-sync", "--disable-extensions", "--lang=en-US"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("a browser");
        let mut lines = BufReader::new(child.stderr.take().expect("its messages")).lines();
        let url = loop {
            let line = lines.next_line().await.expect("a line").expect("the browser tells where it listens");
            if let Some(url) = line.strip_prefix("DevTools listening on ") {
                break url.trim().to_owned();
            }
        };
        // What else it says is read, so that it never waits for a reader.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let devtools = Devtools::connect(&url).await;
        let target = devtools.command(None, "Target.createTarget", json!({ "url": "about:blank" })).await;
        let attached = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = devtools.command(None, "Target.attachToTarget", attached).await;
        let session = attached["sessionId"].as_str().expect("a session").to_owned();
        let browser = Browser { devtools, session, base, _program: child, _profile: profile };
        for domain in ["Page.enable", "Runtime.enable", "Network.enable", "Log.enable"] {
            browser.command(domain, json!({})).await;
        }
        browser.size(1280, 800).await;
        browser
    }

    async fn command(&self, method: &str, params: Value) -> Value {
        self.devtools.command(Some(&self.session), method, params).await
    }

    /// Goes to an address as if it were typed.
    pub async fn go(&self, path: &str) {
        self.eval("window.isOld = true").await;
        self.command("Page.navigate", json!({ "url": format!("{}{path}", self.base) })).await;
        self.until(
            "the page is there",
            "!window.isOld && document.readyState === 'complete' && document.querySelector('h1')",
        )
        .await;
    }

    /// The value of an expression in the page, awaited.
    pub async fn eval(&self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let mut told = self.command("Runtime.evaluate", params).await;
        let problem = &told["exceptionDetails"];
        assert!(problem.is_null(), "{expression}: {}", problem["exception"]["description"]);
        told["result"]["value"].take()
    }

    pub async fn text(&self, expression: &str) -> String {
        self.eval(expression).await.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until an expression is true.
    pub async fn until(&self, what: &str, expression: &str) {
        // What is not there yet is not an error.
        let claim =
            format!("(() => {{ try {{ return Boolean({expression}); }} catch {{ return false; }} }})()");
        let waiting = eventually(what, || async { (self.eval(&claim).await == true).then_some(()) });
        let waited = tokio::time::timeout(std::time::Duration::from_secs(20), waiting).await;
        if waited.is_err() {
            let shown = self.text("location.href + '\\n' + document.body.innerText").await;
            panic!("not so after 20 seconds: {what}\n{:?}\n{shown}", self.devtools.seen().troubles);
        }
    }

    /// Waits until the page shows these words.
    pub async fn shows(&self, words: &str) {
        let words = json!(words);
        self.until(&format!("the page shows {words}"), &format!("document.body.innerText.includes({words})"))
            .await;
    }

    /// Clicks in the middle of what the selector finds, once it is there.
    pub async fn click(&self, selector: &str) {
        let found = format!("document.querySelector({})", json!(selector));
        self.until(&format!("there is {selector}"), &found).await;
        let place = self
            .eval(&format!(
                "(() => {{ const node = {found}; node.scrollIntoView({{ block: 'center' }});
                   const box = node.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; }})()"
            ))
            .await;
        for kind in ["mousePressed", "mouseReleased"] {
            let params =
                json!({ "type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1 });
            self.command("Input.dispatchMouseEvent", params).await;
        }
    }

    /// Clicks the button or link with exactly these words.
    pub async fn press(&self, words: &str) {
        let mark = format!(
            "(() => {{ const all = [...document.querySelectorAll('dialog[open] button, button, a')];
               const node = all.find((each) => each.textContent.trim() === {});
               if (!node) return false;
               document.querySelectorAll('[data-test]').forEach((each) => each.removeAttribute('data-test'));
               node.setAttribute('data-test', ''); return true; }})()",
            json!(words)
        );
        self.until(&format!("there is a button `{words}`"), &mark).await;
        self.click("[data-test]").await;
    }

    /// Presses and lets go of a key.
    pub async fn key(&self, key: &str) {
        let (code, text) = match key {
            "Enter" => (13, "\r"),
            "Tab" => (9, ""),
            "Escape" => (27, ""),
            "ArrowRight" => (39, ""),
            _ => (0, key),
        };
        let mut params = json!({ "type": "keyDown", "key": key, "windowsVirtualKeyCode": code });
        if !text.is_empty() {
            params["text"] = json!(text);
        }
        self.command("Input.dispatchKeyEvent", params.clone()).await;
        params["type"] = json!("keyUp");
        self.command("Input.dispatchKeyEvent", params).await;
    }

    /// Chooses in a list.
    pub async fn choose(&self, selector: &str, value: &str) {
        self.eval(&format!(
            "(() => {{ const node = document.querySelector({}); node.value = {};
               node.dispatchEvent(new Event('change', {{ bubbles: true }})); }})()",
            json!(selector),
            json!(value)
        ))
        .await;
    }

    /// Goes to the control with exactly these words, by keyboard.
    pub async fn tab_to(&self, words: &str) {
        let is_there = format!("document.activeElement.textContent.trim() === {}", json!(words));
        for _ in 0..STOPS_MAX {
            if self.eval(&is_there).await == true {
                return;
            }
            self.key("Tab").await;
        }
        panic!("no `{words}` can be reached with the keyboard");
    }

    /// Saves files to this folder, and asks nobody.
    pub async fn saves_to(&self, folder: &Path) {
        let params = json!({ "behavior": "allow", "downloadPath": folder.display().to_string() });
        self.devtools.command(None, "Browser.setDownloadBehavior", params).await;
    }

    /// Writes where the focus is.
    pub async fn write(&self, text: &str) {
        self.command("Input.insertText", json!({ "text": text })).await;
    }

    pub async fn size(&self, width: u32, height: u32) {
        let params = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.command("Emulation.setDeviceMetricsOverride", params).await;
    }

    /// What the system prefers.
    pub async fn prefers(&self, theme: &str) {
        let features = json!([
            { "name": "prefers-color-scheme", "value": theme },
            // Nothing moves in a picture.
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ]);
        self.command("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    /// Where `BLESS=1`, keeps a picture for the documentation.
    pub async fn picture(&self, name: &str) {
        self.picture_of(name, 1120, 720).await;
    }

    /// The same in another size.
    pub async fn picture_of(&self, name: &str, width: u32, height: u32) {
        if std::env::var_os("BLESS").is_none() {
            return;
        }
        self.size(width, height).await;
        self.eval("scrollTo(0, 0)").await;
        // Two frames: what is drawn by its size has been drawn anew.
        self.eval("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 100))))").await;
        let told = self.command("Page.captureScreenshot", json!({ "format": "png" })).await;
        let bytes = STANDARD.decode(told["data"].as_str().unwrap_or_default()).expect("a picture");
        assert!(bytes.len() < PICTURE_BYTES_MAX, "{name} has {} bytes", bytes.len());
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/images");
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join(format!("{name}.png")), bytes).expect("written");
        if width > 360 {
            self.size(1280, 800).await;
        }
    }
}
