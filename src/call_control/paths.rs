//! Which way a call goes: by the rollout of its route, unless that path fails for others just now.
//!
//! What is set at run time ([`super::features`]) counts more than what the configuration says. A breaker for each
//! path counts how calls fare: while it is open, new calls take the other path at once, and then one call is the
//! trial. Where the other path fails too, a call goes the way it would have gone: it can only gain.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::Instant;

use super::Settings;
use super::features::{Choice, Choices, Feature, Features};
use crate::breaker::{self, Breaker};
use crate::call::record::Path;
use crate::metrics::Metrics;
use crate::routing::Rollout;

/// What is known of failover; a gateway without it leaves every call to its first path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failover {
    /// How long the provider may take to answer an accept before the other path is taken.
    pub accept_within: Duration,
    /// How long the provider's webhook may take once the carrier dials, before the leg is ended and the other
    /// path is taken.
    pub webhook_within: Duration,
    /// `timeout` of a dial towards the provider while there is another path, in seconds.
    pub dial_timeout_s: u32,
    /// When a path is left alone; none: never.
    pub breaker: Option<breaker::Settings>,
}

/// The way a call takes.
#[derive(Debug)]
pub(super) struct Way {
    pub path: Path,
    /// The path that is left should this one fail.
    pub other: Option<Path>,
    /// The path that was not taken, because it fails just now.
    pub avoided: Option<Path>,
    pub trial: Option<Trial>,
}

/// A call that will show whether its path works.
pub(super) type Trial = breaker::Admission<Arc<Breaker>>;

/// The ways there are.
pub(super) struct Paths {
    /// What was set at run time.
    chosen: Mutex<Choices>,
    /// Whoever changes that holds this from the reading to the end of the writing.
    pub changing: tokio::sync::Mutex<()>,
    breakers: ArcSwap<Breakers>,
    metrics: Arc<Metrics>,
}

/// What is known of how the paths fare.
struct Breakers {
    settings: Option<breaker::Settings>,
    sip: Option<Arc<Breaker>>,
    media_streams: Option<Arc<Breaker>>,
}

impl Breakers {
    fn new(settings: Option<breaker::Settings>) -> Breakers {
        let breaker = || settings.map(|settings| Arc::new(Breaker::new(settings)));
        Breakers { settings, sip: breaker(), media_streams: breaker() }
    }
}

impl Paths {
    /// Nothing is known of any path; none of them is ever left alone without a breaker.
    pub fn new(breaker: Option<breaker::Settings>, metrics: Arc<Metrics>) -> Paths {
        let breakers = ArcSwap::from_pointee(Breakers::new(breaker));
        Paths { chosen: Mutex::default(), changing: tokio::sync::Mutex::default(), breakers, metrics }
    }

    /// From now on paths are left alone by these settings. Where they differ, what was known is forgotten.
    pub fn guard_with(&self, breaker: Option<breaker::Settings>) {
        if self.breakers.load().settings != breaker {
            self.breakers.store(Arc::new(Breakers::new(breaker)));
            for path in [Path::Sip, Path::MediaStreams] {
                self.metrics.path_breaker(path.as_str(), false);
            }
        }
    }

    /// The way of a call that a model shall answer; none where there is none. `caller` is the caller's
    /// number, or the call's own id where that is withheld. Without a stream there is only SIP.
    pub fn choose(
        &self,
        settings: &Settings,
        route: Option<&str>,
        caller: &str,
        has_stream: bool,
        now: Instant,
    ) -> Option<Way> {
        let (first, has_other) = self.wanted(settings, route, caller, has_stream)?;
        let way = |path, other, avoided, trial| Some(Way { path, other, avoided, trial });
        if !has_other {
            return way(first, None, None, None);
        }
        let second = other(first);
        match self.admit(first, now) {
            Ok(trial) => way(first, Some(second).filter(|path| !self.is_open(*path, now)), None, trial),
            Err(()) => match self.admit(second, now) {
                Ok(trial) => way(second, None, Some(first), trial),
                Err(()) => way(first, None, None, None),
            },
        }
    }

