//! How an offered call is answered: the verdict, the terms of the call, and the session in the provider's words.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::CallControl;
use super::incoming::{Beginnings, context_of};
use super::intake::Choice;
use super::runner::Plan;
use crate::call::consent;
use crate::call::event::Verdict;
use crate::call::record::{CallRecord, EndedReason, Path};
use crate::call::terms::{Greeting, Terms, TurnDetection};
use crate::clock::Timestamp;
use crate::phone::PartyNumber;
use crate::routing::Target;
use crate::session::{CallFacts, Session};
use crate::tool::Toolbox;

/// SIP: the callee declines; what a call without our token gets.
const DECLINED: u16 = 603;
/// SIP: busy here.
const BUSY: u16 = 486;
/// SIP: we cannot serve at the moment; the carrier goes on to its next choice at once.
pub(super) const UNAVAILABLE: u16 = 503;

impl CallControl {
    pub(super) fn verdict(
        &self,
        record: &CallRecord,
        choice: Result<Choice, String>,
        beginnings: &Beginnings,
        now: Timestamp,
    ) -> (Verdict, Option<Box<Plan>>) {
        let refuse = |sip_code, reason, detail| (Verdict::Refuse { sip_code, reason, detail }, None);
        match choice {
            Err(why) => refuse(DECLINED, EndedReason::Rejected, Some(why)),
            Ok(Choice::TooMany { why, .. }) => refuse(BUSY, EndedReason::Busy, Some(why.to_string())),
            Ok(Choice::Reject { code, .. }) => refuse(code.get(), EndedReason::Rejected, None),
            Ok(Choice::Stopping { .. }) => refuse(UNAVAILABLE, EndedReason::Stopping, None),
            Ok(Choice::Apology { .. }) => refuse(UNAVAILABLE, EndedReason::Apology, None),
            Ok(Choice::Forward { target, .. }) => self.forward(record, &target, beginnings, now),
            Ok(Choice::Answer { session, vars, .. }) => {
                match self.answer(record, &session, &vars, beginnings, now) {
                    Ok((terms, plan)) => (Verdict::Answer(Box::new(terms)), Some(Box::new(plan))),
                    Err(why) => {
                        tracing::error!(call = %record.id, session = session.name, why, "a session cannot be used");
                        refuse(UNAVAILABLE, EndedReason::AcceptFailed, Some(why))
                    }
                }
            }
        }
    }

    /// A caller who came over a bare trunk is forwarded by the provider: accepted first, then referred.
    fn forward(
        &self,
        record: &CallRecord,
        target: &Target,
        beginnings: &Beginnings,
        now: Timestamp,
    ) -> (Verdict, Option<Box<Plan>>) {
        let rules = self.rules();
        let Some(session) = rules.sessions.values().next() else {
            let detail = Some("forwarding needs at least one session".to_owned());
            let reason = EndedReason::Rejected;
            return (Verdict::Refuse { sip_code: UNAVAILABLE, reason, detail }, None);
        };
        match self.answer(record, session, &BTreeMap::new(), beginnings, now) {
            Ok((mut terms, plan)) => {
                terms.greeting = Greeting::Wait;
                let verdict = Verdict::Forward { target: target.to_string(), terms: Box::new(terms) };
                (verdict, Some(Box::new(plan)))
            }
            Err(why) => {
                let reason = EndedReason::Rejected;
                (Verdict::Refuse { sip_code: UNAVAILABLE, reason, detail: Some(why) }, None)
            }
        }
    }

    pub(super) fn answer(
        &self,
        record: &CallRecord,
        session: &Arc<Session>,
        vars: &BTreeMap<String, String>,
        beginnings: &Beginnings,
        now: Timestamp,
    ) -> Result<(Terms, Plan), String> {
        let id = record.id.to_string();
        let is_bridged = record.path == Path::MediaStreams;
        let masked =
            record.caller.as_deref().map(|caller| PartyNumber::read(caller, self.country()).masked());
        let facts = CallFacts {
            id: &id,
            from: record.caller.as_deref(),
            from_masked: masked.as_deref(),
            to: record.callee.as_deref(),
            path: if is_bridged { "media-streams" } else { "sip" },
        };
        let explain = |error| format!("the template cannot be rendered: {error}");
        let instructions = session.instructions_for(&facts, vars, now).map_err(explain)?;
        let instructions = beginnings.change(instructions);
        let greeting = session.greeting_for(&facts, vars, now).map_err(explain)?;
        let greeting = consent::announced(record.consent.as_ref(), greeting);
        let toolbox = Arc::clone(&beginnings.toolbox);
        let tools = toolbox.offered_in(session);
        let tools = tools.iter().map(|tool| &**tool);
        let body = match is_bridged {
            true => session.bridge_body(&instructions, tools),
            false => session.accept_body(&instructions, tools),
        };
        let terms = self.terms(&toolbox, session, greeting);
        let context = context_of(record, session, vars);
        Ok((terms, Plan { toolbox, session: Arc::clone(session), body, context }))
    }

    fn terms(&self, toolbox: &Toolbox, session: &Session, greeting: Option<String>) -> Terms {
        Terms {
            session: session.name.clone(),
            model: session.model.clone(),
            transcription_model: session.transcription.as_ref().map(|how| how.model.clone()),
            greeting: match greeting {
                None => Greeting::Wait,
                Some(text) if text.trim().is_empty() => Greeting::ByInstructions,
                Some(text) => Greeting::Prompt(text),
            },
            turn_detection: turn_detection(session),
            duration_max: Some(session.limits.duration),
            silence_max: session.limits.silence,
            tool_calls_max: session.limits.tool_calls,
            tools: toolbox.terms(session),
            transfer_targets: session
                .transfer
                .iter()
                .map(|(name, target)| (name.clone(), target.to_string()))
                .collect(),
            prices: Arc::clone(&self.rules().prices),
        }
    }
}

/// Turn detection in the dialect's words; none where the session has none.
fn turn_detection(session: &Session) -> Option<TurnDetection> {
    session.turn_detection.as_ref()?;
    let json = |value: serde_json::Value| RawValue::from_string(value.to_string()).ok();
    Some(TurnDetection {
        usual: json(session.turn_detection_update())?,
        deferring: json(session.turn_detection_deferring())?,
        is_off_at_first: session.protects_greeting(),
    })
}
