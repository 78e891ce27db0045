//! Decisions as a table.

use super::*;

const NOON: Timestamp = Timestamp::from_secs(1_795_489_200);

fn answer(session: &str) -> Action {
    Action::Answer { session: session.to_owned(), vars: Default::default() }
}

fn route(name: &str, when: Conditions) -> Route {
    Route {
        name: name.to_owned(),
        when,
        action: answer(name),
        openai_sip: None,
        calls_max: None,
        rate: None,
        fallback: Fallback::default(),
        recording: None,
    }
}

fn to(pattern: &str) -> Conditions {
    Conditions { to: vec![NumberPattern::parse(pattern).unwrap()], ..Conditions::default() }
}

fn from(pattern: &str) -> Conditions {
    Conditions { from: vec![CallerPattern::parse(pattern).unwrap()], ..Conditions::default() }
}

fn header(name: &str, value: &str) -> Conditions {
    Conditions { headers: vec![(name.to_owned(), Wildcard::new(value))], ..Conditions::default() }
}

fn taken<'a>(routes: &'a Routes, from: Option<&str>, to: &str, headers: &[(&str, &str)]) -> Option<&'a str> {
    let headers: Vec<_> = headers.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect();
    routes.decide(&Asked { from, to: Some(to), headers: &headers, now: NOON }).route
}

#[test]
fn the_first_match_wins() {
    let routes = Routes::new(vec![
        route("withheld", from("anonymous")),
        route("campaign", header("X-Campaign", "spring*")),
        route("desk", to("+815012345678")),
        route("tokyo", to("+813*")),
    ]);
    let caller = Some("+819012345678");
    assert_eq!(taken(&routes, None, "+815012345678", &[]), Some("withheld"));
    assert_eq!(taken(&routes, caller, "+815012345678", &[("x-campaign", "spring-26")]), Some("campaign"));
    assert_eq!(taken(&routes, caller, "+815012345678", &[("x-campaign", "autumn")]), Some("desk"));
    assert_eq!(taken(&routes, caller, "+81312345678", &[]), Some("tokyo"));
}

#[test]
fn a_repeated_header_matches_with_any_of_its_values() {
    let routes = Routes::new(vec![route("vip", header("X-Tier", "gold"))]);
    let headers = [("X-Tier", "silver"), ("x-tier", "gold")];
    assert_eq!(taken(&routes, None, "+81", &headers), Some("vip"));
}

#[test]
fn a_call_that_nobody_takes_is_not_found() {
    let routes = Routes::new(vec![route("desk", to("+815012345678"))]);
    let decision = routes.decide(&Asked { from: None, to: None, headers: &[], now: NOON });
    assert!(decision.route.is_none());
    assert_eq!(*decision.action, Action::Reject(RejectCode::NOT_FOUND));
}

#[test]
fn a_share_is_sticky_and_about_as_large_as_asked() {
    let callers: Vec<String> = (0..2_000).map(|n| format!("+8190{n:08}")).collect();
    let share = |route: &str, percent| {
        callers.iter().filter(|caller| takes_share(route, Some(caller), percent)).count()
    };
    assert_eq!(share("a", 0.0), 0);
    assert_eq!(share("a", 100.0), 2_000);
    assert!((120..=280).contains(&share("a", 10.0)), "{}", share("a", 10.0));
    assert_eq!(share("a", 10.0), share("a", 10.0));
    let both = callers.iter().filter(|c| takes_share("a", Some(c), 50.0) && takes_share("b", Some(c), 50.0));
    assert!((400..=600).contains(&both.count()), "routes draw independently");
    // The draw is part of the promise: it may not change between versions.
    assert!(takes_share("trial", Some("+819012345678"), 5.0));
    assert!(!takes_share("trial", Some("+819012345678"), 4.5));
}
