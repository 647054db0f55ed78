//! Which module of a crate uses which other one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::tokens::tokens;

/// A path in the source or the place of a module, one word a segment.
pub type Segments = Vec<String>;

/// A crate's modules by their paths; one module for each file.
pub struct Modules(BTreeMap<Segments, Module>);

#[derive(Default)]
struct Module {
    paths: Vec<Written>,
    /// What the names that `use` introduces stand for.
    names: BTreeMap<String, Segments>,
    /// The names in the code itself, outside of `use` and not behind a path or a dot.
    bare: BTreeSet<String>,
}

/// A path in the code.
struct Written {
    path: Segments,
    /// The module, possibly an inline one, that it is written in.
    inside: Segments,
    /// The name under which it is there to be used from elsewhere.
    exported: Option<String>,
}

/// How many names may stand for other names in turn.
const ALIASES: usize = 16;

impl Modules {
    /// All files below `directory`, but those of tests.
    pub fn of(directory: &Path) -> Self {
        Self::from_sources(&sources(directory))
    }

    /// Modules of the given places and sources.
    pub fn from_sources(sources: &[(Segments, String)]) -> Self {
        let places: BTreeSet<&[String]> = sources.iter().map(|(place, _)| &place[..]).collect();
        let modules = sources.iter().map(|(place, source)| {
            let mut reader = Reader::new(place, &places);
            reader.read(&tokens(source));
            (place.clone(), reader.module)
        });
        Self(modules.collect())
    }

    /// The pairs of a module and one that it imports from, as `numerics::linalg`. An item belongs to the module
    /// that defines it, wherever it is re-exported; that a module re-exports what is below it is no import, unless its
    /// own code has the name too.
    pub fn imports(&self) -> BTreeSet<(String, String)> {
        let of_module = |(place, module): (&Segments, &Module)| -> Vec<(String, String)> {
            let targets = module.paths.iter().filter_map(|Written { path, inside, exported }| {
                let target = self.target(inside, path, 0)?;
                let is_only_exported =
                    exported.as_ref().is_some_and(|name| !module.bare.contains(name));
                let is_map = is_only_exported && target.starts_with(place);
                (target != *place && !is_map).then_some(target)
            });
            targets.map(|target| (place.join("::"), target.join("::"))).collect()
        };
        self.0.iter().flat_map(of_module).collect()
    }

    /// The module that has the item of a path written in the module `from`.
    fn target(&self, from: &[String], path: &[String], aliases: usize) -> Option<Segments> {
        let path = self.absolute(from, path)?;
        let mut at = Segments::new();
        for (index, segment) in path.iter().enumerate() {
            let below = joined(&at, segment);
            if self.0.contains_key(&below) {
                at = below;
                continue;
            }
            let meaning = self.0.get(&at).and_then(|module| module.names.get(segment));
            return match meaning {
                Some(meaning) if aliases < ALIASES => {
                    let meaning = [meaning, &path[index + 1..]].concat();
                    // What comes from another crate belongs to the module that names it.
                    self.target(&at, &meaning, aliases + 1).or(Some(at))
                }
                _ => Some(at),
            };
        }
        Some(at)
    }

    /// The path from the crate's root; `None` for paths into other crates.
    fn absolute(&self, from: &[String], path: &[String]) -> Option<Segments> {
        let mut base = from.to_vec();
        let mut rest = path;
        match path.first()?.as_str() {
            "crate" => (base, rest) = (Segments::new(), &path[1..]),
            "self" => rest = &path[1..],
            "super" => {}
            first if self.0.contains_key(&joined(from, first)) => {}
            _ => return None,
        }
        while rest.first().is_some_and(|segment| segment == "super") {
            base.pop()?;
            rest = &rest[1..];
        }
        Some([&base, rest].concat())
    }
}

fn joined(place: &[String], name: &str) -> Segments {
    [place, &[name.to_owned()]].concat()
}

/// The places and sources of all files below `directory`, but those of tests.
pub fn sources(directory: &Path) -> Vec<(Segments, String)> {
    let mut sources = Vec::new();
    read(directory, &mut Vec::new(), &mut sources);
    sources
}

/// Adds all modules below a directory, whose modules are inside of `place`.
fn read(directory: &Path, place: &mut Segments, sources: &mut Vec<(Segments, String)>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if name == "tests" {
            continue;
        }
        let is_root = place.is_empty() && matches!(name.as_str(), "lib" | "main");
        if path.is_dir() {
            place.push(name);
            read(&path, place, sources);
            place.pop();
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let module =
                if is_root || name == "mod" { place.clone() } else { joined(place, &name) };
            sources.push((module, std::fs::read_to_string(&path).unwrap()));
        }
    }
}

/// Reads the source of one module.
struct Reader<'a> {
    places: &'a BTreeSet<&'a [String]>,
    place: &'a [String],
    /// The inline modules around the current token, with the depth of their braces.
    inline: Vec<(String, usize)>,
    module: Module,
}

impl<'a> Reader<'a> {
    fn new(place: &'a [String], places: &'a BTreeSet<&'a [String]>) -> Self {
        Self { places, place, inline: Vec::new(), module: Module::default() }
    }

