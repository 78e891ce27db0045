//! What arguments can and cannot do to a request.

use serde_json::json;

use super::*;
use crate::tool::context::{CallContext, Wishes};

fn context() -> CallContext {
    CallContext {
        call_id: "call_01890a5dac96774bbcceb302099a8057".parse().unwrap(),
        caller: Some("+819012345678".to_owned()),
        callee: None,
        language: Some("ja".to_owned()),
        route: None,
        session: Some("shop".to_owned()),
        vars: [("shop".to_owned(), "Da Vinci".to_owned())].into(),
        history: Vec::new(),
        wishes: Wishes::default(),
    }
}

fn texts(pairs: &[(&str, &str)]) -> Vec<(String, Text)> {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), plain_text(text).unwrap())).collect()
}

fn template(url: &str) -> RequestTemplate {
    RequestTemplate {
        method: "GET".to_owned(),
        url: UrlTemplate::compile(url, "/…").unwrap_or_else(|error| panic!("{url}: {error}")),
        headers: Vec::new(),
        query: Vec::new(),
        body: None,
    }
}

fn render(template: &RequestTemplate, arguments: Json) -> Result<Request, RenderError> {
    let known = ["a", "b", "n"].map(str::to_owned);
    template.render(&Facts::new(&context(), &arguments, known.iter()))
}

#[test]
fn values_stay_where_they_are_put() {
    let path = template("https://api.example.com/v2/{{ args.a }}/x?q={{ args.b }}&n=1");
    for (a, b, expected) in [
        ("A-1", "x", "A-1/x?q=x&n=1"),
        ("a b", "a b", "a%20b/x?q=a%20b&n=1"),
        ("a/b", "a/b", "a%2Fb/x?q=a%2Fb&n=1"),
        ("a?admin=1", "x&admin=1", "a%3Fadmin%3D1/x?q=x%26admin%3D1&n=1"),
        ("a#b", "a#b", "a%23b/x?q=a%23b&n=1"),
        ("@evil.example", "@evil.example", "%40evil.example/x?q=%40evil.example&n=1"),
        ("//evil.example", "//evil.example", "%2F%2Fevil.example/x?q=%2F%2Fevil.example&n=1"),
        ("%41", "%26admin=1", "%2541/x?q=%2526admin%3D1&n=1"),
        ("a;b", "a;b=c", "a%3Bb/x?q=a%3Bb%3Dc&n=1"),
        ("{{ call.from }}", "${HOME}", "%7B%7B%20call.from%20%7D%7D/x?q=%24%7BHOME%7D&n=1"),
        ("佐藤", "a+b", "%E4%BD%90%E8%97%A4/x?q=a%2Bb&n=1"),
        ("...", "..", ".../x?q=..&n=1"),
        ("a", "line\r\nX: y", "a/x?q=line%0D%0AX%3A%20y&n=1"),
    ] {
        let request =
            render(&path, json!({ "a": a, "b": b })).unwrap_or_else(|error| panic!("{a}: {error:?}"));
        assert_eq!(request.url, format!("https://api.example.com/v2/{expected}"));
    }
    for a in
        ["", ".", "..", "../admin", "a/../b", "..\\admin", "a\r\nHost: x", "a\0", "\u{7f}", "%2e%2e", "..;x"]
    {
        let refused = render(&path, json!({ "a": a, "b": "x" }));
        assert!(matches!(refused, Err(RenderError::Value(_))), "{a:?}: {refused:?}");
    }
    let two = template("https://api.example.com/v2/{{ args.a }}{{ args.b }}");
    assert!(matches!(render(&two, json!({ "a": ".", "b": "." })), Err(RenderError::Value(_))));
    let list = render(&path, json!({ "a": ["x"], "b": "x" }));
    assert!(matches!(list, Err(RenderError::Value(_))), "{list:?}");
}

#[test]
fn numbers_and_truths_are_plain_text() {
    let url =
        template("https://api.example.com/{{ args.n }}/{{ args.a }}?f={{ call.from }}&v={{ vars.shop }}");
    let url = |arguments| render(&url, arguments).unwrap().url;
    let rest = "?f=%2B819012345678&v=Da%20Vinci";
    assert_eq!(url(json!({ "n": 2, "a": true })), format!("https://api.example.com/2/true{rest}"));
    assert_eq!(url(json!({ "n": 2.0, "a": 0.5 })), format!("https://api.example.com/2/0.5{rest}"));
}

