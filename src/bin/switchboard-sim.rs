//! The `switchboard-sim` command: the rules of calls through whole simulated days.

use std::process::ExitCode;

fn main() -> ExitCode {
    switchboard::proof::command::main()
}
