//! `audit` on the trained networks in `data/`, and on bad ones.

use serde_json::{Value, json};

use crate::support::network::{Network, better_than_closed_forms};
use crate::support::{self, assert_keys, error_line, file, run, text, without_metadata};

/// The JSON object of an audit.
fn audit(line: &str) -> Value {
    support::json(&format!("audit {line} --json"))
}

/// The table that an audit prints.
fn audit_text(line: &str) -> String {
    let output = run(&format!("audit {line}"));
    assert_eq!(output.status.code(), Some(0), "{line}: {}", text(&output.stderr));
    text(&output.stdout).to_string()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn numbers(list: &Value) -> Vec<f64> {
    list.as_array().unwrap().iter().map(number).collect()
}

/// NC1, NC2_1, …, NC2_M and NC3.
fn metrics(audit: &Value) -> Vec<f64> {
    [vec![number(&audit["nc1"])], numbers(&audit["nc2"]), vec![number(&audit["nc3"])]].concat()
}

fn assert_all_below(limit: f64, values: &[f64], name: &str) {
    assert!(values.iter().all(|value| value.abs() < limit), "{name}: {values:?}");
}

/// Theorems 3.1 and 4.1, as figures 2 to 4 of the paper show them: gradient descent on features and weights
/// ends at the predicted geometry.
#[test]
fn direct_optimization_reaches_the_predicted_geometry() {
    for (data, geometry) in
        [("of", "orthogonal_frame"), ("etf", "simplex_etf"), ("gof", "general_orthogonal_frame")]
    {
        for depth in [1, 3, 6] {
            let name = format!("direct_{data}_m{depth}.safetensors");
            let audit = audit(&format!("data/{name}"));
            assert_eq!(audit["prediction"]["geometry"], geometry, "{name}");
            assert_eq!(numbers(&audit["nc2"]).len(), depth);
            // The paper plots them falling below 1e-3; these runs were carried on until they stood still.
            assert_all_below(1e-6, &metrics(&audit), &name);
            assert_eq!(audit["nc4"], 1.0, "{name}");
            assert_all_below(1e-8, &[number(&audit["gradient_norm"])], &name);
            assert_eq!(numbers(&audit["balancedness"]).len(), depth);
            assert_all_below(1e-11, &numbers(&audit["balancedness"]), &name);
            for class in audit["classes"].as_array().unwrap() {
                assert_eq!(class["collapsed"], json!({"measured": false, "predicted": false}));
                for norm in ["classifier_norm_squared", "feature_norm_squared"] {
                    let (measured, predicted) =
                        (number(&class[norm]["measured"]), number(&class[norm]["predicted"]));
                    assert!((measured - predicted).abs() < 1e-6 * predicted, "{name}: {class}");
                }
            }
        }
    }
}

/// Theorem 4.1 and section C.2.2: a class that is too small loses its classifier and its features.
#[test]
fn the_smallest_class_collapses() {
    let audit = audit("data/minority_collapse_m1.safetensors");
    assert_all_below(1e-12, &metrics(&audit), "metrics");
    assert_all_below(1e-12, &[number(&audit["gradient_norm"])], "gradient");
    assert_all_below(1e-12, &numbers(&audit["balancedness"]), "balancedness");
    let classes = audit["classes"].as_array().unwrap();
    let counts: Vec<_> = classes.iter().map(|class| class["count"].as_u64().unwrap()).collect();
    assert_eq!(counts, [2000, 495, 495, 10]);
    for (index, class) in classes.iter().enumerate() {
        let collapsed = index == 3;
        assert_eq!(class["collapsed"], json!({"measured": collapsed, "predicted": collapsed}));
    }
    for norm in ["classifier_norm_squared", "feature_norm_squared"] {
        assert_eq!(classes[3][norm]["predicted"], 0.0);
        assert!(number(&classes[3][norm]["measured"]) < 1e-50);
    }
    let table = audit_text("data/minority_collapse_m1.safetensors");
    assert_eq!(table.matches("collapsed, as predicted").count(), 1, "{table}");
}

/// Section 5.2: a network trained on real, imbalanced data comes close to the general orthogonal frame.
#[test]
fn networks_on_digits_come_close_to_the_general_orthogonal_frame() {
    for name in ["digits_m1.safetensors", "digits_m3.safetensors"] {
        let audit = audit(&format!("data/{name}"));
        assert_eq!(audit["prediction"]["geometry"], "general_orthogonal_frame");
        assert_all_below(0.02, &metrics(&audit), name);
        assert_all_below(0.02, &numbers(&audit["balancedness"]), name);
        assert_eq!(audit["nc4"], 1.0);
    }
}

/// One row of the second table in `data/README.md`, which the script that trained the networks printed.
struct Listed {
    file: String,
    loss: f64,
    /// Gap, NC1, NC2_M and NC3 with the size of half a unit of their last digit.
    others: [(f64, f64); 4],
}

fn listed_figures() -> Vec<Listed> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/README.md");
    let readme = std::fs::read_to_string(path).unwrap();
    let (_, section) = readme.split_once("## How close they are").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    // The rows of cross-entropy hold another prediction than that of the squared loss.
    let rows = section
        .lines()
        .filter(|line| line.contains(".safetensors` |") && !line.contains("`direct_ce_"));
    let listed = rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let other = |index: usize| {
            let (_, exponent) = cells[index].split_once('e').unwrap();
            let half_unit: f64 = format!("0.05e{exponent}").parse().unwrap();
            (cells[index].parse().unwrap(), half_unit)
        };
        Listed {
            file: cells[0].trim_matches('`').into(),
            loss: cells[1].parse().unwrap(),
            others: [other(2), other(3), other(4), other(5)],
        }
    });
    listed.collect()
}

