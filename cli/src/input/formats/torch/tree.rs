//! The tensors in nested dictionaries, by names as `state_dict.fc.weight`, and the plain values beside them.

use std::collections::BTreeMap;

use super::error::PickleError;
use super::pickle::Pickle;
use super::value::{Id, Tensor, Value};

/// Dictionaries in dictionaries that are looked into.
const MAX_DEPTH: usize = 16;

/// Values that are looked at: shared values count each time, so that a small file cannot keep us busy for ever.
const MAX_VISITS: usize = 1_000_000;

/// Longer texts are neither names nor hyper-parameters.
const MAX_TEXT: usize = 1000;

/// What is found.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// The tensors by their names.
    pub(super) tensors: BTreeMap<String, Tensor>,
    /// The plain values of the outermost dictionary.
    pub(super) metadata: Vec<(String, String)>,
    visits: usize,
}

/// Finds all tensors; a single one is named `name`.
pub(super) fn flatten(pickle: &Pickle, name: &str) -> Result<Tree, PickleError> {
    let mut tree = Tree::default();
    match pickle.values.get(pickle.root) {
        Some(Value::Tensor(tensor)) => {
            tree.tensors.insert(name.into(), tensor.clone());
        }
        Some(Value::Dict(_) | Value::List(_) | Value::Tuple(_)) => {
            tree.visit(&pickle.values, pickle.root, "", 0)?;
        }
        _ => {
            return Err(PickleError::Malformed("neither a tensor nor a dict of tensors was saved"));
        }
    }
    tree.metadata.sort_unstable();
    Ok(tree)
}

impl Tree {
    fn visit(
        &mut self,
        values: &[Value],
        id: Id,
        name: &str,
        depth: usize,
    ) -> Result<(), PickleError> {
        match values.get(id) {
            Some(Value::Tensor(tensor)) => {
                self.count(1)?;
                self.tensors.insert(name.into(), tensor.clone());
            }
            Some(Value::Dict(entries)) if depth < MAX_DEPTH => {
                self.count(1 + entries.len())?;
                for &(key, value) in entries {
                    if let Some(key) = values.get(key).and_then(key_text) {
                        self.visit(values, value, &joined(name, &key), depth + 1)?;
                    }
                }
            }
            Some(Value::List(items) | Value::Tuple(items)) if depth < MAX_DEPTH => {
                self.count(1 + items.len())?;
                if items.iter().all(|&id| is_plain(values, id)) {
                    self.state(values, id, name, depth);
                    return Ok(());
                }
                for (index, &item) in items.iter().enumerate() {
                    self.visit(values, item, &joined(name, &index.to_string()), depth + 1)?;
                }
            }
            _ => {
                self.count(1)?;
                self.state(values, id, name, depth);
            }
        }
        Ok(())
    }

    /// Keeps a plain value of the outermost dictionary.
    fn state(&mut self, values: &[Value], id: Id, name: &str, depth: usize) {
        if depth == 1 {
            let text = plain_text(values, id, 0);
            self.metadata.extend(text.map(|text| (name.into(), text)));
        }
    }

    fn count(&mut self, visits: usize) -> Result<(), PickleError> {
        self.visits = self.visits.saturating_add(visits);
        match self.visits <= MAX_VISITS {
            true => Ok(()),
            false => Err(PickleError::Malformed("it has more than a million values")),
        }
    }
}

fn joined(name: &str, key: &str) -> String {
    if name.is_empty() { key.into() } else { format!("{name}.{key}") }
}

fn key_text(key: &Value) -> Option<String> {
    match key {
        Value::Text(text) if text.len() <= MAX_TEXT => Some(text.clone()),
        Value::Int(number) => Some(number.to_string()),
        _ => None,
    }
}

fn is_plain(values: &[Value], id: Id) -> bool {
    use Value::{Bool, Float, Int, None as Nothing, Text};
    matches!(values.get(id), Some(Nothing | Bool(_) | Int(_) | Float(_) | Text(_)))
}

/// A plain value as the metadata of other formats have it: strings as they are, the rest as JSON.
fn plain_text(values: &[Value], id: Id, depth: usize) -> Option<String> {
    match values.get(id)? {
        Value::Bool(value) => Some(value.to_string()),
        Value::Int(value) => Some(value.to_string()),
        Value::Float(value) => Some(value.to_string()),
        Value::Text(text) if text.len() <= MAX_TEXT => Some(text.clone()),
        Value::List(items) | Value::Tuple(items) if depth == 0 => {
            let items = items.iter().map(|&item| plain_text(values, item, 1));
            Some(format!("[{}]", items.collect::<Option<Vec<_>>>()?.join(", ")))
        }
        _ => None,
    }
}
