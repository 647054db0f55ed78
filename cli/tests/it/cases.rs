//! Networks as people have them: what the audit says about them, and what it must not say.

use nalgebra::DMatrix;
use neural_collapse::{Basis, CrossEntropyUfm, Prediction, Regularization};
use serde_json::Value;

use super::support::network::Network;
use super::support::{error_line, json, run, text, without_metadata};

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

/// One sample per class: nothing varies within a class, so NC1 is not small but undefined.
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

/// With label smoothing that is given, a network at its minimum is found there, and nowhere near the minimum without it.
#[test]
fn a_minimum_with_label_smoothing() {
    let (classes, n) = (4, 5);
    let decays = Regularization::new(&[1e-3], 1e-4).unwrap();
    let ufm = CrossEntropyUfm::new(classes, n, decays).unwrap();
    let minimum = ufm.with_label_smoothing(0.1).unwrap().landscape().unwrap();
    let point = minimum.explicit(&Basis::Random(4)).unwrap();
    let row_major = |matrix: &DMatrix<f64>| matrix.transpose().as_slice().to_vec();
    let means: Vec<Vec<f64>> = point
        .class_means()
        .unwrap()
        .column_iter()
        .map(|mean| mean.iter().copied().collect())
        .collect();
    let y = labels(classes, n as usize);
    let network = Network::empty()
        .with_doubles("features", &[20, 4], &features(&means, &y))
        .with_labels(&y)
        .with_doubles("fc.weight", &[4, 4], &row_major(&point.head().weights()[0]))
        .with_metadata("loss_function", "cross_entropy")
        .with_metadata("lambda_w", "[1e-3]")
        .with_metadata("lambda_h", "1e-4");
    let plain = network.write("case_not_smoothed.safetensors");
    let stated = network.with_metadata("label_smoothing", "0.1").write("case_smoothed.safetensors");
    for line in [format!("{} --label-smoothing 0.1", plain.display()), stated.display().to_string()]
    {
        let audit = json(&format!("audit {line} --json"));
        assert!(number(&audit["loss_gap_relative"]).abs() < 1e-10, "{audit}");
        assert_eq!(audit["verdict"]["kind"], "global_minimum");
    }
    let without = json(&format!("audit {} --json", plain.display()));
    assert!(number(&without["loss_gap_relative"]) > 0.5, "{without}");
    assert_eq!(without["verdict"]["kind"], "not_stationary");
}

/// Arrays that cannot be read say what they are and how to convert them.
#[test]
fn arrays_of_other_types_are_named() {
    let samples = |features: (&'static str, &[usize], usize)| {
        let (dtype, shape, bytes) = features;
        let y = labels(4, 5);
        Network::empty()
            .with_labels(&y)
            .with("features", dtype, shape, vec![0; bytes])
            .with_doubles("fc.weight", &[4, 4], &scaled(&simplex(4), 3.0))
    };
    let long = samples(("F128", &[20, 4], 20 * 4 * 16)).write_npz("case_longdouble.npz");
    let message = error_line(&format!("audit {}", long.display()));
    assert!(message.contains("case_longdouble.npz: `features`"), "{message}");
    assert!(message.contains("longdouble") && message.contains("astype('f8')"), "{message}");
    let objects = samples(("OBJECT", &[], 64)).write_npz("case_objects.npz");
    let message = error_line(&format!("audit {}", objects.display()));
    assert!(message.contains("case_objects.npz: `features`"), "{message}");
    assert!(message.contains("Python objects") && message.contains("np.savez"), "{message}");
}

/// A bias that is typed by hand is often stored as whole numbers: it is not passed over either.
#[test]
fn a_bias_of_whole_numbers_is_not_left_out() {
    let (m, y) = (simplex(4), labels(4, 5));
    let bytes: Vec<u8> = [9_i64, 0, 0, 0].iter().flat_map(|entry| entry.to_le_bytes()).collect();
    for (key, shape) in [("b", &[4][..]), ("beta", &[4]), ("beta", &[1, 4]), ("beta", &[4, 1])] {
        let path = Network::empty()
            .with_doubles("features", &[20, 4], &features(&m, &y))
            .with_labels(&y)
            .with_doubles("W", &[4, 4], &scaled(&m, 1.0))
            .with(key, "I64", shape, bytes.clone())
            .write_npz("case_whole_bias.npz");
        let message = error_line(&format!("audit {} --weights W", path.display()));
        assert!(message.contains("case_whole_bias.npz: ") && message.contains(key), "{message}");
        let remedy = if key == "b" { "convert it" } else { "--bias-key none" };
        assert!(message.contains(remedy), "{message}");
    }
}

