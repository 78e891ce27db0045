//! What a plugin asks for is held against what it is granted, before anybody calls.

use switchboard::secret::Secret;
use switchboard::tool::hooks::Hook;
use switchboard::tool::outbound::Pattern;
use switchboard::tool::plugin::{Grants, LoadError, Need, Power};

use super::{call, guests_asking, guests_with, load, refusal, settings};

const EVERYTHING: &str = "kv\nhttp https://api.example.com/v2/*\nsecret TOKEN\nhistory\ncall say\ncall inject-context\n\
                          call transfer\ncall hang-up\ncall set-variable\nhook incoming\nhook event\nhook ended";

fn all_granted() -> Grants {
    Grants {
        kv: Some("guests".to_owned()),
        http: vec![Pattern::parse("https://api.example.com/*").expect("a pattern")],
        secrets: [("TOKEN".to_owned(), Secret::new("very private"))].into(),
        history: true,
        calls: Power::ALL.to_vec(),
        hooks: vec![Hook::Ended, Hook::Incoming, Hook::Event],
        ..Grants::default()
    }
}

#[tokio::test]
async fn a_plugin_that_is_granted_all_is_loaded() {
    let plugin = load(&guests_asking(EVERYTHING, all_granted())).await;
    assert_eq!(plugin.hooks(), [Hook::Incoming, Hook::Event, Hook::Ended]);
    let about = plugin.about();
    assert_eq!((about.interface, about.version.as_str(), about.needs.len()), ("0.2.0", "0.2.0", 12));
    assert!(plugin.unused_grants().is_empty());
    assert!(!format!("{:?}", plugin.settings()).contains("very private"));
}

#[tokio::test]
async fn what_is_missing_is_named_with_the_lines_that_grant_it() {
    let none = refusal(&guests_asking(EVERYTHING, Grants::default())).await;
    insta::assert_snapshot!(none, @r#"it asks for `kv` and `http https://api.example.com/v2/*` and `secret TOKEN` and `history` and `call say` and `call inject-context` and `call transfer` and `call hang-up` and `call set-variable` and `hook incoming` and `hook event` and `hook ended`, which is not granted; write `http = ["https://api.example.com/v2/*"]` and `calls = ["say", "inject-context", "transfer", "hang-up", "set-variable"]` and `hooks = ["incoming", "event", "ended"]` and `secrets = { TOKEN = "${TOKEN}" }` and `kv = "test-guests"` and `history = true` in `[plugins.test-guests.allow]`, if that is meant"#);
    let http = vec![Pattern::parse("GET https://api.example.com/v2/orders/*").expect("a pattern")];
    let narrow = refusal(&guests_asking(EVERYTHING, Grants { http, ..all_granted() })).await;
    insta::assert_snapshot!(narrow, @r#"it asks for `http https://api.example.com/v2/*`, which is not granted; write `http = ["GET https://api.example.com/v2/orders/*", "https://api.example.com/v2/*"]` in `[plugins.test-guests.allow]`, if that is meant"#);
}

#[tokio::test]
async fn what_nobody_could_grant_is_refused() {
    let mut told = Vec::new();
    for needs in ["http ftp://example.com/*", "http *", "secret A B", "secret "] {
        told.push(refusal(&guests_asking(needs, all_granted())).await);
    }
    for way in ["needy", "huge_need"] {
        told.push(refusal(&guests_with("describe", way)).await);
    }
    insta::assert_snapshot!(told.join("\n"), @r"
    it asks for `http ftp://example.com/*`, which cannot be granted: a URL begins with https:// or http://; correct what its `describe` asks for, and build it again
    it asks for `http *`, which cannot be granted: a pattern begins with https:// (or http://, where that is meant); correct what its `describe` asks for, and build it again
    it asks for `secret A B`, which cannot be granted: a secret's name has 1 to 64 letters, digits, `_` and `-`; correct what its `describe` asks for, and build it again
    it asks for `secret `, which cannot be granted: a secret's name has 1 to 64 letters, digits, `_` and `-`; correct what its `describe` asks for, and build it again
    it asks for `*`, which cannot be granted: a plugin asks for at most 64 things; correct what its `describe` asks for, and build it again
    plugins/test-guests/test-guests.wasm says more than 4 MiB about itself when it is asked for its tools and needs; shorten their descriptions and schemas, and build it again
    ");
}

#[tokio::test]
async fn a_need_that_is_said_twice_counts_once() {
    let settings = guests_with("describe", "twice_needy");
    let plugin = load(&switchboard::tool::plugin::Settings { grants: all_granted(), ..settings }).await;
    assert_eq!(plugin.about().needs, [Need::Kv, Need::History]);
    let unused: Vec<String> = plugin.unused_grants().into_iter().map(|unused| unused.place).collect();
    let expected = [
        "http[0]",
        "secrets.TOKEN",
        "calls[0]",
        "calls[1]",
        "calls[2]",
        "calls[3]",
        "calls[4]",
        "hooks[0]",
        "hooks[1]",
        "hooks[2]",
    ];
    assert_eq!(unused, expected);
}

#[tokio::test]
async fn a_grant_without_an_ask_gives_nothing() {
    let plugin = load(&guests_asking("history", all_granted())).await;
    assert!(plugin.hooks().is_empty());
    for (tool, arguments, denied) in [
        ("kv_get", "{}", "Denied"),
        ("fetch", "\"GET https://api.example.com/\"", "Denied"),
        ("reveal", "\"TOKEN\"", "Denied"),
        ("say", "\"hello\"", "Denied"),
    ] {
        let told = format!("{:?}", super::call_with(&plugin, tool, arguments).await);
        assert!(told.contains(denied), "{tool}: {told}");
    }
    assert!(call(&plugin, "history").await.is_ok());
}

#[tokio::test]
async fn nothing_is_granted_while_a_plugin_describes_itself() {
    let settings = switchboard::tool::plugin::Settings {
        grants: Grants { reveal: vec!["TOKEN".to_owned()], ..all_granted() },
        config: [
            ("describe".to_owned(), "try_everything".to_owned()),
            ("needs".to_owned(), EVERYTHING.to_owned()),
        ]
        .into(),
        ..settings("test-guests")
    };
    let plugin = load(&settings).await;
    insta::assert_snapshot!(plugin.tools()[0].description, @r#"kv Some(Error::Denied), http Some(Error::Denied("no request is granted")), secret Err(Error::Denied), call Err(Error::Denied), history Some(Error::Denied), config Some("try_everything"), clock true"#);
}

#[tokio::test]
async fn what_a_tool_says_of_itself_reaches_the_toolbox() {
    let plugin = load(&guests_with("describe", "patient")).await;
    let tool = &plugin.tools()[0];
    assert_eq!(tool.say_first.as_deref(), Some("One moment, please."));
    assert_eq!((tool.interruptible, tool.may_repeat), (false, true));
    assert_eq!(tool.timeout, Some(std::time::Duration::from_millis(700)));
    let long = refusal(&guests_with("describe", "talkative")).await;
    insta::assert_snapshot!(long, @"its tool `echo` cannot be offered: what is said first has more than 300 characters; correct this in the plugin's `describe`, and build it again");
}

#[tokio::test]
async fn the_way_out_stands_apart_from_the_reason() {
    let settings = guests_asking("kv", Grants::default());
    let error: LoadError = super::HOST.load(&settings, None).await.expect_err("it is refused");
    assert_eq!(error.to_string(), "it asks for `kv`, which is not granted");
    let help = "write `kv = \"test-guests\"` in `[plugins.test-guests.allow]`, if that is meant";
    assert_eq!(error.help(), help);
}
