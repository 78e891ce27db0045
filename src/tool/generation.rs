//! Which tools new calls get, and what became of the last changes.
//!
//! A [`Toolbox`] never changes: a changed plugin makes a new one, a *generation*. Each call keeps the
//! generation it began with until it ends, and with its last call a generation is gone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use crate::clock::Timestamp;

use super::Toolbox;

/// The generation for new calls.
#[derive(Debug)]
pub struct Generations {
    current: ArcSwap<Toolbox>,
    /// By plugin; a plugin that never changed has none.
    changes: Mutex<BTreeMap<String, Change>>,
}

/// What became of a changed plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// When it was decided.
    pub at: Timestamp,
    /// Why the new version was refused, for the operator; none: it is in use.
    pub refused: Option<String>,
}

impl Generations {
    /// The first generation.
    pub fn new(toolbox: Toolbox) -> Generations {
        Generations { current: ArcSwap::from_pointee(toolbox), changes: Mutex::default() }
    }

    /// The tools for a new call.
    pub fn current(&self) -> Arc<Toolbox> {
        self.current.load_full()
    }

    /// New calls get these tools from now on; calls that run keep theirs.
    pub fn replace(&self, toolbox: Toolbox) {
        self.current.store(Arc::new(toolbox));
    }

    /// Keeps what became of a changed plugin.
    pub fn note(&self, plugin: &str, change: Change) {
        self.changes().insert(plugin.to_owned(), change);
    }

    /// What became of the last change of a plugin.
    pub fn change_of(&self, plugin: &str) -> Option<Change> {
        self.changes().get(plugin).cloned()
    }

    fn changes(&self) -> MutexGuard<'_, BTreeMap<String, Change>> {
        // Each change is put in whole, so that a panic elsewhere leaves nothing half done.
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
