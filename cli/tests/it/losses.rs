//! Class weights, label smoothing, non-negative features, margins and scales of the logits; the networks trained with
//! them.

use serde_json::Value;

use crate::support::network::Network;
use crate::support::{column, error_line, json, run, text};

fn predict(line: &str) -> Value {
    json(&format!("predict --json --loss {line}"))
}

fn audit(line: &str) -> Value {
    json(&format!("audit --json data/{line}"))
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

const HEAD: &str = "--depth 1 --weight-decay 1e-2 --feature-decay 1e-2";

/// Margins count as class sizes n m², one scale of all logits divides them.
#[test]
fn margins_and_scales_of_the_support_vector_machine() {
    let sizes = predict("uf-svm --counts 36,16,9");
    let margins = predict("uf-svm --counts 36,4,1 --margins 1,2,3");
    let scaled = predict("uf-svm --counts 36,4,1 --margins 1,2,3 --logit-scales 2x3");
    let loss = |report: &Value| number(&report["loss"]);
    assert!((loss(&margins) / loss(&sizes) - 1.0).abs() < 1e-14);
    assert!((2.0 * loss(&scaled) / loss(&sizes) - 1.0).abs() < 1e-14);
    let norms = |report: &Value| column(&report["classes"], "classifier_norm_squared");
    for (one, other) in norms(&margins).into_iter().zip(norms(&sizes)) {
        assert!((one / other - 1.0).abs() < 1e-13);
    }
    assert_eq!(scaled["problem"]["margins"], serde_json::json!([1.0, 2.0, 3.0]));
    assert_eq!(scaled["problem"]["logit_scales"], serde_json::json!([2.0, 2.0, 2.0]));
    assert_eq!(scaled["proof"], "proved");
    // Ones are none, and say nothing.
    let plain = run("predict --loss uf-svm --counts 9x2,4x3");
    let ones = run("predict --loss uf-svm --counts 9x2,4x3 --margins 1x5 --logit-scales 1x5");
    assert_eq!(text(&plain.stdout), text(&ones.stdout));
    // Classes of one size with different margins are no pair of sizes.
    assert_eq!(predict("uf-svm --counts 4x3 --margins 1,1,2")["angles"], Value::Null);
    let table = run("predict --loss uf-svm --counts 4x3 --margins 1x2,2");
    assert!(text(&table.stdout).contains("1x2, 2"), "{}", text(&table.stdout));
}

/// The simplex ETF of balanced classes is that of equal margins and of no others, and classes are not exchanged.
#[test]
fn margins_are_audited() {
    let plain = audit("direct_etf_m1.safetensors --loss uf-svm --margins 3x4");
    assert!(number(&plain["nc3"]) < 1e-6 && plain["loss"] == Value::Null, "{plain}");
    let unequal = audit("direct_etf_m1.safetensors --loss uf-svm --margins 1,1,2,2");
    assert!(number(&unequal["nc3"]) > 0.1 && unequal["relabelled"] == false, "{unequal}");
}

#[test]
fn the_squared_loss_takes_weights_and_smoothing() {
    let report = predict(&format!("mse --counts 64,36 {HEAD} --class-weights 1,2"));
    assert_eq!(report["loss_function"], "mse");
    assert_eq!(report["proof"], "proved_within_gap");
    assert_eq!(report["problem"]["class_weights"], serde_json::json!([1.0, 2.0]));
    // Shares 1 − Nκ/(ω√n) of 7/8 and 11/12, and losses ω n/N (1 − share)²/2 + κ√n share.
    let expected = 0.64 / 2.0 / 64.0 + 0.08 * 7.0 / 8.0 + 0.72 / 2.0 / 144.0 + 0.06 * 11.0 / 12.0;
    assert!((number(&report["loss"]) / expected - 1.0).abs() < 1e-12, "{report}");
    let smoothed = predict(&format!("mse --counts 64,36 {HEAD} --label-smoothing 0.1"));
    assert_eq!(smoothed["problem"]["label_smoothing"], 0.1);
    let biased = predict(&format!("mse --counts 64,36 {HEAD} --bias 0.1"));
    assert_eq!(biased["loss_function"], "mse");
    let deep = HEAD.replace("--depth 1", "--depth 2");
    let line = format!("predict --loss mse --counts 64,36 {deep} --class-weights 1,2 --search 0");
    let message = error_line(&line);
    assert!(message.contains("class weights or smoothing beside the squared loss"), "{message}");
}

#[test]
fn flags_of_other_losses_are_bad_usage() {
    for (line, part) in [
        (format!("ce --counts 5,5 {HEAD} --margins 1,2"), "--loss uf-svm"),
        ("uf-svm --counts 5,5 --class-weights 1,2".into(), "--loss ce"),
        ("uf-svm --counts 5,5 --label-smoothing 0.1".into(), "--loss ce"),
        (format!("mse --counts 5,5 {HEAD} --nonnegative-features"), "--loss ce"),
        ("uf-svm --counts 5,5 --margins 0,1".into(), "positive"),
        ("uf-svm --counts 5,5 --logit-scales 1,x".into(), "NUMBERxCLASSES"),
        (format!("ce --counts 5,5 {HEAD} --label-smoothing 1"), "at least 0 and below 1"),
        (format!("ce --counts 5,5 {HEAD} --label-smoothing -0.1"), "at least 0 and below 1"),
        (format!("ce --counts 5,5 {HEAD} --class-weights nan,1"), "positive"),
        (
            format!("ce --counts 5,5 {HEAD} --class-weights -1x2"),
            "`-1x2`: numbers must be positive",
        ),
        ("uf-svm --counts 5,5 --margins -1,1".into(), "`-1`: numbers must be positive"),
        (format!("mse --counts 5,5 {HEAD} --temperature 2"), "--loss supcon"),
        (format!("ce --counts 5,5 {HEAD} --temperature 2"), "--loss supcon"),
        ("uf-svm --counts 5,5 --temperature 2".into(), "--loss supcon"),
    ] {
        let output = run(&format!("predict --loss {line}"));
        assert_eq!(output.status.code(), Some(2), "{line}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(part), "{}", text(&output.stderr));
    }
    for (line, part) in [
        ("--margins 1,2,3", "--margins: 3 numbers for 2 classes"),
        ("--logit-scales 1", "--logit-scales: 1 numbers for 2 classes"),
    ] {
        let message = error_line(&format!("predict --loss uf-svm --counts 5,5 {line}"));
        assert!(message.contains(part), "{message}");
    }
    let line = format!("predict --loss ce --counts 5,5 {HEAD} --class-weights 1x3");
    assert!(error_line(&line).contains("--class-weights"));
}

/// What is refused of non-negative features says where they are covered, and nothing of other models.
#[test]
fn refusals_of_nonnegative_features_say_where_they_are_covered() {
    let deep = HEAD.replace("--depth 1", "--depth 2");
    for (line, reason) in [
        (format!("--counts 6,5 {HEAD} --bias unregularized"), "not orthogonal"),
        (format!("--counts 6,5 {HEAD} --bias 0.1"), "not orthogonal"),
        (format!("--counts 60x5 {HEAD} --widths 4"), "fewer dimensions"),
        (format!("--counts 6,6 {deep}"), "several layers"),
    ] {
        let message = error_line(&format!("predict --loss ce --nonnegative-features {line}"));
        assert!(message.contains(reason), "{message}");
        assert!(message.contains("it is known for one layer"), "{message}");
        assert!(!message.contains("--search"), "{message}");
    }
}

/// Widths below K − 1: the bound of the convex program stands beside what a search finds.
#[test]
fn narrow_features_have_a_bound() {
    let report = predict(&format!("ce --counts 60,60,20,20 {HEAD} --widths 2 --search 3"));
    assert_eq!(report["proof"], "best_known");
    let (loss, bound) = (number(&report["loss"]), number(&report["lower_bound"]));
    let wide = predict(&format!("ce --counts 60,60,20,20 {HEAD}"));
    assert_eq!(bound, number(&wide["lower_bound"]));
    assert!(loss > 1.001 * bound, "{loss} {bound}");
    assert_eq!(number(&report["gap"]), loss - bound);
}

#[test]
fn rates_beside_another_loss_are_refused() {
    let network = Network::small().write("rates_beside.safetensors").display().to_string();
    let decays = "--weight-decay 1e-3 --feature-decay 1e-3";
    for (loss, code, is_refused) in [
        ("mse", "cross-entropy-loss", true),
        ("mse", "mse-loss", false),
        ("mse", "half-mse", false),
        ("ce", "cross-entropy-loss", false),
        ("ce", "mse-loss", true),
        ("ce", "half-mse", true),
    ] {
        let flags = format!("--loss {loss} --decays-beside {code}");
        for line in [
            format!("predict --counts 5,5 {HEAD} {flags}"),
            format!("audit {network} {decays} {flags}"),
        ] {
            match is_refused {
                true => assert!(error_line(&line).contains("--decays-beside"), "{line}"),
                false => assert!(run(&line).status.success(), "{line}"),
            }
        }
    }
    // The loss that is assumed where none is given is another one, too.
    let line = format!("audit {network} {decays} --decays-beside cross-entropy-loss");
    assert!(error_line(&line).contains("--loss ce"));
}

#[test]
fn decays_that_no_objective_has_are_refused_where_others_are_missing() {
    let network = Network::small().write("lone_decays.safetensors").display().to_string();
    for number in ["0", "-1", "nan", "inf"] {
        for flag in ["--weight-decay", "--feature-decay"] {
            for loss in ["", "--loss ce", "--loss uf-svm", "--loss layer-peeled"] {
                let line = format!("audit {network} {flag} {number} {loss}");
                assert!(error_line(&line).contains("must be positive and finite"), "{line}");
            }
        }
    }
}

#[test]
fn weights_of_classes_in_the_metadata_are_positive() {
    for weights in ["[1, 0]", "[1, -1]", "[1, 1e999]", "1"] {
        let network = Network::small().with_metadata("class_weights", weights);
        let line = format!("audit {}", network.write("metadata_weights.safetensors").display());
        assert!(error_line(&line).contains("a JSON list of positive numbers"), "{weights}");
    }
}

#[test]
fn networks_trained_with_other_losses_are_where_the_prediction_is() {
    for (name, proof, gap) in [
        ("direct_ce_unequal_m1", "proved_within_gap", 1e-11),
        ("direct_ce_unequal_bias_m1", "proved_within_gap", 1e-11),
        ("direct_ce_smoothing_m2", "proved", 1e-11),
        ("direct_ce_nonnegative_m1", "proved", 1e-13),
        ("digits_ce_m1", "proved_within_gap", 1e-11),
        ("digits_ce_relu_m1", "proved", 1e-13),
    ] {
        let audit = audit(&format!("{name}.safetensors"));
        assert_eq!(audit["prediction"]["proof"], proof, "{name}");
        assert_eq!(audit["verdict"]["kind"], "global_minimum", "{name}: {}", audit["verdict"]);
        let relative = number(&audit["loss_gap_relative"]);
        assert!(relative.abs() < gap, "{name}: {relative:e}");
        assert!(number(&audit["nc1"]) < 1e-4, "{name}: {}", audit["nc1"]);
        let nc2 = audit["nc2"].as_array().unwrap().iter().map(number);
        for distance in nc2.chain([number(&audit["nc3"])]) {
            assert!(distance < 1e-6, "{name}: {distance:e}");
        }
        for class in audit["classes"].as_array().unwrap() {
            for norm in ["classifier_norm_squared", "feature_norm_squared"] {
                let [found, expected] =
                    ["measured", "predicted"].map(|of| number(&class[norm][of]));
                assert!((found / expected - 1.0).abs() < 1e-5, "{name}: {class}");
            }
        }
    }
}

/// What a file says of its training decides: with another smoothing, or features of any sign, it is elsewhere.
#[test]
fn metadata_decide_what_was_minimized() {
    let relu = audit("digits_ce_relu_m1.safetensors");
    assert_eq!(relu["prediction"]["problem"]["nonnegative_features"], true);
    assert!(relu["prediction"]["geometry"].as_str().unwrap().contains("orthogonal"));
    let smoothed = audit("direct_ce_smoothing_m2.safetensors");
    assert_eq!(smoothed["prediction"]["problem"]["label_smoothing"], 0.1);
    let plain = audit("direct_ce_smoothing_m2.safetensors --label-smoothing 0.3");
    assert_eq!(plain["verdict"]["kind"], "not_stationary");
}
