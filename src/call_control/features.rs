//! What operators set at run time: which calls go over SIP, whatever the configuration says.
//!
//! It is kept with the calls: a change is on disk before it holds, and then holds until it is taken back, also for
//! the process after this one, however this one ends. A rollback in the middle of an outage must not be undone
//! by the restart that follows. The journal has every change since its last compaction, with when and by whom.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::time::Instant;

use super::CallControl;
use crate::clock::Timestamp;
use crate::routing::{Rollout, Routes};
use crate::store::{StoreError, Tx, Write};

/// Under which name the store keeps it.
const KEPT_AS: &str = "features.openai_sip";
/// The form in which it is kept.
const FORMAT: u8 = 1;
/// How long the name of whoever sets something may be: a login name, or that of a program.
pub const BY_CHARS_MAX: usize = 64;

/// How calls are sent over the paths now; also what `GET /api/v1/features` gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Features {
    /// Calls over SIP, where a route does not say otherwise.
    pub openai_sip: Feature,
    /// Routes with a value of their own.
    pub routes: BTreeMap<String, Feature>,
    /// Whether a call whose path fails goes on over the other one.
    pub failover: bool,
    /// How the paths fare: `closed`, `open`, or `off`.
    pub breakers: BTreeMap<String, String>,
}

/// A value, and where it is from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Feature {
    /// `true`, `false` or a share such as `25%`.
    pub value: String,
    /// `file`, or `command` where it was set at run time.
    pub from: String,
    /// What the configuration says.
    pub configured: String,
    /// When and by whom it was set, where it was set at run time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<Setting>,
}

/// When something was set, and by whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Setting {
    /// When.
    pub at: Timestamp,
    /// The name that was given with it, if any; nobody checks it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<By>,
}

/// A name of somebody who sets something: one line of at most [`BY_CHARS_MAX`] characters, not empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct By(String);

/// A text that is no such name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write a name of one line and 1 to {BY_CHARS_MAX} characters")]
pub struct BadName;

/// Why something was not set.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// There is no route of this name.
    #[error("no route `{0}`")]
    NoSuchRoute(String),
    /// It could not be kept, and so it does not hold.
    #[error("nothing was changed, as the change could not be kept")]
    Store(#[from] StoreError),
}

/// A value that somebody chose.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Choice {
    #[serde(serialize_with = "write_rollout", deserialize_with = "read_rollout")]
    pub value: Rollout,
    #[serde(flatten)]
    pub setting: Setting,
}

/// Everything that was set and holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Choices {
    v: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all: Option<Choice>,
    #[serde(default)]
    pub routes: BTreeMap<String, Choice>,
    /// Who took everything back, where that was the last change; for whoever reads the journal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    taken_back: Option<Setting>,
}

impl CallControl {
    /// How calls are sent over the paths now.
    pub fn features(&self) -> Features {
        self.paths.features(&self.rules().settings, Instant::now())
    }

    /// Has the next calls of a route, or of all routes, go over SIP or not; durable when this returns.
    ///
    /// # Errors
    ///
    /// [`ChangeError`]; nothing has changed then.
    pub async fn set_openai_sip(
        self: &Arc<Self>,
        route: Option<String>,
        value: Rollout,
        by: Option<By>,
    ) -> Result<(), ChangeError> {
        if let Some(name) = route.as_ref().filter(|name| self.rules().settings.routes.named(name).is_none()) {
            return Err(ChangeError::NoSuchRoute(name.clone()));
        }
        let setting = Setting { at: self.clock.now(), by };
        let (name, whose) = (route.clone(), setting.by.clone());
        self.change(move |choices| choices.set(route, Choice { value, setting })).await?;
        tracing::warn!(
            route = name.as_deref().unwrap_or("all"),
            openai_sip = %value,
            by = whose.as_ref().map(By::as_str),
            "which path calls take was changed by a command"
        );
        Ok(())
    }

    /// Which calls go over SIP is again as the configuration says; durable when this returns.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; nothing has changed then.
    pub async fn reset_openai_sip(self: &Arc<Self>, by: Option<By>) -> Result<(), StoreError> {
        let setting = Setting { at: self.clock.now(), by };
        let whose = setting.by.clone();
        self.change(move |choices| choices.take_back(setting)).await?;
        tracing::warn!(
            by = whose.as_ref().map(By::as_str),
            "which path calls take is again as the configuration says"
        );
        Ok(())
    }

    /// Takes up what an earlier process was told.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store cannot be read.
    pub fn recall_features(&self) -> Result<(), StoreError> {
        let Some(text) = self.store.meta(KEPT_AS)? else { return Ok(()) };
        match Choices::read(&text) {
            Ok(choices) => {
                choices.tell(&self.rules().settings.routes);
                self.paths.take(choices);
            }
            // Only a later version writes what this one cannot read: a gateway that answers is better than none.
            Err(why) => tracing::error!(
                why,
                "what `switchboard features` set cannot be read: calls take their path as the configuration says; set it again"
            ),
        }
        Ok(())
    }

