//! Notifications that wait for their endpoints, and dead letters; both by call, so that they go with it.

use serde::Deserialize;

use super::error::StoreError;
use super::index::with_prefix;
use super::key::{self, NotificationList};
use super::tx::Outdated;
use super::{Store, parse, read};
use crate::call::notification::{Notification, NotificationState};
use crate::clock::Timestamp;
use crate::ids::{CallId, NotificationId};

/// Which notification for which endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
pub struct NotificationKey {
    /// Its id; the first, so that keys sort by time.
    pub id: NotificationId,
    /// The call.
    pub call: CallId,
    /// The endpoint.
    pub endpoint: String,
}

impl NotificationKey {
    /// That of this notification.
    pub fn of(notification: &Notification) -> NotificationKey {
        NotificationKey {
            id: notification.id.clone(),
            call: notification.call,
            endpoint: notification.endpoint.clone(),
        }
    }
}

/// When something that waits is due; the rest of it is read when it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Due {
    /// When it happened.
    pub at: Timestamp,
    /// When it is tried next.
    pub next: Option<Timestamp>,
}

impl Store {
    /// A notification that waits or is dead; none: it was taken, or erased.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store cannot be read.
    pub fn notification(&self, of: &NotificationKey) -> Result<Option<Notification>, StoreError> {
        let index = &self.0.shared.index;
        let waiting = read(index, &key::notification_in(NotificationList::Waiting, of))?;
        match waiting {
            Some(waiting) => Ok(Some(waiting)),
            None => read(index, &key::notification_in(NotificationList::Dead, of)),
        }
    }

    /// What waits and is not `known`, oldest call first.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store cannot be read.
    pub async fn notifications_waiting(
        &self,
        is_known: impl Fn(&NotificationKey) -> bool + Send + 'static,
    ) -> Result<Vec<(NotificationKey, Due)>, StoreError> {
        self.scan(move |index| {
            let mut found = Vec::new();
            for listed in index.keys(&with_prefix(key::notification_list(NotificationList::Waiting))) {
                let listed = listed?;
                let Some(of) = key::listed_notification(&listed).filter(|of| !is_known(of)) else { continue };
                found.extend(read::<Due>(index, &listed)?.map(|due| (of, due)));
            }
            Ok(found)
        })
        .await
    }

    /// Up to `limit` notifications in this state that are wanted, newest call first.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store cannot be read.
    pub async fn notifications(
        &self,
        state: NotificationState,
        limit: usize,
        is_wanted: impl Fn(&NotificationKey) -> bool + Send + 'static,
    ) -> Result<Vec<Notification>, StoreError> {
        self.scan(move |index| {
            let list = match state {
                NotificationState::Waiting => NotificationList::Waiting,
                NotificationState::Dead => NotificationList::Dead,
            };
            let mut found = Vec::new();
            for listed in index.keys_back(&with_prefix(key::notification_list(list))) {
                if found.len() >= limit {
                    break;
                }
                let listed = listed?;
                if !key::listed_notification(&listed).is_some_and(|of| is_wanted(&of)) {
                    continue;
                }
                if let Some(value) = index.get(&listed)? {
                    found.push(parse(&listed, &value)?);
                }
            }
            Ok(found)
        })
        .await
    }

    /// How many dead letters there are, and those that have had their time: of calls that began before `before`, and
    /// the oldest while there are more than `count_max`; a bounded number at once.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store cannot be read.
    pub async fn old_dead_letters(
        &self,
        before: Timestamp,
        count_max: usize,
        limit: usize,
    ) -> Result<(usize, Vec<Outdated>), StoreError> {
        self.scan(move |index| {
            let all = with_prefix(key::notification_list(NotificationList::Dead));
            let keys: Vec<String> = index.keys(&all).collect::<Result<_, _>>()?;
            let count = keys.len();
            let bound = format!("{}{}", all.start, key::first_call_at(before));
            let aged = keys.iter().take_while(|key| **key < bound).count();
            let old = aged.max(count.saturating_sub(count_max)).min(limit);
            Ok((count - old, keys.into_iter().take(old).map(Outdated).collect()))
        })
        .await
    }
}
