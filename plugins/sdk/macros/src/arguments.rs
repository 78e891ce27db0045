//! What `#[arguments]` writes above a type, so that a plugin needs no crate of its own for it.

use proc_macro2::TokenStream;
use quote::quote;
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Result};

/// The type with the derives it needs. A struct refuses fields that it does not have, so that a mistake of
/// the model is told instead of overlooked; `flatten` cannot do that.
pub fn arguments(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    if !options.is_empty() {
        return Err(Error::new(options.span(), "`#[arguments]` has no options"));
    }
    let input: DeriveInput = syn::parse2(item)?;
    let refuses = match &input.data {
        Data::Struct(data) => !data.fields.iter().flat_map(|field| &field.attrs).any(|attribute| {
            attribute.path().is_ident("serde") && quote!(#attribute).to_string().contains("flatten")
        }),
        Data::Enum(_) => false,
        Data::Union(_) => return Err(Error::new(input.ident.span(), "a union cannot be read from JSON")),
    };
    let refuses = refuses.then(|| quote!(#[serde(deny_unknown_fields)]));
    Ok(quote! {
        #[derive(
            ::switchboard_plugin::__private::serde::Deserialize,
            ::switchboard_plugin::__private::schemars::JsonSchema,
        )]
        #[serde(crate = "::switchboard_plugin::__private::serde")]
        #[schemars(crate = "::switchboard_plugin::__private::schemars")]
        #refuses
        #input
    })
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::arguments;

    #[test]
    fn a_struct_refuses_what_it_does_not_know_as_far_as_it_can() {
        for (item, refuses) in [
            (quote!(struct Wanted { phone: String }), true),
            (quote!(struct Wanted { #[serde(flatten)] rest: Rest }), false),
            (quote!(enum Wanted { Morning, Evening }), false),
        ] {
            let expanded = arguments(quote!(), item.clone()).expect("arguments").to_string();
            assert_eq!(expanded.contains("deny_unknown_fields"), refuses, "{item}");
        }
    }

    #[test]
    fn options_are_refused() {
        assert!(arguments(quote!(loose), quote!(struct Wanted {})).is_err());
    }
}
