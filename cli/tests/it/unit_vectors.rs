//! `--loss fixed-etf`, `spherical-ce` and `supcon`, and `--targets`.

use crate::support::network::Network;
use crate::support::{error_line, json, run, text};

/// The rows of a simplex ETF in three dimensions, of the length √(2/3) times `factor`.
fn simplex(factor: f64) -> Vec<f64> {
    let entry = |i: usize, j: usize| factor * if i == j { 2.0 / 3.0 } else { -1.0 / 3.0 };
    (0..9).map(|index| entry(index / 3, index % 3)).collect()
}

#[test]
fn models_of_fixed_heads_and_unit_vectors_are_predicted() {
    for (line, name, geometry) in [
        (
            "--loss fixed-etf --counts 9,5,4 --weight-energy 1 --feature-decay 1e-3",
            "fixed_etf",
            "simplex",
        ),
        (
            "--loss fixed-etf --counts 9,5 --weight-energy 1 --feature-decay 1e-3 --label-smoothing 0.1",
            "fixed_etf",
            "simplex",
        ),
        ("--loss spherical-ce --counts 5x4 --temperature 0.1", "spherical_ce", "simplex"),
        ("--loss supcon --counts 5x4 --temperature 0.1", "supcon", "simplex"),
        (
            "--loss supcon --counts 9,5,4 --temperature 0.1 --nonnegative-features",
            "supcon",
            "orthogonal",
        ),
    ] {
        let found = json(&format!("predict --json {line}"));
        assert_eq!(found["loss_function"], name, "{line}");
        assert!(found["geometry"].as_str().unwrap().to_lowercase().contains(geometry), "{found}");
        assert_eq!(found["proof"], "proved");
    }
    for line in ["--loss supcon --counts 5x4", "--loss fixed-etf --counts 5x4 --weight-energy 1"] {
        assert_eq!(run(&format!("predict {line}")).status.code(), Some(2), "{line}");
    }
}

#[test]
fn networks_of_unit_vectors_are_audited() {
    let rows = simplex(1.5_f64.sqrt());
    let features: Vec<f64> =
        (0..6).flat_map(|sample| rows[3 * (sample / 2)..][..3].to_vec()).collect();
    let network = Network::empty()
        .with_doubles("features", &[6, 3], &features)
        .with_labels(&[0, 0, 1, 1, 2, 2])
        .with_doubles("fc.weight", &[3, 3], &rows);
    let file = network.write("unit_vectors.safetensors").display().to_string();
    let line = format!("audit --json {file} --loss spherical-ce --normalize --temperature 0.5");
    let audit = json(&line);
    for key in ["nc3", "nc2_class_means"] {
        assert!(audit[key].as_f64().unwrap() < 1e-12, "{key}: {audit}");
    }
    assert!(audit["loss_gap"].as_f64().unwrap().abs() < 1e-12, "{audit}");
    // Rows are divided by the temperature, as outputs are.
    let norm = &audit["classes"][0]["classifier_norm_squared"];
    for key in ["measured", "predicted"] {
        assert!((norm[key].as_f64().unwrap() - 4.0).abs() < 1e-12, "{norm}");
    }
    // Across themselves vectors of length 1 have no gradient at the minimum.
    assert!(audit["gradient_norm"].as_f64().unwrap() < 1e-12, "{audit}");
    let audit = json(&format!("audit --json {file} --loss supcon --normalize --temperature 0.5"));
    assert!(audit["nc2_class_means"].as_f64().unwrap() < 1e-12);
    assert!(audit["loss"].is_null());
    assert!(audit["reasons"]["loss"].as_str().unwrap().contains("pairs"), "{audit}");
    let tables = run(&format!("audit {file} --loss supcon --normalize --temperature 0.5"));
    assert!(
        text(&tables.stdout).contains("does not say what the outputs"),
        "{}",
        text(&tables.stdout)
    );
    let audit = json(&format!("audit --json {file} --loss spherical-ce"));
    assert!(audit["no_prediction"].as_str().unwrap().contains("--normalize"));
    let audit = json(&format!("audit --json {file} --loss fixed-etf --feature-decay 1e-3"));
    assert!(audit["nc3"].as_f64().unwrap() < 1e-12 && audit["loss_gap"].as_f64().unwrap() > 0.0);
    assert!(audit["gradient_norm"].as_f64().unwrap() > 1e-3 && audit["loss"].is_f64(), "{audit}");
    // Smoothed labels count.
    let line = format!("audit --json {file} --loss fixed-etf --feature-decay 1e-3");
    let smoothed = json(&format!("{line} --label-smoothing 0.1"));
    let higher = smoothed["loss"].as_f64().unwrap() - audit["loss"].as_f64().unwrap();
    // δ(z_y − mean z) for the features as they are.
    assert!((higher - 0.1).abs() < 1e-12, "{smoothed}");
    let audit = json(&format!("audit --json {file} --loss fixed-etf"));
    assert!(audit["no_prediction"].as_str().unwrap().contains("--feature-decay"));
}

