//! What `#[arguments]` makes of a type: it can be read from JSON, and says its own JSON Schema.

use proc_macro2::TokenStream;
use quote::quote;
use syn::meta::ParseNestedMeta;
use syn::{Attribute, Data, DeriveInput, Error, Field, Fields, LitStr, Result, Token};

use crate::constraints;
use crate::doc;

/// The type with the derive it needs. A struct refuses fields that it does not have, so that a mistake of
/// the model is told instead of overlooked.
pub fn arguments(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let mut input: DeriveInput = syn::parse2(item)?;
    if !options.is_empty() {
        return Err(Error::new(input.ident.span(), "`#[arguments]` has no options"));
    }
    if !input.generics.params.is_empty() {
        return Err(Error::new(input.ident.span(), "arguments have no type parameters"));
    }
    let container = Serde::of(&input.attrs)?;
    let (schema, refuses) = match &mut input.data {
        Data::Struct(data) => (of_struct(&mut data.fields, &container)?, Some(quote!(deny_unknown_fields,))),
        Data::Enum(data) => {
            let mut words = Vec::new();
            for variant in &data.variants {
                if !matches!(variant.fields, Fields::Unit) {
                    let told =
                        "an enum of arguments is a choice of words; for more, implement `Schema` by hand";
                    return Err(Error::new(variant.ident.span(), told));
                }
                words.push(Serde::of(&variant.attrs)?.name(
                    &variant.ident.to_string(),
                    &container,
                    pascal,
                )?);
            }
            (quote!(::switchboard_plugin::__private::choice(&[#(#words),*])), None)
        }
        Data::Union(_) => return Err(Error::new(input.ident.span(), "a union cannot be read from JSON")),
    };
    let ident = &input.ident;
    Ok(quote! {
        #[derive(::switchboard_plugin::__private::serde::Deserialize)]
        #[serde(#refuses crate = "::switchboard_plugin::__private::serde")]
        #input

        impl ::switchboard_plugin::Schema for #ident {
            fn schema() -> ::std::string::String {
                #schema
            }
        }
    })
}

fn of_struct(fields: &mut Fields, container: &Serde) -> Result<TokenStream> {
    if matches!(fields, Fields::Unnamed(_)) {
        return Err(Error::new_spanned(fields, "arguments have names: write a struct with named fields"));
    }
    let mut properties = Vec::new();
    for field in fields.iter_mut() {
        properties.push(property(field, container)?);
    }
    Ok(quote!(::switchboard_plugin::__private::object(&[#(#properties),*])))
}

/// One field: what it is called, what the model reads of it, and whether it may be left out.
fn property(field: &mut Field, container: &Serde) -> Result<TokenStream> {
    let serde = Serde::of(&field.attrs)?;
    let written = field.ident.as_ref().map(ToString::to_string).unwrap_or_default();
    let name = serde.name(written.trim_start_matches("r#"), container, snake)?;
    let description = doc::text(&field.attrs);
    let constraints = constraints::take(&mut field.attrs)?;
    let (has_default, ty) = (serde.default || container.default, &field.ty);
    Ok(quote! {
        ::switchboard_plugin::__private::Property {
            name: #name,
            description: #description,
            constraints: #constraints,
            schema: <#ty as ::switchboard_plugin::Schema>::schema(),
            is_required: !(#has_default || <#ty as ::switchboard_plugin::Schema>::IS_OPTIONAL),
        }
    })
}

/// What `serde`'s attributes say that shows in the schema.
#[derive(Default)]
struct Serde {
    rename: Option<String>,
    rename_all: Option<LitStr>,
    default: bool,
}

impl Serde {
    fn of(attributes: &[Attribute]) -> Result<Serde> {
        let mut serde = Serde::default();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
            attribute.parse_nested_meta(|meta| serde.take(&meta))?;
        }
        Ok(serde)
    }

    fn take(&mut self, meta: &ParseNestedMeta) -> Result<()> {
        let known = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
        match known.as_str() {
            "rename" => self.rename = Some(meta.value()?.parse::<LitStr>()?.value()),
            "rename_all" => self.rename_all = Some(meta.value()?.parse()?),
            "default" => {
                self.default = true;
                if meta.input.peek(Token![=]) {
                    meta.value()?.parse::<LitStr>()?;
                }
            }
            // These do not show in the schema.
            "deserialize_with" | "with" | "alias" => drop(meta.value()?.parse::<LitStr>()?),
            _ => {
                let told = "`#[arguments]` does not know how this shows in a JSON Schema; implement `Schema` by hand";
                return Err(meta.error(told));
            }
        }
        Ok(())
    }

    fn name(&self, written: &str, container: &Serde, words: fn(&str) -> Vec<String>) -> Result<String> {
        match (&self.rename, &container.rename_all) {
            (Some(name), _) => Ok(name.clone()),
            (None, Some(rule)) => renamed(&words(written), rule),
            (None, None) => Ok(written.to_owned()),
        }
    }
}

/// The words of a name, in lower case, put together as a rule of `serde` says.
fn renamed(words: &[String], rule: &LitStr) -> Result<String> {
    let capital = |word: &String| {
        let mut letters = word.chars();
        letters
            .next()
            .map(|first| first.to_ascii_uppercase().to_string() + letters.as_str())
            .unwrap_or_default()
    };
    Ok(match rule.value().as_str() {
        "snake_case" => words.join("_"),
        "kebab-case" => words.join("-"),
        "lowercase" => words.concat(),
        "UPPERCASE" => words.concat().to_uppercase(),
        "SCREAMING_SNAKE_CASE" => words.join("_").to_uppercase(),
        "PascalCase" => words.iter().map(capital).collect(),
        "camelCase" => words.iter().take(1).cloned().chain(words.iter().skip(1).map(capital)).collect(),
        _ => return Err(Error::new(rule.span(), "this rule is not known; `rename` works for each name")),
    })
}

fn snake(name: &str) -> Vec<String> {
    name.split('_').map(str::to_owned).collect()
}

fn pascal(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for letter in name.chars() {
        match words.last_mut() {
            Some(word) if !letter.is_ascii_uppercase() => word.push(letter),
            _ => words.push(letter.to_ascii_lowercase().to_string()),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::arguments;

    fn expand(item: proc_macro2::TokenStream) -> String {
        arguments(quote!(), item).map_or_else(|error| error.to_string(), |tokens| tokens.to_string())
    }

    #[test]
    fn a_struct_refuses_what_it_does_not_know() {
        assert!(
            expand(quote!(
                struct Wanted {
                    phone: String,
                }
            ))
            .contains("deny_unknown_fields")
        );
        assert!(
            !expand(quote!(
                enum Wanted {
                    Morning,
                    Evening,
                }
            ))
            .contains("deny_unknown_fields")
        );
    }

    #[test]
    fn names_are_those_that_serde_reads() {
        let all = expand(quote!(
            #[serde(rename_all = "camelCase")]
            struct Wanted {
                last_name: String,
                #[serde(rename = "tel")]
                phone: String,
            }
        ));
        assert!(all.contains("\"lastName\"") && all.contains("\"tel\""), "{all}");
        let words = expand(quote!(
            #[serde(rename_all = "kebab-case")]
            enum Part {
                EarlyMorning,
                Noon,
            }
        ));
        assert!(words.contains("\"early-morning\" , \"noon\""), "{words}");
    }

    #[test]
    fn what_has_no_schema_is_told() {
        for (item, told) in [
            (
                quote!(
                    struct Wanted {
                        #[serde(flatten)]
                        rest: Rest,
                    }
                ),
                "by hand",
            ),
            (
                quote!(
                    enum Wanted {
                        Day(String),
                    }
                ),
                "a choice of words",
            ),
            (
                quote!(
                    struct Wanted(String);
                ),
                "named fields",
            ),
            (
                quote!(
                    struct Wanted<T> {
                        phone: T,
                    }
                ),
                "no type parameters",
            ),
            (
                quote!(
                    struct Wanted {
                        #[schema(longest = 3)]
                        phone: String,
                    }
                ),
                "unknown constraint",
            ),
        ] {
            let expanded = expand(item.clone());
            assert!(expanded.contains(told), "{item}: {expanded}");
        }
    }
}
