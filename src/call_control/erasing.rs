//! Calls that go for good: those an operator wants erased and those that have had their time; and the journal, kept short.
//!
//! A call is erased by whoever has its place in the registry, so nobody can write it meanwhile, and what comes for
//! it later finds no such call. Its recordings go first, here and at the carrier. Where that takes longer, the store keeps
//! that the call is to be erased, and it is looked after once a minute, also after a restart.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::recordings::{RecordingError, delete_at_rest};
use super::registry::Mailbox;
use super::{CallControl, DeliverError};
use crate::call::record::State;
use crate::call::recording::DeletedBy;
use crate::clock::Timestamp;
use crate::ids::CallId;
use crate::store::{CompactError, Compacted, ErasedBy, Erasure, Recordings, Store, StoreError, Tx, Write};
use crate::text::chain;

/// How often it is looked what has had its time.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// How many calls one look erases; the next one goes on.
const PER_LOOK: usize = 64;
/// How many records that are of no use any more one commit forgets.
const PER_COMMIT: usize = 500;
/// How long it is remembered that a webhook came: vendors deliver one again for days, and one whose signature is
/// older than minutes is refused anyway.
const WEBHOOKS_KEPT: Duration = Duration::from_secs(7 * 86_400);
/// How long the proofs of what retention erased are kept. Those of what operators erased stay.
const PROOFS_KEPT: Duration = Duration::from_secs(30 * 86_400);
/// How long a call that is over may take to leave the registry: it lingers there for a second.
const LEAVES_WITHIN: Duration = Duration::from_secs(10);

/// What became of a wish to erase a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Erased {
    /// It is gone; this is the proof.
    Gone(Erasure),
    /// It goes as soon as it can: a recording is still to be deleted at the carrier, or the call is only just over. That
    /// is on disk.
    Later,
}

