//! The `switchboard` command.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// A call asks for memory some fifteen hundred times, on several threads: with the system's allocator that is a fifth of its CPU.
/// Without huge pages (`no_thp`): with them a gateway under load held half as much again. Figures: `docs/performance.md`.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    switchboard::cli::main()
}
