//! The templates of new plugins, embedded: `plugins/templates/` as it is, and in Rust the SDK.
//!
//! A test compares what `new` writes with those folders, so that no file is forgotten here.

use super::manifest::Lang;

/// What stands in the templates for the plugin's name.
const NAME: &str = "{{name}}";

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

const RUST: &[File] = &files!(
    "templates/rust/",
    "",
    [".gitignore", "Cargo.toml", "README.md", "plugin.toml", "src/lib.rs", "tests.toml"]
);
const TYPESCRIPT: &[File] = &files!(
    "templates/ts/",
    "",
    [
        ".gitignore",
        "README.md",
        "package.json",
        "plugin.toml",
        "src/plugin.ts",
        "switchboard.d.ts",
        "tests.toml",
        "tsconfig.json",
        "wit/plugin.wit",
    ]
);
const PYTHON: &[File] = &files!(
    "templates/python/",
    "",
    [".gitignore", "README.md", "plugin.py", "plugin.toml", "pyproject.toml", "tests.toml", "wit/plugin.wit",]
);
const SDK: &[File] = &files!(
    "sdk/",
    "sdk/",
    [
        ".gitignore",
        "Cargo.toml",
        "macros/Cargo.toml",
        "macros/src/arguments.rs",
        "macros/src/constraints.rs",
        "macros/src/doc.rs",
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

/// The files of a new plugin of this name.
pub(super) fn files(lang: Lang, name: &str) -> Vec<(&'static str, String)> {
    let own = match lang {
        Lang::Rust => RUST,
        Lang::Ts => TYPESCRIPT,
        Lang::Python => PYTHON,
    };
    let sdk = if lang == Lang::Rust { SDK } else { &[] };
    let own = own.iter().map(|(file, text)| (*file, text.replace(NAME, name)));
    own.chain(sdk.iter().map(|(file, text)| (*file, (*text).to_owned()))).collect()
}
