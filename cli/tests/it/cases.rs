//! Networks as people have them: what the audit says about them, and what it must not say.

use serde_json::Value;

use super::support::json;
use super::support::network::Network;

/// The K×K matrix I − 11ᵀ/K.
fn simplex(classes: usize) -> Vec<Vec<f64>> {
    let entry = |i: usize, j: usize| f64::from(u8::from(i == j)) - 1.0 / classes as f64;
    (0..classes).map(|i| (0..classes).map(|j| entry(i, j)).collect()).collect()
}

/// `samples` labels of each of `classes` classes.
fn labels(classes: usize, samples: usize) -> Vec<i64> {
    (0..classes as i64).flat_map(|class| std::iter::repeat_n(class, samples)).collect()
}

/// The rows of `means` for every label.
fn features(means: &[Vec<f64>], labels: &[i64]) -> Vec<f64> {
    labels.iter().flat_map(|&label| means[label as usize].clone()).collect()
}

fn scaled(rows: &[Vec<f64>], factor: f64) -> Vec<f64> {
    rows.concat().iter().map(|entry| factor * entry).collect()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

/// Features around a common mean that the bias removes: only the centered NC3 sees the simplex.
#[test]
fn a_common_mean_that_the_bias_removes() {
    let (m, y) = (simplex(4), labels(4, 5));
    let common = [0.3, 0.3, 0.3, 2.0];
    let shifted = |row: &Vec<f64>| row.iter().zip(common).map(|(a, c)| a + c).collect();
    let means: Vec<Vec<f64>> = m.iter().map(shifted).collect();
    let weights = scaled(&m, 3.0);
    let output = |row: &[f64]| -row.iter().zip(common).map(|(w, c)| w * c).sum::<f64>();
    let bias: Vec<f64> = weights.chunks(4).map(output).collect();
    let path = Network::empty()
        .with_doubles("features", &[20, 4], &features(&means, &y))
        .with_labels(&y)
        .with_doubles("classifier.1.weight", &[4, 4], &weights)
        .with_doubles("classifier.bias", &[4], &bias)
        .write_npz("case_common_mean.npz");
    let audit = json(&format!("audit {} --json", path.display()));
    assert!((number(&audit["nc3"]) - 0.993).abs() < 5e-4, "{audit}");
    assert!(number(&audit["nc3_centered"]) < 1e-14, "{audit}");
    assert_eq!(audit["nc3_target"], "simplex_etf");
    assert_eq!(audit["accuracy"], 1.0);
}

/// Without decays and loss function the loss is unknown: the distances to both frames are named.
#[test]
fn an_unknown_loss_has_two_frames() {
    let (m, y) = (simplex(4), labels(4, 5));
    let path = Network::empty()
        .with_doubles("features", &[20, 4], &features(&m, &y))
        .with_labels(&y)
        .with_doubles("fc.weight", &[4, 4], &scaled(&m, 3.0))
        .write_npz("case_unknown_loss.npz");
    for flags in ["", " --weights fc.weight"] {
        let audit = json(&format!("audit {}{flags} --json", path.display()));
        assert_eq!(audit["loss_function"], Value::Null);
        assert_eq!(audit["head"]["weights"], serde_json::json!(["fc.weight"]));
        for (frame, expected) in [("orthogonal_frame", 0.518), ("simplex_etf", 0.0)] {
            let distance = &audit["distances"][frame];
            for found in [&distance["nc2"][0], &distance["nc3"], &distance["nc3_centered"]] {
                assert!((number(found) - expected).abs() < 5e-4, "{frame}: {distance}");
            }
        }
    }
}

/// The penalty of features in training code is often a sum over a batch.
#[test]
fn rates_of_a_training_loop_with_batches() {
    let (classes, n, batch, rate) = (4_usize, 50_usize, 20.0, 2e-3);
    let samples = (classes * n) as f64;
    let weight_decay = classes as f64 * rate / 2.0;
    let feature_decay = classes as f64 * rate / 2.0 * batch / samples;
    let scale = (n as f64 * feature_decay / weight_decay).sqrt();
    let fitted = 1.0 - samples * (weight_decay * feature_decay / n as f64).sqrt();
    let identity = |size: f64| -> Vec<Vec<f64>> {
        let entry = |i: usize, j: usize| if i == j { size } else { 0.0 };
        (0..classes).map(|i| (0..classes).map(|j| entry(i, j)).collect()).collect()
    };
    let y = labels(classes, n);
    let path = Network::empty()
        .with_doubles("features", &[200, 4], &features(&identity((fitted / scale).sqrt()), &y))
        .with_labels(&y)
        .with_doubles("classifier.1.weight", &[4, 4], &identity((fitted * scale).sqrt()).concat())
        .write_npz("case_batches.npz");
    let flags = "--weight-decay 2e-3 --feature-decay 2e-3 --bias none --json";
    let coded = "--decays-beside mse-loss --batch-size 20";
    let audit = json(&format!("audit {} {flags} {coded}", path.display()));
    assert!(number(&audit["loss_gap_relative"]).abs() < 1e-12, "{audit}");
    assert_eq!(audit["verdict"]["kind"], "global_minimum");
    let literal = json(&format!("audit {} {flags}", path.display()));
    assert!((number(&literal["loss_gap_relative"]) - 0.737).abs() < 1e-3, "{literal}");
}

/// One missing sample, no decays: distances are measured, and the true reason is given.
#[test]
fn one_sample_is_missing() {
    let (m, mut y) = (simplex(4), labels(4, 5));
    y.pop();
    let path = Network::empty()
        .with_doubles("features", &[19, 4], &features(&m, &y))
        .with_labels(&y)
        .with_doubles("classifier.1.weight", &[4, 4], &scaled(&m, 3.0))
        .with_doubles("classifier.bias", &[4], &[0.0; 4])
        .write_npz("case_missing_sample.npz");
    let audit = json(&format!("audit {} --loss ce --json", path.display()));
    let distances = &audit["distances"];
    assert!(number(&distances["simplex_etf"]["nc3"]) < 1e-14, "{audit}");
    assert!(number(&distances["seli"]["nc3"]) < 0.2, "{audit}");
    let reason = audit["no_prediction"].as_str().unwrap();
    assert!(reason.contains("weight decay"), "{reason}");
    assert_eq!(audit["prediction"], Value::Null);
}

/// One sample a class: nothing varies within a class, so NC1 is not small but undefined.
#[test]
fn one_sample_in_every_class() {
    let numbers: Vec<f64> = (0..24).map(|i| (f64::from(i) * 1.7).sin()).collect();
    let weights: Vec<f64> = (0..24).map(|i| (f64::from(i) * 0.9).cos()).collect();
    let path = Network::empty()
        .with_doubles("features", &[4, 6], &numbers)
        .with_labels(&[0, 1, 2, 3])
        .with_doubles("classifier.1.weight", &[4, 6], &weights)
        .write_npz("case_one_sample.npz");
    let audit = json(&format!("audit {} --json", path.display()));
    assert_eq!(audit["nc1"], Value::Null);
    let reason = audit["reasons"]["nc1"].as_str().unwrap();
    assert!(reason.contains("two samples"), "{reason}");
}

/// A test set around the class means of its training set, under which both rules agree.
#[test]
fn a_test_set_around_training_means() {
    let weights = [1.0, 0.0, -1.0, 0.0];
    let write = |name: &str, features: &[f64]| {
        Network::empty()
            .with_doubles("features", &[4, 2], features)
            .with_labels(&[0, 0, 1, 1])
            .with_doubles("classifier.1.weight", &[2, 2], &weights)
            .write_npz(name)
    };
    let train = write("case_means_train.npz", &[1.0, 0.0, 1.0, 0.0, -1.0, 0.0, -1.0, 0.0]);
    let test = write("case_means_test.npz", &[0.2, 0.0, 3.0, 0.0, -1.0, 0.0, -1.0, 0.0]);
    assert!(number(&json(&format!("audit {} --json", test.display()))["nc4"]) < 1.0);
    let means = format!("audit {} --means {} --json", test.display(), train.display());
    assert_eq!(json(&means)["nc4"], 1.0);
}
