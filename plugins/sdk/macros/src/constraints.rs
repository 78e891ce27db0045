//! `#[schema(…)]` on a field: what JSON Schema can ask of a value beyond its type.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, Lit, Result};

/// What may be said, as it is written and as JSON Schema calls it.
const KNOWN: [(&str, &str); 9] = [
    ("min_length", "minLength"),
    ("max_length", "maxLength"),
    ("pattern", "pattern"),
    ("format", "format"),
    ("minimum", "minimum"),
    ("maximum", "maximum"),
    ("min_items", "minItems"),
    ("max_items", "maxItems"),
    ("example", "examples"),
];

/// Takes the attribute away, which only this macro knows, and gives what it says as `&[(key, JSON)]`.
pub fn take(attributes: &mut Vec<Attribute>) -> Result<TokenStream> {
    let mut pairs = Vec::new();
    for attribute in attributes.extract_if(.., |attribute| attribute.path().is_ident("schema")) {
        attribute.parse_nested_meta(|meta| {
            let Some((written, key)) = KNOWN.iter().find(|(written, _)| meta.path.is_ident(written)) else {
                let known = KNOWN.map(|(written, _)| written).join("`, `");
                return Err(meta.error(format!("unknown constraint; there are `{known}`")));
            };
            let value = match meta.value()?.parse()? {
                Lit::Str(text) => quoted(&text.value()),
                Lit::Int(number) => number.base10_digits().to_owned(),
                Lit::Float(number) => number.base10_digits().to_owned(),
                _ => return Err(meta.error("a text or a number")),
            };
            let value = if *written == "example" { format!("[{value}]") } else { value };
            pairs.push(quote!((#key, #value)));
            Ok(())
        })?;
    }
    Ok(quote!(&[#(#pairs),*]))
}

/// A text as JSON.
fn quoted(text: &str) -> String {
    let mut json = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => json.extend(['\\', letter]),
            letter if u32::from(letter) < 0x20 => json.push_str(&format!("\\u{:04x}", u32::from(letter))),
            letter => json.push(letter),
        }
    }
    json.push('"');
    json
}

#[cfg(test)]
mod tests {
    use syn::{ItemStruct, parse_quote};

    use super::take;

    #[test]
    fn constraints_are_taken_away_and_told_as_json() {
        let mut item: ItemStruct = parse_quote! {
            #[schema(max_length = 64, pattern = "^\\d+$", example = "a\"b")]
            #[serde(default)]
            struct Wanted {}
        };
        let told = take(&mut item.attrs).expect("constraints").to_string();
        for pair in
            [r#"("maxLength" , "64")"#, r#"("pattern" , "\"^\\\\d+$\"")"#, r#"("examples" , "[\"a\\\"b\"]")"#]
        {
            assert!(told.contains(pair), "{pair}\n{told}");
        }
        assert_eq!(item.attrs.len(), 1);
    }
}
