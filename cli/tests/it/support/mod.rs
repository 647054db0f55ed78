//! Running the program and reading what it prints.

#![allow(dead_code, reason = "each test uses a part of it")]

pub(crate) mod network;
pub(crate) mod npz;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

/// Runs the program with the words of `line` as arguments.
pub(crate) fn run(line: &str) -> Output {
    command(line).output().unwrap()
}

/// The program with the words of `line` as arguments, in the directory that a user is in: the project's root.
pub(crate) fn command(line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_neural-collapse"));
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    command.args(line.split_whitespace());
    command
}

/// A file in the temporary directory of the tests.
pub(crate) fn file(name: &str, content: &[u8]) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, content).unwrap();
    path
}

/// Writes a copy of a safetensors file of `data/` that says nothing about the training.
pub(crate) fn without_metadata(name: &str) -> PathBuf {
    let path = format!("{}/../data/{name}", env!("CARGO_MANIFEST_DIR"));
    let bytes = std::fs::read(path).unwrap();
    let (length, rest) = bytes.split_at(8);
    let (header, numbers) = rest.split_at(u64::from_le_bytes(length.try_into().unwrap()) as usize);
    let mut header: serde_json::Value = serde_json::from_slice(header).unwrap();
    header.as_object_mut().unwrap().remove("__metadata__");
    let header = header.to_string().into_bytes();
    let content = [&(header.len() as u64).to_le_bytes()[..], &header, numbers].concat();
    file(&format!("bare_{name}"), &content)
}

pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Runs the program, which must fail with status 1 and one line, and returns the line.
pub(crate) fn error_line(line: &str) -> String {
    let output = run(line);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{line}: {message}");
    assert!(output.stdout.is_empty(), "{line}: {}", text(&output.stdout));
    let message = message.strip_prefix("error: ").unwrap().strip_suffix('\n').unwrap();
    assert!(!message.contains('\n'), "{message}");
    message.to_string()
}

/// Runs the program, which must succeed in silence, and returns the JSON object it prints.
pub(crate) fn json(line: &str) -> Value {
    let output = run(line);
    assert_eq!(output.status.code(), Some(0), "{line}: {}", text(&output.stderr));
    assert!(output.stderr.is_empty(), "{line}: {}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The numbers `name` of a list of objects; NaN stands for null.
pub(crate) fn column(list: &Value, name: &str) -> Vec<f64> {
    let entries = list.as_array().unwrap().iter();
    entries.map(|entry| entry[name].as_f64().unwrap_or(f64::NAN)).collect()
}

/// Asserts that a JSON object has exactly these entries.
pub(crate) fn assert_keys(object: &Value, names: &[&str]) {
    let found: BTreeSet<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(found, names.iter().copied().collect(), "{object}");
}

/// Asserts that two JSON values are the same but for rounding errors of this relative size.
#[track_caller]
pub(crate) fn assert_same(found: &Value, expected: &Value, tolerance: f64) {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => {
            assert!(found.keys().eq(expected.keys()), "{found:?} {expected:?}");
            found.iter().for_each(|(key, value)| assert_same(value, &expected[key], tolerance));
        }
        (Value::Array(found), Value::Array(expected)) => {
            assert_eq!(found.len(), expected.len());
            let pairs = found.iter().zip(expected);
            pairs.for_each(|(found, expected)| assert_same(found, expected, tolerance));
        }
        (Value::Number(_), Value::Number(_)) => {
            let [found, expected] = [found, expected].map(|number| number.as_f64().unwrap());
            let error = (found - expected).abs();
            assert!(error <= tolerance * expected.abs(), "{found} for {expected}");
        }
        _ => assert_eq!(found, expected),
    }
}
