//! The dashboard: static files in the binary, served on the admin listener beside the API that they speak.
//!
//! Nothing here is secret and nothing asks who reads it: a page without a session gets nothing from the API. Nothing is
//! loaded from elsewhere, and the content security policy has browsers refuse it, too. What is in the pages is under
//! `dashboard/`; there is no build step.

use std::sync::LazyLock;

use poem::endpoint::make_sync;
use poem::http::{HeaderValue, StatusCode, header};
use poem::{Request, Response, Route, get};
use sha2::{Digest, Sha256};

/// What a browser lets the pages do: only what comes from this very listener. `data:` is for images that style sheets
/// bring with them.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     media-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The addresses of pages. One file answers at all of them; which page it shows is decided in the browser.
const PAGES: [&str; 13] = [
    "/",
    "/signin",
    "/live",
    "/calls",
    "/calls/:id",
    "/routes",
    "/tools",
    "/webhooks",
    "/notifications",
    "/config",
    "/health",
    "/cost",
    "/audit",
];

/// One file.
struct File {
    /// Where it is, below `dashboard/` and below `/`.
    path: &'static str,
    bytes: &'static [u8],
    /// Of its bytes: a file that did not change is not sent again.
    etag: LazyLock<String>,
}

macro_rules! files {
    ($($name:ident $path:literal)*) => {
        /// All of them.
        static FILES: &[&File] = &[$(&$name),*];
        $(static $name: File = File {
            path: $path,
            bytes: include_bytes!(concat!("dashboard/", $path)),
            etag: LazyLock::new(|| etag_of(include_bytes!(concat!("dashboard/", $path)))),
        };)*
    };
}

files! {
    INDEX "index.html"
    ACTIONS "assets/actions.js"
    API "assets/api.js"
    BASE "assets/base.css"
    CHART "assets/chart.js"
    DOM "assets/dom.js"
    FIRST "assets/first.js"
    FORMAT "assets/format.js"
    ICON "assets/icon.svg"
    KEPT "assets/kept.js"
    MAIN "assets/main.js"
    PAGES_CSS "assets/pages.css"
    PAGES_JS "assets/pages.js"
    AUDIT "assets/pages/audit.js"
    CALL "assets/pages/call.js"
    CALLS "assets/pages/calls.js"
    CONFIG "assets/pages/config.js"
    COST "assets/pages/cost.js"
    HEALTH "assets/pages/health.js"
    LIVE "assets/pages/live.js"
    LOST "assets/pages/lost.js"
    NOTIFICATIONS "assets/pages/notifications.js"
    ROUTES "assets/pages/routes.js"
    SIGNIN "assets/pages/signin.js"
    TOOLS "assets/pages/tools.js"
    WEBHOOKS "assets/pages/webhooks.js"
    PARTS "assets/parts.js"
    PLAYER "assets/player.js"
    ROUTER "assets/router.js"
    SCHEMA_FORM "assets/schema_form.js"
    SESSION "assets/session.js"
    SHORTCUTS "assets/shortcuts.js"
    STREAM "assets/stream.js"
    TIMELINE "assets/timeline.js"
    TRANSCRIPT "assets/transcript.js"
    VLIST "assets/vlist.js"
    WORDS "assets/words.js"
    EN "assets/words/en.js"
    JA "assets/words/ja.js"
}

/// The routes of the dashboard, added to these.
pub(super) fn routes(routes: Route) -> Route {
    let routes = PAGES.iter().fold(routes, |routes, page| routes.at(*page, get(served(&INDEX))));
    FILES.iter().fold(routes, |routes, file| routes.at(format!("/{}", file.path), get(served(file))))
}

fn served(file: &'static File) -> impl poem::Endpoint<Output = Response> {
    make_sync(move |request: Request| answer(file, &request))
}