#[test]
fn an_entry_whose_argument_is_not_given_is_left_out() {
    let query = texts(&[("a", "{{ args.a }}"), ("b", "{{ args.b }}"), ("all", "1")]);
    let with = |url: &str| RequestTemplate { query: query.clone(), ..template(url) };
    let url = |template: &RequestTemplate, arguments| render(template, arguments).unwrap().url;
    let (bare, own) = (with("https://a.example/x"), with("https://a.example/x?own={{ args.a }}"));
    assert_eq!(url(&bare, json!({ "a": "1&b=2" })), "https://a.example/x?a=1%26b%3D2&all=1");
    assert_eq!(url(&own, json!({ "a": "1", "b": "2" })), "https://a.example/x?own=1&a=1&b=2&all=1");
    let missing = render(&own, json!({}));
    assert!(matches!(&missing, Err(RenderError::Template(error)) if error.is_unknown_name), "{missing:?}");
}

#[test]
fn a_header_carries_one_line_of_ascii() {
    let headers = texts(&[("X-Who", "{{ args.a }}"), ("X-B", "{{ args.b }}")]);
    let template = RequestTemplate { headers, ..template("https://a.example/x") };
    let request = render(&template, json!({ "a": "someone" })).unwrap();
    assert_eq!(request.secret_headers, [("X-Who".to_owned(), Secret::new("someone"))]);
    for a in ["a\r\nX-Admin: 1", "a\nb", "a\0", "佐藤"] {
        let refused = render(&template, json!({ "a": a }));
        assert!(matches!(refused, Err(RenderError::Value(_))), "{a:?}: {refused:?}");
    }
}

#[test]
fn json_is_built_and_not_spliced() {
    let body = json!({
        "name": "{{ args.a }}", "party": "{{ args.n }}", "note": "for {{ args.a }}", "fixed": [1, "{{ args.b }}"],
        "deep": { "b": "{{ args.b }}", "shop": "{{ vars.shop }}" }
    });
    let body = Some(BodyTemplate::Json(JsonTemplate::compile(body).unwrap()));
    let template = RequestTemplate { method: "POST".to_owned(), body, ..template("https://a.example/x") };
    let sent = |arguments| {
        let request = render(&template, arguments).unwrap();
        assert!(request.headers.contains(&("Content-Type".to_owned(), "application/json".to_owned())));
        serde_json::from_slice::<Json>(&request.body.unwrap()).unwrap()
    };
    assert_eq!(
        sent(json!({ "a": "x\", \"admin\": true, \"y\": \"", "n": 2 })),
        json!({
            "name": "x\", \"admin\": true, \"y\": \"", "party": 2, "note": "for x\", \"admin\": true, \"y\": \"",
            "fixed": [1], "deep": { "shop": "Da Vinci" }
        })
    );
    let given = sent(json!({ "a": "x", "n": 2.5, "b": { "c": [true, null] } }));
    assert_eq!((&given["party"], &given["deep"]["b"]), (&json!(2.5), &json!({ "c": [true, null] })));
}

#[test]
fn a_form_is_encoded() {
    let body = Some(BodyTemplate::Form(texts(&[("To", "{{ args.a }}"), ("B", "{{ args.b }}")])));
    let template = RequestTemplate { method: "POST".to_owned(), body, ..template("https://a.example/x") };
    let request = render(&template, json!({ "a": "1&Admin=1" })).unwrap();
    assert_eq!(request.body.as_deref(), Some(b"To=1%26Admin%3D1".as_slice()));
}

#[test]
fn the_host_is_no_template() {
    for (url, words) in [
        ("https://{{ args.a }}.example.com/", "no template"),
        ("https://api.example.com{{ args.a }}/x", "no template"),
        ("{{ args.a }}://api.example.com/x", "no template"),
        ("https://api.example.com:{{ args.n }}/x", "no template"),
        ("api.example.com/x", "begins with"),
        ("https://user@api.example.com/x", "user"),
        ("https://api.example.com/x#top", "`#`"),
        ("https://api.example.com/{{ args.a", "template"),
        ("https://api.example.com/..%2f/{{ args.a }}", "hidden"),
        ("ftp://api.example.com/x", "https://"),
    ] {
        let error = UrlTemplate::compile(url, "").unwrap_err();
        assert!(error.contains(words), "{url}: {error}");
    }
    let odd = template("https://api.example.com/a{{ \"?\" }}b?c={{ args.a }}");
    assert_eq!(render(&odd, json!({ "a": "1" })).unwrap().url, "https://api.example.com/a%3Fb?c=1");
}
