//! Doc comments, as the model reads them.

use syn::{Attribute, Expr, Lit, Meta};

/// A doc comment as one text: lines of a paragraph are joined, paragraphs stay apart.
pub fn text(attributes: &[Attribute]) -> String {
    let mut text = String::new();
    let mut is_new_paragraph = false;
    for line in attributes.iter().filter_map(line) {
        let line = line.trim();
        if line.is_empty() {
            is_new_paragraph = true;
            continue;
        }
        if !text.is_empty() {
            text.push(if is_new_paragraph { '\n' } else { ' ' });
        }
        text.push_str(line);
        is_new_paragraph = false;
    }
    text
}

fn line(attribute: &Attribute) -> Option<String> {
    let Meta::NameValue(pair) = &attribute.meta else { return None };
    let Expr::Lit(literal) = &pair.value else { return None };
    match &literal.lit {
        Lit::Str(text) if pair.path.is_ident("doc") => Some(text.value()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn lines_of_a_comment_are_joined_and_paragraphs_stay() {
        let function: syn::ItemFn = syn::parse_quote! {
            /// Finds a customer.
            /// Without `phone` the caller's.
            ///
            /// Never guess.
            fn find() {}
        };
        assert_eq!(text(&function.attrs), "Finds a customer. Without `phone` the caller's.\nNever guess.");
    }
}
