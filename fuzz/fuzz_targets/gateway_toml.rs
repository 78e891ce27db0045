//! A configuration: any bytes are a configuration or a list of problems that can be shown.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use switchboard::config::{self, Environment};

fuzz_target!(|bytes: &[u8]| {
    // Paths inside lead nowhere: there is no such folder.
    let directory = Path::new("/nonexistent/switchboard-fuzz");
    if let Err(problems) = config::parse("gateway.toml", bytes, directory, &Environment::default()) {
        assert!(!problems.render(false).is_empty(), "refused without a word");
    }
});
