//! What a call speaks to its provider over: a sideband beside a SIP call, or a bridge that also carries the
//! audio. The runner does not ask which.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::CallControl;
use super::registry::Caller;
use super::runner::Plan;
use crate::call::event::{CommandId, Event, ProviderCommand};
use crate::call::record::CallRecord;
use crate::clock::Steady;
use crate::media::bridge::{Bridge, Parts};
use crate::openai::dialect;
use crate::openai::sideband::{Sideband, SidebandItem};

/// The way to the provider.
pub(super) enum Link {
    /// Audio goes over SIP.
    Sideband(Box<Sideband>),
    /// Audio goes through us.
    Bridge(Bridge),
}

/// What the way to the provider has to say.
pub(super) enum LinkItem {
    /// Something happened.
    Event(Event),
    /// The same, and it was the last.
    Last(Event),
    /// It is down.
    Down,
}

impl Link {
    /// What it says next. Cancel-safe.
    pub async fn next(&mut self) -> LinkItem {
        match self {
            Link::Sideband(sideband) => match sideband.next().await {
                SidebandItem::Event(event) => LinkItem::Event(Event::Provider(event)),
                SidebandItem::Lost(code) => LinkItem::Last(Event::SidebandLost(code)),
            },
            Link::Bridge(bridge) => bridge.next().await.map_or(LinkItem::Down, LinkItem::Event),
        }
    }

    /// Hands a command over and does not wait.
    pub fn send(&mut self, id: CommandId, command: ProviderCommand) {
        match self {
            Link::Sideband(sideband) => sideband.send(dialect::write(id, &command)),
            Link::Bridge(bridge) => bridge.send(id, command),
        }
    }

    /// The bridge, where it is one.
    pub fn bridge(&self) -> Option<&Bridge> {
        match self {
            Link::Sideband(_) => None,
            Link::Bridge(bridge) => Some(bridge),
        }
    }
}

/// Builds the bridge of a call, and the task that must run for it; it also looks after the recording, where
/// the call is recorded.
pub(super) fn bridge(
    control: &Arc<CallControl>,
    plan: &Plan,
    body: String,
    caller: Caller,
    call: &CallRecord,
) -> Option<(Link, impl Future<Output = ()> + Send + 'static)> {
    let session = RawValue::from_string(body).ok()?;
    let (tape, making) = call.consent.as_ref().and_then(|_| control.tape(call.id)).unzip();
    let (bridge, task) = Bridge::new(Parts {
        phone: caller.phone,
        stream: caller.stream,
        said: caller.said,
        connector: control.rules().sidebands.clone(),
        model: plan.session.model.clone(),
        session,
        recording: tape,
        clock: Arc::new(Steady::new(&control.clock)),
    });
    let task = async move {
        match making {
            Some(making) => making.follow(task).await,
            None => drop(task.await),
        }
    };
    Some((Link::Bridge(bridge), task))
}
