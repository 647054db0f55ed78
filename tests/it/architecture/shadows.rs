//! Inherent methods that would hide those of a trait from whoever has the type at hand.

use std::collections::BTreeSet;

use super::tokens::tokens;

/// Types with methods of their own, implementors of a trait, and the trait's methods.
#[derive(Default)]
pub struct Shadows<'a> {
    pub methods: BTreeSet<&'a str>,
    pub implementors: BTreeSet<&'a str>,
    inherent: BTreeSet<(&'a str, &'a str)>,
}

impl<'a> Shadows<'a> {
    /// What the sources of a crate say about a trait.
    pub fn new(name: &str, sources: impl IntoIterator<Item = &'a str>) -> Self {
        let mut found = Self::default();
        for source in sources {
            let tokens = tokens(source);
            for (at, &token) in tokens.iter().enumerate() {
                let (header, body) = block(&tokens[at + 1..]);
                match (token, header) {
                    ("trait", [own, ..]) if *own == name => {
                        found.methods.extend(functions(body).map(|(method, _)| method));
                    }
                    ("impl", header) => found.see(name, header, body),
                    _ => {}
                }
            }
        }
        found
    }

    /// Notes an `impl`.
    fn see(&mut self, name: &str, header: &[&'a str], body: &[&'a str]) {
        let header = without_generics(header);
        let Some(&own) = header.last() else { return };
        match header.iter().position(|token| *token == "for") {
            Some(at) if header[..at].last() == Some(&name) => _ = self.implementors.insert(own),
            Some(_) => {}
            None => {
                let public = functions(body).filter(|(_, is_public)| *is_public);
                self.inherent.extend(public.map(|(method, _)| (own, method)));
            }
        }
    }

    /// Public methods of implementors with the name of a method of the trait, each with its type.
    pub fn hidden(&self) -> Vec<(&'a str, &'a str)> {
        let hides = |(own, method): &&(&'a str, &'a str)| {
            self.implementors.contains(own) && self.methods.contains(method)
        };
        self.inherent.iter().filter(hides).copied().collect()
    }
}

/// What comes before the first brace, and what is between it and the one that closes it.
fn block<'a, 'b>(tokens: &'b [&'a str]) -> (&'b [&'a str], &'b [&'a str]) {
    let start = tokens.iter().position(|token| matches!(*token, "{" | ";"));
    let start = start.unwrap_or(tokens.len());
    let mut depth = 0;
    let end = tokens[start..].iter().position(|token| {
        depth += i32::from(*token == "{") - i32::from(*token == "}");
        depth == 0
    });
    (&tokens[..start], &tokens[start..][..end.unwrap_or(0)])
}

/// A header up to `where`, without what is between angle brackets.
fn without_generics<'a>(header: &[&'a str]) -> Vec<&'a str> {
    let mut depth = 0;
    let mut before = "";
    let header = header.iter().copied().take_while(|token| *token != "where");
    let outside = header.filter(|&token| {
        depth += i32::from(token == "<");
        let is_outside = depth == 0;
        let is_arrow = before == "-" && token == ">";
        depth -= i32::from(token == ">" && !is_arrow);
        before = token;
        is_outside
    });
    outside.collect()
}

/// The functions of a body, and whether they are public; not those inside of them.
fn functions<'a>(body: &[&'a str]) -> impl Iterator<Item = (&'a str, bool)> {
    let mut depth = 0;
    let outermost = body.iter().enumerate().filter(move |(_, token)| {
        depth += i32::from(**token == "{") - i32::from(**token == "}");
        depth == 1 && **token == "fn"
    });
    outermost.map(|(at, _)| {
        let before = body[..at].iter().rev().find(|token| **token != "const");
        (body[at + 1], before == Some(&"pub"))
    })
}

#[test]
fn hidden_methods_are_found() {
    let sources = [
        "pub trait Answers<T>: Debug { fn loss(&self) -> f64; fn bias(&self) -> f64 { fn inner() {} 0.0 } }
         trait Other { fn size(&self); }",
        "impl<T> Answers<T> for Seen<T> where T: Copy { fn loss(&self) -> f64 { self.loss } }
         impl Other for Hidden {} impl Answers<u8> for models::Plain {}",
        "impl<T: Fn() -> u8> Seen<T> { pub const fn loss(&self) {} pub(crate) fn bias(&self) {} pub fn size(&self) {} }
         impl Hidden { pub fn loss(&self) {} } fn f() -> impl Iterator { g() }
         impl Plain { fn loss(&self) { } pub fn bias(&self) -> u8 { if true { 1 } else { 2 } } }
         #[cfg(test)] impl Plain { pub fn loss(&self) {} }",
    ];
    let found = Shadows::new("Answers", sources);
    assert_eq!(found.methods, BTreeSet::from(["loss", "bias"]));
    assert_eq!(found.implementors, BTreeSet::from(["Seen", "Plain"]));
    assert_eq!(found.hidden(), [("Plain", "bias"), ("Seen", "loss")]);
}
