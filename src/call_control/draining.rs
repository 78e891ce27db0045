//! A gateway that is being stopped: no new calls, time for those that run, and what is left goes to the next process.
//!
//! Over SIP nothing has to be done for that: the caller hears nothing of it. The stream of a bridged call is
//! closed, and the carrier, which then asks what comes next, is told to ask once more a little later.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::timeout;

use super::CallControl;

/// How long tools that run may take to answer before their calls are left. Most need less than a second. Callers hear
/// nothing of the wait, but a tool that is asked for meanwhile begins only in the next process: about as long as a phrase
/// such as "one moment" covers.
const FINISHED_WITHIN: Duration = Duration::from_secs(5);
/// How long the tasks of calls may take to write down what they know and go.
const LEFT_WITHIN: Duration = Duration::from_secs(5);
/// How long the carrier may take to ask about streams that we closed.
const ASKED_WITHIN: Duration = Duration::from_secs(3);
/// How often it is looked whether it did.
const LOOK_EVERY: Duration = Duration::from_millis(20);

impl CallControl {
    /// Lets no new calls in from here on: the carrier is told what the route does where no model is to be had.
    pub fn refuse_calls(&self) {
        self.closing.cancel();
    }

    /// Claims that new calls are not let in any more.
    pub fn is_refusing(&self) -> bool {
        self.closing.is_cancelled()
    }

    /// Waits, for a while, until no tool runs that may not run twice: nobody could tell the next process what came of it.
    /// None begins from here on; the next process begins it. Everything else goes on. To be called before calls are left.
    pub async fn finish_tools(&self) {
        self.finishing.cancel();
        self.unfinished.close();
        if timeout(FINISHED_WITHIN, self.unfinished.wait()).await.is_err() {
            tracing::warn!(
                calls = self.unfinished.len(),
                "tools that may not run twice still run: the next process tells the model that they were interrupted"
            );
        }
    }

    /// Claims that tools that may not run twice do not begin any more.
    pub fn is_finishing(&self) -> bool {
        self.finishing.is_cancelled()
    }

    /// Leaves all calls that still run as they are: the next process goes on with them.
    pub async fn leave_calls(&self) {
        self.leaving.cancel();
        if timeout(LEFT_WITHIN, self.drained()).await.is_err() {
            tracing::warn!(calls = self.active(), "calls could not be left in order");
        }
    }

    /// Leaves the bridged calls, whose callers notice: the sooner they are with the next process the better. The doors
    /// must still be open, for the carrier asks about each of them.
    pub async fn leave_streams(&self) {
        let bridged = self.bridged.load(Ordering::Relaxed);
        self.leaving_streams.cancel();
        let asked = async {
            while self.sent_on.load(Ordering::Relaxed) < bridged {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        if timeout(ASKED_WITHIN, asked).await.is_err() {
            tracing::warn!(calls = bridged, "the carrier did not ask about every stream that was closed");
        }
    }
}