/// Why a call is not erased.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// There is no such call.
    #[error("no call `{0}`")]
    NoSuchCall(CallId),
    /// It is still running.
    #[error("the call `{0}` is not over: hang it up first")]
    Running(CallId),
    /// Its recordings cannot be deleted.
    #[error("its recordings cannot be deleted")]
    Recordings(#[from] RecordingError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl CallControl {
    /// Erases everything that is kept of a call, its recordings included. What an operator wants erased is deleted at the
    /// carrier too; what has had its time, where that is configured.
    ///
    /// # Errors
    ///
    /// [`EraseError`].
    pub async fn erase_call(self: &Arc<Self>, id: CallId, by: ErasedBy) -> Result<Erased, EraseError> {
        if let Some(proof) = proof_of(&self.store, id)? {
            return Ok(Erased::Gone(proof));
        }
        let deleted_by = match by {
            ErasedBy::Operator => DeletedBy::Operator,
            ErasedBy::Retention => DeletedBy::Retention,
        };
        match self.delete_recordings(id, None, deleted_by).await {
            // Erased by somebody else meanwhile.
            Err(RecordingError::Deliver(DeliverError::NoSuchCall(_))) | Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let Ok(_place) = tokio::time::timeout(LEAVES_WITHIN, self.place_of(id)).await else {
            commit(&self.store, Write::ToErase(id, by)).await?;
            return Ok(Erased::Later);
        };
        let erased = erase(&self.store, id, by, self.clock.now()).await?;
        if matches!(erased, Erased::Gone(_)) {
            self.metrics.call_erased(by.as_str());
            self.feed.forget(id);
            self.forget_notifications(id);
        }
        Ok(erased)
    }

    /// Makes the journal as short as it can be, so that what was erased is in none of its files.
    ///
    /// # Errors
    ///
    /// [`CompactError`]; nothing is lost.
    pub async fn compact(&self) -> Result<Compacted, CompactError> {
        let compacted = self.store.compact().await?;
        tell(&compacted);
        Ok(compacted)
    }

    /// Looks once a minute what has had its time, until told to stop.
    pub async fn keep_house(self: Arc<Self>, stopping: CancellationToken) {
        while stopping.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
            match self.sweep_calls(self.clock.now()).await {
                Ok(0) => {}
                Ok(count) => tracing::info!(count, "calls that had had their time were erased"),
                Err(error) => {
                    tracing::error!(error = %chain(&error), "calls that have had their time cannot be erased");
                }
            }
            match self.store.compact_if_due().await {
                Ok(None) => {}
                Ok(Some(compacted)) => tell(&compacted),
                Err(error) => tracing::error!(%error, "the journal cannot be compacted, and grows"),
            }
        }
    }

    /// Erases what was to be erased and can be by `now`, then what has had its time, a bounded number at once. Gives
    /// how many calls went.
    ///
    /// # Errors
    ///
    /// [`EraseError`]; what went before stays gone.
    pub async fn sweep_calls(self: &Arc<Self>, now: Timestamp) -> Result<usize, EraseError> {
        let mut wanted = self.store.to_erase(PER_LOOK).await?;
        if let Some(age) = self.rules().settings.calls_kept {
            let old = self.store.ended_before(now - age, PER_LOOK).await?;
            wanted.extend(old.into_iter().map(|id| (id, ErasedBy::Retention)));
        }
        let mut gone = 0;
        for (id, by) in wanted {
            match self.erase_call(id, by).await {
                Ok(Erased::Gone(_)) => gone += 1,
                Ok(Erased::Later) | Err(EraseError::NoSuchCall(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let mut outdated = self.store.outdated(now - WEBHOOKS_KEPT, now - PROOFS_KEPT, PER_COMMIT).await?;
        if let Some(age) = self.rules().settings.audit_kept {
            outdated.extend(self.store.old_audit(now - age, PER_COMMIT).await?);
        }
        if !outdated.is_empty() {
            let writes = outdated.into_iter().map(Write::Forget).collect();
            self.store.commit(Tx { expect: Vec::new(), writes }).await?;
        }
        Ok(gone)
    }

    /// The call's place in the registry, as soon as nobody looks after it any more. Who has it is the only one to write
    /// the call.
    async fn place_of(&self, id: CallId) -> Mailbox {
        loop {
            match self.registry.enter(id) {
                (_, Some(mailbox)) => return mailbox,
                (handle, None) => handle.gone().await,
            }
        }
    }
}

/// Erases a call where no gateway runs: for a command that has the store to itself. What is left to do at the carrier,
/// and with it the call, is done by the gateway that runs next.
///
/// # Errors
///
/// [`EraseError`].
pub async fn erase_at_rest(
    store: &Store,
    files: &Recordings,
    id: CallId,
    now: Timestamp,
) -> Result<Erased, EraseError> {
    if let Some(proof) = proof_of(store, id)? {
        return Ok(Erased::Gone(proof));
    }
    delete_at_rest(store, files, id, None, now).await?;
    erase(store, id, ErasedBy::Operator, now).await
}

/// The proof that a call was erased before; none: it is there, and over.
fn proof_of(store: &Store, id: CallId) -> Result<Option<Erasure>, EraseError> {
    if let Some(proof) = store.erasure(id)? {
        return Ok(Some(proof));
    }
    let record = store.call(id)?.ok_or(EraseError::NoSuchCall(id))?;
    if record.state == State::Ended { Ok(None) } else { Err(EraseError::Running(id)) }
}

/// Erases a call that nobody looks after, or keeps that it is to be erased.
async fn erase(store: &Store, id: CallId, by: ErasedBy, at: Timestamp) -> Result<Erased, EraseError> {
    match commit(store, Write::Erase { id, by, at }).await {
        Ok(()) => Ok(store.erasure(id)?.map_or(Erased::Later, Erased::Gone)),
        Err(StoreError::Conflict { what }) => {
            tracing::info!(call = %id, why = what, "the call is erased later");
            commit(store, Write::ToErase(id, by)).await?;
            Ok(Erased::Later)
        }
        Err(error) => Err(error.into()),
    }
}

async fn commit(store: &Store, write: Write) -> Result<(), StoreError> {
    store.commit(Tx { expect: Vec::new(), writes: vec![write] }).await.map(drop)
}

fn tell(compacted: &Compacted) {
    let Compacted { seq, keys, bytes, removed_bytes, resealed } = *compacted;
    tracing::info!(seq, keys, bytes, removed_bytes, resealed, "the journal was compacted");
}
