//! {{name}}: tools for Switchboard.

use switchboard_plugin::{Context, ToolError, arguments, config, plugin, tool};

#[arguments]
struct GreetArguments {
    /// The caller's name, as they said it.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
}

/// Greet the caller by name. Call it once, when the caller has told their name.
#[tool(repeatable, timeout = "1s")]
fn greet(context: &Context, arguments: GreetArguments) -> Result<String, ToolError> {
    let greeting = config::get("greeting").unwrap_or_else(|| greeting(context.language.as_deref()).to_owned());
    Ok(greeting.replace("NAME", &arguments.name))
}

plugin! { tools: [greet] }

fn greeting(language: Option<&str>) -> &'static str {
    match language {
        Some("ja") => "NAME様、お電話ありがとうございます。",
        _ => "Hello NAME, thank you for calling.",
    }
}

#[cfg(test)]
mod tests {
    use super::greeting;

    #[test]
    fn a_caller_is_greeted_in_their_language() {
        assert!(greeting(Some("ja")).contains("お電話"));
        assert!(greeting(None).starts_with("Hello"));
    }
}
