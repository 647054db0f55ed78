//! `--loss`: cross-entropy, the layer-peeled model and the support vector machine.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::{assert_keys, column, error_line, json, run, text};

fn predict(line: &str) -> Value {
    json(&format!("predict --json --loss {line}"))
}

fn audit(line: &str) -> Value {
    json(&format!("audit --json data/{line}"))
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

#[track_caller]
fn assert_close(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance * expected.abs(), "{found} for {expected}");
}

const HEAD: &str = "--depth 1 --weight-decay 1e-3 --feature-decay 1e-3";

#[test]
fn flags_that_do_not_fit_the_loss_are_bad_usage() {
    for line in [
        "--loss hinge --counts 5,5".to_string(),
        "--loss mse --counts 5,5".into(),
        "--loss ce --counts 5,5 --depth 1".into(),
        format!("--loss ce --counts 5,5 {HEAD} --weight-energy 1"),
        format!("--counts 5,5 {HEAD} --feature-energy 1"),
        "--loss layer-peeled --counts 5,5".into(),
        "--loss layer-peeled --counts 5,5 --weight-energy 1".into(),
        format!("--loss layer-peeled --counts 5,5 --weight-energy 1 --feature-energy 1 {HEAD}"),
        "--loss uf-svm".into(),
        "--loss uf-svm --counts 5,5 --bias none".into(),
        "--loss uf-svm --counts 5,5 --weight-energy 1".into(),
    ] {
        let output = run(&format!("predict {line}"));
        assert_eq!(output.status.code(), Some(2), "{line}: {}", text(&output.stderr));
        assert!(output.stdout.is_empty(), "{line}");
    }
}

