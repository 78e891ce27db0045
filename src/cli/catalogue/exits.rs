//! How commands end.

use super::explained;
use crate::cli::Exit;

explained! { exits: Exit of Exit by name;
    Well:
        "It went well.",
        "Nothing.";
    Failed:
        "It failed, or what was looked at is not well; standard error says why.",
        "Correct what it says.";
    Usage:
        "The command was not understood, or what it names is not there.",
        "`switchboard COMMAND --help` has its words; standard error names what is missing.";
    Unavailable:
        "Something that is needed is not there: an address is in use, the data directory is locked or not \
         writable, no gateway runs, a toolchain is missing.",
        "Standard error names it. Where another gateway holds the data directory, stop that one, or ask it.";
    Config:
        "The configuration is wrong, or does not fit what it names (a plugin, a tool, a secret). `serve` is \
         not started again by systemd after this.",
        "`switchboard check` says everything that is wrong, with a code for each.";
    Threshold:
        "What was measured misses a threshold that was given (`--threshold`, `--max-cer`, `--deny-regressions`).",
        "The report says where: `docs/load.md` and `docs/speech.md` tell what the figures mean.";
}