    fn read(&mut self, tokens: &[&str]) {
        let (mut at, mut depth) = (0, 0);
        while at < tokens.len() {
            match (tokens[at], tokens.get(at + 1..).unwrap_or_default()) {
                ("mod", [name, "{", ..]) => {
                    depth += 1;
                    self.inline.push(((*name).to_owned(), depth));
                    at += 2;
                }
                ("mod", _) => at += 1,
                ("{", _) => depth += 1,
                ("}", _) => {
                    self.inline.pop_if(|(_, start)| *start == depth);
                    depth -= 1;
                }
                ("use", [next, ..]) if *next != "<" => {
                    let exported = is_exported(&tokens[..at]);
                    at = self.import(tokens, at + 1, &[], exported);
                }
                _ if self.begins_path(tokens, at) => {
                    let mut path = vec![tokens[at].to_owned()];
                    while let ["::", name, ..] = tokens[at + 1..]
                        && is_name(name)
                    {
                        path.push(name.to_owned());
                        at += 2;
                    }
                    self.add(path, None);
                }
                (word, _) if is_name(word) && !follows_path(&tokens[..at]) => {
                    self.module.bare.insert(word.to_owned());
                }
                _ => {}
            }
            at += 1;
        }
    }

    /// The module, possibly inline, of the current token.
    fn current(&self) -> Segments {
        let inline = self.inline.iter().map(|(name, _)| name);
        self.place.iter().chain(inline).cloned().collect()
    }

    /// Whether a path to this crate's modules begins here, outside of `use`.
    fn begins_path(&self, tokens: &[&str], at: usize) -> bool {
        let before = &tokens[..at];
        let goes_on = tokens.get(at + 1) == Some(&"::");
        let visibility = before.ends_with(&["(", "in"]);
        goes_on
            && !visibility
            && !follows_path(before)
            && (matches!(tokens[at], "crate" | "self" | "super")
                || self.places.contains(&joined(self.place, tokens[at])[..]))
    }

    /// Reads a tree of `use`, inside of `prefix`, and returns the place of the sign behind it.
    fn import(
        &mut self,
        tokens: &[&str],
        mut at: usize,
        prefix: &[String],
        exported: bool,
    ) -> usize {
        let mut path = prefix.to_vec();
        loop {
            match tokens[at] {
                "::" => at += 1,
                "{" => {
                    at += 1;
                    while tokens[at] != "}" {
                        at = self.import(tokens, at, &path, exported);
                        at += usize::from(tokens[at] == ",");
                    }
                    return at + 1;
                }
                "as" => {
                    self.introduce(path, Some(tokens[at + 1]), exported);
                    return at + 2;
                }
                "," | "}" | ";" => {
                    self.introduce(path, None, exported);
                    return at;
                }
                segment => {
                    path.push(segment.to_owned());
                    at += 1;
                }
            }
        }
    }

    /// Notes what a `use` brings in.
    fn introduce(&mut self, mut path: Segments, alias: Option<&str>, exported: bool) {
        let is_glob = path.last().is_some_and(|last| last == "*");
        path.pop_if(|last| is_glob || last == "self");
        let name = alias.map(str::to_owned).or_else(|| path.last().cloned());
        if let Some(name) = name.clone().filter(|_| !is_glob) {
            self.module.names.insert(name, path.clone());
        }
        self.add(path, name.filter(|_| exported));
    }

    fn add(&mut self, path: Segments, exported: Option<String>) {
        self.module.paths.push(Written { path, inside: self.current(), exported });
    }
}

fn is_name(token: &str) -> bool {
    token.starts_with(|sign: char| sign.is_alphabetic() || sign == '_')
}

/// Whether what comes after these tokens is named by a path or belongs to a value.
fn follows_path(tokens: &[&str]) -> bool {
    matches!(tokens.last(), Some(&("::" | ".")))
}

/// Whether the tokens end with a visibility.
fn is_exported(tokens: &[&str]) -> bool {
    match tokens {
        [.., "pub"] => true,
        [before @ .., ")"] => {
            let open = before.iter().rposition(|&token| token == "(");
            open.is_some_and(|open| before[..open].ends_with(&["pub"]))
        }
        _ => false,
    }
}

#[test]
fn paths_lead_to_the_modules_of_their_items() {
    let source = |(name, source): (&str, &str)| {
        let words = name.split("::").filter(|word| !word.is_empty());
        (words.map(str::to_owned).collect(), source.to_owned())
    };
    let modules = Modules::from_sources(
        &[
            ("", "pub use a::Item; mod a; mod b;"),
            ("c", "pub use low::Used; pub use low::Unused; fn f(unused: Used) { self.Unused }"),
            ("c::low", "use super::g;"),
            ("a", "pub(crate) use inner::{self, Item, Other as Renamed}; use other::Thing;"),
            ("a::inner", "mod sealed { fn f() { super::super::inner::g(); crate::b::h() } }"),
            ("a::user", "use super::{Renamed, Thing, Own}; pub(in crate::b) struct S;"),
            ("b", "use crate::{Item, a::{self, user::{X, Y}}}; fn f() -> impl A + use<T> { deep::g() }"),
            ("b::deep", "fn g() { let x = y.a::<u8>(); a::h(); super::super::a::i() }"),
        ]
        .map(source),
    );
    let found = modules.imports();
    let found: Vec<_> = found.iter().map(|(from, to)| format!("{from} → {to}")).collect();
    let expected = [
        "a::inner → b",
        "a::user → a",
        "a::user → a::inner",
        "b → a",
        "b → a::inner",
        "b → a::user",
        "b → b::deep",
        "b::deep → a",
        "c → c::low",
        "c::low → c",
    ];
    assert_eq!(found, expected);
}
