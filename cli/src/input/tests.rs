//! Whole files, good and bad.

mod blocks;
mod containers;
mod damage;
mod files;
mod heads;
mod labels;
mod refusals;
mod torch;
mod write;

use std::collections::HashMap;
use std::io::{Cursor, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use ::safetensors::Dtype;
use ::safetensors::tensor::{TensorView, serialize};
use half::{bf16, f16};
use nalgebra::{DMatrix, DVector};
use neural_collapse::Bias;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::data_set::DataSet;
use super::keys::{Keys, Request};
use super::network::{MeasuredNetwork, read_network};
use crate::loss::Loss;
use crate::stated::{Decay, StatedTraining};

/// A folder that is removed at the end of a test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("neural-collapse-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        // Some file systems wait for the disk where a file is truncated and written again.
        let _ = std::fs::remove_file(&path);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// The text without the folder in front of the names of files.
    fn shorten(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.0.display()), "")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

/// A network with its features in memory.
#[derive(Debug)]
struct Whole {
    network: MeasuredNetwork,
    /// The features of the samples, one sample after the other.
    features: Vec<f64>,
    labels: Vec<usize>,
}

/// Passes over the samples in blocks of `block_bytes`.
fn collect(data: &mut DataSet, block_bytes: usize) -> Result<(Vec<f64>, Vec<usize>), String> {
    data.block_bytes = block_bytes;
    let (mut features, mut labels) = (Vec::new(), Vec::new());
    let pass = data.for_each_batch(|batch| {
        features.extend_from_slice(batch.numbers);
        labels.extend_from_slice(batch.samples.labels());
        Ok(())
    });
    pass.map(|()| (features, labels)).map_err(|error| error.to_string())
}

/// Reads the file `name` with the content `bytes`, the features too.
fn read_with(
    name: &str,
    bytes: &[u8],
    keys: &Keys,
    given: &StatedTraining,
) -> Result<Whole, String> {
    let folder = Folder::new();
    let path = folder.write(name, bytes);
    read_files(&[path], keys, given).map_err(|message| folder.shorten(&message))
}

/// Reads a network with its features, in blocks of a few numbers.
fn read_files(files: &[PathBuf], keys: &Keys, given: &StatedTraining) -> Result<Whole, String> {
    let (keys, given) = (keys.clone(), given.clone());
    read_request(&Request { files: files.to_vec(), keys, given, ..Request::default() })
}

/// The same with all that can be said of the files.
fn read_request(request: &Request) -> Result<Whole, String> {
    let network = read_network(request);
    let mut network = network.map_err(|error| error.to_string())?;
    let (features, labels) = collect(&mut network.data, 24)?;
    Ok(Whole { network, features, labels })
}

fn read(name: &str, bytes: &[u8]) -> Result<Whole, String> {
    read_with(name, bytes, &Keys::default(), &StatedTraining::default())
}