/// The script that trained the networks is independent of this project's code.
#[test]
fn figures_are_those_found_when_the_networks_were_trained() {
    let listed = listed_figures();
    assert_eq!(listed.len(), 12);
    for Listed { file, loss, others } in listed {
        let audit = audit(&format!("data/{file}"));
        assert!((number(&audit["loss"]) - loss).abs() < 1e-12, "{file}: {}", audit["loss"]);
        let last_nc2 = numbers(&audit["nc2"]).last().copied().unwrap();
        let found =
            [number(&audit["loss_gap"]), number(&audit["nc1"]), last_nc2, number(&audit["nc3"])];
        for (found, (listed, half_unit)) in found.into_iter().zip(others) {
            // Below 1e-12 there is nothing but rounding errors, and so there may be in the last digit.
            let tolerance = (1.001 * half_unit).max(1e-12);
            assert!((found - listed).abs() < tolerance, "{file}: {found:e} {listed:e}");
        }
        let gap = number(&audit["loss"]) - number(&audit["loss_optimum"]);
        assert!((gap - number(&audit["loss_gap"])).abs() < 1e-16, "{file}");
    }
}

#[test]
fn both_formats_give_the_same_numbers() {
    let audit_of = |line: &str| run(&format!("audit {line} --json")).stdout;
    let safetensors = audit_of("data/digits_m1.safetensors");
    let npz = audit_of(
        "data/digits_m1.npz --loss mse --weight-decay 1e-4 --feature-decay 1e-4 --bias none",
    );
    assert!(!npz.is_empty());
    assert_eq!(text(&npz), text(&safetensors));
}

#[test]
fn the_json_object_has_the_fields_of_the_contract() {
    for line in ["data/direct_gof_m3.safetensors", "data/digits_m1.npz"] {
        let audit = audit(line);
        assert_keys(
            &audit,
            &[
                "schema_version",
                "loss_function",
                "loss_function_assumed",
                "head",
                "assumptions",
                "unknown_metadata",
                "feature_decay_inferred",
                "weight_decays_inferred",
                "levels",
                "least_squares_split",
                "standard_errors",
                "nc1",
                "nc1_rank",
                "nc1_predicted_rank",
                "nc1_resolved",
                "nc2",
                "nc2_class_means",
                "nc2_target",
                "nc3",
                "nc3_centered",
                "nc3_target",
                "nc4",
                "accuracy",
                "distances",
                "loss",
                "loss_optimum",
                "loss_gap",
                "loss_gap_relative",
                "gradient_norm",
                "balancedness",
                "objective",
                "matching",
                "relabelled",
                "verdict",
                "structure",
                "counts",
                "classes",
                "prediction",
                "no_prediction",
                "reasons",
            ],
        );
        let class = &audit["classes"][0];
        let norms = ["classifier_norm_squared", "feature_norm_squared"];
        assert_keys(class, &[&["count", "collapsed"][..], &norms].concat());
        for name in [norms[0], norms[1], "collapsed"] {
            assert_keys(&class[name], &["measured", "predicted"]);
        }
    }
    let mut predicted = support::json(
        "predict --counts 200,100,50,50 --depth 3 --weight-decay 5e-4 --feature-decay 5e-4 --widths 64 --json",
    );
    // The version is that of the object around it.
    assert_eq!(predicted.as_object_mut().unwrap().remove("schema_version"), Some(json!(2)));
    assert_eq!(audit("data/direct_gof_m3.safetensors")["prediction"], predicted);
}