#[test]
fn a_fixed_classifier_has_to_be_a_simplex_etf() {
    let identity = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
    let file = Network::empty()
        .with_doubles("features", &[6, 3], &[identity, identity].concat())
        .with_labels(&[0, 1, 2, 0, 1, 2])
        .with_doubles("fc.weight", &[3, 3], &identity)
        .write("no_fixed_etf.safetensors");
    let line = format!("audit --json {} --loss fixed-etf --feature-decay 1e-3", file.display());
    let audit = json(&line);
    assert!(audit["no_prediction"].as_str().unwrap().contains("not a simplex ETF"), "{audit}");
    assert!(audit["loss_gap"].is_null());
}

#[test]
fn networks_for_regression_are_audited() {
    let numbers = |count: usize, seed: usize| -> Vec<f64> {
        (0..count).map(|index| ((index * 7919 + seed * 104_729) as f64).sin()).collect()
    };
    let file = Network::empty()
        .with_doubles("h", &[9, 4], &numbers(36, 1))
        .with_doubles("y", &[9, 2], &numbers(18, 2))
        .with_doubles("fc.weight", &[2, 4], &numbers(8, 3))
        .with_doubles("fc.bias", &[2], &numbers(2, 4))
        .write("regression.safetensors");
    let names = format!("{} --features h --targets y --weights fc.weight", file.display());
    let decays = "--weight-decay 1e-3 --feature-decay 1e-3";
    let found = json(&format!("audit --json {names} {decays}"));
    for key in ["nrc1", "nrc2", "nrc3", "gamma", "output_distance", "fit_predicted", "loss_gap"] {
        assert!(found[key].as_f64().unwrap() > 0.0, "{key}: {found}");
    }
    assert!((found["gamma"].as_f64().unwrap() / 9e-6 - 1.0).abs() < 1e-12);
    assert_eq!(found["gram_distances"].as_array().unwrap().len(), 1);
    let output = run(&format!("audit {names} {decays}"));
    assert!(text(&output.stdout).contains("NRC3"));
    assert!(error_line(&format!("audit {names}")).contains("--weight-decay"));
    let unnamed = format!("audit {} --features h --targets y {decays}", file.display());
    assert!(error_line(&unnamed).contains("--weights"));
    for flag in [
        "--class-weights 1,2",
        "--label-smoothing 0.1",
        "--nonnegative-features",
        "--margins 1,2",
        "--logit-scales 1,2",
        "--search 3",
        "--metrics all",
        "--no-standard-errors",
        "--rank-cutoff 0.1",
        "--present-classes",
        "--first-label 1",
        "--label-names names.txt",
        "--export matrices.npz",
        "--trajectory",
    ] {
        // Flags that say nothing of regression would be left aside in silence.
        let output = run(&format!("audit {names} {decays} {flag}"));
        assert_eq!(output.status.code(), Some(2), "{flag}");
        assert!(text(&output.stderr).contains("--targets"), "{flag}");
    }
    let line = format!("audit {names} {decays} --decays-beside cross-entropy-loss");
    assert!(error_line(&line).contains("--decays-beside"));
    assert_eq!(run(&format!("report {names} {decays} -o page.html")).status.code(), Some(2));
}
