//! `switchboard token`: tokens for operators, each with a name and a role.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{Failure, print};
use crate::clock::Entropy;
use crate::http::{Role, TokenSettings, new_token};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a token. It is printed once and kept nowhere: the configuration gets its hash.
    New {
        /// Whose it is: it stands in the audit log.
        #[arg(long, value_parser = name)]
        name: String,
        /// What it may do: viewer, listener, operator or admin.
        #[arg(long)]
        role: Role,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// What a program is told of a new token.
#[derive(Serialize)]
struct Made<'a> {
    token: &'a str,
    name: &'a str,
    role: Role,
    hash: String,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    let Command::New { name, role, json } = arguments.command;
    let token = new_token(&Entropy::System);
    let hash = TokenSettings::of(&name, role, &token).hash();
    if json {
        let made = Made { token: &token, name: &name, role, hash };
        return print(&(serde_json::to_string_pretty(&made)? + "\n"));
    }
    print(&format!(
        "the token, which is shown this once:\n\n    {token}\n\nadd to gateway.toml, and start the gateway anew \
         (`switchboard handover`):\n\n[[admin.tokens]]\nname = \"{name}\"\nrole = \"{role}\"\nhash = \"{hash}\"\n"
    ))
}

/// A name as the configuration takes it.
fn name(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    match text {
        "admin" => Err("`admin` is the token in the data directory: give it another name".to_owned()),
        name if (1..=64).contains(&name.len()) && name.bytes().all(is_plain) => Ok(name.to_owned()),
        _ => Err("use 1 to 64 ASCII letters, digits, `-` or `_`".to_owned()),
    }
}
