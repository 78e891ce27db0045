//! `${NAME}`, `${NAME:-value}`, `${file:path}` and `$$` in a text. Pure: looking up is the caller's.

use super::environment::is_variable_name;

/// What a text refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reference<'a> {
    /// A variable of the environment.
    Variable(&'a str),
    /// The contents of a file.
    File(&'a str),
}

/// Why a text could not be filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault<E> {
    /// There is no `}`, or nothing sensible before it.
    Unreadable,
    /// What the lookup said.
    Lookup(E),
}

/// Claims that the text refers to something.
pub(super) fn has_reference(text: &str) -> bool {
    text.contains('$')
}

/// Claims that a text has a value of its own for a variable that is not set.
pub(super) fn has_fallback(text: &str) -> bool {
    let inside = text.split("${").skip(1).filter_map(|rest| rest.split_once('}')).map(|(inside, _)| inside);
    inside.filter_map(|inside| inside.split_once(":-")).any(|(_, otherwise)| !otherwise.is_empty())
}

/// The files that a text refers to.
pub(super) fn files_in(text: &str) -> impl Iterator<Item = &str> {
    text.split("${file:").skip(1).filter_map(|rest| rest.split_once('}')).map(|(file, _)| file)
}

/// Fills the references in.
///
/// `look_up` gives none for a variable that is not set; only then is the value after `:-` used.
///
/// # Errors
///
/// The first [`Fault`]; what `look_up` gives for a variable without a value is `missing`'s.
pub(super) fn interpolate<E>(
    text: &str,
    mut look_up: impl FnMut(Reference<'_>) -> Result<Option<String>, E>,
    missing: impl Fn(&str) -> E,
) -> Result<String, Fault<E>> {
    let mut output = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        output.push_str(&rest[..at]);
        let behind = &rest[at + 1..];
        if let Some(after) = behind.strip_prefix('$') {
            output.push('$');
            rest = after;
        } else if let Some(inside) = behind.strip_prefix('{') {
            let (reference, after) = inside.split_once('}').ok_or(Fault::Unreadable)?;
            output.push_str(&resolve(reference, &mut look_up, &missing)?);
            rest = after;
        } else {
            output.push('$');
            rest = behind;
        }
    }
    output.push_str(rest);
    Ok(output)
}

fn resolve<E>(
    reference: &str,
    look_up: &mut impl FnMut(Reference<'_>) -> Result<Option<String>, E>,
    missing: &impl Fn(&str) -> E,
) -> Result<String, Fault<E>> {
    if let Some(path) = reference.strip_prefix("file:").filter(|path| !path.is_empty()) {
        return look_up(Reference::File(path)).map(Option::unwrap_or_default).map_err(Fault::Lookup);
    }
    let (name, otherwise) = match reference.split_once(":-") {
        Some((name, otherwise)) => (name, Some(otherwise)),
        None => (reference, None),
    };
    if !is_variable_name(name) {
        return Err(Fault::Unreadable);
    }
    let found = look_up(Reference::Variable(name)).map_err(Fault::Lookup)?;
    found.or_else(|| otherwise.map(str::to_owned)).ok_or_else(|| Fault::Lookup(missing(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(text: &str) -> Result<String, Fault<String>> {
        let look_up = |reference: Reference<'_>| match reference {
            Reference::Variable("A") => Ok(Some("${B}\"".to_owned())),
            Reference::File("x") => Ok(Some("inside".to_owned())),
            Reference::File(path) => Err(format!("no file {path}")),
            Reference::Variable(_) => Ok(None),
        };
        interpolate(text, look_up, |name| format!("no {name}"))
    }

    #[test]
    fn references_are_filled_in_once() {
        for (text, expected) in [
            ("plain", "plain"),
            ("a${A}b", "a${B}\"b"),
            ("${B:-else}", "else"),
            ("${B:-}", ""),
            ("${A:-else}", "${B}\""),
            ("${file:x}!", "inside!"),
            ("$$ $1 $", "$ $1 $"),
            ("$${A}", "${A}"),
        ] {
            assert_eq!(fill(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn faults_are_told() {
        assert_eq!(fill("${B}"), Err(Fault::Lookup("no B".to_owned())));
        assert_eq!(fill("${file:y}"), Err(Fault::Lookup("no file y".to_owned())));
        for text in ["${A", "${}", "${a b}", "${file:}", "${1}"] {
            assert_eq!(fill(text), Err(Fault::Unreadable), "{text}");
        }
    }
}
