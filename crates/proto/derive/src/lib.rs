//! `#[derive(Header)]`: a struct becomes the ext-fields of a remoting command, and back.
//!
//! Each named field is one entry. Java's reflective encoder uses the Java field name, so a field's
//! key is its `camelCase` name unless `#[header(name = "…")]` says otherwise. `Option<T>` fields
//! are left out when `None`; any other field is mandatory unless `#[header(default)]` marks it.
//! A header that also has a form with one-letter keys names them by `#[header(short = "…")]`.

use proc_macro::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Fields, LitStr, Type, parse_macro_input};

#[proc_macro_derive(Header, attributes(header))]
pub fn derive_header(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand(&input).unwrap_or_else(|error| error.to_compile_error()).into()
}

/// What the attributes of one field ask for.
#[derive(Default)]
struct FieldRules {
    name: Option<String>,
    short: Option<String>,
    default: bool,
}

fn expand(input: &DeriveInput) -> syn::Result<proc_macro2::TokenStream> {
    let Data::Struct(data) = &input.data else {
        return Err(syn::Error::new_spanned(input, "Header is for structs"));
    };
    let Fields::Named(fields) = &data.fields else {
        return Err(syn::Error::new_spanned(input, "Header needs named fields"));
    };
    let fields: Vec<Entry<'_>> = fields.named.iter().map(Entry::of).collect::<Result<_, _>>()?;
    let name = &input.ident;
    let (decode, encode) = bodies(&fields, |entry| &entry.key);
    let header = quote! {
        impl ::rmq_proto::header::Header for #name {
            fn decode(
                ext: &::rmq_proto::command::ExtFields,
            ) -> ::core::result::Result<Self, ::rmq_proto::header::HeaderError> {
                #decode
            }
            fn encode(&self, ext: &mut ::rmq_proto::command::ExtFields) {
                #encode
            }
        }
    };
    if fields.iter().all(|entry| entry.rules.short.is_none()) {
        return Ok(header);
    }
    let (decode, encode) = bodies(&fields, |entry| entry.rules.short.as_ref().unwrap_or(&entry.key));
    Ok(quote! {
        #header
        impl #name {
            /// Reads the form with one-letter keys.
            pub fn decode_short(
                ext: &::rmq_proto::command::ExtFields,
            ) -> ::core::result::Result<Self, ::rmq_proto::header::HeaderError> {
                #decode
            }
            /// Adds the entries in the form with one-letter keys.
            pub fn encode_short(&self, ext: &mut ::rmq_proto::command::ExtFields) {
                #encode
            }
        }
    })
}

/// One field of the struct: its name, its key and its rules.
struct Entry<'a> {
    ident: &'a syn::Ident,
    optional: bool,
    key: String,
    rules: FieldRules,
}

impl<'a> Entry<'a> {
    fn of(field: &'a syn::Field) -> syn::Result<Self> {
        let ident = field.ident.as_ref();
        let ident = ident.ok_or_else(|| syn::Error::new_spanned(field, "a field needs a name"))?;
        let rules = rules_of(field)?;
        Ok(Self {
            ident,
            optional: is_option(&field.ty),
            key: rules.name.clone().unwrap_or_else(|| camel_case(&ident.to_string())),
            rules,
        })
    }
}

/// The bodies of `decode` and `encode` for one set of keys.
fn bodies<'a>(
    fields: &'a [Entry<'a>],
    key_of: impl Fn(&'a Entry<'a>) -> &'a String,
) -> (proc_macro2::TokenStream, proc_macro2::TokenStream) {
    let decode = fields.iter().map(|entry| {
        let (ident, key) = (entry.ident, key_of(entry));
        if entry.optional {
            quote! { #ident: ::rmq_proto::header::optional(ext, #key)? }
        } else if entry.rules.default {
            quote! { #ident: ::rmq_proto::header::optional(ext, #key)?.unwrap_or_default() }
        } else {
            quote! { #ident: ::rmq_proto::header::mandatory(ext, #key)? }
        }
    });
    let decode = quote! { Ok(Self { #(#decode),* }) };
    let encode = fields.iter().map(|entry| {
        let (ident, key) = (entry.ident, key_of(entry));
        if entry.optional {
            quote! {
                if let Some(value) = &self.#ident {
                    ::rmq_proto::header::put(ext, #key, value);
                }
            }
        } else {
            quote! { ::rmq_proto::header::put(ext, #key, &self.#ident); }
        }
    });
    let encode = quote! { #(#encode)* };
    (decode, encode)
}

fn rules_of(field: &syn::Field) -> syn::Result<FieldRules> {
    let mut rules = FieldRules::default();
    for attr in field.attrs.iter().filter(|a| a.path().is_ident("header")) {
        attr.parse_nested_meta(|meta| {
            if meta.path.is_ident("name") {
                rules.name = Some(meta.value()?.parse::<LitStr>()?.value());
            } else if meta.path.is_ident("default") {
                rules.default = true;
            } else if meta.path.is_ident("short") {
                rules.short = Some(meta.value()?.parse::<LitStr>()?.value());
            } else {
                return Err(meta.error("expected name, short or default"));
            }
            Ok(())
        })?;
    }
    Ok(rules)
}

fn is_option(ty: &Type) -> bool {
    matches!(ty, Type::Path(path) if path.path.segments.last().is_some_and(|s| s.ident == "Option"))
}

fn camel_case(snake: &str) -> String {
    let mut out = String::with_capacity(snake.len());
    let mut upper = false;
    for c in snake.chars() {
        if c == '_' {
            upper = true;
        } else if upper {
            out.extend(c.to_uppercase());
            upper = false;
        } else {
            out.push(c);
        }
    }
    out
}