#[test]
fn without_hyper_parameters_the_rest_is_measured() {
    let bare = without_metadata("digits_m1.safetensors").display().to_string();
    let audit = audit(&bare);
    assert!(number(&audit["nc1"]) < 1e-6);
    assert_eq!(audit["nc4"], 1.0);
    assert_eq!(audit["nc2"], json!([null]));
    for name in
        ["nc3", "loss", "loss_optimum", "loss_gap", "gradient_norm", "balancedness", "prediction"]
    {
        assert_eq!(audit[name], Value::Null, "{name}");
    }
    for class in audit["classes"].as_array().unwrap() {
        assert_eq!(class["collapsed"], json!({"measured": false, "predicted": null}));
        assert!(number(&class["classifier_norm_squared"]["measured"]) > 1.0);
        assert_eq!(class["classifier_norm_squared"]["predicted"], Value::Null);
    }
    let table = audit_text(&bare);
    assert!(table.contains("No prediction: neither the loss function"), "{table}");
    assert!(!table.contains(" loss f ") && !table.contains("diff.\n"), "{table}");
    let table = audit_text("data/digits_m1.npz");
    assert!(table.contains("No prediction: the weight decays are not known"), "{table}");
    let table = audit_text("data/digits_m1.npz --loss mse --weight-decay 1e-4");
    assert!(table.contains("No prediction: the weight decay of the features"), "{table}");
    // What is advised has an answer.
    assert!(table.contains("--feature-decay inferred"), "{table}");
    let table = audit_text("data/digits_m1.npz --loss mse --weight-decay inferred");
    assert!(table.contains("No prediction: the weight decay of the features"), "{table}");
    assert!(!table.contains("--feature-decay inferred"), "{table}");
    let table = audit_text("data/digits_m1.npz --loss mse --feature-decay 1e-4");
    assert!(table.contains("No prediction: the weight decays of the layers"), "{table}");
}

#[test]
fn a_bias_without_a_setting_counts_as_unregularized() {
    let path = Network::small().with_bias().write("bias.safetensors");
    let line = format!("{} --weight-decay 1e-3 --feature-decay 1e-3", path.display());
    let assumed = audit_text(&line);
    assert!(assumed.contains("Bias: taken as unregularized"), "{assumed}");
    let stated = audit_text(&format!("{line} --bias unregularized"));
    assert!(!stated.contains("Bias: taken as"), "{stated}");
    assert_eq!(audit(&line), audit(&format!("{line} --bias unregularized")));
    assert_eq!(audit(&line)["prediction"]["problem"]["bias"], "unregularized");
}

/// Where no closed form is known the minimum is computed, with a bound that duality proves.
#[test]
fn a_regularized_bias_with_imbalanced_classes_is_proved_within_a_gap() {
    let path = Network::small().with_bias().write("regularized_bias.safetensors");
    let line = format!("{} --weight-decay 1e-3 --feature-decay 1e-3 --bias 0.1", path.display());
    assert!(audit_text(&line).contains("Theorem: proved within a gap"), "{}", audit_text(&line));
    let audit = audit(&line);
    assert_eq!(numbers(&audit["balancedness"]).len(), 1);
    let (loss, bound) =
        (number(&audit["loss_optimum"]), number(&audit["prediction"]["lower_bound"]));
    assert!(bound <= loss && loss - bound < 1e-9 * loss, "{bound} {loss}");
    assert!(number(&audit["loss"]) > loss);
    assert_eq!(audit["verdict"]["kind"], "not_stationary");
}

