//! What plugins make of a call before it is accepted.
//!
//! Their `incoming` hooks are asked after the route was chosen and before the provider gets its verdict,
//! all at the same time, and once in a call, whatever paths it takes. In the order of their names the first
//! that rejects or forwards decides; of sessions and variables the later wins; changes of the instructions
//! follow each other. An answer that is late, failed or makes no sense is left out, said in the log and noted
//! with the call.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::CallControl;
use super::intake::Choice;
use crate::call::event::FromHooks;
use crate::call::record::CallRecord;
use crate::call::variable_problem;
use crate::routing::{RejectCode, Target};
use crate::session::{OUTPUT_BYTES_MAX, Session};
use crate::tool::Toolbox;
use crate::tool::context::{CallContext, Wishes};
use crate::tool::hooks::{Decision, Hook, IncomingAnswer, Instructions};

/// With what a call begins: the tools of the moment, and what plugins made of it.
#[derive(Clone)]
pub(super) struct Beginnings {
    /// The tools it keeps to its end.
    pub toolbox: Arc<Toolbox>,
    /// Changes of the session's instructions, in order.
    pub instructions: Vec<Instructions>,
    /// What goes into the record.
    pub hooks: FromHooks,
}

impl Beginnings {
    /// A call of which no plugin is asked.
    pub fn new(toolbox: Arc<Toolbox>) -> Beginnings {
        Beginnings { toolbox, instructions: Vec::new(), hooks: FromHooks::default() }
    }

    /// The instructions as the plugins want them, cut where they become longer than a template may.
    pub fn change(&self, mut instructions: String) -> String {
        for change in &self.instructions {
            match change {
                Instructions::Append(text) => {
                    if !instructions.is_empty() {
                        instructions.push_str("\n\n");
                    }
                    instructions.push_str(text);
                }
                Instructions::Replace(text) => instructions.clone_from(text),
            }
            instructions.truncate(instructions.floor_char_boundary(OUTPUT_BYTES_MAX));
        }
        instructions
    }

    fn ignore(&mut self, record: &CallRecord, plugin: &str, problem: &str) {
        tracing::warn!(call = %record.id, plugin, problem, "an `incoming` hook was not followed");
        self.hooks.notes.push(("hook.ignored", format!("{plugin}: {problem}")));
    }
}

/// What was decided about a call when it was offered first, kept for as long as somebody looks after it.
pub(super) struct Decided {
    choice: Choice,
    beginnings: Beginnings,
}

impl Decided {
    /// The same for an offer that comes after the first one, of a call that was moved to another path as a rule.
    fn again(&self, record: &CallRecord, choice: &mut Choice) -> Beginnings {
        *choice = self.choice.clone();
        let mut beginnings = self.beginnings.clone();
        if record.moved.is_some() {
            // They stand in the record, with what was set since then.
            beginnings.hooks = FromHooks::default();
            if let Choice::Answer { vars, .. } = choice {
                vars.extend(record.vars.clone());
            }
        }
        beginnings
    }
}

/// What a tool or a hook may know about a call.
pub(super) fn context_of(
    record: &CallRecord,
    session: &Session,
    vars: &BTreeMap<String, String>,
) -> CallContext {
    CallContext {
        call_id: record.id,
        caller: record.caller.clone(),
        callee: record.callee.clone(),
        language: session.language.clone(),
        route: record.route.clone(),
        session: Some(session.name.clone()),
        vars: session.vars.iter().chain(vars).map(|(key, value)| (key.clone(), value.clone())).collect(),
        history: Vec::new(),
        wishes: Wishes::default(),
    }
}

impl CallControl {
    /// What plugins make of an offered call, and what becomes of the choice. They are asked once: what they said
    /// holds on whatever path the call goes on.
    pub(super) async fn ask(
        &self,
        record: &CallRecord,
        choice: &mut Result<Choice, String>,
        headers: &[(String, String)],
    ) -> Beginnings {
        let Ok(choice) = choice else { return Beginnings::new(self.tools.current()) };
        let decided = self.registry.find(record.id).map(|handle| handle.decided);
        if let Some(decided) = decided.as_ref().and_then(|decided| decided.get()) {
            return decided.again(record, choice);
        }
        let beginnings = self.ask_hooks(record, choice, headers).await;
        if let Some(decided) = decided.filter(|_| record.other_path.is_some()) {
            // Offers of one call are decided one after the other: nobody else has set it.
            let _ = decided.set(Decided { choice: choice.clone(), beginnings: beginnings.clone() });
        }
        beginnings
    }