    /// The path that such a call takes where none is left alone, and whether there is another one for it.
    fn wanted(
        &self,
        settings: &Settings,
        route: Option<&str>,
        caller: &str,
        has_stream: bool,
    ) -> Option<(Path, bool)> {
        let rollout = self.rollout(settings, route);
        let first = match rollout.takes(caller) {
            true => Path::Sip,
            false if has_stream => Path::MediaStreams,
            false => return None,
        };
        // Nobody goes over SIP where that is switched off, not even from a bridge that fails.
        let has_other =
            has_stream && settings.failover.is_some() && (first == Path::Sip || !rollout.is_none());
        Some((first, has_other))
    }

    /// The way that such a call would take now; nothing is tried for it.
    pub fn foresee(
        &self,
        settings: &Settings,
        route: Option<&str>,
        caller: &str,
        has_stream: bool,
        now: Instant,
    ) -> Option<Path> {
        let (first, has_other) = self.wanted(settings, route, caller, has_stream)?;
        let is_avoided = has_other && self.is_open(first, now) && !self.is_open(other(first), now);
        Some(if is_avoided { other(first) } else { first })
    }

    /// A call was moved to this path, and will show whether it works.
    pub fn moved_to(&self, path: Path, now: Instant) -> Option<Trial> {
        self.admit(path, now).ok().flatten()
    }

    /// The path of this trial works.
    pub fn worked(&self, path: Path, trial: Trial) {
        if trial.succeeded() {
            tracing::info!(path = path.as_str(), "a path works again: new calls take it");
            self.metrics.path_breaker(path.as_str(), false);
        }
    }

    /// The path of this trial failed.
    pub fn failed(&self, path: Path, trial: Trial, now: Instant) {
        if trial.failed(now) {
            tracing::error!(
                path = path.as_str(),
                "a path failed too often: new calls take the other one, until `failover.breaker.open_for` is over and a call gets through"
            );
            self.metrics.path_breaker(path.as_str(), true);
        }
    }

    /// The paths that are left alone now.
    pub fn resting(&self, now: Instant) -> Vec<Path> {
        [Path::Sip, Path::MediaStreams].into_iter().filter(|path| self.is_open(*path, now)).collect()
    }

    /// What was set at run time.
    pub fn choices(&self) -> Choices {
        self.locked().clone()
    }

    /// From now on this counts.
    pub fn take(&self, choices: Choices) {
        *self.locked() = choices;
    }

    /// How calls are sent over the paths now.
    pub fn features(&self, settings: &Settings, now: Instant) -> Features {
        let chosen = self.choices();
        let of_all = settings.openai_sip;
        let configured = |own: Option<Rollout>| own.unwrap_or(of_all);
        let own = settings.routes.iter().filter_map(|route| {
            let choice = chosen.routes.get(&route.name);
            // Where all routes were set, what one of them says of itself does not count.
            if choice.is_none() && (route.openai_sip.is_none() || chosen.all.is_some()) {
                return None;
            }
            Some((route.name.clone(), feature(configured(route.openai_sip), choice)))
        });
        let state = |path| match (self.breaker(path), self.is_open(path, now)) {
            (None, _) => "off",
            (Some(_), true) => "open",
            (Some(_), false) => "closed",
        };
        Features {
            openai_sip: feature(of_all, chosen.all.as_ref()),
            routes: own.collect(),
            failover: settings.failover.is_some(),
            breakers: [Path::Sip, Path::MediaStreams]
                .map(|path| (path.as_str().to_owned(), state(path).to_owned()))
                .into(),
        }
    }

