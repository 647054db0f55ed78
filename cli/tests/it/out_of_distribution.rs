//! `audit --out-of-distribution`.

use crate::support::network::Network;
use crate::support::{error_line, json, run, text};

/// Two classes around (2, 0, 0) and (−2, 0, 0), and a head that reads them off.
fn network(name: &str, scale: f64) -> String {
    let row = |sample: usize| {
        let sign = [1.0, -1.0][sample % 2];
        [scale * 2.0 * sign, 0.1 * (sample as f64 - 2.5), 0.0]
    };
    let features: Vec<f64> = (0..6).flat_map(row).collect();
    let network = Network::empty()
        .with_doubles("features", &[6, 3], &features)
        .with_labels(&[0, 1, 0, 1, 0, 1])
        .with_doubles("fc.weight", &[2, 3], &[3.0, 0.0, 0.0, -3.0, 0.0, 0.0]);
    network.write(name).display().to_string()
}

fn outside(name: &str, key: &'static str, shape: &[usize], numbers: &[f64]) -> String {
    Network::empty().with_doubles(key, shape, numbers).write(name).display().to_string()
}

#[test]
fn samples_out_of_distribution_are_told_apart() {
    let file = network("known.safetensors", 1.0);
    // Across the class means; the name does not matter where there is one array.
    let across = [0.0, 0.0, 3.0, 0.6, 0.0, 0.8, 0.0, 0.0, 2.2];
    let other = outside("across.safetensors", "h", &[3, 3], &across);
    let found = json(&format!("audit --json {file} --out-of-distribution {other}"));
    // Class means (±2, ∓0.05, 0), and the mean (0.2, 0, 2) of the others.
    let (a, b) = (2.0_f64, 0.05_f64);
    let expected = 0.2 * a / (a.hypot(b) * 0.2_f64.hypot(2.0));
    let close = |found: &serde_json::Value, expected: f64| {
        assert!((found.as_f64().unwrap() - expected).abs() < 1e-12, "{found} {expected}");
    };
    close(&found["nc5"], expected);
    // Scores |⟨u, h⟩|/‖h‖ on the direction u of the class means.
    close(&found["neco"]["outside_mean"], 0.6 * a / a.hypot(b) / 3.0);
    assert_eq!(found["neco"]["auroc"], 1.0);
    close(&found["nci"]["outside_mean"], 3.0 * 0.6 / 3.0);
    assert!(found["nci"]["known_mean"].as_f64().unwrap() > 2.9);
    // All else is as without.
    let plain = json(&format!("audit --json {file}"));
    assert!(plain.get("nc5").is_none() && plain["nc1"] == found["nc1"]);
    let printed = run(&format!("audit {file} --out-of-distribution {other}"));
    assert!(text(&printed.stdout).contains("AUROC"), "{}", text(&printed.stdout));
    // The network's own samples cannot be told from themselves, in one file or two.
    let same = json(&format!("audit --json {file} --out-of-distribution {file}"));
    assert_eq!(same["neco"]["auroc"], 0.5);
    assert_eq!(same["neco"]["known_mean"], same["neco"]["outside_mean"]);
    let parts = [
        outside("across_1.safetensors", "h", &[1, 3], &across[..3]),
        outside("across_2.safetensors", "h", &[2, 3], &across[3..]),
    ];
    let parted = json(&format!("audit --json {file} --out-of-distribution {}", parts.join(",")));
    close(&parted["neco"]["outside_mean"], found["neco"]["outside_mean"].as_f64().unwrap());
}

#[test]
fn what_cannot_be_told_is_null_or_refused() {
    let file = network("known_2.safetensors", 1.0);
    let zero = outside("zero.safetensors", "h", &[2, 3], &[1.0, 0.0, 0.0, -1.0, 0.0, 0.0]);
    let found = json(&format!("audit --json {file} --out-of-distribution {zero}"));
    assert!(found["nc5"].is_null() && found["reasons"]["nc5"].is_string(), "{found}");
    let narrow = outside("narrow.safetensors", "h", &[2, 2], &[1.0, 0.0, 0.0, -1.0]);
    let message = error_line(&format!("audit {file} --out-of-distribution {narrow}"));
    assert!(message.contains("narrow") && message.contains("2×3"), "{message}");
    let bad = outside("nan.safetensors", "h", &[1, 3], &[1.0, f64::NAN, 0.0]);
    assert!(error_line(&format!("audit {file} --out-of-distribution {bad}")).contains("NaN"));
    let trajectory = run(&format!("audit --trajectory {file} --out-of-distribution {zero}"));
    assert_eq!(trajectory.status.code(), Some(2));
}