#[test]
fn problems_without_a_closed_form_are_errors() {
    for (line, part) in [
        (
            format!("ce --counts 5,6 {} --search 0", HEAD.replace("--depth 1", "--depth 2")),
            "no closed form is known for cross-entropy with several layers",
        ),
        (format!("ce --counts 5x4 {HEAD} --widths 2 --search 0"), "a width below K − 1"),
        (
            "layer-peeled --counts 3,4 --weight-energy 0 --feature-energy 1".into(),
            "--weight-energy: 0, but must be positive",
        ),
        ("uf-svm --counts 3".into(), "at least 2"),
    ] {
        let message = error_line(&format!("predict --loss {line}"));
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn the_squared_loss_is_the_default() {
    let line = format!("--counts 20,10,10 {HEAD}");
    for loss in ["mse", "squared", "mean-squared-error"] {
        for json in ["", " --json"] {
            let named = run(&format!("predict {line} --loss {loss}{json}"));
            let default = run(&format!("predict {line}{json}"));
            assert_eq!(text(&named.stdout), text(&default.stdout));
        }
    }
}

/// Zhu et al. (NeurIPS 2021): α = ln((1 − (K−1)κ)/κ) with κ = √(n λ_W λ_H).
#[test]
fn one_layer_of_cross_entropy_is_proved() {
    let report =
        predict("cross-entropy --counts 100x4 --depth 1 --weight-decay 5e-4 --feature-decay 5e-4");
    assert_keys(
        &report,
        &[
            "schema_version",
            "loss_function",
            "unique",
            "lower_bound",
            "gap",
            "strength",
            "merging_counts",
            "collapse_factor",
            "problem",
            "geometry",
            "proof",
            "statement",
            "loss",
            "simplex_etf",
            "bias",
            "directions",
            "angles",
            "classes",
        ],
    );
    assert_eq!(report["loss_function"], "cross_entropy");
    assert_eq!(report["geometry"], "simplex ETF");
    assert_eq!(report["proof"], "proved");
    assert_eq!(report["bias"], Value::Null);
    // n* = N² λ_W λ_H, and all is zero from κ = 1/K on.
    assert_eq!(report["merging_counts"][0]["class_weight"], 1.0);
    assert_close(number(&report["merging_counts"][0]["count"]), 0.04, 1e-13);
    assert_close(number(&report["collapse_factor"]), 50.0, 1e-12);
    assert_close(number(&report["simplex_etf"]["collapse_factor"]), 50.0, 1e-12);
    let kappa = 0.005_f64;
    let alpha = ((1.0 - 3.0 * kappa) / kappa).ln();
    for logit in column(&report["directions"], "logit") {
        assert_close(logit, alpha, 1e-13);
    }
    // ‖w_k‖² = (1 − 1/K) t/λ_W with t = κα.
    for norm in column(&report["classes"], "classifier_norm_squared") {
        assert_close(norm, 0.75 * kappa * alpha / 5e-4, 1e-13);
    }
    assert_close(number(&report["angles"][0]["classifier_cosine"]), -1.0 / 3.0, 1e-13);
}

/// The counterexample to Theorem A.1 of Dang et al. that `data/README.md` tells of.
#[test]
fn the_octahedron_is_only_the_best_known() {
    let report =
        predict("ce --counts 10x6 --depth 2 --weight-decay 1e-3 --feature-decay 1e-4 --bias 0.1");
    assert_eq!(report["geometry"], "3 × pair");
    assert_eq!(report["proof"], "best_known");
    assert_eq!(report["simplex_etf"]["proof"], "proved_not_global");
    assert_close(number(&report["loss"]), 0.029_568_473, 1e-8);
    assert_close(number(&report["simplex_etf"]["loss"]), 0.031_490_14, 1e-6);
    assert_eq!(report["angles"], Value::Null);
    assert_eq!(report["directions"].as_array().unwrap().len(), 3);
    assert_eq!(report["bias"].as_array().unwrap().len(), 6);
    let norms = column(&report["classes"], "feature_norm_squared");
    assert_eq!(norms.len(), 6);
    assert!(norms.iter().all(|&norm| norm == norms[0]), "{norms:?}");
    let statement = report["statement"].as_str().unwrap();
    assert!(statement.contains("numerical starts none ends lower"), "{statement}");
}

/// Thrampoulidis et al. (NeurIPS 2022): the nuclear norm, and WWᵀ H̄ᵀH̄ = I − 11ᵀ/K on the diagonal sums.
#[test]
fn seli_has_its_norms_and_angles() {
    let report = predict("uf-svm --counts 9x2,4x3");
    assert_eq!(report["loss_function"], "uf_svm");
    assert_eq!(report["geometry"], "SELI");
    assert_close(number(&report["loss"]), 3.0 + 7.0_f64.sqrt() + 4.0, 1e-14);
    let classifier: f64 = column(&report["classes"], "classifier_norm_squared").iter().sum();
    assert_close(classifier, 7.0 + 7.0_f64.sqrt(), 1e-13);
    assert_eq!(column(&report["directions"], "logit"), [3.0, 7.0_f64.sqrt(), 2.0, 2.0]);
    let pairs: Vec<_> = report["angles"]
        .as_array()
        .unwrap()
        .iter()
        .map(|angle| angle["counts"].to_string())
        .collect();
    assert_eq!(pairs, ["[9,9]", "[9,4]", "[4,4]"]);
    assert!(column(&report["angles"], "feature_cosine").iter().all(|&cosine| cosine < 0.0));
}

/// Fang et al. (PNAS 2021): the classifiers of small classes become one.
#[test]
fn the_layer_peeled_model_has_minority_collapse() {
    let report = predict("layer-peeled --counts 100x3,10x3 --weight-energy 1 --feature-energy 1");
    assert_eq!(report["geometry"], "minority collapse");
    assert_eq!(report["problem"]["weight_energy"], 1.0);
    let cosines = column(&report["angles"], "classifier_cosine");
    assert_close(cosines[2], 1.0, 1e-14);
    let norms: f64 = column(&report["classes"], "classifier_norm_squared").iter().sum();
    assert_close(norms, 6.0, 1e-12);
    let balanced = predict("layer-peeled --counts 20x5 --weight-energy 4 --feature-energy 1");
    assert_eq!(balanced["geometry"], "simplex ETF");
    assert_close(number(&balanced["loss"]), (4.0 * (-2.5_f64).exp()).ln_1p(), 1e-14);
}

/// Gradient descent on cross-entropy ends at the predicted point, antipodes in any order.
#[test]
fn cross_entropy_reaches_the_prediction() {
    for (file, geometry, proof, loss) in [
        ("direct_ce_m1", "simplex ETF", "proved", 0.094_361_693_741),
        ("direct_ce_m2", "simplex ETF", "best_known", 0.040_802_295_285),
        ("direct_ce_octahedron_m2", "3 × pair", "best_known", 0.029_568_473_181),
    ] {
        let audit = audit(&format!("{file}.safetensors"));
        assert_eq!(audit["loss_function"], "cross_entropy");
        assert_eq!(audit["prediction"]["geometry"], geometry, "{file}");
        assert_eq!(audit["prediction"]["proof"], proof, "{file}");
        let nc2 = audit["nc2"].as_array().unwrap();
        for metric in nc2.iter().chain([&audit["nc1"], &audit["nc3"], &audit["gradient_norm"]]) {
            assert!(number(metric) < 1e-6, "{file}: {metric}");
        }
        assert_eq!(audit["nc4"], 1.0);
        assert_close(number(&audit["loss"]), loss, 1e-11);
        assert!(number(&audit["loss_gap"]).abs() < 1e-14, "{file}: {}", audit["loss_gap"]);
        for class in audit["classes"].as_array().unwrap() {
            for norm in ["classifier_norm_squared", "feature_norm_squared"] {
                let norm = &class[norm];
                assert_close(number(&norm["measured"]), number(&norm["predicted"]), 1e-6);
            }
        }
        assert_eq!(audit["relabelled"], geometry == "3 × pair");
        let printed = run(&format!("audit data/{file}.safetensors"));
        assert!(text(&printed.stdout).contains("\nTheorem: "), "{file}");
    }
}

/// A balanced network trained with weight decay is a simplex ETF for the other models too.
#[test]
fn models_without_decays_take_them_from_the_network() {
    let peeled = audit("direct_ce_m2.safetensors --loss layer-peeled");
    assert_eq!(peeled["nc2"].as_array().unwrap().len(), 1);
    assert!(number(&peeled["nc3"]) < 1e-6 && number(&peeled["loss_gap"]).abs() < 1e-9, "{peeled}");
    let svm = audit("direct_ce_m1.safetensors --loss uf-svm");
    assert!(number(&svm["nc3"]) < 1e-6, "{svm}");
    assert_eq!(svm["loss"], Value::Null);
    assert_eq!(svm["loss_optimum"], Value::Null);
    for class in svm["classes"].as_array().unwrap() {
        let norm = &class["feature_norm_squared"];
        assert_close(number(&norm["measured"]), number(&norm["predicted"]), 1e-6);
    }
}

/// Not trained with this loss: the verdict says so, and the prediction is proved within a gap all the same.
#[test]
fn cross_entropy_on_classes_of_different_sizes_is_a_convex_program() {
    let audit = audit("digits_m1.safetensors --loss ce");
    assert_eq!(audit["prediction"]["proof"], "proved_within_gap");
    assert_eq!(audit["verdict"]["kind"], "not_stationary");
    assert!(number(&audit["loss"]) > number(&audit["loss_optimum"]));
}

/// Minimum of a deeper head without a closed form: searched for, and called so.
#[test]
fn problems_without_a_closed_form_are_searched_numerically() {
    let line = format!("ce --counts 5,6 {HEAD}").replace("--depth 1", "--depth 2");
    let report = predict(&line);
    assert_eq!(report["proof"], "best_known");
    assert!(report["statement"].as_str().unwrap().contains("numerical search"), "{report}");
    assert_eq!(predict(&line)["loss"], report["loss"]);
}

#[test]
fn the_layer_peeled_model_takes_classes_of_any_sizes() {
    let report = audit("digits_m3.safetensors --loss layer-peeled");
    assert_eq!(report["prediction"]["proof"], "proved_within_gap");
    let three = predict("layer-peeled --counts 3,4,5 --weight-energy 1 --feature-energy 1");
    let (bound, loss) = (number(&three["lower_bound"]), number(&three["loss"]));
    assert!(bound <= loss && loss - bound < 1e-9 * loss, "{bound} {loss}");
}

/// What the library knows of collapse is in the report of every model.
#[test]
fn limits_of_every_model_are_reported() {
    let squared =
        predict("mse --counts 200x5,100x5 --depth 1 --weight-decay 1e-3 --feature-decay 1e-3");
    assert_close(number(&squared["critical_imbalance_ratio"]), 19.0, 1e-12);
    let steps = column(&squared["collapse_factors"], "surviving_directions");
    assert_eq!(steps, [5.0, 0.0]);
    let peeled = predict("layer-peeled --counts 1000x5,10x5 --weight-energy 1 --feature-energy 1");
    assert!((1.0..100.0).contains(&number(&peeled["critical_imbalance_ratio"])), "{peeled}");
    let line = "ce --counts 60,40,14,13 --depth 1 --weight-decay 2e-2 --feature-decay 3.1e-2";
    let dying = predict(&format!("{line} --nonnegative-features"));
    let least = number(&dying["surviving_counts"][0]["count"]);
    assert!(13.0 < least && least < 14.0 && number(&dying["collapse_factor"]) < 1.0, "{dying}");
    let weighted = predict(&format!("{line} --class-weights 1,1,2,2"));
    let counts = column(&weighted["merging_counts"], "count");
    assert_close(counts[0], 127.0 * 127.0 * 6.2e-4, 1e-12);
    assert_close(counts[0] / counts[1], 4.0, 1e-12);
    assert!(number(&weighted["collapse_factor"]) > 1.0);
}

/// f* is a proved global minimum and nothing else, whatever the model.
#[test]
fn only_a_proved_minimum_is_called_f_star() {
    let decays = "--weight-decay 5e-3 --feature-decay 5e-3";
    let mut proofs = BTreeSet::new();
    for line in [
        format!("--counts 6,4,2 --depth 2 {decays}"),
        format!("--counts 6,4,2 --depth 1 {decays} --bias 0.1"),
        format!("--counts 6,4,2 --depth 2 {decays} --bias 0.1 --search 1"),
        format!("--loss ce --counts 100x6 --depth 1 {decays}"),
        "--loss ce --counts 10x6 --depth 2 --weight-decay 1e-3 --feature-decay 1e-4 --bias 0.1"
            .into(),
        format!("--loss ce --counts 6,4,2 --depth 1 {decays}"),
        format!("--loss ce --counts 6,4,2 --depth 2 {decays} --search 1"),
        format!("--loss ce --counts 6,4,2 --depth 1 {decays} --nonnegative-features"),
        "--loss layer-peeled --counts 6,4,2 --weight-energy 1 --feature-energy 1".into(),
        "--loss layer-peeled --counts 4x3 --weight-energy 1 --feature-energy 1".into(),
        "--loss uf-svm --counts 6,4,2".into(),
        "--loss fixed-etf --counts 6,4,2 --weight-energy 1 --feature-decay 1e-3".into(),
        "--loss spherical-ce --counts 4x3 --temperature 0.3".into(),
        "--loss supcon --counts 4x3 --temperature 0.3".into(),
    ] {
        let proof = json(&format!("predict --json {line}"))["proof"].as_str().unwrap().to_owned();
        let table = text(&run(&format!("predict {line}")).stdout).to_owned();
        assert_eq!(table.contains("f*"), proof == "proved", "{line}: {table}");
        for (name, of) in [
            ("loss of the best known point", "best_known"),
            ("loss of the minimum within its gap", "proved_within_gap"),
        ] {
            assert_eq!(table.contains(name), proof == of, "{line}: {table}");
        }
        proofs.insert(proof);
    }
    let all = ["best_known", "proved", "proved_within_gap"];
    assert_eq!(proofs.iter().map(String::as_str).collect::<Vec<_>>(), all);
    for (file, is_proved) in [("direct_etf_m1", true), ("direct_ce_m2", false)] {
        let table = run(&format!("audit data/{file}.safetensors"));
        let table = text(&table.stdout);
        assert_eq!(table.contains("f*"), is_proved, "{table}");
        let gap = "relative loss gap to the best known point";
        assert_eq!(table.contains(gap), !is_proved, "{table}");
    }
}
