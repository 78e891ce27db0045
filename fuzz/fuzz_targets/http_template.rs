//! An HTTP tool's address: no argument leads to another host or out of the path that was written.
#![no_main]

use std::collections::BTreeMap;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use switchboard::tool::http::template::{Facts, JsonTemplate, RequestTemplate, UrlTemplate, plain_text};

#[derive(Arbitrary, Debug)]
struct Tool<'a> {
    /// Behind a fixed origin; or an address as somebody may write it.
    path: &'a str,
    is_whole: bool,
    argument: &'a str,
    header: &'a str,
    json: &'a str,
}

fuzz_target!(|tool: Tool<'_>| {
    let source = match tool.is_whole {
        true => tool.path.to_owned(),
        false => format!("https://api.example.com/v1/{{{{ args.name }}}}/{}", tool.path),
    };
    if let Ok(json) = serde_json::from_str(tool.json) {
        let _ = JsonTemplate::compile(json);
    }
    let Ok(url) = UrlTemplate::compile(&source, "shown") else { return };
    let Ok(header) = plain_text(tool.header) else { return };
    let arguments = serde_json::json!({ "name": tool.argument });
    let names = ["name".to_owned()];
    let facts = Facts::of_sample(&arguments, BTreeMap::new(), names.iter());
    let request = RequestTemplate {
        method: "GET".to_owned(),
        url,
        headers: vec![("X-Name".to_owned(), header)],
        query: Vec::new(),
        body: None,
    };
    if let Ok(request) = request.render(&facts)
        && !tool.is_whole
    {
        assert!(
            request.url.starts_with("https://api.example.com/v1/"),
            "{} leads to {}",
            source,
            request.url
        );
    }
});
