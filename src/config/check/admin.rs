//! `[admin]`: where operators are heard, and their tokens.

use std::collections::BTreeSet;

use crate::config::AdminSettings;
use crate::config::codes;
use crate::config::document::Place;
use crate::config::raw;
use crate::http::{Role, TokenSettings, digest_in};

use super::Checker;

/// More tokens than this are no people any more.
const TOKENS_MAX: usize = 1_000;
/// The name of the token in the data directory.
const FIRST: &str = "admin";

impl Checker<'_> {
    pub(super) fn admin(&mut self, raw: raw::Admin) -> Option<AdminSettings> {
        let place = Place::of(&["admin"]);
        let listen = self.address(raw.listen, &place.key("listen"));
        let hosts = raw.hosts.unwrap_or_default();
        for (index, host) in hosts.iter().enumerate() {
            self.known_as(host, &place.key("hosts").index(index));
        }
        let tokens = self.tokens(raw.tokens.unwrap_or_default(), &place.key("tokens"));
        Some(AdminSettings { listen: listen?, hosts, tokens: tokens? })
    }

    fn known_as(&mut self, host: &str, place: &Place) {
        let is_part = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '.' | '_');
        if host.is_empty() || !host.chars().all(is_part) {
            self.report(&codes::WORD, place, format!("`{place}` is not a host name"))
                .help("write the name alone, such as \"phones.example.com\"");
        }
    }

    fn tokens(&mut self, raw: Vec<raw::Token>, place: &Place) -> Option<Vec<TokenSettings>> {
        if raw.len() > TOKENS_MAX {
            self.report(&codes::RANGE, place, format!("there are more than {TOKENS_MAX} tokens"));
            return None;
        }
        let mut names = BTreeSet::from([FIRST.to_owned()]);
        let tokens: Vec<Option<TokenSettings>> = raw
            .into_iter()
            .enumerate()
            .map(|(index, token)| self.token(token, &place.index(index), &mut names))
            .collect();
        tokens.into_iter().collect()
    }

    fn token(
        &mut self,
        raw: raw::Token,
        place: &Place,
        names: &mut BTreeSet<String>,
    ) -> Option<TokenSettings> {
        const MAKE: &str = "`switchboard token new` makes a token and prints what stands here";
        let name = self.required(raw.name, place, "name", MAKE);
        let role = self.required(raw.role, place, "role", MAKE);
        let hash = self.required(raw.hash, place, "hash", MAKE);
        let roles = Role::ALL.map(|role| (role.as_str(), role));
        let role = role.and_then(|role| self.word(&role, &place.key("role"), &roles));
        let digest = hash.as_deref().and_then(digest_in);
        if hash.is_some() && digest.is_none() {
            let place = place.key("hash");
            self.report(&codes::TOKEN, &place, format!("`{place}` is not the hash of a token")).help(MAKE);
        }
        let name = name.filter(|name| self.name(name, &place.key("name")));
        let name = name.filter(|name| {
            let is_new = names.insert(name.clone());
            if !is_new {
                let message = format!("there is a token of the name `{name}` already");
                self.report(&codes::TOKEN, &place.key("name"), message)
                    .help("give it another name: the audit log tells tokens apart by it");
            }
            is_new
        });
        Some(TokenSettings { name: name?, role: role?, digest: digest? })
    }
}