/// Half of the classes are still told right where their means, four numbers each, have no pattern at all.
#[test]
fn a_transposed_kernel_that_is_half_right_is_suspected() {
    for seed in 1..=8 {
        let entry = |index: usize| ((seed * 100 + index) as f64 * 12.9898).sin() * 43758.5453;
        let means: Vec<f64> = (0..16).map(|index| entry(index).fract()).collect();
        let inverse = DMatrix::from_row_slice(4, 4, &means).try_inverse().unwrap();
        let rows: Vec<Vec<f64>> = means.chunks(4).map(<[f64]>::to_vec).collect();
        let y = labels(4, 5);
        let path = Network::empty()
            .with_doubles("features", &[20, 4], &features(&rows, &y))
            .with_labels(&y)
            // Columns are written as rows: inputs × outputs of the inverse, whose right form is its transpose.
            .with_doubles("classifier.1.weight", &[4, 4], inverse.transpose().as_slice())
            .write("case_half_right.safetensors");
        let right = json(&format!("audit {} --transposed --json", path.display()));
        assert_eq!((number(&right["nc4"]), number(&right["accuracy"])), (1.0, 1.0));
        let wrong = json(&format!("audit {} --json", path.display()));
        let output = run(&format!("audit {}", path.display()));
        let table = text(&output.stdout).replace('\n', " ");
        assert_eq!(
            number(&wrong["accuracy"]) < 1.0,
            table.contains("--transposed reads"),
            "{seed}"
        );
    }
}

/// Features below zero are none after a ReLU: what is said of them is not true, and nothing is predicted from it.
#[test]
fn negative_features_contradict_a_relu() {
    let (m, y) = (simplex(4), labels(4, 5));
    let network = Network::empty()
        .with_doubles("features", &[20, 4], &features(&m, &y))
        .with_labels(&y)
        .with_doubles("fc.weight", &[4, 4], &scaled(&m, 3.0));
    let plain = network.write("case_negative.safetensors");
    let stated = network
        .with_metadata("nonnegative_features", "true")
        .write("case_negative_stated.safetensors");
    let flags = "--loss ce --weight-decay 1e-3 --feature-decay 1e-3";
    let unconstrained = json(&format!("audit {} {flags} --json", plain.display()));
    for line in [
        format!("audit {} {flags} --nonnegative-features", plain.display()),
        format!("audit {} {flags}", stated.display()),
    ] {
        let audit = json(&format!("{line} --json"));
        let reason = audit["no_prediction"].as_str().unwrap();
        assert!(reason.contains("60 of 80 numbers are; the first is -2.5e-1"), "{reason}");
        assert!(
            reason.contains("feature 1 of sample 0") && reason.contains("--nonnegative-features")
        );
        assert_eq!(audit["prediction"], Value::Null);
        assert_eq!(audit["loss"], unconstrained["loss"]);
        let output = run(&line);
        assert!(text(&output.stdout).contains("60 of 80 numbers"), "{line}");
    }
}

/// A sign tells two classes apart, also where all samples are of one of them.
#[test]
fn one_output_is_never_one_class() {
    for label in [0, 1] {
        let path = Network::empty()
            .with_doubles("features", &[2, 2], &[1.0, 0.0, 1.0, 0.5])
            .with_labels(&[label; 2])
            .with_doubles("fc.weight", &[1, 2], &[-2.0, 0.0])
            .write("case_one_of_two.safetensors");
        let message = error_line(&format!("audit {}", path.display()));
        let missing = format!("class {} has no sample in `labels`", 1 - label);
        assert!(message.contains(&missing) && message.contains("--present-classes"), "{message}");
    }
}

/// An identity is often stored as whole numbers: it is neither missing nor passed over beside other layers.
#[test]
fn layers_of_whole_numbers_are_named() {
    let (m, y) = (simplex(4), labels(4, 5));
    let identity: Vec<u8> = (0..16_i64).flat_map(|i| i64::from(i % 5 == 0).to_le_bytes()).collect();
    for (whole, other) in [
        ("W", None),
        ("fc.weight", None),
        ("W1", Some("W2")),
        ("W2", Some("W1")),
        ("head.0.weight", Some("head.1.weight")),
    ] {
        let network = Network::empty()
            .with_doubles("features", &[20, 4], &features(&m, &y))
            .with_labels(&y)
            .with(whole, "I64", &[4, 4], identity.clone());
        let network = match other {
            Some(other) => network.with_doubles(other, &[4, 4], &scaled(&m, 1.0)),
            None => network,
        };
        let message =
            error_line(&format!("audit {}", network.write_npz("case_whole.npz").display()));
        assert!(
            message.contains(&format!("case_whole.npz: `{whole}` has the data type")),
            "{message}"
        );
        assert!(message.contains("convert it before it is saved"), "{message}");
    }
}

