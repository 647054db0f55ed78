//! Labels as people store them.

use super::write::{Array, Format, INTEGERS, container};
use super::*;
use crate::input::keys::Reading;

fn network(labels: Array, outputs: usize) -> Vec<Array> {
    let samples = labels.shape[0];
    let features: Vec<_> = (0..samples * 2).map(|index| index as f64).collect();
    let weights: Vec<_> = (0..outputs * 2).map(|index| (index as f64).cos()).collect();
    vec![
        Array::new("features", &[samples, 2], &features),
        labels,
        Array::new("fc.weight", &[outputs, 2], &weights),
    ]
}

fn codes(codes: &[f64]) -> Array {
    Array::new("labels", &[codes.len()], codes).of(INTEGERS[0])
}

fn read_labels(labels: Array, outputs: usize, reading: &Reading) -> Result<Whole, String> {
    let folder = Folder::new();
    let file = folder.write("a.npz", &container(Format::Npz, &network(labels, outputs)));
    read_request(&Request { files: vec![file], reading: reading.clone(), ..Request::default() })
        .map_err(|error| folder.shorten(&error))
}

#[test]
fn the_first_label_and_ignored_ones_are_told() {
    let reading = Reading { first_label: 1, ignored_labels: vec![-100, 9], ..Reading::default() };
    let whole = read_labels(codes(&[1.0, -100.0, 3.0, 9.0, 2.0, -100.0]), 3, &reading).unwrap();
    assert_eq!(whole.labels, [0, 2, 1]);
    assert_eq!(whole.features, [0.0, 1.0, 4.0, 5.0, 8.0, 9.0]);
    assert_eq!((whole.network.data.samples(), whole.network.facts.ignored_samples), (3, 3));
    // Whole blocks without a sample.
    let mut many = vec![-100.0; 50];
    many.extend([1.0, 2.0, 3.0]);
    let whole = read_labels(codes(&many), 3, &reading).unwrap();
    assert_eq!(whole.features, [100.0, 101.0, 102.0, 103.0, 104.0, 105.0]);
}

#[test]
fn numbers_that_are_refused_are_named_by_their_row_even_if_others_are_left_out() {
    let folder = Folder::new();
    let mut arrays = network(codes(&[-1.0, 0.0, -1.0, 1.0]), 2);
    arrays[0].values[7] = 1e200;
    let files = vec![folder.write("a.npz", &container(Format::Npz, &arrays))];
    let reading = Reading { ignored_labels: vec![-1], ..Reading::default() };
    let network = read_network(&Request { files, reading, ..Request::default() }).unwrap();
    let mut statistics = neural_collapse::ClassStatistics::empty(2, 2).unwrap();
    let pass = network.data.for_each_batch(|batch| statistics.accumulate(&batch.samples));
    let error = folder.shorten(&pass.unwrap_err().to_string());
    assert!(error.starts_with("a.npz: `features` is 1e200 at [3, 1]"), "{error}");
}

#[test]
fn refusals_name_the_flag() {
    let plain = Reading::default();
    for (labels, outputs, message) in [
        (
            codes(&[1.0, 2.0, 3.0]),
            3,
            "`labels` is 3 at [2], but a class from 0 to 2 is expected; --first-label 1 is for labels that count from 1",
        ),
        (
            codes(&[0.0, -100.0, 1.0]),
            2,
            "`labels` is -100 at [1], but a class from 0 to 1 is expected; --ignore-label -100 leaves such samples out",
        ),
        (
            codes(&[1.0, 2.0]),
            3,
            "class 0 has no sample in `labels`; the head has 3 outputs, one for each class; --present-classes leaves out outputs without samples, --first-label 1 is for labels that count from 1",
        ),
        (
            Array::new("labels", &[2, 2], &[0.9, 0.1, 0.1, 0.9]),
            2,
            "`labels`: row 0 of its 2 columns is not one-hot, a single 1 beside zeros; soft labels are not covered by any model here; save the class of each sample, or name other labels with --labels",
        ),
        (
            Array::new("labels", &[2, 2], &[1.0, 0.0, 1.0, 1.0]),
            2,
            "`labels`: row 1 of its 2 columns is not one-hot, a single 1 beside zeros; soft labels are not covered by any model here; save the class of each sample, or name other labels with --labels",
        ),
        (
            Array::new("labels", &[2, 2, 2], &[0.0; 8]),
            2,
            "`labels` has shape 2×2×2, but (samples), samples×1, or one-hot rows of samples × classes is expected; --labels names others",
        ),
        (
            Array::new("labels", &[2], &[0.0, f64::NAN]),
            2,
            "`labels`: it is NaN at [1], but whole numbers, one-hot rows or truth values are expected; --labels names others",
        ),
        (
            Array::new("labels", &[2], &[0.0, 1e300]),
            2,
            "`labels`: it is 1e300 at [1], but whole numbers, one-hot rows or truth values are expected; --labels names others",
        ),
    ] {
        assert_eq!(read_labels(labels, outputs, &plain).unwrap_err(), format!("a.npz: {message}"));
    }
    let all = Reading { ignored_labels: vec![0, 1], ..Reading::default() };
    assert_eq!(
        read_labels(codes(&[0.0, 1.0]), 2, &all).unwrap_err(),
        "a.npz: no sample is left: all labels in `labels` are ignored; give fewer to --ignore-label"
    );
}

