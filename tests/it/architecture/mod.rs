//! The rooms of the library and their order, as CONTRIBUTING draws them: each room may import only from
//! those left of it, and no module imports, in however many steps, from one that imports from it. And one name for one
//! thing: what implements `Prediction` has no method of its own with the name of one of the trait.

mod imports;
mod shadows;
mod tokens;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use imports::Modules;
pub use imports::sources;
pub use shadows::Shadows;

/// Pairs of a module and one that it imports from.
type Imports = BTreeSet<(String, String)>;

/// Each room with those that it may import from.
const ROOMS: [(&str, &[&str]); 11] = [
    ("error", &[]),
    ("monitor", &["error"]),
    ("numerics", &["error", "monitor"]),
    ("problem", &["numerics", "error", "monitor"]),
    ("geometry", &["problem", "numerics", "error", "monitor"]),
    ("prediction", &["geometry", "problem", "numerics", "error", "monitor"]),
    ("models", &["prediction", "geometry", "problem", "numerics", "error", "monitor"]),
    ("measure", &["problem", "numerics", "error", "monitor"]),
    ("metrics", &["measure", "geometry", "problem", "numerics", "error", "monitor"]),
    ("objective", &["metrics", "measure", "problem", "numerics", "error", "monitor"]),
    (
        "audit",
        &[
            "objective",
            "metrics",
            "measure",
            "models",
            "prediction",
            "geometry",
            "problem",
            "numerics",
            "error",
            "monitor",
        ],
    ),
];

fn room(module: &str) -> &str {
    module.split("::").next().unwrap_or(module)
}

/// Whether the rule of rooms lets `from` import from `to`. The crate's root is the map for users, not for us.
fn is_allowed(from: &str, to: &str) -> bool {
    let (from, to) = (room(from), room(to));
    let (_, allowed) = ROOMS.iter().find(|(name, _)| *name == from).unwrap_or(&("", &[]));
    from == to && !from.is_empty() || allowed.contains(&to)
}

/// All modules that a module imports from, directly or through others.
fn reached(imports: &Imports, from: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![from];
    while let Some(module) = open.pop() {
        for (_, to) in imports.iter().filter(|(importer, _)| importer == module) {
            if found.insert(to.clone()) {
                open.push(to);
            }
        }
    }
    found
}

/// The imports that are part of a cycle.
fn cyclic(imports: &Imports) -> Imports {
    let modules: BTreeSet<&String> = imports.iter().map(|(from, _)| from).collect();
    let reached: BTreeMap<&String, _> =
        modules.into_iter().map(|module| (module, reached(imports, module))).collect();
    let closes = |(from, to): &&(String, String)| {
        reached.get(to).is_some_and(|beyond| beyond.contains(from))
    };
    imports.iter().filter(closes).cloned().collect()
}

/// Fails unless the imports are in order.
fn check(imports: &Imports, allowed: impl Fn(&str, &str) -> bool) {
    let forbidden = imports.iter().filter(|(from, to)| !allowed(from, to)).cloned().collect();
    assert_none("against the rule of rooms", &forbidden);
    assert_none("parts of cycles", &cyclic(imports));
}

fn assert_none(what: &str, imports: &Imports) {
    let list: String = imports.iter().map(|(from, to)| format!("\n    {from} → {to}")).collect();
    assert!(list.is_empty(), "these imports are {what}:{list}");
}

fn imports_of(directory: &str) -> Imports {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let imports = Modules::of(&path).imports();
    assert!(imports.len() > 20, "{imports:?}");
    imports
}

#[test]
fn rooms_import_from_the_left_only() {
    check(&imports_of("src"), is_allowed);
}

#[test]
fn the_modules_of_the_program_import_without_cycles() {
    check(&imports_of("cli/src"), |_, to| !to.is_empty());
}

/// A call means the same with and without the trait in scope.
#[test]
fn predictions_hide_no_method_of_the_trait() {
    let sources = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let found = Shadows::new("Prediction", sources.iter().map(|(_, source)| source.as_str()));
    assert!(found.methods.contains("class_means_gram"), "{:?}", found.methods);
    assert!(found.implementors.contains("GlobalMinimum"), "{:?}", found.implementors);
    assert!(found.implementors.len() >= 13, "{:?}", found.implementors);
    assert_eq!(found.hidden(), []);
}

#[test]
fn no_file_is_over_500_lines() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let of_library = ["src", "tests", "benches", "examples"];
    let of_program = ["cli/src", "cli/tests"];
    let of_python = ["python/src", "python/neuralcollapse", "python/tests", "python/notebooks"];
    // What is not in the package of the library is not there where that is tested.
    let beside = of_program.into_iter().chain(of_python);
    let beside = beside.filter(|path| root.join(path).parent().is_some_and(Path::exists));
    let mut open: Vec<_> =
        of_library.into_iter().chain(beside).map(|path| root.join(path)).collect();
    for directory in &open {
        assert!(directory.is_dir(), "{} is no folder", directory.display());
    }
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs" || extension == "py") {
            let lines = std::fs::read_to_string(&path).unwrap().lines().count();
            assert!(lines <= 500, "{} has {lines} lines", path.display());
        }
    }
}
