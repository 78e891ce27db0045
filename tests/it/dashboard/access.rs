//! Whether everybody can use the pages: axe, in both themes and on a telephone.

use serde_json::Value;

use super::browser::Browser;

const AXE: &str = include_str!("../../fixtures/axe/axe.min.js");

/// Serious and critical faults of the page that is shown; `only` limits the rules.
pub async fn faults(browser: &Browser, only: &str) -> Vec<String> {
    if browser.eval("typeof axe").await == "undefined" {
        browser.eval(&format!("{AXE}; true")).await;
    }
    let run = format!(
        "axe.run(document, {{ resultTypes: ['violations']{only} }}).then((told) => told.violations
           .filter((each) => ['serious', 'critical'].includes(each.impact))
           .map((each) => `${{each.id}}: ${{each.nodes.slice(0, 4).map((node) => node.target.join(' ') + ' (' + node.failureSummary + ')').join('; ')}}`))"
    );
    let told = browser.eval(&run).await;
    let Value::Array(list) = told else { panic!("axe tells {told}") };
    list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// All pages, once each by every rule in light, and by contrast in dark; and none is wider than a telephone.
pub async fn is_for_everybody(browser: &Browser, pages: &[(&str, &str)]) {
    for (path, landmark) in pages {
        browser.prefers("light").await;
        browser.go(path).await;
        browser.until(&format!("{path} is there"), landmark).await;
        assert_eq!(faults(browser, "").await, [""; 0], "{path} in light");
        browser.prefers("dark").await;
        let contrast = ", runOnly: { type: 'rule', values: ['color-contrast', 'link-in-text-block'] }";
        assert_eq!(faults(browser, contrast).await, [""; 0], "{path} in dark");
        browser.prefers("light").await;
        browser.size(360, 740).await;
        let wide = browser.eval("[document.documentElement.scrollWidth, innerWidth]").await;
        assert!(wide[0].as_u64() <= wide[1].as_u64(), "{path} is wider than a telephone: {wide}");
        browser.size(1280, 800).await;
    }
}
