//! Tools of the program that embeds the gateway: plain code, trusted, without a sandbox.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::call::terms::ToolTerms;
use crate::session::ToolDefinition;
use crate::tool::context::CallContext;
use crate::tool::plugin::Failure;

/// A tool written in the embedding program.
#[derive(Clone)]
pub struct Embedded {
    /// As the model sees it.
    pub definition: ToolDefinition,
    /// What the life of a call must know of it.
    pub terms: ToolTerms,
    /// Running it twice does no harm.
    pub may_repeat: bool,
    /// It wants to know what was said so far.
    pub wants_history: bool,
    /// The longest it may take.
    pub time_max: Duration,
    /// What it does.
    pub run: Arc<dyn Run>,
}

/// What an embedded tool does.
pub trait Run: Send + Sync {
    /// Answers a call of it with JSON; `arguments` are JSON that fits its parameters. Dropped when its time
    /// or the phone call is over.
    fn run(&self, context: CallContext, arguments: String) -> BoxFuture<'static, Result<String, Failure>>;
}

impl<F> Run for F
where
    F: Fn(CallContext, String) -> BoxFuture<'static, Result<String, Failure>> + Send + Sync,
{
    fn run(&self, context: CallContext, arguments: String) -> BoxFuture<'static, Result<String, Failure>> {
        self(context, arguments)
    }
}

impl Embedded {
    /// Runs it within its time.
    pub(super) async fn call(&self, context: &CallContext, arguments: &str) -> Result<String, Failure> {
        let run = self.run.run(context.clone(), arguments.to_owned());
        tokio::time::timeout(self.time_max, run).await.unwrap_or(Err(Failure::Timeout(self.time_max)))
    }
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedded").field("name", &self.definition.name).finish_non_exhaustive()
    }
}