#[test]
fn outputs_without_samples_are_left_out_if_asked() {
    let reading = Reading { present_classes: true, ..Reading::default() };
    let whole = read_labels(codes(&[3.0, 1.0, 3.0]), 5, &reading).unwrap();
    assert_eq!(whole.labels, [1, 0, 1]);
    let all: Vec<_> = (0..10).map(|index| f64::from(index).cos()).collect();
    let expected = DMatrix::from_row_slice(2, 2, &[all[2], all[3], all[6], all[7]]);
    assert_eq!(whole.network.head.linear.weights(), [expected]);
    assert_eq!(whole.network.data.classes(), 2);
    assert_eq!(whole.network.facts.left_out_outputs, [0, 2, 4]);
}

#[test]
fn names_of_classes_are_read_and_chosen() {
    let folder = Folder::new();
    let names = folder.write("names.txt", b"background\ncat\ndog\n");
    let file = folder.write("a.npz", &container(Format::Npz, &network(codes(&[1.0, 2.0]), 3)));
    let reading = Reading { present_classes: true, ..Reading::default() };
    let mut request =
        Request { files: vec![file], reading, label_names: Some(names), ..Request::default() };
    let network = read_network(&request).unwrap();
    assert_eq!(network.label_names, Some(vec!["cat".into(), "dog".into()]));
    request.label_names = Some(folder.write("names.txt", b"a\nb\n"));
    assert_eq!(
        folder.shorten(&read_network(&request).unwrap_err().to_string()),
        "names.txt: has 2 names for 3 classes; --label-names takes one for each, line by line or as a JSON list"
    );
}

#[test]
fn a_training_set_tells_which_classes_there_are() {
    let folder = Folder::new();
    let train = folder
        .write("train.npz", &container(Format::Npz, &network(codes(&[0.0, 1.0, 2.0, 2.0]), 3)));
    let test = |labels: &[f64]| {
        let file =
            folder.write("test.npz", &container(Format::Npz, &network(codes(labels), 3)[..2]));
        let (files, means) = (vec![file], vec![train.clone()]);
        read_network(&Request { files, means, ..Request::default() })
            .map_err(|error| folder.shorten(&error.to_string()))
    };
    // The head may be in either file, and a class may be missing in the test set.
    let network = test(&[2.0, 0.0]).unwrap();
    assert_eq!((network.data.samples(), network.data.classes()), (2, 3));
    let means = network.means.unwrap();
    assert_eq!((means.samples(), means.classes(), means.width()), (4, 3, 2));
    assert_eq!(network.head.keys, ["fc.weight"]);
    let error = test(&[3.0, 0.0]).unwrap_err();
    assert!(
        error.starts_with("test.npz: `labels` is 3 at [0], but a class from 0 to 2"),
        "{error}"
    );
}

#[test]
fn files_without_samples_do_not_count() {
    let folder = Folder::new();
    let whole = network(codes(&[0.0, 1.0]), 2);
    let empty = |shape: &[usize]| {
        let arrays = [Array::new("features", shape, &[]), codes(&[])];
        folder.write(&format!("empty{}.npz", shape.len()), &container(Format::Npz, &arrays))
    };
    let full = folder.write("a.npz", &container(Format::Npz, &whole));
    let files = vec![empty(&[0, 2]), full, empty(&[0])];
    let read = read_request(&Request { files, ..Request::default() }).unwrap();
    assert_eq!(read.features, whole[0].values);
    assert_eq!(read.labels, [0, 1]);
}

#[test]
fn metadata_that_is_not_understood_is_named() {
    let metadata = [
        ("lambda_W", "[5e-4]"),
        ("weight_decay", "5e-4"),
        ("loss", "cross_entropy"),
        ("description", "a network"),
        ("seed", "1"),
    ];
    let network =
        read("a.safetensors", &safetensors_file(&small_network(), &metadata)).unwrap().network;
    let unknown = network.facts.unknown_metadata.iter();
    let found: Vec<_> = unknown.map(|(_, entry)| (entry.name.as_str(), entry.meant)).collect();
    let expected = [
        ("lambda_W", Some("lambda_w")),
        ("loss", Some("loss_function")),
        ("seed", None),
        ("weight_decay", Some("lambda_w")),
    ];
    assert_eq!(found, expected);
}

