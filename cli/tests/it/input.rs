//! Networks as people have them: each of these was once read in silence as another one, or refused without a word on
//! what to do.

use std::path::Path;

use crate::support::network::Network;
use crate::support::{self, error_line, run, text};
use serde_json::Value;

/// Classes, and samples of each.
const CLASSES: usize = 4;
const SAMPLES: usize = 5;

/// The vertices of a simplex, one per row: I − 11ᵀ/K.
fn simplex() -> Vec<f64> {
    let entry = |index: usize| f64::from(index.is_multiple_of(CLASSES + 1)) - 1.0 / CLASSES as f64;
    (0..CLASSES * CLASSES).map(entry).collect()
}

fn labels(first: usize) -> Vec<i64> {
    (0..CLASSES * SAMPLES).map(|sample| (first + sample / SAMPLES) as i64).collect()
}

/// Features that are the rows of `means`, each for all samples of a class.
fn features(means: &[f64]) -> Vec<f64> {
    means.chunks(CLASSES).flat_map(|mean| mean.repeat(SAMPLES)).collect()
}

fn samples(means: &[f64]) -> Network {
    Network::empty()
        .with_doubles("features", &[CLASSES * SAMPLES, CLASSES], &features(means))
        .with_labels(&labels(0))
}

fn audit(path: &Path, flags: &str) -> Value {
    support::json(&format!("audit {} {flags} --json", path.display()))
}

fn error(path: &Path, flags: &str) -> String {
    error_line(&format!("audit {} {flags}", path.display()))
}

#[test]
fn what_weights_are_computed_from_is_no_layer() {
    let sets: [&[(&str, &[usize])]; 4] = [
        &[("fc.weight_v", &[4, 4]), ("fc.weight_g", &[4, 1])],
        &[("fc.weight_orig", &[4, 4]), ("fc.weight_u", &[4]), ("fc.weight_v", &[4])],
        &[("fc.weight_orig", &[4, 4]), ("fc.weight_mask", &[4, 4])],
        &[
            ("fc.parametrizations.weight.original1", &[4, 4]),
            ("fc.parametrizations.weight.original0", &[4, 1]),
        ],
    ];
    for (number, set) in sets.into_iter().enumerate() {
        let add = |network: Network, &(key, shape): &(&'static str, &[usize])| {
            let size: usize = shape.iter().product();
            network.with_doubles(key, shape, &simplex()[..size])
        };
        let path = set.iter().fold(samples(&simplex()), add);
        let path = path.write(&format!("parametrized_{number}.safetensors"));
        for flags in ["--bias-key none", &format!("--weights {} --bias-key none", set[0].0)] {
            // Two matrices of one shape are asked about before.
            if set.len() == 2 && set[1].1 == [4, 4] && !flags.contains("--weights") {
                continue;
            }
            let line = error(&path, flags);
            assert!(line.contains(set[0].0) && line.contains("save `layer.weight`"), "{line}");
        }
    }
}

#[test]
fn outputs_that_are_left_out_are_named() {
    let weights = [vec![0.0; CLASSES], simplex(), vec![0.0; 9 * CLASSES]].concat();
    let path = Network::empty()
        .with_doubles("features", &[CLASSES * SAMPLES, CLASSES], &features(&simplex()))
        .with_labels(&labels(1))
        .with_doubles("W", &[CLASSES + 10, CLASSES], &weights)
        .write("left_out.safetensors");
    let output = run(&format!("audit {} --present-classes", path.display()));
    let words: Vec<_> = text(&output.stdout).split_whitespace().collect();
    assert!(words.join(" ").contains("Left out: outputs 0, 5, 6, 7, 8, 9, 10, 11 and 2 more,"));
}