    /// One change after the other, each on disk before it holds.
    async fn change(
        self: &Arc<Self>,
        change: impl FnOnce(&mut Choices) + Send + 'static,
    ) -> Result<(), StoreError> {
        let control = Arc::clone(self);
        // In a task of its own: whoever asked may go away in the middle, and what is on disk shall hold here too.
        let changing = self.runners.spawn(async move {
            let _one_by_one = control.paths.changing.lock().await;
            let mut choices = control.paths.choices();
            change(&mut choices);
            // Routes come and go with the configuration; what was set for one that is gone does not stay for ever.
            let rules = control.rules();
            choices.routes.retain(|name, _| rules.settings.routes.named(name).is_some());
            let writes = vec![Write::Meta { name: KEPT_AS.to_owned(), value: choices.to_text() }];
            control.store.commit(Tx { expect: Vec::new(), writes }).await?;
            control.paths.take(choices);
            Ok(())
        });
        changing.await.unwrap_or(Err(StoreError::Closed))
    }
}

impl Choices {
    /// Whoever sets it for all routes means all of them.
    pub fn set(&mut self, route: Option<String>, choice: Choice) {
        self.taken_back = None;
        match route {
            Some(name) => {
                self.routes.insert(name, choice);
            }
            None => *self = Choices { all: Some(choice), ..Choices::default() },
        }
    }

    fn take_back(&mut self, setting: Setting) {
        *self = Choices { taken_back: Some(setting), ..Choices::default() };
    }

    /// What was chosen for a route, or for all of them.
    pub fn of(&self, route: Option<&str>) -> Option<&Choice> {
        route.and_then(|name| self.routes.get(name)).or(self.all.as_ref())
    }

    fn to_text(&self) -> String {
        let kept = Choices { v: FORMAT, ..self.clone() };
        serde_json::to_string(&kept).expect("names, numbers and words")
    }

    fn read(text: &str) -> Result<Choices, String> {
        let choices: Choices = serde_json::from_str(text).map_err(|error| error.to_string())?;
        match choices.v {
            FORMAT => Ok(choices),
            other => Err(format!("it is of format {other}, and this program reads {FORMAT}")),
        }
    }

    /// Says what holds although the configuration may say something else: nobody shall have to guess after a start.
    fn tell(&self, routes: &Routes) {
        let named = self.routes.iter().map(|(name, choice)| (Some(name.as_str()), choice));
        for (route, choice) in self.all.iter().map(|choice| (None, choice)).chain(named) {
            if route.is_some_and(|name| routes.named(name).is_none()) {
                tracing::warn!(
                    route,
                    "`switchboard features` set the path of calls of a route that is not there any more"
                );
                continue;
            }
            tracing::warn!(
                route = route.unwrap_or("all"),
                openai_sip = %choice.value,
                at = %choice.setting.at,
                by = choice.setting.by.as_ref().map(By::as_str),
                "calls take their path as a command set it, whatever the configuration says: `switchboard features reset` takes it back"
            );
        }
    }
}

impl By {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for By {
    type Error = BadName;

    fn try_from(text: String) -> Result<By, BadName> {
        let is_name = (1..=BY_CHARS_MAX).contains(&text.chars().count()) && !text.contains(char::is_control);
        if is_name { Ok(By(text)) } else { Err(BadName) }
    }
}

impl From<By> for String {
    fn from(by: By) -> String {
        by.0
    }
}

fn write_rollout<S: Serializer>(value: &Rollout, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}

fn read_rollout<'de, D: Deserializer<'de>>(from: D) -> Result<Rollout, D::Error> {
    String::deserialize(from)?.parse().map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(value: &str, by: Option<&str>) -> Choice {
        let by = by.map(|name| By::try_from(name.to_owned()).unwrap());
        Choice {
            value: value.parse().unwrap(),
            setting: Setting { at: Timestamp::from_secs(1_795_000_000), by },
        }
    }

    #[test]
    fn what_is_kept_reads_back_the_same() {
        let mut choices = Choices::default();
        choices.set(None, choice("25%", Some("hana")));
        choices.set(Some("support".to_owned()), choice("false", None));
        let kept = Choices::read(&choices.to_text()).unwrap();
        assert_eq!((&kept.all, &kept.routes), (&choices.all, &choices.routes));
        assert_eq!(kept.of(Some("support")), Some(&choice("false", None)));
        assert_eq!(kept.of(Some("other")), kept.of(None));
        choices.take_back(choice("true", Some("ken")).setting);
        let kept = Choices::read(&choices.to_text()).unwrap();
        assert_eq!((kept.of(Some("support")), kept.taken_back.is_some()), (None, true));
    }

    #[test]
    fn what_is_no_choice_is_not_taken_for_one() {
        for (text, why) in [
            ("", "EOF"),
            (r#"{"v":2,"routes":{}}"#, "format 2"),
            (r#"{"v":1,"all":{"value":"often","at":1}}"#, "share"),
            (r#"{"v":1,"all":{"value":"true","at":1,"by":"a\nb"}}"#, "one line"),
        ] {
            let error = Choices::read(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert_eq!(By::try_from("x".repeat(BY_CHARS_MAX + 1)), Err(BadName));
    }
}