/// A tensor of a `.safetensors` file under construction.
type Tensor = (&'static str, Dtype, Vec<usize>, Vec<u8>);

fn doubles(key: &'static str, shape: &[usize], values: &[f64]) -> Tensor {
    let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    (key, Dtype::F64, shape.to_vec(), bytes)
}

fn singles(key: &'static str, shape: &[usize], values: &[f32]) -> Tensor {
    let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    (key, Dtype::F32, shape.to_vec(), bytes)
}

fn labels(values: &[i64]) -> Tensor {
    let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    ("labels", Dtype::I64, vec![values.len()], bytes)
}

/// Three samples of width two, two classes, one layer.
fn small_network() -> Vec<Tensor> {
    vec![
        singles("features", &[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        labels(&[0, 1, 1]),
        doubles("classifier.1.weight", &[2, 2], &[1.0, -1.0, 0.5, 0.25]),
    ]
}

fn safetensors_file(tensors: &[Tensor], metadata: &[(&str, &str)]) -> Vec<u8> {
    let views = tensors.iter().map(|(key, dtype, shape, bytes)| {
        (*key, TensorView::new(*dtype, shape.clone(), bytes).unwrap())
    });
    let mut file = serialize(views, None).unwrap();
    if !metadata.is_empty() {
        let strings: HashMap<_, _> = metadata.iter().copied().collect();
        let entry = serde_json::to_string(&strings).unwrap();
        let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
        let rest = String::from_utf8(file[9..8 + length].to_vec()).unwrap();
        let header = format!("{{\"__metadata__\":{entry},{rest}");
        let mut with_metadata = (header.len() as u64).to_le_bytes().to_vec();
        with_metadata.extend(header.as_bytes());
        with_metadata.extend(&file[8 + length..]);
        file = with_metadata;
    }
    file
}

/// Reads [`small_network`] with the tensor of the same name replaced by `tensor`, or `tensor` added.
fn read_changed(tensor: Tensor) -> Result<Whole, String> {
    let mut tensors = small_network();
    tensors.retain(|other| other.0 != tensor.0);
    tensors.push(tensor);
    read("a.safetensors", &safetensors_file(&tensors, &[]))
}

fn npz_file(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn npy_file(header: &str, data: &[u8]) -> Vec<u8> {
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.as_bytes());
    file.extend(data);
    file
}

const NUMPY_STORED: &[u8] = include_bytes!("../../tests/data/stored.npz");
const NUMPY_DEFLATED: &[u8] = include_bytes!("../../tests/data/deflated_fortran_big_endian.npz");

/// What `make_npz.py` stores in both files.
fn check_numpy_network(whole: &Whole) {
    assert_eq!(whole.labels, [0, 1, 1, 0]);
    let first = DMatrix::from_row_slice(2, 3, &[1.0, -2.0, 0.5, 0.25, 4.0, -8.0]);
    let second = DMatrix::from_row_slice(2, 2, &[3.0, 0.125, -1.5, 2.0]);
    assert_eq!(whole.network.head.linear.weights(), [first, second]);
    let data = &whole.network.data;
    assert_eq!((data.samples(), data.width(), data.classes()), (4, 3, 2));
    let features: Vec<_> = (0..12).map(|index| f64::from(index) / 8.0 - 0.5).collect();
    assert_eq!(whole.features, features);
}

#[test]
fn stored_npz_of_numpy_is_read() {
    let whole = read("a.npz", NUMPY_STORED).unwrap();
    check_numpy_network(&whole);
    assert_eq!(whole.network.head.linear.bias().cloned(), Some(DVector::from_vec(vec![0.5, -0.5])));
    assert_eq!(whole.network.head.stated, StatedTraining::default());
}

#[test]
fn deflated_npz_of_numpy_is_read() {
    let whole = read("unknown extension", NUMPY_DEFLATED).unwrap();
    check_numpy_network(&whole);
    assert_eq!(whole.network.head.linear.bias().cloned(), None);
}

#[test]
fn safetensors_is_read_with_its_metadata() {
    let metadata = [("lambda_w", "[5e-4]"), ("lambda_h", "1e-5"), ("bias", "unregularized")];
    let file = safetensors_file(&small_network(), &metadata);
    let whole = read("unknown extension", &file).unwrap();
    assert_eq!(whole.features, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let head = whole.network.head;
    assert_eq!(head.linear.weights(), [DMatrix::from_row_slice(2, 2, &[1.0, -1.0, 0.5, 0.25])]);
    assert_eq!(head.stated.weight_decays, Some(vec![Decay::Given(5e-4)]));
    assert_eq!(head.stated.feature_decay, Some(Decay::Given(1e-5)));
    assert_eq!(head.stated.bias, Some(Bias::Unregularized));
}

#[test]
fn flags_overrule_metadata_even_if_it_is_nonsense() {
    let metadata =
        [("lambda_w", "?"), ("lambda_h", "?"), ("bias", "true"), ("loss_function", "hinge")];
    let file = safetensors_file(&small_network(), &metadata);
    let given = StatedTraining {
        weight_decays: Some(vec![Decay::Given(1.0)]),
        feature_decay: Some(Decay::Given(2.0)),
        bias: Some(Bias::Regularized(3.0)),
        loss: Some(Loss::Ce),
        ..StatedTraining::default()
    };
    let whole = read_with("a.safetensors", &file, &Keys::default(), &given).unwrap();
    assert_eq!(whole.network.head.stated, given);
    let error = read("a.safetensors", &file).unwrap_err();
    assert!(
        error.starts_with("a.safetensors: the metadata `lambda_w` is `?`, but a JSON list"),
        "{error}"
    );
}

#[test]
fn half_precision_and_small_integers_are_read() {
    let halves = |key, values: &[f32]| {
        let bytes = values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect();
        (key, Dtype::F16, vec![values.len() / 2, 2], bytes)
    };
    let brains = |key, values: &[f32]| {
        let bytes = values.iter().flat_map(|&value| bf16::from_f32(value).to_le_bytes()).collect();
        (key, Dtype::BF16, vec![values.len() / 2, 2], bytes)
    };
    let tensors = [
        halves("features", &[0.5, 1.0, 2.0, -3.0]),
        brains("classifier.1.weight", &[0.5, -2.0, 1.0, 0.0]),
        ("labels", Dtype::I8, vec![2], vec![0, 1]),
    ];
    let whole = read("a.safetensors", &safetensors_file(&tensors, &[])).unwrap();
    assert_eq!(whole.features, [0.5, 1.0, 2.0, -3.0]);
    let weights = DMatrix::from_row_slice(2, 2, &[0.5, -2.0, 1.0, 0.0]);
    assert_eq!(whole.network.head.linear.weights(), [weights]);
    assert_eq!(whole.labels, [0, 1]);
}

#[test]
fn other_keys_are_found() {
    let mut tensors = small_network();
    tensors.iter_mut().for_each(|tensor| {
        tensor.0 = ["h", "y", "fc"][["features", "labels", "classifier.1.weight"]
            .iter()
            .position(|key| *key == tensor.0)
            .unwrap()];
    });
    tensors.push(doubles("b", &[2], &[1.0, 2.0]));
    let keys = Keys {
        layers: Vec::new(),
        features: Some("h".into()),
        labels: Some("y".into()),
        weights: Some(vec!["fc".into()]),
        bias: Some("b".into()),
    };
    let file = safetensors_file(&tensors, &[]);
    let whole = read_with("a.safetensors", &file, &keys, &StatedTraining::default()).unwrap();
    assert_eq!(whole.network.head.linear.bias().cloned(), Some(DVector::from_vec(vec![1.0, 2.0])));
}

#[test]
fn every_mistake_names_file_key_and_expectation() {
    let cases = [
        (
            doubles("features", &[6], &[0.0; 6]),
            "`features` has shape (6), but a matrix (samples × width) is expected; --features names others",
        ),
        (
            doubles("features", &[3, 0], &[]),
            "`features` has shape 3×0, but a matrix (samples × width) that is not empty is expected; --features names others",
        ),
        (
            doubles("features", &[3, 1], &[0.0; 3]),
            "`classifier.1.weight` has shape 2×2, but 2×1 for the width of `features` is expected; --weights names others",
        ),
        (
            doubles("features", &[3, 2], &[0.0, 0.0, 0.0, f64::NAN, 0.0, 0.0]),
            "`features` is NaN at [1, 1], but only finite numbers are allowed; mend it or leave it out, and save the others",
        ),
        (
            labels(&[0, 1]),
            "`labels` has shape (2), but (3) for the rows of `features` is expected; --labels names others",
        ),
        (
            labels(&[0, -1, 1]),
            "`labels` is -1 at [1], but a class from 0 to 1 is expected; --ignore-label -1 leaves such samples out",
        ),
        (
            labels(&[0, 1, 2]),
            "`labels` is 2 at [2], but a class from 0 to 1 is expected; the head has 2 outputs; --labels names others, --weights another head",
        ),
        (
            singles("labels", &[3], &[0.0, 0.5, 1.0]),
            "`labels`: it is 0.5 at [1], but whole numbers, one-hot rows or truth values are expected; --labels names \
             others",
        ),
        (
            ("features", Dtype::I32, vec![3, 2], vec![0; 24]),
            "`features` has the data type I32, but f64, f32, f16 or bf16 is expected; convert it before it is saved",
        ),
        (
            ("features", Dtype::F8_E4M3, vec![3, 2], vec![0; 6]),
            "`features` has the data type F8_E4M3, but f64, f32, f16 or bf16 is expected; convert it before it is saved",
        ),
        (
            doubles("classifier.1.weight", &[1, 1, 4], &[0.0; 4]),
            "`classifier.1.weight` has shape 1×1×4, but a matrix (outputs × inputs) is expected; --weights names others",
        ),
        (
            doubles("classifier.2.weight", &[2, 3], &[0.0; 6]),
            "`classifier.2.weight` has shape 2×3, but 2×2 after a layer of 2 outputs is expected; --weights names others",
        ),
        (
            doubles("classifier.bias", &[3], &[0.0; 3]),
            "`classifier.bias` has shape (3), but (2) for the outputs of the last layer is expected; --bias-key names others",
        ),
        (
            doubles("classifier.bias", &[2], &[0.0, f64::INFINITY]),
            "`classifier.bias` is inf at [1], but only finite numbers are allowed; mend it or leave it out, and save the others",
        ),
    ];
    for (tensor, message) in cases {
        assert_eq!(read_changed(tensor).unwrap_err(), format!("a.safetensors: {message}"));
    }
}

#[test]
fn missing_keys_list_the_keys_there_are() {
    let file = safetensors_file(&small_network()[1..], &[]);
    assert_eq!(
        read("a.safetensors", &file).unwrap_err(),
        "a.safetensors: has no `features` (the features, one sample per row); it has `classifier.1.weight`, `labels`; \
         --features names others"
    );
    let error = read("a.npz", &npz_file(&[])).unwrap_err();
    assert!(error.ends_with("it has no arrays at all; --features names others"), "{error}");
}
