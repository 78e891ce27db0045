//! The interface as Rust, generated once: the world of most plugins, and what those with hooks export besides.
//! A plugin's `plugin!` exports the one or both; the component then has what was exported.
#![allow(missing_docs, clippy::all, reason = "generated")]

pub mod tools {
    wit_bindgen::generate!({
        path: "wit",
        world: "tool-plugin",
        pub_export_macro: true,
        export_macro_name: "export_tools",
        default_bindings_module: "switchboard_plugin::__private::bindings::tools",
        generate_unused_types: true,
    });
}

pub mod hooks {
    wit_bindgen::generate!({
        inline: "package switchboard:sdk; world hooks { export switchboard:plugin/hooks@0.2.0; }",
        path: "wit",
        world: "switchboard:sdk/hooks",
        pub_export_macro: true,
        export_macro_name: "export_hooks",
        default_bindings_module: "switchboard_plugin::__private::bindings::hooks",
        with: { "switchboard:plugin/types@0.2.0": super::tools::switchboard::plugin::types },
    });
}