#[test]
fn balanced_classes_are_measured_to_their_frame_without_hyper_parameters() {
    let balanced = || {
        let features = [1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0];
        Network::small().with_doubles("features", &[4, 2], &features).with_labels(&[0, 0, 1, 1])
    };
    let path = balanced().with_doubles("classifier.1.weight", &[2, 2], &[2.0, 0.0, 0.0, 2.0]);
    let path = path.write("balanced.safetensors");
    let line = path.display().to_string();
    assert_all_below(1e-15, &metrics(&audit(&format!("{line} --loss mse"))), "frame");
    let table = audit_text(&format!("{line} --loss mse"));
    assert!(table.contains("measured to the orthogonal frame"), "{table}");
    assert_eq!(audit(&format!("{line} --loss ce"))["nc3_target"], "simplex_etf");
    // The frame depends on the loss, which nobody told.
    let unknown = audit(&line);
    assert_eq!(unknown["nc3"], Value::Null);
    assert_all_below(1e-15, &[number(&unknown["distances"]["orthogonal_frame"]["nc3"])], "frame");
    assert!(unknown["reasons"]["nc3"].as_str().unwrap().contains("depends on the loss"));
    let path = balanced().with_bias().write("balanced_bias.safetensors");
    let table = audit_text(&path.display().to_string());
    assert!(table.contains("measured to the simplex ETF"), "{table}");
}

#[test]
fn truncated_files_are_errors() {
    for (name, size) in [("direct_of_m1.safetensors", 210_504), ("digits_m1.npz", 212_440)] {
        let path = format!("{}/../data/{name}", env!("CARGO_MANIFEST_DIR"));
        let bytes = std::fs::read(path).unwrap();
        assert_eq!(bytes.len(), size);
        for length in [0, 1, 8, 9, 100, 1000, size / 2, size - 1] {
            let path = file(&format!("truncated_{name}"), &bytes[..length]);
            let message = error_line(&format!("audit {}", path.display()));
            assert!(message.contains("is not a valid "), "{length}: {message}");
        }
    }
}

#[test]
fn bad_networks_are_errors_that_say_why() {
    let small = Network::small;
    for (name, network, part) in [
        (
            "integer_features",
            small().with("features", "I64", &[3, 2], vec![0; 48]),
            "`features` has the data type I64",
        ),
        (
            "float_labels",
            small().with_doubles("labels", &[3], &[0.0, 0.5, 1.0]),
            "`labels`: it is 0.5 at [1], but whole numbers",
        ),
        (
            "nan_weight",
            small().with_doubles("classifier.1.weight", &[2, 2], &[1.0, 2.0, f64::NAN, 0.0]),
            "`classifier.1.weight` is NaN at [1, 0]",
        ),
        ("few_labels", small().with_labels(&[0, 1]), "`labels` has shape (2)"),
        ("high_label", small().with_labels(&[0, 1, 2]), "`labels` is 2 at [2]"),
        ("empty_class", small().with_labels(&[0, 0, 0]), "class 1 has no sample in `labels`"),
        (
            "huge_features",
            small().with_doubles("features", &[3, 2], &[1e300; 6]),
            "but must be finite and at most 1e140",
        ),
        (
            "negative_decay",
            small().with_metadata("lambda_w", "[-1e-4]").with_metadata("lambda_h", "1e-4"),
            "the metadata `lambda_w` is `[-1e-4]`, but a JSON list of positive weight decays",
        ),
        (
            "zero_decay",
            small().with_metadata("lambda_w", "[1e-4]").with_metadata("lambda_h", "0"),
            "the metadata `lambda_h` is `0`, but a positive number",
        ),
        (
            "bad_bias",
            small().with_metadata("bias", "inf"),
            "the metadata `bias` is `inf`, but `none`, `unregularized` or",
        ),
    ] {
        let path = network.write(&format!("{name}.safetensors"));
        let message = error_line(&format!("audit {}", path.display()));
        assert!(message.contains(part), "{name}: {message}");
        assert!(message.contains(&format!("{name}.safetensors: ")), "{name}: {message}");
    }
}

#[test]
fn hyper_parameters_that_do_not_fit_are_errors() {
    let layers = "the weight decays (--weight-decay or the metadata `lambda_w`)";
    let bias = "the setting for the bias (--bias or the metadata `bias`)";
    for (line, part) in [
        ("direct_of_m3.safetensors --weight-decay 1,2", format!("{layers}: 2 values for 3 layers")),
        ("direct_of_m3.safetensors --weight-decay 0", "--weight-decay: 0, but must be".into()),
        ("direct_of_m3.safetensors --feature-decay -1", "--feature-decay: -1, but must be".into()),
        ("direct_etf_m3.safetensors --bias nan", "--bias: NaN, but must be".into()),
        ("direct_of_m3.safetensors --bias 1", format!("{bias}: it is not `none`, but")),
        ("direct_of_m3.safetensors --bias unregularized", format!("{bias}: it is not `none`, but")),
        (
            "direct_etf_m3.safetensors --bias none",
            format!("{bias}: it is `none`, but the file has"),
        ),
        ("direct_of_m3.safetensors --features h", "has no `h`".into()),
        ("direct_of_m3.safetensors --labels y", "has no `y`".into()),
        ("direct_of_m3.safetensors --bias-key b", "has no `b`".into()),
        ("direct_of_m3.safetensors --weights fc", "has no `fc`".into()),
    ] {
        let message = error_line(&format!("audit data/{line}"));
        assert!(message.contains(&part), "{line}: {message}");
    }
}

