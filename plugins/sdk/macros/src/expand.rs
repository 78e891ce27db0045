//! From a function to the type that tells of it.

use proc_macro2::TokenStream;
use quote::quote;
use syn::spanned::Spanned;
use syn::{Error, FnArg, ItemFn, Result, ReturnType, Type};

use crate::doc;
use crate::options::Options;

/// The function as it was, and beside it a type without values that implements `Tool`. Types and functions
/// have names of their own each, so both are called the same, and `use` brings both.
pub fn tool(options: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let options: Options = syn::parse2(options)?;
    let function: ItemFn = syn::parse2(item)?;
    let signature = &function.sig;
    if let Some(asyncness) = &signature.asyncness {
        return Err(Error::new(
            asyncness.span(),
            "a tool is not async: what it waits for, the host waits for",
        ));
    }
    if !signature.generics.params.is_empty() {
        return Err(Error::new(signature.generics.span(), "a tool has no type parameters"));
    }
    if matches!(signature.output, ReturnType::Default) {
        return Err(Error::new(signature.ident.span(), "a tool gives `Result<_, ToolError>`"));
    }
    let description = doc::text(&function.attrs);
    if description.is_empty() {
        let words = "say in a doc comment what this tool does and when to call it: the model reads that";
        return Err(Error::new(signature.ident.span(), words));
    }
    let takes = takes(&function)?;
    let (ident, visibility) = (&signature.ident, &function.vis);
    let name = options.name.clone().unwrap_or_else(|| ident.to_string());
    let repeatable = options.repeatable;
    let interruptible = !options.not_interruptible;
    let timeout = optional(options.timeout_ms);
    let say_first = optional(options.say_first.as_deref());
    let arguments = takes.arguments.as_ref();
    let parameters = match arguments {
        Some(arguments) => quote!(<#arguments as ::switchboard_plugin::Schema>::schema()),
        None => quote!(::switchboard_plugin::__private::object(&[])),
    };
    let parsed = arguments.map(|arguments| {
        quote!(let arguments: #arguments = ::switchboard_plugin::__private::arguments(arguments)?;)
    });
    let passed = takes.order.iter().map(|taken| match taken {
        Taken::Context => quote!(context),
        Taken::Arguments => quote!(arguments),
    });
    Ok(quote! {
        #function

        #[doc(hidden)]
        #[allow(non_camel_case_types, reason = "named like its function")]
        #visibility enum #ident {}

        impl ::switchboard_plugin::Tool for #ident {
            const NAME: &'static str = #name;
            const DESCRIPTION: &'static str = #description;
            const REPEATABLE: bool = #repeatable;
            const TIMEOUT_MS: ::core::option::Option<u32> = #timeout;
            const SAY_FIRST: ::core::option::Option<&'static str> = #say_first;
            const INTERRUPTIBLE: bool = #interruptible;

            fn parameters() -> ::std::string::String {
                #parameters
            }

            #[allow(unused_variables, reason = "a tool may want neither")]
            fn call(
                context: &::switchboard_plugin::Context,
                arguments: &str,
            ) -> ::core::result::Result<::std::string::String, ::switchboard_plugin::ToolError> {
                #parsed
                ::switchboard_plugin::__private::answer(#ident(#(#passed),*))
            }
        }
    })
}

/// A value as the tokens of an `Option`.
fn optional<T: quote::ToTokens>(value: Option<T>) -> TokenStream {
    match value {
        Some(value) => quote!(::core::option::Option::Some(#value)),
        None => quote!(::core::option::Option::None),
    }
}

enum Taken {
    Context,
    Arguments,
}

struct Takes {
    order: Vec<Taken>,
    arguments: Option<Type>,
}

/// What a function takes: a reference is the context, anything else its arguments.
fn takes(function: &ItemFn) -> Result<Takes> {
    let mut takes = Takes { order: Vec::new(), arguments: None };
    for input in &function.sig.inputs {
        let FnArg::Typed(input) = input else {
            return Err(Error::new(input.span(), "a tool is a free function, without `self`"));
        };
        match &*input.ty {
            Type::Reference(_) if !takes.order.iter().any(|taken| matches!(taken, Taken::Context)) => {
                takes.order.push(Taken::Context);
            }
            Type::Reference(_) => return Err(Error::new(input.span(), "the context is there twice")),
            _ if takes.arguments.is_some() => {
                let words = "a tool's arguments are the fields of one struct with `#[arguments]`";
                return Err(Error::new(input.span(), words));
            }
            arguments => {
                takes.arguments = Some(arguments.clone());
                takes.order.push(Taken::Arguments);
            }
        }
    }
    Ok(takes)
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::tool;

    #[test]
    fn what_is_no_tool_is_told_in_words() {
        let answer = quote!(-> Result<String, ToolError>);
        for (item, words) in [
            (quote!(fn find() #answer {}), "doc comment"),
            (quote!(#[doc = "Finds."] async fn find() #answer {}), "not async"),
            (quote!(#[doc = "Finds."] fn find<T>(arguments: T) #answer {}), "no type parameters"),
            (quote!(#[doc = "Finds."] fn find(self) #answer {}), "without `self`"),
            (quote!(#[doc = "Finds."] fn find(first: A, second: B) #answer {}), "the fields of one type"),
            (quote!(#[doc = "Finds."] fn find(first: &Context, second: &Context) #answer {}), "twice"),
            (
                quote!(
                    #[doc = "Finds."]
                    fn find() {}
                ),
                "gives `Result",
            ),
        ] {
            let told = tool(quote!(), item.clone()).expect_err("no tool").to_string();
            assert!(told.contains(words), "{item}: {told}");
        }
    }

    #[test]
    fn context_and_arguments_are_passed_in_the_functions_order() {
        let item = quote!(
            #[doc = "Finds."]
            fn find(wanted: Wanted, call: &Context) -> Result<String, ToolError> {}
        );
        let expanded = tool(quote!(name = "find-it"), item).expect("a tool").to_string();
        assert!(expanded.contains("find (arguments , context)"), "{expanded}");
        assert!(expanded.contains("\"find-it\""), "{expanded}");
    }
}
