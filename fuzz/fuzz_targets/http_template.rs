//! An HTTP tool's address: no argument leads to another host or out of the path that was written.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use switchboard::tool::http::template::{Facts, JsonTemplate, RequestTemplate, UrlTemplate, plain_text};

/// What follows a fixed origin, or a whole address; an argument, a header, a JSON body.
type Tool<'a> = (&'a str, bool, &'a str, &'a str, &'a str);

fuzz_target!(|tool: Tool<'_>| {
    let (path, is_whole, argument, header, json) = tool;
    let source = match is_whole {
        true => path.to_owned(),
        false => format!("https://api.example.com/v1/{{{{ args.name }}}}/{}", path),
    };
    if let Ok(json) = serde_json::from_str(json) {
        let _ = JsonTemplate::compile(json);
    }
    let Ok(url) = UrlTemplate::compile(&source, "shown") else { return };
    let Ok(header) = plain_text(header) else { return };
    let arguments = serde_json::json!({ "name": argument });
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
        && !is_whole
    {
        assert!(
            request.url.starts_with("https://api.example.com/v1/"),
            "{} leads to {}",
            source,
            request.url
        );
    }
});