#[test]
fn a_training_whose_numbers_are_all_zero_has_a_page() {
    // The classifier is centered and all layers are collapsed from the beginning: NC0, NC1 and NC2 are zero.
    let network = samples(&simplex()).with_doubles("W", &[CLASSES, CLASSES], &simplex());
    let [first, last] =
        ["zeros_1.safetensors", "zeros_2.safetensors"].map(|name| network.write(name));
    let page = last.with_extension("html");
    for flags in ["", "--loss ce --weight-decay 1e-2 --feature-decay 1e-3"] {
        let (first, last, page) = (first.display(), last.display(), page.display());
        let output = run(&format!("report --trajectory {first} {last} -o {page} {flags}"));
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
}

#[test]
fn a_layer_is_taken_once() {
    let path = samples(&simplex())
        .with_doubles("W", &[CLASSES, CLASSES], &simplex())
        .write("twice.safetensors");
    assert!(error(&path, "--weights W,W").contains("`W` is taken for two layers"));
}

#[test]
fn layers_that_count_from_zero_are_all_taken() {
    let path = Network::empty()
        .with_doubles("classifier.0.weight", &[2, 2], &[0.0, 1.0, -1.0, 0.0])
        .with_doubles("classifier.1.weight", &[2, 2], &[0.0, 1.0, 0.0, -1.0])
        .with_doubles("features", &[4, 2], &[-1.0, 0.0, -1.0, 0.1, 1.0, 0.0, 1.0, -0.1])
        .with_labels(&[0, 0, 1, 1])
        .write("from_zero.safetensors");
    let audit = audit(&path, "");
    assert_eq!(audit["nc2"].as_array().unwrap().len(), 2);
    assert_eq!(audit["nc4"], 1.0);
}

#[test]
fn a_bias_of_any_name_in_any_file_is_used_or_asked_for() {
    let simplex = simplex();
    let head = |bias| {
        samples(&simplex).with_doubles("W", &[CLASSES, CLASSES], &simplex).with_doubles(
            bias,
            &[CLASSES],
            &[9.0, 0.0, 0.0, 0.0],
        )
    };
    let path = head("b").write_npz("with_b.npz");
    for flags in ["", "--weights W", "--bias-key b"] {
        assert_eq!(audit(&path, flags)["nc4"], 0.25, "{flags}");
    }
    assert_eq!(audit(&path, "--bias-key none")["nc4"], 1.0);
    let path = head("offset").write_npz("with_offset.npz");
    let message = error(&path, "--weights W");
    assert!(message.contains("with_offset.npz: has `offset`"), "{message}");
    assert!(
        message.contains("--bias-key offset") && message.contains("--bias-key none"),
        "{message}"
    );
    // Over two files.
    let weights = Network::empty()
        .with_doubles("fc.weight", &[CLASSES, CLASSES], &simplex)
        .write_npz("fc_weight.npz");
    let rest = samples(&simplex)
        .with_doubles("fc.bias", &[CLASSES], &[9.0, 0.0, 0.0, 0.0])
        .write_npz("fc_bias.npz");
    let both = format!("{} --weights fc.weight", rest.display());
    assert_eq!(audit(&weights, &both)["nc4"], 0.25);
}

#[test]
fn kernels_of_keras_are_read_if_that_is_said() {
    // Features A, one row for each class, and the inverse of A as inputs × outputs.
    let means = [2.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 3.0, 1.0, 0.0, 0.0, 1.0];
    let inverse =
        nalgebra::DMatrix::from_row_slice(CLASSES, CLASSES, &means).try_inverse().unwrap();
    let path = samples(&means)
        .with_doubles("dense/kernel", &[CLASSES, CLASSES], inverse.transpose().as_slice())
        .write("kernel.safetensors");
    assert_eq!(audit(&path, "--transposed")["nc4"], 1.0);
    assert!(audit(&path, "")["nc4"].as_f64().unwrap() < 1.0);
    let wide = Network::empty()
        .with_doubles("features", &[2, 3], &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0])
        .with_labels(&[0, 1])
        .with_doubles("kernel", &[3, 2], &[1.0, 0.0, 0.0, 1.0, 0.0, 0.0])
        .with_doubles("other", &[5, 7], &[0.0; 35])
        .write("wide_kernel.safetensors");
    let message = error(&wide, "");
    assert!(message.contains("`kernel` would fit as inputs × outputs"), "{message}");
    assert!(message.contains("--transposed"), "{message}");
    assert_eq!(audit(&wide, "--transposed")["nc4"], 1.0);
}