fn answer(file: &File, request: &Request) -> Response {
    let etag = file.etag.as_str();
    let is_known = request.header(header::IF_NONE_MATCH).is_some_and(|known| known.contains(etag));
    let mut response = if is_known {
        Response::builder().status(StatusCode::NOT_MODIFIED).finish()
    } else {
        Response::builder().content_type(content_type(file.path)).body(file.bytes)
    };
    let headers = response.headers_mut();
    if let Ok(etag) = HeaderValue::from_str(etag) {
        headers.insert(header::ETAG, etag);
    }
    for (name, value) in [
        // Asked for each time, and answered with 304: after an upgrade no page mixes old files with new ones.
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn etag_of(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    let short: String = digest.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{short}\"")
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/javascript; charset=utf-8",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::fs;
    use std::path::Path;

    use super::*;

    fn below(folder: &Path, found: &mut BTreeSet<String>, root: &Path) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                below(&path, found, root);
            } else {
                let inside = path.strip_prefix(root).expect("below it");
                found.insert(inside.to_string_lossy().replace('\\', "/"));
            }
        }
    }

    fn text(path: &str) -> &'static str {
        let file = FILES.iter().find(|file| file.path == path).expect("a file");
        std::str::from_utf8(file.bytes).expect("a text")
    }

    #[test]
    fn every_file_of_the_folder_is_served() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/dashboard");
        let mut there = BTreeSet::new();
        below(&root, &mut there, &root);
        let served: BTreeSet<String> = FILES.iter().map(|file| file.path.to_owned()).collect();
        assert_eq!(served, there);
    }

    #[test]
    fn every_page_can_be_opened_by_its_address() {
        let known = text("assets/pages.js").split("\nconst PAGES = {").nth(1).expect("the pages");
        let known = known.split("};").next().unwrap_or_default().split('"').skip(1).step_by(2);
        let mut known: BTreeSet<&str> = known.collect();
        known.insert("/calls/:id");
        assert_eq!(PAGES.into_iter().collect::<BTreeSet<_>>(), known);
    }

    /// `"name": "words",` on lines of their own.
    fn dictionary(path: &str) -> BTreeMap<&'static str, &'static str> {
        let lines = text(path).lines().filter_map(|line| line.trim().strip_prefix('"'));
        lines.filter_map(|line| line.split_once("\": ")).collect()
    }

    #[test]
    fn both_languages_say_everything_that_a_page_asks_for() {
        let (en, ja) = (dictionary("assets/words/en.js"), dictionary("assets/words/ja.js"));
        assert!(en.len() > 200, "the dictionary was read: {}", en.len());
        assert_eq!(en.keys().collect::<Vec<_>>(), ja.keys().collect::<Vec<_>>());
        let places = |words: &str| {
            let parts = words.split('{').skip(1).filter_map(|rest| rest.split_once('}'));
            parts.map(|(name, _)| name.to_owned()).collect::<BTreeSet<_>>()
        };
        for (name, words) in &en {
            assert_eq!(places(words), places(ja[name]), "{name}");
        }
        for file in FILES.iter().filter(|file| file.path.ends_with(".js")) {
            for rest in text(file.path).split(" t(\"").chain(text(file.path).split("(t(\"")).skip(1) {
                let name = rest.split('"').next().unwrap_or_default();
                let is_name = !name.is_empty()
                    && name.bytes().all(|byte| byte.is_ascii_lowercase() || b"._".contains(&byte));
                assert!(!is_name || en.contains_key(name), "{} asks for `{name}`", file.path);
            }
        }
    }

    #[test]
    fn no_page_makes_markup_out_of_text() {
        for file in FILES.iter().filter(|file| file.path.ends_with(".js")) {
            for way in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "DOMParser",
                "eval(",
                "http://",
                "https://",
            ] {
                // The one address in them is the name of SVG.
                let text = text(file.path).replace("http://www.w3.org/2000/svg", "");
                assert!(!text.contains(way), "{} has `{way}`", file.path);
            }
        }
    }
}
