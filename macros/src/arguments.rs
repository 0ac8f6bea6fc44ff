//! What users write between the parentheses of `include_model!`.

use ncnnc_compiler::budget::{Budget, FORMS};
use ncnnc_compiler::build::{stem, type_name};
use ncnnc_compiler::compile::Options;
use ncnnc_compiler::door::{MOST_THREADS, Request, threads};
use ncnnc_compiler::format::Format;
use ncnnc_compiler::mode::{LayerMode, Mode};
use ncnnc_compiler::ops::{CustomLayer, MOST_ELEMENTS};
use ncnnc_compiler::precision::{Exception, Precision};
use ncnnc_targets::TARGETS;
use proc_macro2::{Group, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::parse::discouraged::Speculative;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Attribute, Ident, Lit, LitInt, LitStr, Path, Token, Visibility, bracketed, parenthesized};

/// The options there are, for messages.
const OPTIONS: &str = "`weights`, `input`, `output`, `layer`, `numerics`, `threads`, `precision`, `activations`, `lock`, `max_error` and `bias_correction`";

/// A parsed call of the macro.
pub struct Arguments {
    /// What is asked for, with [`stand_in`]s for the functions.
    pub request: Request,
    /// The functions as the user named them.
    pub functions: Vec<TokenStream>,
    /// Where the param file is named: problems of the model are reported there.
    pub span: Span,
}

