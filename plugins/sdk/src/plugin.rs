//! `plugin!`: what a component exports.

use crate::bindings::tools::switchboard::plugin::types as wit;
use crate::{Tool, log};

/// Makes a plugin of tools: the one line at the end that says what there is.
///
/// ```
/// # use switchboard_plugin::{ToolError, Context, Hooks, plugin, tool, hooks::IncomingAnswer};
/// # /// Find a customer.
/// # #[tool]
/// # fn lookup_customer() -> Result<bool, ToolError> { Ok(true) }
/// # struct Screening;
/// # impl Hooks for Screening {}
/// plugin! {
///     tools: [lookup_customer],
///     needs: [kv, http("https://crm.example.com/v2/*"), secret("CRM_TOKEN"), history, call(say), hook(incoming)],
///     hooks: Screening,
/// }
/// ```
///
/// `needs` and `hooks` may be left out. Powers over the call: `say`, `inject_context`, `transfer`, `hang_up`,
/// `set_variable`; moments: `incoming`, `event`, `ended`. Name and version are the crate's own.
#[macro_export]
macro_rules! plugin {
    (
        tools: [$($tool:path),* $(,)?]
        $(, needs: [$($need:ident $(($($value:tt)*))?),* $(,)?])?
        $(, hooks: $hooks:ty)?
        $(,)?
    ) => {
        #[doc(hidden)]
        struct SwitchboardPlugin;

        const _: () = {
            use $crate::__private::bindings::tools::exports::switchboard::plugin::tools;
            use $crate::Tool as _;

            impl tools::Guest for SwitchboardPlugin {
                fn describe() -> $crate::__private::PluginInfo {
                    $crate::__private::catch_panics();
                    $crate::__private::PluginInfo {
                        name: env!("CARGO_PKG_NAME").to_owned(),
                        version: env!("CARGO_PKG_VERSION").to_owned(),
                        tools: vec![$($crate::__private::definition::<$tool>()),*],
                        needs: vec![$($($crate::__need!($need $(($($value)*))?)),*)?],
                    }
                }

                fn call(
                    context: $crate::Context,
                    name: String,
                    arguments: String,
                ) -> Result<String, $crate::ToolError> {
                    $crate::__private::catch_panics();
                    $(if name == <$tool>::NAME {
                        return <$tool>::call(&context, &arguments);
                    })*
                    let _ = (context, arguments);
                    Err($crate::ToolError::UnknownTool(name))
                }
            }

            // Natively nobody calls it; what it leans on is in use all the same.
            const _: fn() -> $crate::__private::PluginInfo = <SwitchboardPlugin as tools::Guest>::describe;

            $($crate::__hooks!($hooks);)?
        };

        // The names of a component's exports are for a WebAssembly linker; natively there is nothing to export.
        #[cfg(target_family = "wasm")]
        $crate::__private::bindings::tools::export_tools!(
            SwitchboardPlugin with_types_in $crate::__private::bindings::tools
        );
    };
}

/// The hooks of a plugin.
#[doc(hidden)]
#[macro_export]
macro_rules! __hooks {
    ($hooks:ty) => {
        impl $crate::__private::bindings::hooks::exports::switchboard::plugin::hooks::Guest for SwitchboardPlugin {
            fn incoming(
                context: $crate::Context,
                headers: Vec<(String, String)>,
            ) -> $crate::hooks::IncomingAnswer {
                $crate::__private::catch_panics();
                <$hooks as $crate::Hooks>::incoming(&context, &headers)
            }

            fn event(context: $crate::Context, event: $crate::hooks::CallEvent) {
                $crate::__private::catch_panics();
                <$hooks as $crate::Hooks>::event(&context, event);
            }

            fn ended(context: $crate::Context, call: String) {
                $crate::__private::catch_panics();
                <$hooks as $crate::Hooks>::ended(&context, &call);
            }
        }

        #[cfg(target_family = "wasm")]
        $crate::__private::bindings::hooks::export_hooks!(
            SwitchboardPlugin with_types_in $crate::__private::bindings::hooks
        );
    };
}

/// One word of `needs`.
#[doc(hidden)]
#[macro_export]
macro_rules! __need {
    (kv) => { $crate::Need::Kv };
    (history) => { $crate::Need::History };
    (http($pattern:expr)) => { $crate::Need::Http($pattern.to_owned()) };
    (secret($name:expr)) => { $crate::Need::Secret($name.to_owned()) };
    (call(say)) => { $crate::Need::Call($crate::__private::CallPower::Say) };
    (call(inject_context)) => { $crate::Need::Call($crate::__private::CallPower::InjectContext) };
    (call(transfer)) => { $crate::Need::Call($crate::__private::CallPower::Transfer) };
    (call(hang_up)) => { $crate::Need::Call($crate::__private::CallPower::HangUp) };
    (call(set_variable)) => { $crate::Need::Call($crate::__private::CallPower::SetVariable) };
    (hook(incoming)) => { $crate::Need::Hook($crate::__private::Hook::Incoming) };
    (hook(event)) => { $crate::Need::Hook($crate::__private::Hook::Event) };
    (hook(ended)) => { $crate::Need::Hook($crate::__private::Hook::Ended) };
    ($($other:tt)*) => {
        compile_error!(concat!(
            "`", stringify!($($other)*), "` is nothing to need; there are: kv, history, http(\"PATTERN\"), \
             secret(\"NAME\"), call(say | inject_context | transfer | hang_up | set_variable), \
             hook(incoming | event | ended)"
        ))
    };
}

/// A tool as the host is told of it.
pub fn definition<T: Tool>() -> wit::Tool {
    wit::Tool {
        name: T::NAME.to_owned(),
        description: T::DESCRIPTION.to_owned(),
        parameters: T::parameters(),
        repeatable: T::REPEATABLE,
        timeout_ms: T::TIMEOUT_MS,
        say_first: T::SAY_FIRST.map(str::to_owned),
        interruptible: T::INTERRUPTIBLE,
    }
}

/// Has the operator's log say where a plugin panicked. Not with which words: those may be a caller's.
pub fn catch_panics() {
    if crate::HAS_HOST {
        std::panic::set_hook(Box::new(|panic| {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            log::error(format!("the plugin panicked at {place}"));
        }));
    }
}