/// A network below the best known point refutes the prediction, and what it looks like is said.
#[test]
fn a_network_that_is_better_than_the_prediction_shows_its_structure() {
    let line = better_than_closed_forms("better.safetensors");
    let better = audit(&line);
    assert_eq!(better["verdict"]["kind"], "below_best_known");
    assert!(number(&better["loss_gap"]) < 0.0 && better["prediction"]["proof"] == "best_known");
    let structure = json!({
        "rank": 5, "automorphisms": 120, "orbits": [5, 5, 1], "is_symmetric": true
    });
    assert_eq!(better["structure"], structure);
    let words = better["verdict"]["text"].as_str().unwrap();
    assert!(
        words.contains("the network refutes the prediction; its outputs have rank 5"),
        "{words}"
    );
    // With the search the prediction is this point, and nothing is refuted.
    let searched = audit(line.strip_suffix(" --search 0").unwrap());
    assert_eq!(searched["verdict"]["kind"], "global_minimum");
    assert_eq!(searched["structure"], Value::Null);
}

/// The networks of `data/` are nearly balanced, so that what is inferred is nearly what they were trained with.
#[test]
fn inferred_decays_are_marked() {
    let file = "data/digits_m3.safetensors";
    let found =
        audit(&format!("{file} --weight-decay 1e-4,inferred,1e-4 --feature-decay inferred"));
    let [first, second, third] = [0, 1, 2].map(|layer| &found["weight_decays_inferred"][layer]);
    assert!(first.is_null() && third.is_null(), "{first} {third}");
    for inferred in [second, &found["feature_decay_inferred"]] {
        assert!((number(inferred) - 1e-4).abs() < 1e-6, "{inferred}");
    }
    let given = audit(&format!("{file} --weight-decay 1e-4 --feature-decay 1e-4"));
    assert!(given["weight_decays_inferred"].is_null() && given["feature_decay_inferred"].is_null());
    let table = audit_text(&format!("{file} --weight-decay inferred --feature-decay 1e-4"));
    for part in ["(inferred)", "Weight decays: λ_1 = ", "λ_3 = "] {
        assert!(table.contains(part), "{part}: {table}");
    }
}

/// The four parts of the squared loss are the loss without the penalty of the features.
#[test]
fn the_squared_loss_of_one_layer_is_split() {
    let parts = |audit: &Value| -> Vec<f64> {
        let keys = ["within_classes", "class_means", "penalty", "head_distance"];
        keys.iter().map(|key| number(&audit["least_squares_split"][key])).collect()
    };
    // Features that have collapsed onto their means, whose penalty is known from those.
    let collapsed = audit("data/direct_of_m1.safetensors");
    let decay = number(&collapsed["prediction"]["problem"]["feature_decay"]);
    let classes = collapsed["classes"].as_array().unwrap();
    let squares: f64 = classes
        .iter()
        .map(|class| number(&class["count"]) * number(&class["feature_norm_squared"]["measured"]))
        .sum();
    let found = parts(&collapsed);
    let rest = number(&collapsed["loss"]) - decay / 2.0 * squares;
    assert!((found.iter().sum::<f64>() / rest - 1.0).abs() < 1e-9, "{found:?}, {rest}");
    assert!(found[0] < 1e-9 * rest && found[3] < 1e-6 * rest, "{found:?}");
    assert!(found[1] > 0.0 && found[2] > 0.0);
    let trained = parts(&audit("data/digits_m1.safetensors"));
    assert!(trained.iter().all(|&part| part > 0.0), "{trained:?}");
    for file in ["direct_of_m3", "digits_ce_m1"] {
        let other = audit(&format!("data/{file}.safetensors"));
        assert!(other["least_squares_split"].is_null());
        assert!(other["reasons"]["least_squares_split"].as_str().unwrap().contains("split"));
    }
}
