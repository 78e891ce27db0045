//! What stands in the brackets of `#[tool(…)]`.

use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Error, Ident, LitStr, Result, Token};

/// The longest name of a tool that the host takes.
const NAME_MAX: usize = 64;

/// What was said of a tool; the rest is as the host has it by default.
#[derive(Debug, Default, PartialEq)]
pub struct Options {
    pub name: Option<String>,
    pub repeatable: bool,
    pub timeout_ms: Option<u32>,
    pub say_first: Option<String>,
    pub not_interruptible: bool,
}

impl Parse for Options {
    fn parse(input: ParseStream) -> Result<Options> {
        let mut options = Options::default();
        let mut said = Vec::new();
        for Given { key, value } in Punctuated::<Given, Token![,]>::parse_terminated(input)? {
            let known = key.to_string();
            match (known.as_str(), value) {
                ("name", Some(value)) => options.name = Some(name(&value)?),
                ("timeout", Some(value)) => options.timeout_ms = Some(milliseconds(&value)?),
                ("say_first", Some(value)) => options.say_first = Some(value.value()),
                ("repeatable", None) => options.repeatable = true,
                ("not_interruptible", None) => options.not_interruptible = true,
                ("name" | "timeout" | "say_first", None) => {
                    return Err(Error::new(key.span(), format!("say which: `{known} = \"…\"`")));
                }
                ("repeatable" | "not_interruptible", Some(value)) => {
                    return Err(Error::new(value.span(), format!("`{known}` stands alone, without a value")));
                }
                _ => {
                    let words = "unknown option; there are `name`, `repeatable`, `timeout`, `say_first` and \
                                 `not_interruptible`";
                    return Err(Error::new(key.span(), words));
                }
            }
            if said.contains(&known) {
                return Err(Error::new(key.span(), format!("`{known}` is there twice")));
            }
            said.push(known);
        }
        Ok(options)
    }
}

struct Given {
    key: Ident,
    value: Option<LitStr>,
}

impl Parse for Given {
    fn parse(input: ParseStream) -> Result<Given> {
        let key = input.parse()?;
        let value = match input.parse::<Option<Token![=]>>()? {
            Some(_) => Some(input.parse()?),
            None => None,
        };
        Ok(Given { key, value })
    }
}

fn name(value: &LitStr) -> Result<String> {
    let name = value.value();
    let is_name = (1..=NAME_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    match is_name {
        true => Ok(name),
        false => Err(Error::new(value.span(), "a tool's name has 1 to 64 letters, digits, `_` and `-`")),
    }
}

fn milliseconds(value: &LitStr) -> Result<u32> {
    let text = value.value();
    let parsed = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(number), _) => number.parse::<u32>().ok(),
        (None, Some(number)) => number.parse::<u32>().ok().and_then(|seconds| seconds.checked_mul(1_000)),
        (None, None) => None,
    };
    parsed.filter(|time| *time > 0).ok_or_else(|| {
        Error::new(value.span(), "a time is a whole number and its unit: `\"250ms\"` or `\"3s\"`")
    })
}

#[cfg(test)]
mod tests {
    use super::Options;

    fn parse(text: &str) -> Result<Options, String> {
        syn::parse_str::<Options>(text).map_err(|error| error.to_string())
    }

    #[test]
    fn every_option_is_read() {
        let text =
            r#"name = "find", repeatable, timeout = "250ms", say_first = "One moment.", not_interruptible"#;
        let expected = Options {
            name: Some("find".to_owned()),
            repeatable: true,
            timeout_ms: Some(250),
            say_first: Some("One moment.".to_owned()),
            not_interruptible: true,
        };
        assert_eq!(parse(text), Ok(expected));
        assert_eq!(parse(""), Ok(Options::default()));
        assert_eq!(parse(r#"timeout = "3s","#).map(|options| options.timeout_ms), Ok(Some(3_000)));
    }

    #[test]
    fn what_cannot_be_meant_is_told_with_the_way_out() {
        for (text, words) in [
            (r#"timeout = "soon""#, "a time is a whole number"),
            (r#"timeout = "0s""#, "a time is a whole number"),
            (r#"timeout = "9999999s""#, "a time is a whole number"),
            ("timeout", "say which"),
            (r#"repeatable = "yes""#, "stands alone"),
            ("read_only", "unknown option"),
            ("repeatable, repeatable", "is there twice"),
            (r#"name = "look up""#, "a tool's name"),
            (r#"name = """#, "a tool's name"),
        ] {
            let told = parse(text).expect_err(text);
            assert!(told.contains(words), "{text}: {told}");
        }
    }
}
