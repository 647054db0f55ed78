//! Several files as one data set.

use super::*;

const WEIGHTS: [f64; 4] = [1.0, -1.0, 0.5, 0.25];

/// Entries of the metadata of a file.
type Metadata<'a> = &'a [(&'a str, &'a str)];

/// Reads files that have these names, tensors and metadata.
fn read_all(files: &[(&str, Vec<Tensor>, Metadata<'_>)]) -> Result<Whole, String> {
    let folder = Folder::new();
    let write = |(name, tensors, metadata): &(&str, Vec<Tensor>, Metadata<'_>)| {
        folder.write(name, &safetensors_file(tensors, metadata))
    };
    let paths: Vec<_> = files.iter().map(write).collect();
    read_files(&paths, &Keys::default(), &StatedTraining::default())
        .map_err(|message| folder.shorten(&message))
}

fn head() -> Vec<Tensor> {
    vec![doubles("classifier.1.weight", &[2, 2], &WEIGHTS)]
}

/// One sample of class 1.
fn sample() -> Vec<Tensor> {
    vec![doubles("features", &[1, 2], &[7.0, 8.0]), labels(&[1])]
}

/// One sample of class 0.
fn other_sample() -> Vec<Tensor> {
    vec![doubles("features", &[1, 2], &[-7.0, -8.0]), labels(&[0])]
}

fn with(mut tensors: Vec<Tensor>, tensor: Tensor) -> Vec<Tensor> {
    tensors.retain(|other| other.0 != tensor.0);
    tensors.push(tensor);
    tensors
}

#[test]
fn samples_come_in_the_order_of_the_files() {
    let single = vec![singles("features", &[1, 2], &[0.1, 9.0]), labels(&[0])];
    let whole = read_all(&[
        ("a.safetensors", single, &[]),
        ("b.safetensors", small_network(), &[("lambda_h", "1e-5")]),
        ("c.safetensors", sample(), &[]),
    ]);
    let Whole { network, features, labels } = whole.unwrap();
    let expected = [0.1_f32.into(), 9.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
    assert_eq!(features, expected);
    assert_eq!(labels, [0, 0, 1, 1, 1]);
    assert_eq!(network.head.stated.feature_decay, Some(Decay::Given(1e-5)));
    assert!(network.data.name().ends_with("a.safetensors and 2 other files"));
}

#[test]
fn other_files_may_repeat_the_head() {
    let bias = || doubles("classifier.bias", &[2], &[0.5, -0.5]);
    let metadata: Metadata<'_> = &[("lambda_w", "[1e-4]"), ("lambda_h", "1e-4")];
    let repeated: Metadata<'_> = &[("lambda_w", "0.0001"), ("loss_function", "mse")];
    let weights = WEIGHTS.map(|weight| weight as f32);
    let single = singles("classifier.1.weight", &[2, 2], &weights);
    let whole = read_all(&[
        ("head.safetensors", with(head(), bias()), metadata),
        ("a.safetensors", with(with(sample(), single), bias()), repeated),
        ("b.safetensors", other_sample(), &[]),
        ("c.safetensors", head(), &[]),
    ]);
    let head = whole.unwrap().network.head;
    assert_eq!(head.stated.weight_decays, Some(vec![Decay::Given(1e-4)]));
    // What the file of the head leaves open another file tells.
    assert_eq!(head.stated.loss, Some(Loss::Mse));
}

/// A `.npz` file with the head cannot say how it was trained, but the others can: once, or all the same.
#[test]
fn any_file_may_state_the_hyper_parameters() {
    let stated: Metadata<'_> = &[("lambda_w", "[1e-4]"), ("lambda_h", "1e-5")];
    let files = |last: Metadata<'static>| {
        read_all(&[
            ("a.safetensors", sample(), &[]),
            ("head.safetensors", head(), &[]),
            ("b.safetensors", other_sample(), stated),
            ("c.safetensors", sample(), last),
        ])
    };
    let stated = files(&[("lambda_w", "1e-4"), ("bias", "none")]).unwrap().network.head.stated;
    assert_eq!(stated.weight_decays, Some(vec![Decay::Given(1e-4)]));
    assert_eq!((stated.feature_decay, stated.bias), (Some(Decay::Given(1e-5)), Some(Bias::None)));
    let message = "c.safetensors: the metadata `lambda_h` is not the same as in b.safetensors; give the files of one \
                   network only";
    assert_eq!(files(&[("lambda_h", "1e-4")]).unwrap_err(), message);
}

#[test]
fn contradictions_name_both_files() {
    let metadata: Metadata<'_> = &[
        ("lambda_w", "[1e-4]"),
        ("lambda_h", "1e-4"),
        ("bias", "unregularized"),
        ("loss_function", "mse"),
    ];
    let bias = |value| doubles("classifier.bias", &[2], &[0.5, value]);
    let other_weight = doubles("classifier.1.weight", &[2, 2], &[1.0, -1.0, 0.5, 0.5]);
    let cases: [(Tensor, Metadata<'_>, &str); 7] = [
        (other_weight, &[], "`classifier.1.weight`"),
        (bias(0.25), &[], "`classifier.bias`"),
        (bias(0.5), &[("lambda_w", "[1e-4, 2e-4]")], "the metadata `lambda_w`"),
        (bias(0.5), &[("lambda_h", "2e-4")], "the metadata `lambda_h`"),
        (bias(0.5), &[("bias", "none")], "the metadata `bias`"),
        (bias(0.5), &[("loss_function", "cross_entropy")], "the metadata `loss_function`"),
        (bias(0.5), &[("lambda_w", "[2e-4]")], "the metadata `lambda_w`"),
    ];
    for (tensor, other_metadata, what) in cases {
        let error = read_all(&[
            ("z.safetensors", sample(), &[]),
            ("a.safetensors", with(small_network(), bias(0.5)), metadata),
            ("b.safetensors", with(sample(), tensor), other_metadata),
        ]);
        let message = "is not the same as in a.safetensors; give the files of one network only";
        assert_eq!(error.unwrap_err(), format!("b.safetensors: {what} {message}"));
    }
}

/// Sharded checkpoints have the weights in one file and the bias in another.
#[test]
fn the_head_may_be_spread_over_files() {
    let bias = doubles("classifier.bias", &[2], &[0.5, -0.5]);
    let second = doubles("classifier.2.weight", &[2, 2], &[1.0, 2.0, 3.0, 4.0]);
    let whole = read_all(&[
        ("b.safetensors", vec![bias], &[]),
        ("c.safetensors", with(small_network(), second), &[]),
    ]);
    let head = whole.unwrap().network.head;
    assert_eq!(head.keys, ["classifier.1.weight", "classifier.2.weight"]);
    assert_eq!(head.linear.bias().cloned(), Some(DVector::from_vec(vec![0.5, -0.5])));
}

#[test]
fn mistakes_name_their_file() {
    let narrow = || vec![doubles("features", &[2, 1], &[1.0, 2.0]), labels(&[0, 1])];
    let cases = [
        (
            narrow(),
            "`features` has shape 2×1, but 2×2 as in a.safetensors is expected; --features names others",
        ),
        (
            with(narrow(), doubles("classifier.1.weight", &[2, 2], &WEIGHTS)),
            "`features` has shape 2×1, but 2×2 as in a.safetensors is expected; --features names others",
        ),
        (
            with(sample(), labels(&[3])),
            "`labels` is 3 at [0], but a class from 0 to 1 is expected; the head has 2 outputs; --labels names others, --weights another head",
        ),
        (
            with(sample(), labels(&[0, 1])),
            "`labels` has shape (2), but (1) for the rows of `features` is expected; --labels names others",
        ),
        (
            sample()[..1].to_vec(),
            "has no `labels` (the class of each sample, from 0); it has `features`; --labels names others",
        ),
        (
            sample()[1..].to_vec(),
            "has no `features` (the features, one sample per row); it has `labels`; --features names others",
        ),
        (
            vec![doubles("x", &[1], &[1.0])],
            "has neither `classifier.1.weight` nor `features`; it has `x`; leave the file out, or name what it has with --weights, --features or --labels",
        ),
        (
            with(sample(), doubles("features", &[1, 2], &[0.0, f64::NAN])),
            "`features` is NaN at [0, 1], but only finite numbers are allowed; mend it or leave it out, and save the others",
        ),
    ];
    for (tensors, message) in cases {
        let error = read_all(&[
            ("a.safetensors", small_network(), &[]),
            ("b.safetensors", tensors, &[("lambda_h", "1")]),
        ]);
        assert_eq!(error.unwrap_err(), format!("b.safetensors: {message}"));
    }
    let unreadable: Metadata<'_> = &[("lambda_h", "?")];
    let error =
        read_all(&[("a.safetensors", head(), &[]), ("b.safetensors", sample(), unreadable)]);
    let message = "b.safetensors: the metadata `lambda_h` is `?`, but a positive number is expected; --feature-decay takes its place";
    assert_eq!(error.unwrap_err(), message);
}

#[test]
fn some_file_has_weights_and_some_file_has_features() {
    let error =
        read_all(&[("a.safetensors", sample(), &[]), ("b.safetensors", other_sample(), &[])]);
    let message = "a.safetensors: has no `classifier.1.weight` (the weights of layer 1), nor has any other file; all they have is `features`, `labels`; --weights names others";
    assert_eq!(error.unwrap_err(), message);
    let error = read_all(&[("a.safetensors", head(), &[]), ("b.safetensors", head(), &[])]);
    let message = "a.safetensors: has no `features` (the features, one sample per row), nor has any other file; all they have is `classifier.1.weight`; --features names others";
    assert_eq!(error.unwrap_err(), message);
}

/// A copy under another name is the same samples again; empty files and heads may repeat each other.
#[test]
fn copies_do_not_count_twice() {
    let one = with(head(), sample().remove(0));
    let one = with(one, sample().remove(1));
    let files = |list: &[(&str, Vec<Tensor>)]| {
        let list: Vec<_> = list.iter().map(|(name, file)| (*name, file.clone(), &[][..])).collect();
        read_all(&list)
    };
    let copy = files(&[
        ("a.safetensors", one.clone()),
        ("b.safetensors", other_sample()),
        ("c.safetensors", one.clone()),
    ]);
    let message = "c.safetensors: has the same bytes as a.safetensors; its samples would count twice: give it once";
    assert_eq!(copy.unwrap_err(), message);
    let empty = || vec![doubles("features", &[0, 2], &[]), ("labels", Dtype::I64, vec![0], vec![])];
    let whole = files(&[
        ("a.safetensors", one),
        ("b.safetensors", empty()),
        ("c.safetensors", head()),
        ("d.safetensors", empty()),
        ("e.safetensors", head()),
        ("f.safetensors", other_sample()),
    ]);
    assert_eq!(whole.unwrap().labels, [1, 0]);
}
