//! `--export`: the matrices of predictions and networks as a NumPy archive.

use std::path::PathBuf;

use nalgebra::DMatrix;
use neural_collapse::prediction::Matrices;
use neural_collapse::{Basis, ClassCounts, Prediction, Regularization, Ufm};

use crate::support::npz::{Arrays, read_npz};
use crate::support::{error_line, json, run};

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

fn matrix(arrays: &Arrays, name: &str) -> DMatrix<f64> {
    let (shape, numbers) = arrays.get(name).unwrap();
    DMatrix::from_row_slice(shape[0], shape[1], numbers)
}

const PROBLEM: &str =
    "--counts 20,10,5,5 --depth 2 --weight-decay 5e-3 --feature-decay 1e-3 --widths 6,7";

/// All numbers are those of the library, for the same seed.
#[test]
fn predicted_matrices_are_those_of_the_library() {
    let counts = ClassCounts::new(&[20, 10, 5, 5]).unwrap();
    let decays = Regularization::new(&[5e-3; 2], 1e-3).unwrap();
    let ufm = Ufm::new(counts, decays).unwrap().with_widths(&[6, 7]).unwrap();
    let minimum = ufm.global_minimum().unwrap();
    for (flags, basis) in [("", Basis::Standard), (" --seed 8", Basis::Random(8))] {
        let file = path("predicted.npz");
        let report = json(&format!("predict {PROBLEM} --json --export {}{flags}", file.display()));
        let arrays = read_npz(&file);
        let expected = Matrices::of_prediction(&minimum, &basis).unwrap();
        let head = expected.head.as_ref().unwrap();
        assert_eq!(matrix(&arrays, "W1"), head.weights()[0]);
        assert_eq!(matrix(&arrays, "W2"), head.weights()[1]);
        assert_eq!(matrix(&arrays, "class_means").transpose(), expected.class_means.unwrap());
        assert_eq!(matrix(&arrays, "trailing_gram_2"), expected.trailing_grams[1].clone().unwrap());
        assert_eq!(matrix(&arrays, "class_means_gram"), expected.class_means_gram.unwrap());
        assert_eq!(matrix(&arrays, "class_outputs"), expected.class_outputs.unwrap());
        let directions = expected.outputs.unwrap();
        assert_eq!(matrix(&arrays, "left_singular_vectors"), directions.left);
        assert_eq!(matrix(&arrays, "right_singular_vectors"), directions.right);
        assert_eq!(arrays["singular_values"].1, directions.singular_values);
        assert_eq!(arrays["counts"].1, [20.0, 10.0, 5.0, 5.0]);
        assert_eq!(arrays["lambda_w"].1, [5e-3, 5e-3]);
        assert_eq!((arrays["lambda_h"].1[0], arrays["loss"].1[0]), (1e-3, minimum.loss()));
        assert_eq!(report["loss"], arrays["loss"].1[0]);
        assert!(!arrays.contains_key("b"));
    }
}

/// Every model has matrices to write.
#[test]
fn every_model_is_written() {
    let lines = [
        ("--loss ce --counts 10x6 --depth 2 --weight-decay 1e-3 --feature-decay 1e-4", false),
        (
            "--loss ce --counts 9,4,4 --depth 1 --weight-decay 1e-3 --feature-decay 1e-3 --bias unregularized",
            true,
        ),
        ("--loss layer-peeled --counts 30x3,10x3 --weight-energy 1 --feature-energy 1", false),
        ("--loss uf-svm --counts 30,30,4", false),
        (
            "--counts 9x5 --depth 2 --weight-decay 1e-3 --feature-decay 1e-3 --widths 2 --bias unregularized",
            true,
        ),
    ];
    for (index, (line, bias)) in lines.into_iter().enumerate() {
        let file = path(&format!("model_{index}.npz"));
        json(&format!("predict {line} --json --export {}", file.display()));
        let arrays = read_npz(&file);
        let means = matrix(&arrays, "class_means").transpose();
        let gram = matrix(&arrays, "class_means_gram");
        assert!((means.tr_mul(&means) - &gram).norm() < 1e-12 * gram.norm(), "{line}");
        assert_eq!(arrays.contains_key("b"), bias, "{line}");
    }
}

/// The prediction is laid into the coordinates of the network, from which it then hardly differs.
#[test]
fn the_prediction_is_aligned_with_the_network() {
    for (name, layers) in [("digits_m3.safetensors", 3), ("direct_ce_octahedron_m2.safetensors", 2)]
    {
        let file = path("audited.npz");
        json(&format!("audit data/{name} --json --export {}", file.display()));
        let arrays = read_npz(&file);
        let close = |key: &str, tolerance: f64| {
            let measured = matrix(&arrays, &format!("measured.{key}"));
            let predicted = matrix(&arrays, &format!("predicted.{key}"));
            let distance = (&measured - predicted).norm() / measured.norm();
            assert!(distance < tolerance, "{name}: {key} {distance:e}");
        };
        for layer in 1..=layers {
            close(&format!("W{layer}"), 0.05);
            close(&format!("trailing_gram_{layer}"), 1e-2);
        }
        close("class_means", 0.05);
        close("class_means_gram", 1e-2);
        close("class_outputs", 1e-2);
    }
    // Without a prediction there is only what was measured.
    let file = path("unpredicted.npz");
    json(&format!("audit data/digits_m1.npz --json --export {}", file.display()));
    assert!(read_npz(&file).keys().all(|key| key == "counts" || key.starts_with("measured.")));
}

#[test]
fn nothing_is_written_for_bad_input() {
    let file = path("never.npz");
    let export = format!("--export {}", file.display());
    let problem = "--counts 0,1 --depth 1 --weight-decay 1 --feature-decay 1";
    error_line(&format!("predict {problem} {export}"));
    error_line(&format!("audit data/README.md {export}"));
    assert!(!file.exists());
    let nowhere = format!("predict {PROBLEM} --export {}", path("no/such/folder.npz").display());
    assert!(error_line(&nowhere).contains("folder.npz cannot be written"));
    assert_eq!(run(&format!("predict {PROBLEM} --seed 3")).status.code(), Some(2));
    // Where something else is written, the flag is not passed over.
    let page = path("never.html").display().to_string();
    for line in [
        format!("plot spectrum {PROBLEM} -o {page} {export}"),
        format!("report data/digits_m1.npz -o {page} {export}"),
        format!("audit data/digits_m1.npz --trajectory {export}"),
    ] {
        assert_eq!(run(&line).status.code(), Some(2), "{line}");
    }
    assert!(!file.exists());
}