/// `.npz` files have no metadata, but arrays.
#[test]
fn hyper_parameters_may_be_arrays() {
    let folder = Folder::new();
    let mut arrays = network(codes(&[0.0, 1.0]), 2);
    arrays.push(Array::new("lambda_w", &[1], &[5e-4]));
    arrays.push(Array::new("lambda_h", &[], &[1e-5]));
    arrays.push(Array::new("label_smoothing", &[], &[0.1]));
    let files = vec![folder.write("a.npz", &container(Format::Npz, &arrays))];
    let network = read_network(&Request { files, ..Request::default() }).unwrap();
    let stated = network.head.stated;
    assert_eq!(stated.weight_decays, Some(vec![Decay::Given(5e-4)]));
    assert_eq!(stated.feature_decay, Some(Decay::Given(1e-5)));
    assert_eq!(stated.labels.label_smoothing, Some(0.1));
}

/// The bytes of a text as NumPy stores it, four for each character.
fn numpy_text(text: &str) -> Vec<u8> {
    let bytes: Vec<u8> = text.chars().flat_map(|letter| (letter as u32).to_le_bytes()).collect();
    npy_file(
        &format!("{{'descr': '<U{}', 'fortran_order': False, 'shape': (), }}", text.len()),
        &bytes,
    )
}

/// Texts, whole numbers, lists of one number, and names that are only like those that are read.
#[test]
fn hyper_parameters_of_numpy_are_read_or_named() {
    let folder = Folder::new();
    let whole = |key: &str, shape: &[usize], values: &[f64]| {
        Array::new(key, shape, values).of(INTEGERS[0]).npy()
    };
    let number = |key: &str, shape: &[usize], values: &[f64]| Array::new(key, shape, values).npy();
    let samples = network(codes(&[0.0, 1.0]), 2);
    let mut entries: Vec<(String, Vec<u8>)> =
        samples.iter().map(|array| (format!("{}.npy", array.key), array.npy())).collect();
    for (name, bytes) in [
        ("loss_function", numpy_text("cross_entropy")),
        ("lambda_w", whole("", &[], &[2.0])),
        ("lambda_h", number("", &[1], &[1e-3])),
        ("class_weights", whole("", &[2], &[1.0, 3.0])),
        ("weight_decay", number("", &[], &[5e-4])),
        ("dataset", numpy_text("digits")),
    ] {
        entries.push((format!("{name}.npy"), bytes));
    }
    let entries: Vec<_> =
        entries.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    let files = vec![folder.write("a.npz", &npz_file(&entries))];
    let network = read_network(&Request { files, ..Request::default() }).unwrap();
    let stated = network.head.stated;
    assert_eq!(stated.loss, Some(Loss::Ce));
    assert_eq!(stated.weight_decays, Some(vec![Decay::Given(2.0)]));
    assert_eq!(stated.feature_decay, Some(Decay::Given(1e-3)));
    assert_eq!(stated.labels.class_weights, Some(vec![1.0, 3.0]));
    let unknown = network.facts.unknown_metadata.iter();
    let found: Vec<_> = unknown.map(|(_, entry)| (entry.name.as_str(), entry.meant)).collect();
    assert_eq!(found, [("dataset", None), ("weight_decay", Some("lambda_w"))]);
}

/// Minus one is the other class here, and no mark of what is to be left out.
#[test]
fn labels_of_both_signs_are_not_to_be_left_out() {
    let reading = Reading::default();
    let error = read_labels(codes(&[-1.0, 1.0]), 2, &reading).unwrap_err();
    assert!(error.contains("(labels + 1) / 2") && !error.contains("--ignore-label"), "{error}");
    let error = read_labels(codes(&[-1.0, 0.0, 1.0]), 2, &reading).unwrap_err();
    assert!(error.contains("--ignore-label -1"), "{error}");
}

#[test]
fn other_formats_are_named_with_a_way_to_convert_them() {
    let keras = npz_file(&[("config.json", vec![]), ("model.weights.h5", vec![])]);
    let script = npz_file(&[("m/data.pkl", vec![]), ("m/constants.pkl", vec![])]);
    for (name, bytes, what, how) in [
        ("m.h5", &b"\x89HDF\r\n\x1a\n...."[..], "is an HDF5 file", "h5py"),
        ("m.keras", &keras, "is a Keras file", "--transposed"),
        ("m.pt", &script, "is a TorchScript module", "state_dict"),
        (
            "m.pkl",
            b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00}.",
            "is a Python pickle",
            "numpy.savez",
        ),
        ("m.npz.gz", b"\x1f\x8b\x08....", "is compressed with gzip", "gunzip"),
        ("m.mat", b"MATLAB 5.0 MAT-file", "is a MATLAB file", "scipy.io"),
        ("m.csv", b"1,2\n3,4\n", "is a text file", "numpy.save"),
        ("m.dat", b"{\"a\": 1}", "is a JSON file", "*.index.json"),
    ] {
        let error = read(name, bytes).unwrap_err();
        assert!(error.starts_with(&format!("{name}: {what}")), "{error}");
        assert!(error.contains(how), "{error}");
    }
}