/// What is asked for in vain is refused, or said to be left aside; what is not known is not hidden behind it.
#[test]
fn what_is_asked_for_in_vain_is_said() {
    for loss in ["uf-svm", "layer-peeled --weight-energy 1 --feature-energy 1"] {
        let output = run(&format!("predict --loss {loss} --counts 5,5 --search 3"));
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains("--search is for --loss mse and --loss ce"));
        json(&format!("predict --loss {loss} --counts 5,5 --search 0 --json"));
    }
    let audit = json("audit data/digits_m1.npz --loss uf-svm --search 3 --json");
    assert!(
        audit["assumptions"][0].as_str().unwrap().contains("--search is left aside"),
        "{audit}"
    );
    let bare = without_metadata("digits_m1.safetensors");
    let weighted = json(&format!("audit {} --class-weights 2,1x9 --json", bare.display()));
    let reason = weighted["no_prediction"].as_str().unwrap();
    assert!(reason.starts_with("neither the loss function (--loss"), "{reason}");
    let audit = json(&format!("audit {} --weight-decay 1e-3 --json", bare.display()));
    let reason = audit["no_prediction"].as_str().unwrap();
    assert!(reason.contains("--loss") && reason.contains("--feature-decay inferred"), "{reason}");
    let message =
        error_line("audit data/digits_m1.npz --weight-decay inferred --feature-decay inferred");
    assert!(message.starts_with("--weight-decay and --feature-decay: `inferred`"), "{message}");
    let message = error_line("report data/digits_m1.npz -o report.txt");
    assert_eq!(message, "report.txt: the name of the file must end in .html");
}

/// Where no closed form is known the message says what there is instead.
#[test]
fn what_can_be_had_instead_is_said() {
    let decays = "--depth 2 --weight-decay 1e-3 --feature-decay 1e-3 --search 0";
    let bias = error_line(&format!("predict --counts 5,5,4 {decays} --bias 0.1"));
    assert!(bias.contains("no closed form") && bias.contains("--bias unregularized"), "{bias}");
    let ce = error_line(&format!("predict --loss ce --counts 5,5,4 {decays}"));
    assert!(ce.contains("--loss layer-peeled") && ce.contains("--search"), "{ce}");
}

/// One output under the squared loss is not the difference of two: there is no prediction for it.
#[test]
fn one_output_has_no_prediction_under_the_squared_loss() {
    let path = Network::empty()
        .with_doubles("features", &[4, 2], &[1.0, 0.0, 1.0, 0.0, -1.0, 0.0, -1.0, 0.0])
        .with_labels(&[0, 0, 1, 1])
        .with_doubles("fc.weight", &[1, 2], &[-2.0, 0.0])
        .write("case_one_output.safetensors");
    let decays = "--weight-decay 1e-3 --feature-decay 1e-3 --json";
    for loss in ["", " --loss mse"] {
        let audit = json(&format!("audit {} {decays}{loss}", path.display()));
        assert!(audit["no_prediction"].as_str().unwrap().contains("one output"), "{audit}");
        assert_eq!((&audit["prediction"], &audit["loss"]), (&Value::Null, &Value::Null));
        assert_eq!(audit["nc4"], 1.0);
    }
    let audit = json(&format!("audit {} {decays} --loss ce", path.display()));
    assert_eq!(audit["prediction"]["geometry"], "simplex ETF", "{audit}");
}

/// Every number that is missing has its reason.
#[test]
fn what_is_null_has_a_reason() {
    let one_each = "case_reasons.safetensors";
    Network::empty()
        .with_doubles("features", &[2, 2], &[1.0, 0.0, 0.0, 1.0])
        .with_labels(&[0, 1])
        .with_doubles("fc.weight", &[2, 2], &[0.0; 4])
        .write(one_each);
    let one_each = format!("{}/{one_each}", env!("CARGO_TARGET_TMPDIR"));
    for line in [
        "data/digits_m1.npz".to_string(),
        "data/digits_m1.npz --loss uf-svm".into(),
        "data/digits_m1.npz --loss layer-peeled".into(),
        "data/digits_m1.npz --means data/digits_m1.safetensors".into(),
        one_each.clone(),
        format!("{one_each} --weight-decay 1 --feature-decay 1"),
    ] {
        let audit = json(&format!("audit {line} --json"));
        for key in [
            "nc1",
            "nc1_resolved",
            "nc1_predicted_rank",
            "nc3",
            "nc3_centered",
            "loss",
            "loss_optimum",
            "loss_gap",
            "loss_gap_relative",
            "gradient_norm",
            "balancedness",
            "prediction",
        ] {
            let reason = audit["reasons"][key].as_str();
            assert!(!audit[key].is_null() || reason.is_some(), "{line}: {key}: {audit}");
            assert!(audit[key].is_null() || reason.is_none(), "{line}: {key}: {audit}");
        }
    }
}
