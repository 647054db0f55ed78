//! `docs/json.md` lists the keys of the JSON objects: all of them, and no others.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::json;
use crate::support::network::better_than_closed_forms;

/// Problems and networks that together have every key.
const PREDICTIONS: [&str; 8] = [
    "--counts 9,5,5 --depth 2 --weight-decay 1e-3 --feature-decay 1e-3 --bias unregularized",
    "--counts 9,5,5 --depth 2 --weight-decay 1e-3 --feature-decay 1e-3",
    "--loss ce --counts 5x4 --depth 2 --weight-decay 1e-3 --feature-decay 1e-3",
    "--loss ce --counts 5,6 --depth 1 --weight-decay 1e-3 --feature-decay 1e-3 --bias 0.1",
    "--loss layer-peeled --counts 3,4,5 --weight-energy 1 --feature-energy 1",
    "--loss uf-svm --counts 3,4,5",
    "--loss uf-svm --counts 3,4,5 --margins 1,2,3 --logit-scales 1,1,2",
    "--loss ce --counts 5,6 --depth 1 --weight-decay 1e-3 --feature-decay 1e-3 --class-weights 1,2 \
     --label-smoothing 0.1 --nonnegative-features",
];
const NETWORKS: [&str; 7] = [
    "data/digits_m1.npz",
    "data/digits_m1.safetensors",
    "data/direct_ce_m2.safetensors",
    "data/direct_gof_m3.safetensors --metrics all",
    "data/digits_m1.npz --out-of-distribution data/digits_m1.npz",
    "data/digits_m1.npz --features features,features,features",
    "data/digits_m1.npz --against data/digits_m1.npz",
];

/// The keys of an object, with those of the objects in it.
fn collect(value: &Value, prefix: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                let path = format!("{prefix}{key}");
                // Lists of their own: the prediction, the metrics, and reasons by the keys that they are for.
                if !["prediction", "metrics", "reasons", "standard_errors", "against.metrics"]
                    .contains(&path.as_str())
                    && !path.starts_with("levels.")
                    && !path.starts_with("layers.")
                    && !path.starts_with("distances.")
                {
                    collect(value, &format!("{path}."), found);
                }
                found.insert(path);
            }
        }
        Value::Array(entries) => {
            let prefix = format!("{}[].", prefix.trim_end_matches('.'));
            entries.iter().for_each(|entry| collect(entry, &prefix, found));
        }
        _ => {}
    }
}

/// The keys in the first column of a table.
fn documented(section: &str) -> BTreeSet<String> {
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let cells = rows.filter_map(|row| row.split_once("` |"));
    let keys =
        cells.flat_map(|(cell, _)| cell.split("`, `").map(str::to_owned).collect::<Vec<_>>());
    keys.collect()
}

fn check(section: &str, objects: impl Iterator<Item = Value>) {
    let mut found = BTreeSet::new();
    objects.for_each(|object| collect(&object, "", &mut found));
    let documented = documented(section);
    // An object whose keys are listed needs no line of its own.
    let is_group =
        |key: &&String| documented.iter().any(|other| other.starts_with(&format!("{key}.")));
    let missing: Vec<_> = found.difference(&documented).filter(|key| !is_group(key)).collect();
    let unknown: Vec<_> = documented.difference(&found).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "missing {missing:?}, unknown {unknown:?}");
}

#[test]
fn every_key_is_documented() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/json.md");
    // A package without the project around it has nothing to compare.
    let Ok(text) = std::fs::read_to_string(path) else { return };
    let (predictions, audits) = text.split_once("## `audit`").unwrap();
    let (audits, rows) = audits.split_once("## `audit --trajectory`").unwrap();
    check(predictions, PREDICTIONS.iter().map(|line| json(&format!("predict --json {line}"))));
    let better = better_than_closed_forms("json_keys.safetensors");
    let networks = NETWORKS.into_iter().chain([better.as_str()]);
    check(audits, networks.map(|line| json(&format!("audit --json {line}"))));
    let line = "audit --json --trajectory data/trajectory/epoch_0.safetensors";
    check(rows, std::iter::once(json(line)));
}
