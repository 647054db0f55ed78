//! What must not change an audit: names, containers, the order of files and of classes, the codes of labels.

use std::path::PathBuf;

use serde_json::Value;

use crate::support::network::Network;
use crate::support::{assert_same, json};

const SAMPLES: usize = 36;
const WIDTH: usize = 5;
const CLASSES: usize = 4;

/// Numbers without a pattern that are the same every time, and that single precision holds.
fn number(index: usize) -> f64 {
    let number = ((index * index + 3 * index) as f64 * 0.37).sin();
    f64::from(number as f32)
}

fn class(sample: usize) -> usize {
    (sample * sample + sample / 3) % CLASSES
}

fn features(samples: &[usize]) -> Vec<f64> {
    let entry = |sample: usize, feature: usize| {
        let mean = if feature == class(sample) { 2.0 } else { 0.0 };
        mean + 0.5 * number(sample * WIDTH + feature)
    };
    samples
        .iter()
        .flat_map(|&sample| (0..WIDTH).map(move |feature| entry(sample, feature)))
        .collect()
}

fn rows(order: [usize; CLASSES], offset: usize, width: usize) -> Vec<f64> {
    order
        .iter()
        .flat_map(|class| (0..width).map(move |i| number(offset + class * width + i)))
        .collect()
}

/// The classes as they are.
const PLAIN: [usize; CLASSES] = [0, 1, 2, 3];

