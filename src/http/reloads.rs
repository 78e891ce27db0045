//! How the configuration is read again while the gateway runs: who asks for it, and what came of it last.

use std::sync::{Mutex, MutexGuard, PoisonError};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::clock::Timestamp;

/// A value that differs between two configurations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigChange {
    /// Its key from the top, elements of lists that have names by these: `routes[night].session`.
    pub key: String,
    /// As it was; none: it was not there. What is secret is `•••`.
    pub old: Option<String>,
    /// As it is; none: it is gone.
    pub new: Option<String>,
}

/// What came of reading the configuration again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reloaded {
    /// When it was decided.
    pub at: Timestamp,
    /// It holds; else it was refused whole, and everything is as before.
    pub ok: bool,
    /// What differs from what held before, where it holds.
    pub changes: Vec<ConfigChange>,
    /// Keys whose values the running process does not follow: they hold from its next start, or `switchboard handover`.
    pub needs_restart: Vec<String>,
    /// What is wrong with it, and what is allowed but probably not meant, for a person; empty: nothing.
    pub problems: String,
}

/// Whoever asked for it, and is told what came of it.
pub type ReloadAsked = oneshot::Sender<Reloaded>;

/// The way to whoever reads the configuration, and what came of it last.
pub struct Reloads {
    asks: mpsc::Sender<ReloadAsked>,
    look_again: Notify,
    last: Mutex<Option<Reloaded>>,
}

impl Reloads {
    /// Nothing was read again yet. Gives also where it arrives that somebody asks.
    pub fn new() -> (Reloads, mpsc::Receiver<ReloadAsked>) {
        // One is read, and one more waits that sees what changed meanwhile; others are told to wait.
        let (asks, asked) = mpsc::channel(1);
        (Reloads { asks, look_again: Notify::new(), last: Mutex::default() }, asked)
    }

    /// Has the configuration read again. None: it is being done already, or the gateway is stopping.
    pub async fn reload(&self) -> Option<Reloaded> {
        let (ask, answer) = oneshot::channel();
        self.asks.try_send(ask).ok()?;
        answer.await.ok()
    }

    /// The same for somebody who does not wait for the answer. Whoever asked before sees what changed until now.
    pub fn reload_soon(&self) {
        let _ = self.asks.try_send(oneshot::channel().0);
    }

    /// Has every plugin's file looked at.
    pub fn look_again(&self) {
        self.look_again.notify_one();
    }

    /// Waits until somebody wants that.
    pub async fn asked_to_look(&self) {
        self.look_again.notified().await;
    }

    /// What came of it last; none: the configuration of the start holds.
    pub fn last(&self) -> Option<Reloaded> {
        self.locked().clone()
    }

    /// Keeps what came of it.
    pub fn note(&self, reloaded: Reloaded) {
        *self.locked() = Some(reloaded);
    }

    fn locked(&self) -> MutexGuard<'_, Option<Reloaded>> {
        // It is put in whole.
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