#[test]
fn outputs_without_samples_are_left_out_if_asked() {
    let simplex = simplex();
    let background = [vec![0.0; CLASSES], simplex.clone()].concat();
    let path = Network::empty()
        .with_doubles("features", &[CLASSES * SAMPLES, CLASSES], &features(&simplex))
        .with_labels(&labels(1))
        .with_doubles("classifier.1.weight", &[CLASSES + 1, CLASSES], &background)
        .write_npz("background.npz");
    let message = error(&path, "");
    assert!(message.contains("class 0 has no sample in `labels`"), "{message}");
    assert!(message.contains("--present-classes"), "{message}");
    let audit = audit(&path, "--present-classes --loss ce");
    assert!(audit["nc2"][0].as_f64().unwrap() < 1e-15, "{audit}");
    assert_eq!(audit["classes"].as_array().unwrap().len(), CLASSES);
}

#[test]
fn label_smoothing_is_part_of_the_objective() {
    let simplex = simplex();
    let network = samples(&simplex)
        .with_doubles("classifier.1.weight", &[CLASSES, CLASSES], &simplex)
        .with_metadata("loss_function", "cross_entropy")
        .with_metadata("lambda_w", "1e-3")
        .with_metadata("lambda_h", "1e-4");
    let plain = network.write("no_smoothing.safetensors");
    let smoothed = network.with_metadata("label_smoothing", "0.1").write("smoothing.safetensors");
    assert!(audit(&plain, "")["prediction"].is_object());
    for (path, flags) in [(&smoothed, ""), (&plain, "--label-smoothing 0.1")] {
        let found = audit(path, flags);
        assert_eq!(found["prediction"]["proof"], "proved", "{found}");
        assert!(found["loss_optimum"].as_f64() > audit(&plain, "")["loss_optimum"].as_f64());
    }
    assert!(audit(&smoothed, "--label-smoothing 0")["prediction"].is_object());
}

#[test]
fn one_output_is_a_head_of_two_classes() {
    let one = Network::empty()
        .with_doubles("features", &[4, 2], &[1.0, 0.0, 1.0, 0.0, -1.0, 0.0, -1.0, 0.0])
        .with("labels", "BOOL", &[4, 1], vec![0, 0, 1, 1])
        .with_doubles("out.weight", &[1, 2], &[-2.0, 0.0]);
    let two = one.clone();
    let one = one.write("one_output.safetensors");
    let audit_one = audit(&one, "--loss ce");
    assert_eq!(audit_one["nc4"], 1.0);
    assert!(audit_one["nc2"][0].as_f64().unwrap() < 1e-15);
    let two = two
        .with_doubles("out.weight", &[2, 2], &[1.0, 0.0, -1.0, 0.0])
        .write("two_outputs.safetensors");
    let mut one = audit(&one, "--loss ce --weight-decay 1e-3 --feature-decay 1e-3");
    assert!(one["assumptions"][0].as_str().unwrap().contains("two outputs"), "{one}");
    one["assumptions"] = Value::Array(Vec::new());
    assert_eq!(one, audit(&two, "--loss ce --weight-decay 2e-3 --feature-decay 1e-3"));
}