/// The head with its outputs in this order.
fn with_head(
    network: Network,
    [first, second, bias]: [&'static str; 3],
    order: [usize; CLASSES],
) -> Network {
    network
        .with_doubles(first, &[3, WIDTH], &rows([0, 1, 2, 3], 500, WIDTH)[..3 * WIDTH])
        .with_doubles(second, &[CLASSES, 3], &rows(order, 700, 3))
        .with_doubles(bias, &[CLASSES], &rows(order, 900, 1))
}

const NAMES: [&str; 3] = ["classifier.1.weight", "classifier.2.weight", "classifier.bias"];

/// Samples with the labels that `code` gives to classes.
fn with_samples(network: Network, samples: &[usize], code: impl Fn(usize) -> i64) -> Network {
    let labels: Vec<i64> = samples.iter().map(|&sample| code(class(sample))).collect();
    network
        .with_doubles("features", &[samples.len(), WIDTH], &features(samples))
        .with_labels(&labels)
}

fn all() -> Vec<usize> {
    (0..SAMPLES).collect()
}

fn plain(class: usize) -> i64 {
    class as i64
}

/// Losses with all that is measured beside their predictions.
const FLAGS: [&str; 3] = [
    "--metrics all --loss mse --weight-decay 1e-2,2e-2 --feature-decay 1e-3 --bias unregularized",
    "--metrics all --loss layer-peeled",
    "--metrics all --loss uf-svm",
];

fn audit(files: &[PathBuf], flags: &str) -> Value {
    let names: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
    let mut audit = json(&format!("audit --json {flags} {}", names.join(" ")));
    audit.as_object_mut().unwrap().remove("head");
    audit
}

fn whole(name: &str) -> PathBuf {
    let network = with_head(Network::empty(), NAMES, PLAIN);
    with_samples(network, &all(), plain).write(name)
}

/// The same numbers give the same audit bit for bit, wherever they stand and whatever they are called.
#[test]
fn names_containers_and_label_codes_change_no_bit() {
    let base = whole("invariant.safetensors");
    let named = |names, network| with_head(network, names, PLAIN);
    let samples = |code: fn(usize) -> i64| with_samples(Network::empty(), &all(), code);
    let others = ["head.0.weight", "head.1.weight", "head.bias"];
    let letters = ["W1", "W2", "b"];
    let flax = ["params/head_0/0/kernel", "params/head_0/1/kernel", "other"];
    let ways: Vec<(Vec<PathBuf>, String)> = vec![
        (vec![named(NAMES, samples(plain)).write_npz("invariant.npz")], String::new()),
        (vec![named(others, samples(plain)).write("invariant_names.safetensors")], String::new()),
        (vec![named(letters, samples(plain)).write_npz("invariant_letters.npz")], String::new()),
        (
            vec![named(flax, samples(plain)).write_npz("invariant_flax.npz")],
            "--bias-key other".into(),
        ),
        (
            vec![
                named(NAMES, samples(|class| class as i64 + 7))
                    .write("invariant_codes.safetensors"),
            ],
            "--first-label 7".into(),
        ),
        (
            vec![
                samples(plain).write_npz("invariant_samples.npz"),
                named(NAMES, Network::empty()).write("invariant_head.safetensors"),
            ],
            String::new(),
        ),
        (
            vec![
                named(NAMES, Network::empty()).write("invariant_head.safetensors"),
                samples(plain).write_npz("invariant_samples.npz"),
            ],
            String::new(),
        ),
    ];
    for flags in FLAGS {
        let expected = audit(std::slice::from_ref(&base), flags);
        for (files, more) in &ways {
            assert_eq!(audit(files, &format!("{flags} {more}")), expected, "{files:?}");
        }
    }
}

/// Sums over samples in another order differ in their last bits only.
#[test]
fn the_order_of_samples_and_files_changes_rounding_errors_only() {
    let base = whole("ordered.safetensors");
    let head = with_head(Network::empty(), NAMES, PLAIN).write("ordered_head.safetensors");
    let shard =
        |name: &str, samples: &[usize]| with_samples(Network::empty(), samples, plain).write(name);
    let odd: Vec<usize> = (0..SAMPLES).filter(|sample| sample % 2 == 1).collect();
    let even: Vec<usize> = (0..SAMPLES).filter(|sample| sample % 2 == 0).rev().collect();
    let files = [shard("odd.safetensors", &odd), head, shard("even.safetensors", &even)];
    for flags in FLAGS {
        // Standard errors and noise are estimated from the spread over parts of the samples as they follow each other.
        let measured = |files: &[PathBuf]| {
            let mut audit = audit(files, flags);
            assert!(audit.as_object_mut().unwrap().remove("standard_errors").is_some());
            assert!(audit["levels"].as_object_mut().unwrap().remove("collapsed").is_some());
            let reasons = audit["reasons"].as_object_mut().unwrap();
            reasons.retain(|key, _| !key.starts_with("standard_errors."));
            audit
        };
        let expected = measured(std::slice::from_ref(&base));
        assert_same(&measured(&files), &expected, 1e-11);
        let mut turned = files.clone();
        turned.reverse();
        assert_same(&measured(&turned), &expected, 1e-11);
    }
}

/// Classes under other numbers, with the outputs of the head in the same order, are the same classes.
#[test]
fn the_order_of_classes_changes_rounding_errors_only() {
    const ORDER: [usize; CLASSES] = [2, 0, 3, 1];
    let place = |class: usize| ORDER.iter().position(|&other| other == class).unwrap() as i64;
    let turned = with_head(Network::empty(), NAMES, ORDER);
    let turned = with_samples(turned, &all(), place).write("turned_classes.safetensors");
    let base = whole("unturned_classes.safetensors");
    for flags in FLAGS {
        let expected = audit(std::slice::from_ref(&base), flags);
        let found = audit(std::slice::from_ref(&turned), flags);
        for key in [
            "nc1",
            "nc1_resolved",
            "nc1_predicted_rank",
            "nc2",
            "nc3",
            "nc3_centered",
            "nc4",
            "accuracy",
            "loss",
            "loss_optimum",
            "loss_gap",
            "gradient_norm",
            "balancedness",
        ] {
            assert_same(&found[key], &expected[key], 1e-10);
        }
        for (class, &original) in ORDER.iter().enumerate() {
            assert_same(&found["classes"][class], &expected["classes"][original], 1e-10);
        }
    }
}
