//! Several features of one network in one audit.

use serde_json::Value;

use crate::support::network::Network;
use crate::support::{error_line, json, run, text};

const LABELS: [i64; 6] = [0, 1, 0, 1, 0, 1];

/// Numbers without structure, samples one after the other.
fn numbers(count: usize, seed: usize) -> Vec<f64> {
    (0..count).map(|index| ((index * 7919 + seed * 104_729) as f64).sin()).collect()
}

/// Features of the widths 4, 3 and 2 for the samples of a range.
fn features(network: Network, samples: std::ops::Range<usize>) -> Network {
    let widths = [("features.1", 4), ("features.2", 3), ("features.3", 2)];
    let count = samples.len();
    let network = widths.into_iter().fold(network, |network, (key, width)| {
        let all = numbers(6 * width, width);
        network.with_doubles(key, &[count, width], &all[samples.start * width..samples.end * width])
    });
    network.with_labels(&LABELS[samples])
}

fn whole() -> Network {
    features(Network::empty(), 0..6).with_doubles("fc.weight", &[2, 2], &[1.0, -1.0, 0.5, 0.25])
}

fn audit(line: &str) -> Value {
    json(&format!("audit --json {line}"))
}

#[test]
fn numbered_features_are_layers() {
    let file = whole().write("layers.safetensors");
    let found = audit(&file.display().to_string());
    let layers = &found["layers"];
    assert_eq!(layers["names"], serde_json::json!(["features.1", "features.2", "features.3"]));
    let last = &layers["layers"][2];
    assert_eq!(last["nc1"]["center_samples"]["value"], found["nc1"]);
    assert_eq!(last["dimension"], 2);
    assert_eq!(layers["separation"]["layers"], 3);
    assert_eq!(layers["cka"][1][1], 1.0);
    assert_eq!(layers["cka"][0][2], layers["cka"][2][0]);
    // Named one by one, and alone.
    let named = format!("{} --features features.1,features.2,features.3", file.display());
    assert_eq!(audit(&named), found);
    let alone = audit(&format!("{} --features features.3", file.display()));
    assert!(alone.get("layers").is_none() && alone["nc1"] == found["nc1"]);
    let output = run(&format!("audit {}", file.display()));
    let tables = text(&output.stdout);
    assert!(tables.contains("features.2") && tables.contains("Law of equi-separation"), "{tables}");
}

/// The samples of one layer may come in other blocks than those of another.
#[test]
fn layers_are_read_from_several_files() {
    let file = whole().write("layers_whole.safetensors");
    let head = Network::empty().with_doubles("fc.weight", &[2, 2], &[1.0, -1.0, 0.5, 0.25]);
    let head = head.write("layers_head.safetensors");
    let parts = [0..1, 1..4, 4..6].map(|range| {
        let name = format!("layers_{}.safetensors", range.start);
        features(Network::empty(), range).write(&name).display().to_string()
    });
    let found = audit(&format!("{} {}", head.display(), parts.join(" ")));
    let whole = audit(&file.display().to_string());
    for (one, other) in whole["layers"]["layers"]
        .as_array()
        .unwrap()
        .iter()
        .zip(found["layers"]["layers"].as_array().unwrap())
    {
        for value in ["effective_rank", "stable_rank", "nc2_class_means", "nearest_mean_accuracy"] {
            let [one, other] = [one, other].map(|layer| layer[value].as_f64().unwrap());
            assert!((one - other).abs() < 1e-12, "{value}");
        }
    }
}

#[test]
fn layers_that_do_not_fit_are_refused() {
    let file = whole().with_doubles("features.1", &[5, 4], &numbers(20, 4));
    let message =
        error_line(&format!("audit {}", file.write("layers_short.safetensors").display()));
    assert!(message.contains("labels"), "{message}");
    let file = whole().write("layers_missing.safetensors");
    let message = error_line(&format!("audit {} --features features.9,features.3", file.display()));
    assert!(message.contains("features.9"), "{message}");
    let mut bad = numbers(24, 4);
    bad[7] = f64::NAN;
    let file = whole().with_doubles("features.1", &[6, 4], &bad).write("layers_nan.safetensors");
    let message = error_line(&format!("audit {}", file.display()));
    assert!(message.contains("features.1") && message.contains("NaN"), "{message}");
}

/// Layers of a head: NC1 after each beside what the minimum makes of it, 1 for frames.
#[test]
fn nc1_after_layers_of_a_head_is_predicted() {
    let found = audit("data/direct_gof_m3.safetensors --metrics all");
    let ratios = found["nc1_layer_ratios"].as_array().unwrap();
    assert_eq!(ratios.len(), 3);
    let after = &found["metrics"]["nc1_after_layers"];
    let features = found["metrics"]["nc1"]["center_samples"]["value"].as_f64().unwrap();
    for (layer, ratio) in ratios.iter().enumerate() {
        let measured = after[layer]["value"].as_f64().unwrap() / features;
        assert!((ratio["measured"].as_f64().unwrap() / measured - 1.0).abs() < 1e-12);
        assert!(ratio["predicted"].as_f64().unwrap() > 0.0, "{ratio}");
    }
    let frame = audit("data/direct_etf_m1.safetensors --metrics all");
    let predicted = frame["nc1_layer_ratios"][0]["predicted"].as_f64().unwrap();
    assert!((predicted - 1.0).abs() < 1e-12, "{predicted}");
    // A model of one layer says nothing of several.
    let other = audit("data/direct_gof_m3.safetensors --loss uf-svm --metrics all");
    assert!(other["nc1_layer_ratios"][1]["predicted"].is_null());
    assert!(other["reasons"]["nc1_layer_ratios.predicted"].is_string());
    let tables = run("audit data/direct_gof_m3.safetensors --metrics all");
    assert!(text(&tables.stdout).contains("rel. to features"), "{}", text(&tables.stdout));
}
