//! What tools and hooks want of the call they serve.
//!
//! A wish is carried out by the same means as the model's own: a turn with those words, a goodbye before
//! the line goes, a transfer to a target of the session. While the sideband is not up, wishes wait for
//! it. Every wish is noted with the plugin that had it, and so is why nothing came of one.

use std::collections::BTreeMap;

use super::event::{ContextRole, ProviderCommand, Wish, Wished};
use super::fillers::say_exactly;
use super::leave::{Do, Exit};
use super::step::Call;
use crate::clock::Timestamp;

/// How many wishes may wait for the sideband. It is away for seconds; a plugin that has more to say
/// until then has something else wrong.
const WAITING_MAX: usize = 16;
/// How many variables a call has at most.
const VARIABLES_MAX: usize = 64;
/// The longest name of a variable, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// The longest value of a variable, in bytes: a sentence or a small JSON, which every tool call carries.
const VALUE_BYTES_MAX: usize = 4 << 10;

impl Call {
    pub(super) fn on_wished(&mut self, wished: Wished, now: Timestamp) {
        match &wished.wish {
            Wish::SetVariable { name, value } => self.set_variable(&wished.by, name, value, now),
            Wish::Progress(words) => self.on_progress(&wished, words, now),
            _ if !self.is_up() => self.wish_later(wished, now),
            _ => self.carry_out(&wished, now),
        }
        self.go_on(now);
    }

    /// The sideband is up, or up again.
    pub(super) fn carry_out_waiting_wishes(&mut self, now: Timestamp) {
        for wished in std::mem::take(&mut self.waiting_wishes) {
            self.carry_out(&wished, now);
        }
    }

    /// The call is over: what nothing came of is said.
    pub(super) fn note_lost_wishes(&mut self, now: Timestamp) {
        for wished in std::mem::take(&mut self.waiting_wishes) {
            self.note_wish("wish.lost", &wished.by, "the call ended before the sideband was up", now);
        }
        let unsaid = self.turns.unsaid();
        if unsaid > 0 {
            self.note("wish.unsaid", Some(&format!("{unsaid} of what plugins wanted to say")), now);
        }
    }

    fn wish_later(&mut self, wished: Wished, now: Timestamp) {
        if self.waiting_wishes.len() == WAITING_MAX {
            return self.note_wish("wish.lost", &wished.by, "too many wait for the sideband", now);
        }
        self.waiting_wishes.push(wished);
    }

    fn carry_out(&mut self, wished: &Wished, now: Timestamp) {
        let by = wished.by.as_str();
        match &wished.wish {
            Wish::Say(words) => self.on_say(by, words, now),
            Wish::InjectContext(text) => {
                self.note_wish("wish.inject_context", by, text, now);
                let (role, text) = (ContextRole::System, text.clone());
                self.send(ProviderCommand::InjectContext { role, text });
            }
            Wish::Transfer(name) => {
                let target = self.terms().and_then(|terms| terms.transfer_targets.get(name)).cloned();
                match target {
                    Some(target) => self.on_exit_wish(by, "wish.transfer", Exit::Transfer(target), now),
                    None => {
                        let why = format!("transfer to `{name}`, which is no target of the session");
                        self.note_wish("wish.ignored", by, &why, now);
                    }
                }
            }
            Wish::HangUp => self.on_exit_wish(by, "wish.hang_up", Exit::HangUp, now),
            Wish::SetVariable { name, value } => self.set_variable(by, name, value, now),
            Wish::Progress(words) => self.on_progress(wished, words, now),
        }
    }

    fn on_say(&mut self, by: &str, words: &str, now: Timestamp) {
        if self.leave.is_under_way() {
            return self.note_wish("wish.ignored", by, "say: the call is being left", now);
        }
        if self.turns.say(say_exactly(words)) {
            self.note_wish("wish.say", by, words, now);
        } else {
            self.note_wish("wish.ignored", by, "say: too much waits to be said", now);
        }
    }

    fn on_exit_wish(&mut self, by: &str, kind: &str, exit: Exit, now: Timestamp) {
        match self.leave.want_firmly(exit, now) {
            Do::Nothing => self.note_wish("wish.ignored", by, "the call is being left already", now),
            what => {
                self.note_wish(kind, by, "", now);
                self.do_leave(what, now);
            }
        }
    }

    fn set_variable(&mut self, by: &str, name: &str, value: &str, now: Timestamp) {
        match variable_problem(&self.record.vars, name, value) {
            Some(why) => self.note_wish("wish.ignored", by, why, now),
            None => {
                self.record.vars.insert(name.to_owned(), value.to_owned());
                self.record_has_changed();
                self.note_wish("wish.set_variable", by, name, now);
            }
        }
    }

    pub(super) fn note_wish(&mut self, kind: &str, by: &str, what: &str, now: Timestamp) {
        let detail = if what.is_empty() { by.to_owned() } else { format!("{by}: {what}") };
        self.note(kind, Some(&detail), now);
    }
}

/// What is wrong with a variable that is to be put to these; none when it can be.
pub fn variable_problem(vars: &BTreeMap<String, String>, name: &str, value: &str) -> Option<&'static str> {
    if !is_variable_name(name) {
        Some("a variable's name has letters, digits and `_`, at most 64")
    } else if value.len() > VALUE_BYTES_MAX {
        Some("a variable's value has at most 4 KiB")
    } else if vars.len() >= VARIABLES_MAX && !vars.contains_key(name) {
        Some("a call has at most 64 variables")
    } else {
        None
    }
}

/// Claims that templates can name such a variable.
fn is_variable_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let begins_well = name.bytes().next().is_some_and(|first| !first.is_ascii_digit());
    begins_well && name.len() <= NAME_BYTES_MAX && name.bytes().all(is_plain)
}
