//! TypeScript and JavaScript: npm's script `build`.

use std::process::Command;

use super::{BUILT, Manifest, Options, built, find, missing, step};
use crate::cli::Failure;

pub(super) fn build(manifest: &Manifest, options: Options) -> Result<Vec<u8>, Failure> {
    if find("node").is_none() || find("npm").is_none() {
        return Err(missing(
            "Node.js with npm is not here: install version 20 or newer as https://nodejs.org tells (on \
             Debian: `apt-get install nodejs npm`) and try again",
        ));
    }
    let folder = &manifest.folder;
    if !folder.join("node_modules").is_dir() {
        // `ci` takes the versions of the lock file, to the last one.
        let install = if options.locked { "ci" } else { "install" };
        if options.no_install {
            return Err(missing(format!(
                "{} has no `node_modules`: run `npm {install}` there and try again",
                folder.display()
            )));
        }
        let quiet = ["--no-audit", "--no-fund"];
        step(Command::new("npm").current_dir(folder).arg(install).args(quiet), &format!("npm {install}"))?;
    }
    // What an earlier build left is not taken for this one's.
    let _ = std::fs::remove_file(folder.join(BUILT));
    step(Command::new("npm").current_dir(folder).args(["run", "--silent", "build"]), "npm run build")?;
    built(folder, "the script `build` of package.json")
}
