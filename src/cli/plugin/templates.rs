//! The templates of new plugins, embedded, and what makes a plugin of one's own of them.
//!
//! `plugins/templates/` has them as plugins that can be built where they are; a test compares what `new`
//! writes with those folders, so that no file is forgotten here.

use super::manifest::Lang;

/// The templates' own name, as it stands in their files, and as a crate's.
const NAME: &str = "my-plugin";
const CRATE: &str = "my_plugin";

/// A file: its name in the new folder, and its text.
type File = (&'static str, &'static str);

/// Declares files of a folder of `plugins/`, with what stands before their names in the new folder.
macro_rules! files {
    ($folder:literal, $to:literal, [$($name:literal),* $(,)?]) => {
        [$((
            concat!($to, $name),
            include_str!(concat!("../../../plugins/", $folder, $name)),
        )),*]
    };
}

const RUST: &[File] = &files!("templates/rust/", "", []);
const TYPESCRIPT: &[File] = &files!("templates/ts/", "", []);
const PYTHON: &[File] = &files!("templates/python/", "", []);
/// The interface, where the language's tools read it from the plugin's own folder.
const WIT: &[File] = &files!("wit/v0.2.0/", "wit/", ["plugin.wit"]);
const SDK: &[File] = &files!(
    "sdk/",
    "sdk/",
    [
        ".gitignore",
        "Cargo.toml",
        "macros/Cargo.toml",
        "macros/src/arguments.rs",
        "macros/src/expand.rs",
        "macros/src/lib.rs",
        "macros/src/options.rs",
        "src/bindings.rs",
        "src/calls.rs",
        "src/clock.rs",
        "src/config.rs",
        "src/context.rs",
        "src/error.rs",
        "src/history.rs",
        "src/hooks.rs",
        "src/http.rs",
        "src/kv.rs",
        "src/lib.rs",
        "src/log.rs",
        "src/plugin.rs",
        "src/progress.rs",
        "src/random.rs",
        "src/schema.rs",
        "src/secrets.rs",
        "src/tool.rs",
        "wit/plugin.wit",
    ]
);

/// What stands in the templates because they are in this repository, and what stands there instead.
const MOVED: [(&str, &str); 2] = [("../../sdk", "sdk"), ("../../wit/v0.2.0", "wit")];

/// The files of a new plugin of this name.
pub(super) fn files(lang: Lang, name: &str) -> Vec<(&'static str, String)> {
    let (own, carried) = match lang {
        Lang::Rust => (RUST, SDK),
        Lang::Ts => (TYPESCRIPT, WIT),
        Lang::Python => (PYTHON, WIT),
    };
    let own = own.iter().map(|(file, text)| (*file, named(text, name)));
    own.chain(carried.iter().map(|(file, text)| (*file, (*text).to_owned()))).collect()
}

fn named(text: &str, name: &str) -> String {
    let text = text.replace(NAME, name).replace(CRATE, &name.replace('-', "_"));
    MOVED.iter().fold(text, |text, (here, there)| text.replace(here, there))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_takes_the_name_and_loses_the_repository() {
        let text = "name = \"my-plugin\"\nlib = my_plugin\nsdk = { path = \"../../sdk\" }";
        assert_eq!(
            named(text, "order-status"),
            "name = \"order-status\"\nlib = order_status\nsdk = { path = \"sdk\" }"
        );
    }
}