    /// Set for the route, or for all; else the route's own, or that of the file.
    fn rollout(&self, settings: &Settings, route: Option<&str>) -> Rollout {
        let own = || route.and_then(|name| settings.routes.named(name)?.openai_sip);
        let chosen = self.locked().of(route).map(|choice| choice.value);
        chosen.or_else(own).unwrap_or(settings.openai_sip)
    }

    /// Lets a call through, with or without a breaker; an error while the path is left alone.
    fn admit(&self, path: Path, now: Instant) -> Result<Option<Trial>, ()> {
        match self.breaker(path) {
            None => Ok(None),
            Some(breaker) => breaker.admit_owned(now).map(Some).ok_or(()),
        }
    }

    fn is_open(&self, path: Path, now: Instant) -> bool {
        self.breaker(path).is_some_and(|breaker| breaker.is_open(now))
    }

    fn breaker(&self, path: Path) -> Option<Arc<Breaker>> {
        let breakers = self.breakers.load();
        match path {
            Path::Sip => breakers.sip.clone(),
            Path::MediaStreams => breakers.media_streams.clone(),
            Path::None => None,
        }
    }

    fn locked(&self) -> MutexGuard<'_, Choices> {
        // Each change is made whole, or not at all.
        self.chosen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What holds: the choice where there is one, else what the configuration says.
fn feature(configured: Rollout, choice: Option<&Choice>) -> Feature {
    Feature {
        value: choice.map_or(configured, |choice| choice.value).to_string(),
        from: if choice.is_some() { "command" } else { "file" }.to_owned(),
        configured: configured.to_string(),
        set: choice.map(|choice| choice.setting.clone()),
    }
}

fn other(path: Path) -> Path {
    match path {
        Path::Sip => Path::MediaStreams,
        _ => Path::Sip,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::call::redaction::Redaction;
    use crate::call_control::admission::{self, Overflow};
    use crate::call_control::features::Setting;
    use crate::clock::Timestamp;
    use crate::phone::CallingCode;
    use crate::routing::{Action, Conditions, Fallback, Route, Routes};

    fn settings(openai_sip: Rollout) -> Settings {
        let second = Duration::from_secs(1);
        let failover = Failover {
            accept_within: second,
            webhook_within: second,
            dial_timeout_s: 5,
            breaker: Some(BREAKER),
        };
        Settings {
            routes: routes(),
            admission: admission::Settings { calls_max: 10, overflow: Overflow::Busy, per_caller: None },
            openai_sip,
            failover: Some(failover),
            direct_sip: false,
            called_number_headers: Vec::new(),
            default_country: CallingCode::JAPAN,
            join_within: second,
            is_plain_taken: false,
            leg_limit_s: None,
            stale_after: second,
            calls_kept: None,
            audit_kept: None,
            redaction: Redaction::default(),
            handed_on_url: String::new(),
        }
    }

    fn routes() -> Routes {
        let route = |name: &str, openai_sip| Route {
            name: name.to_owned(),
            when: Conditions::default(),
            action: Action::Answer { session: "s".to_owned(), vars: BTreeMap::new() },
            openai_sip,
            calls_max: None,
            rate: None,
            fallback: Fallback::default(),
            recording: None,
        };
        Routes::new(vec![route("own", Some(Rollout::NONE)), route("plain", None)])
    }

    const BREAKER: breaker::Settings =
        breaker::Settings { failures: 2, window: None, open_for: Duration::from_secs(30) };

    fn paths() -> Paths {
        Paths::new(Some(BREAKER), Arc::new(Metrics::new()))
    }

    fn way_at(paths: &Paths, route: &str, now: Instant) -> Way {
        paths.choose(&settings(Rollout::ALL), Some(route), "+819012345678", true, now).expect("a way")
    }

    fn way(paths: &Paths, route: &str) -> (Path, Option<Path>, Option<Path>) {
        let way = way_at(paths, route, Instant::now());
        (way.path, way.other, way.avoided)
    }

    fn set(paths: &Paths, route: Option<&str>, value: Rollout) {
        let mut choices = paths.choices();
        let setting = Setting { at: Timestamp::from_secs(1), by: None };
        choices.set(route.map(str::to_owned), Choice { value, setting });
        paths.take(choices);
    }

    fn fail(paths: &Paths, path: Path) {
        let now = Instant::now();
        let trial = paths.moved_to(path, now).expect("a trial");
        paths.failed(path, trial, now);
    }

    const SIP: Path = Path::Sip;
    const BRIDGE: Path = Path::MediaStreams;

    #[test]
    fn a_command_counts_more_than_a_route_and_a_route_more_than_the_file() {
        let paths = paths();
        assert_eq!(way(&paths, "plain"), (SIP, Some(BRIDGE), None));
        assert_eq!(way(&paths, "own"), (BRIDGE, None, None), "switched off: there is no way back to it");
        set(&paths, Some("own"), Rollout::ALL);
        assert_eq!(way(&paths, "own").0, SIP);
        set(&paths, None, Rollout::NONE);
        assert_eq!((way(&paths, "own").0, way(&paths, "plain").0), (BRIDGE, BRIDGE));
        let features = paths.features(&settings(Rollout::ALL), Instant::now());
        assert_eq!(
            (features.openai_sip.value.as_str(), features.openai_sip.from.as_str()),
            ("false", "command")
        );
        assert_eq!(features.openai_sip.configured, "true");
        assert!(features.routes.is_empty(), "all means all: {features:?}");
        paths.take(Choices::default());
        assert_eq!((way(&paths, "own").0, way(&paths, "plain").0), (BRIDGE, SIP));
    }

    #[test]
    fn a_path_that_fails_is_left_alone_until_a_trial_gets_through() {
        let paths = paths();
        fail(&paths, SIP);
        assert_eq!(way(&paths, "plain"), (SIP, Some(BRIDGE), None));
        fail(&paths, SIP);
        assert_eq!(way(&paths, "plain"), (BRIDGE, None, Some(SIP)));
        assert_eq!(paths.resting(Instant::now()), [SIP]);
        let later = Instant::now() + Duration::from_secs(30);
        let trial = way_at(&paths, "plain", later);
        assert_eq!(trial.path, SIP);
        assert_eq!(way_at(&paths, "plain", later).path, BRIDGE, "one trial at a time");
        paths.worked(SIP, trial.trial.expect("a trial"));
        assert_eq!(way(&paths, "plain"), (SIP, Some(BRIDGE), None));
    }

    #[test]
    fn where_both_paths_fail_a_call_goes_its_own_way() {
        let paths = paths();
        for path in [SIP, SIP, BRIDGE, BRIDGE] {
            fail(&paths, path);
        }
        assert_eq!(way(&paths, "plain"), (SIP, None, None));
        assert_eq!(paths.features(&settings(Rollout::ALL), Instant::now()).breakers["media-streams"], "open");
    }

    #[test]
    fn a_call_without_a_stream_goes_over_sip_or_not_at_all() {
        let way = |rollout| {
            paths().choose(&settings(rollout), Some("plain"), "+819012345678", false, Instant::now())
        };
        assert!(way(Rollout::NONE).is_none());
        assert_eq!(way(Rollout::ALL).map(|way| (way.path, way.other)), Some((SIP, None)));
    }

    #[test]
    fn what_is_known_of_the_paths_outlives_a_reload_that_leaves_the_breaker_as_it_is() {
        let paths = paths();
        fail(&paths, SIP);
        fail(&paths, SIP);
        paths.guard_with(Some(BREAKER));
        assert_eq!(paths.resting(Instant::now()), [SIP]);
        paths.guard_with(Some(breaker::Settings { failures: 3, ..BREAKER }));
        assert!(paths.resting(Instant::now()).is_empty(), "another breaker knows nothing");
        paths.guard_with(None);
        assert!(paths.moved_to(SIP, Instant::now()).is_none(), "nobody is on trial without one");
    }
}