#[test]
fn labels_of_any_form_are_read() {
    let simplex = simplex();
    let base = || samples(&simplex).with_doubles("fc.weight", &[CLASSES, CLASSES], &simplex);
    let expected = audit(&base().write("labels_plain.safetensors"), "");
    let count = CLASSES * SAMPLES;
    let codes: Vec<f64> = labels(0).iter().map(|&label| label as f64).collect();
    let one_hot: Vec<f64> = labels(0)
        .iter()
        .flat_map(|&label| (0..CLASSES).map(move |class| f64::from(class as i64 == label)))
        .collect();
    let bytes: Vec<u8> = one_hot.iter().map(|&entry| entry as u8).collect();
    let from_one: Vec<i64> = labels(1);
    let mut ignored = labels(0);
    ignored.extend([-100, -100]);
    let more = [features(&simplex), vec![7.0; 2 * CLASSES]].concat();
    let shaped = features(&simplex);
    for (name, network, flags) in [
        ("floats", base().with_doubles("labels", &[count], &codes), ""),
        ("column", base().with_singles("labels", &[count, 1], &codes), ""),
        ("one_hot", base().with_doubles("labels", &[count, CLASSES], &one_hot), ""),
        ("bools", base().with("labels", "BOOL", &[count, CLASSES], bytes), ""),
        ("from_one", base().with_labels(&from_one), "--first-label 1"),
        (
            "ignored",
            base().with_labels(&ignored).with_doubles("features", &[count + 2, CLASSES], &more),
            "--ignore-label -100",
        ),
        ("pooled", base().with_doubles("features", &[count, CLASSES, 1, 1], &shaped), ""),
        ("convolution", base().with_doubles("fc.weight", &[CLASSES, CLASSES, 1, 1], &simplex), ""),
    ] {
        let path = network.write(&format!("labels_{name}.safetensors"));
        assert_eq!(audit(&path, flags), expected, "{name}");
    }
}

#[test]
fn cosine_classifiers_are_normalized() {
    let simplex = simplex();
    // Lengths of samples and rows of the classifier that mean nothing.
    let mut lengths = features(&simplex);
    for (sample, row) in lengths.chunks_mut(CLASSES).enumerate() {
        row.iter_mut().for_each(|entry| *entry *= 1.0 + sample as f64);
    }
    let mut rows = simplex;
    for (class, row) in rows.chunks_mut(CLASSES).enumerate() {
        row.iter_mut().for_each(|entry| *entry *= 0.1 + class as f64);
    }
    let path = Network::empty()
        .with_doubles("features", &[CLASSES * SAMPLES, CLASSES], &lengths)
        .with_labels(&labels(0))
        .with_doubles("fc.weight", &[CLASSES, CLASSES], &rows)
        .write("cosine.safetensors");
    let audit = audit(&path, "--normalize --temperature 0.05 --loss ce");
    assert!(audit["nc1"].as_f64().unwrap() < 1e-25, "{audit}");
    assert!(audit["nc2"][0].as_f64().unwrap() < 1e-14, "{audit}");
    let norm = audit["classes"][1]["classifier_norm_squared"]["measured"].as_f64().unwrap();
    assert!((norm - 400.0).abs() < 1e-9, "{norm}");
}

#[test]
fn files_of_pytorch_are_read() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data");
    let line = |head: &str| {
        format!("audit {folder}/features.pt {folder}/labels.pt {folder}/{head} --json")
    };
    // The names of the weights, which count from 0 in one file and from 1 in the other, differ as they should.
    let unnamed = |line: &str| {
        let mut audit = support::json(line);
        assert_eq!(audit["head"]["weights"].as_array().unwrap().len(), 2);
        audit["head"] = Value::Null;
        audit
    };
    let expected = unnamed(&format!("audit {folder}/stored.npz --json"));
    assert_eq!(unnamed(&line("state_dict.pt")), expected);
    let by_file = format!(
        "audit {folder}/state_dict.pt --features {folder}/features.pt --labels {folder}/labels.pt --json"
    );
    assert_eq!(unnamed(&by_file), expected);
    let message = error_line(&line("module.pt"));
    assert!(message.contains("module.pt: is a torch.save file of more than tensors"), "{message}");
}

#[test]
fn slips_are_answered_with_what_is_meant() {
    for command in ["audit a.npz", "predict --counts 5,5 --depth 1 --feature-decay 1"] {
        let output = run(&format!("{command} --wd 5e-4"));
        assert_eq!(output.status.code(), Some(2));
        let message = text(&output.stderr);
        assert!(message.contains("--wd") && message.contains("'--weight-decay'"), "{message}");
    }
    let message =
        error_line("predict --counts 5,5 --depth 1 --weight-decay 1 --feature-decay 1 --bias 0");
    assert!(message.ends_with("; a bias without weight decay is `unregularized`"), "{message}");
    let output = run("audit a.npz --temperature 2");
    assert_eq!(output.status.code(), Some(2));
}