    /// Asks the plugins about a call that would be answered, and changes the choice as they say.
    async fn ask_hooks(
        &self,
        record: &CallRecord,
        choice: &mut Choice,
        headers: &[(String, String)],
    ) -> Beginnings {
        let mut beginnings = Beginnings::new(self.tools.current());
        let toolbox = Arc::clone(&beginnings.toolbox);
        let Choice::Answer { session, vars, .. } = &*choice else { return beginnings };
        if !toolbox.hooks().any_at(Hook::Incoming) {
            return beginnings;
        }
        let context = context_of(record, session, vars);
        // On the heap: without hooks, which is the rule, an offer's future stays small.
        for (plugin, answer) in Box::pin(toolbox.hooks().incoming(&context, headers)).await {
            match answer {
                Ok(answer) => {
                    if self.follow(record, choice, &plugin, answer, &mut beginnings) {
                        break;
                    }
                }
                Err(missing) => {
                    if missing.is_late() {
                        self.metrics.plugin_hook_late(&plugin);
                    }
                    beginnings.ignore(record, &plugin, &missing.to_string());
                }
            }
        }
        beginnings
    }

    /// Does what one plugin says. Claims that the call is decided: what others say does not count.
    fn follow(
        &self,
        record: &CallRecord,
        choice: &mut Choice,
        plugin: &str,
        answer: IncomingAnswer,
        beginnings: &mut Beginnings,
    ) -> bool {
        let Choice::Answer { route, session, vars } = choice else { return true };
        let route = route.clone();
        match answer.decision {
            Decision::Proceed => {}
            Decision::Reject(code) => match RejectCode::new(code) {
                Some(code) => {
                    let note = format!("{plugin}: SIP {}", code.get());
                    beginnings.hooks.notes.push(("hook.reject", note));
                    *choice = Choice::Reject { route, code };
                    return true;
                }
                None => beginnings.ignore(record, plugin, &format!("{code} is no SIP code to reject with")),
            },
            Decision::Forward(target) => match Target::parse(&target) {
                Ok(target) => {
                    beginnings.hooks.notes.push(("hook.forward", plugin.to_owned()));
                    *choice = Choice::Forward { route, target };
                    return true;
                }
                Err(error) => beginnings.ignore(record, plugin, &format!("forward: {error}")),
            },
        }
        if let Some(name) = answer.session {
            match self.rules().sessions.get(&name) {
                Some(other) => {
                    *session = Arc::clone(other);
                    beginnings.hooks.notes.push(("hook.session", format!("{plugin}: {name}")));
                }
                None => beginnings.ignore(record, plugin, &format!("there is no session `{name}`")),
            }
        }
        for (name, value) in answer.vars {
            match variable_problem(vars, &name, &value) {
                None => {
                    vars.insert(name.clone(), value.clone());
                    beginnings.hooks.vars.insert(name, value);
                }
                Some(problem) => beginnings.ignore(record, plugin, problem),
            }
        }
        if let Some(change) = answer.instructions {
            beginnings.hooks.notes.push(("hook.instructions", plugin.to_owned()));
            beginnings.instructions.push(change);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_of_the_instructions_follow_each_other_and_stay_bounded() {
        let change = |instructions: Vec<Instructions>, text: &str| {
            let mut beginnings = Beginnings::new(Arc::default());
            beginnings.instructions = instructions;
            beginnings.change(text.to_owned())
        };
        let append = |text: &str| Instructions::Append(text.to_owned());
        let replace = |text: &str| Instructions::Replace(text.to_owned());
        assert_eq!(change(vec![append("b"), append("c")], "a"), "a\n\nb\n\nc");
        assert_eq!(change(vec![append("b"), replace("c"), append("d")], "a"), "c\n\nd");
        assert_eq!(change(vec![append("b")], ""), "b");
        let long = "あ".repeat(OUTPUT_BYTES_MAX);
        assert!(change(vec![replace(&long), append("b")], "a").len() <= OUTPUT_BYTES_MAX);
    }
}