impl Parse for Arguments {
    fn parse(input: ParseStream) -> syn::Result<Self> {
        let attributes = input.call(Attribute::parse_outer)?;
        let visibility: Visibility = input.parse()?;
        // `include_model!("path")` is short for `include_model! { pub struct Path = "path"; }`.
        if attributes.is_empty() && matches!(visibility, Visibility::Inherited) && input.peek(LitStr) {
            let path: LitStr = input.parse()?;
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
            if !input.is_empty() {
                return Err(input.error("options need the long form: `struct Name = \"path\"; option = value; ...`"));
            }
            let name = Ident::new(&type_name(&stem(&path.value())), path.span());
            let request = request(name, quote!(pub), TokenStream::new(), &path);
            return Ok(Self { span: path.span(), request, functions: Vec::new() });
        }
        input.parse::<Token![struct]>()?;
        let name: Ident = input.parse()?;
        input.parse::<Token![=]>()?;
        let path: LitStr = input.parse()?;
        input.parse::<Token![;]>()?;
        let attributes = quote!(#(#attributes)*);
        let mut request = request(name, visibility.into_token_stream(), attributes, &path);
        let mut problems: Option<syn::Error> = None;
        let mut given = Vec::new();
        while !input.is_empty() {
            if let Err(problem) = statement(input, &mut request, &mut given) {
                match &mut problems {
                    Some(problems) => problems.combine(problem),
                    None => problems = Some(problem),
                }
            }
        }
        match problems {
            Some(problems) => Err(problems),
            None => {
                let stand_ins = (0..request.functions.len()).map(|number| stand_in(number).into_token_stream());
                let stand_ins = stand_ins.collect();
                let functions = std::mem::replace(&mut request.functions, stand_ins);
                Ok(Self { request, functions, span: path.span() })
            }
        }
    }
}

/// What stands in kept code for the user's function with this number: its path knows where the user wrote it, which no
/// file can keep.
fn stand_in(number: usize) -> Ident {
    Ident::new(&format!("{STAND_IN}{number}"), Span::call_site())
}

const STAND_IN: &str = "__ncnnc_function_";

/// The code with the user's functions in their places, so that what is wrong with one is reported where it is named.
pub fn with_functions(code: TokenStream, functions: &[TokenStream]) -> TokenStream {
    let function = |ident: &Ident| {
        let number: usize = ident.to_string().strip_prefix(STAND_IN)?.parse().ok()?;
        functions.get(number).cloned()
    };
    let tokens = code.into_iter().map(|token| match token {
        TokenTree::Group(group) => {
            let inner = with_functions(group.stream(), functions);
            let mut replaced = Group::new(group.delimiter(), inner);
            replaced.set_span(group.span());
            TokenTree::Group(replaced).into()
        }
        TokenTree::Ident(ident) => function(&ident).unwrap_or_else(|| TokenTree::Ident(ident).into()),
        TokenTree::Punct(_) | TokenTree::Literal(_) => token.into(),
    });
    tokens.collect()
}

fn request(name: Ident, visibility: TokenStream, attributes: TokenStream, path: &LitStr) -> Request {
    Request {
        name,
        visibility,
        attributes,
        param: path.value(),
        weights: None,
        lock: None,
        max_error: None,
        bias_correction: false,
        weights_at_run_time: false,
        functions: Vec::new(),
        options: Options::default(),
        threads: 1,
        targets: TARGETS.to_vec(),
    }
}

/// Reads one statement, to its semicolon even if something is wrong with it; `given` are the options so far that can be
/// given only once.
fn statement(input: ParseStream, request: &mut Request, given: &mut Vec<Ident>) -> syn::Result<()> {
    let ahead = input.fork();
    let result = once(&ahead.fork(), given).and_then(|()| option(&ahead, request)).and_then(|()| {
        if ahead.peek(Token![;]) || ahead.is_empty() { Ok(()) } else { Err(ahead.error("expected `;`")) }
    });
    if result.is_ok() {
        input.advance_to(&ahead);
    }
    while !input.is_empty() && !input.peek(Token![;]) {
        input.parse::<TokenTree>()?;
    }
    if !input.is_empty() {
        input.parse::<Token![;]>()?;
    }
    result
}

/// Refuses a second value of an option that has one.
fn once(input: ParseStream, given: &mut Vec<Ident>) -> syn::Result<()> {
    let option = input.call(Ident::parse_any)?;
    if input.peek(Token![=]) {
        if given.contains(&option) {
            return Err(syn::Error::new(option.span(), format!("`{option}` is given twice")));
        }
        given.push(option);
    }
    Ok(())
}

/// Reads one option.
fn option(input: ParseStream, request: &mut Request) -> syn::Result<()> {
    let option = input.call(Ident::parse_any)?;
    match option.to_string().as_str() {
        "weights" => {
            input.parse::<Token![=]>()?;
            let path = if input.peek(Ident) {
                let place: Ident = input.parse()?;
                if place != "runtime" {
                    let message = "`weights` wants a path in quotes, `runtime`, or `runtime(\"path\")`";
                    return Err(syn::Error::new(place.span(), message));
                }
                request.weights_at_run_time = true;
                if !input.peek(syn::token::Paren) {
                    return Ok(());
                }
                let path;
                parenthesized!(path in input);
                path.parse::<LitStr>()?
            } else {
                input.parse()?
            };
            request.weights = Some(path.value());
        }
        "input" => {
            let blob = blob(input)?;
            input.parse::<Token![:]>()?;
            let shape = input_shape(input, option.span(), &format!("input `{blob}`"))?;
            if request.options.shapes.insert(blob.clone(), shape).is_some() {
                return Err(syn::Error::new(option.span(), format!("input `{blob}` is given twice")));
            }
        }
        "output" => {
            let blob = blob(input)?;
            if request.options.outputs.contains(&blob) {
                return Err(syn::Error::new(option.span(), format!("output `{blob}` is given twice")));
            }
            request.options.outputs.push(blob);
        }
        "layer" => {
            let layer = blob(input)?;
            input.parse::<Token![=]>()?;
            let function: Path = input.parse()?;
            input.parse::<Token![:]>()?;
            let mut shapes = vec![shape(input, option.span(), &format!("layer `{layer}`"))?];
            while input.peek(Token![,]) {
                input.parse::<Token![,]>()?;
                shapes.push(shape(input, option.span(), &format!("layer `{layer}`"))?);
            }
            request.options.custom.push(CustomLayer { layer, shapes });
            request.functions.push(function.into_token_stream());
        }
        "numerics" => {
            if input.peek(syn::token::Paren) {
                let layers;
                parenthesized!(layers in input);
                let layers = Punctuated::<LitStr, Token![,]>::parse_terminated(&layers)?;
                let mode = mode(input)?;
                let exceptions = layers.iter().map(|layer| LayerMode { pattern: layer.value(), mode });
                request.options.layer_modes.extend(exceptions);
            } else {
                request.options.mode = mode(input)?;
            }
        }
        "threads" => {
            input.parse::<Token![=]>()?;
            let number: LitInt = input.parse()?;
            request.threads = whole_number(&number, "`threads`", MOST_THREADS.into())?;
            threads(request.threads).map_err(|problem| syn::Error::new(number.span(), problem))?;
        }
        "precision" => formats(input, "precision", &mut request.options.precision)?,
        "activations" => formats(input, "activations", &mut request.options.activations)?,
        "lock" => {
            input.parse::<Token![=]>()?;
            request.lock = Some(input.parse::<LitStr>()?.value());
        }
        "max_error" => {
            input.parse::<Token![=]>()?;
            request.max_error = Some(budget(input)?);
        }
        "bias_correction" => {
            input.parse::<Token![=]>()?;
            let means: Ident = input.call(Ident::parse_any)?;
            if means != "lock" {
                let message = "`bias_correction` wants `lock`: a build measures nothing, but takes the corrections that \
                               `ncnnc verify --bias-correction --record` has written";
                return Err(syn::Error::new(means.span(), message));
            }
            request.bias_correction = true;
        }
        other => {
            return Err(syn::Error::new(option.span(), format!("unknown option `{other}`; there are {OPTIONS}")));
        }
    }
    Ok(())
}

/// A mode behind an equals sign.
fn mode(input: ParseStream) -> syn::Result<Mode> {
    input.parse::<Token![=]>()?;
    let name = input.call(Ident::parse_any)?;
    Mode::named(&name.to_string()).ok_or_else(|| {
        let message = format!("unknown numerics `{name}`; there are `fast`, `strict` and `compensated`");
        syn::Error::new(name.span(), message)
    })
}

/// A format for all layers, or for those of some names.
fn formats(input: ParseStream, option: &str, chosen: &mut Precision) -> syn::Result<()> {
    if input.peek(syn::token::Paren) {
        let layers;
        parenthesized!(layers in input);
        let layers = Punctuated::<LitStr, Token![,]>::parse_terminated(&layers)?;
        let format = format(input, option)?;
        chosen.exceptions.extend(layers.iter().map(|layer| Exception { pattern: layer.value(), format }));
    } else {
        chosen.all = format(input, option)?;
    }
    Ok(())
}

/// A format behind an equals sign.
fn format(input: ParseStream, option: &str) -> syn::Result<Format> {
    input.parse::<Token![=]>()?;
    let name = input.call(Ident::parse_any)?;
    if name == "auto" && option == "precision" {
        let message = "`precision = auto` takes measuring, which a build doesn't do: `ncnnc verify MODEL.param --inputs DIR \
                       --precision auto --max-error 1e-3` searches for it, and prints the lines that go here";
        return Err(syn::Error::new(name.span(), message));
    }
    Format::named(&name.to_string()).ok_or_else(|| {
        let message = format!("unknown {option} `{name}`; there are `f32`, `f16` and `bf16`");
        syn::Error::new(name.span(), message)
    })
}

/// `1e-3`, `0.1%` or `60dB`, which Rust takes for a number with a suffix.
fn budget(input: ParseStream) -> syn::Result<Budget> {
    let number: Lit = input.parse().map_err(|problem: syn::Error| syn::Error::new(problem.span(), FORMS))?;
    let percent = input.parse::<Option<Token![%]>>()?.map_or("", |_| "%");
    let text = format!("{}{percent}", number.to_token_stream());
    Budget::parse(&text).map_err(|problem| syn::Error::new(number.span(), problem))
}

/// The shape of an input; `[0]` is that of a cache which is empty.
fn input_shape(input: ParseStream, span: Span, what: &str) -> syn::Result<Vec<usize>> {
    let ahead = input.fork();
    let extents;
    bracketed!(extents in ahead);
    if extents.parse::<LitInt>().is_ok_and(|extent| extent.base10_digits() == "0") && extents.is_empty() {
        input.advance_to(&ahead);
        return Ok(vec![0]);
    }
    shape(input, span, what)
}

/// Extents in brackets, at least one, of something that errors name.
fn shape(input: ParseStream, span: Span, what: &str) -> syn::Result<Vec<usize>> {
    let extents;
    bracketed!(extents in input);
    let extents = Punctuated::<LitInt, Token![,]>::parse_terminated(&extents)?;
    if extents.is_empty() {
        return Err(syn::Error::new(span, format!("{what} needs at least one extent")));
    }
    extents.iter().map(extent).collect()
}

/// The name of a blob or layer: an identifier, or in quotes where it is none.
fn blob(input: ParseStream) -> syn::Result<String> {
    if input.peek(LitStr) {
        Ok(input.parse::<LitStr>()?.value())
    } else {
        Ok(input.call(Ident::parse_any)?.to_string())
    }
}

/// A number as it is counted with, of something that errors name and that must be from 1 to `most`; whoever asks refuses 0.
fn whole_number(literal: &LitInt, what: &str, most: usize) -> syn::Result<usize> {
    let number = literal.base10_parse().ok().filter(|number| *number <= most);
    number.ok_or_else(|| syn::Error::new(literal.span(), format!("{what} must be from 1 to {most}")))
}

/// A whole number that is not zero.
fn extent(literal: &LitInt) -> syn::Result<usize> {
    match whole_number(literal, "an extent", MOST_ELEMENTS)? {
        0 => Err(syn::Error::new(literal.span(), "an extent must not be 0")),
        extent => Ok(extent),
    }
}
