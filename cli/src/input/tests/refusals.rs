//! What every kind of refusal says: the file, the key, and what to do.

use std::collections::BTreeSet;

use super::super::error::Problem;
use super::super::keys::Reading;
use super::write::{Array, Format, container};
use super::*;

/// The kind of a problem. No kind is left out: a new one has to be named here, and tested below.
fn kind(problem: &Problem) -> &'static str {
    match problem {
        Problem::Unreadable(_) => "unreadable",
        Problem::UnknownFormat => "unknown format",
        Problem::Foreign { .. } => "foreign",
        Problem::BadContainer { .. } => "bad container",
        Problem::MissingKey { .. } => "missing key",
        Problem::MissingEverywhere { .. } => "missing everywhere",
        Problem::Repeated => "repeated",
        Problem::Copy { .. } => "copy",
        Problem::Head(_) => "head",
        Problem::HiddenBias { .. } => "hidden bias",
        Problem::UnusedBias { .. } => "unused bias",
        Problem::NothingFound { .. } => "nothing found",
        Problem::Contradiction { .. } => "contradiction",
        Problem::BadArray { .. } => "bad array",
        Problem::DataType { .. } => "data type",
        Problem::Shape { .. } => "shape",
        Problem::Refused { .. } => "refused",
        Problem::NotFinite { .. } => "not finite",
        Problem::Label { .. } => "label",
        Problem::EmptyClasses { .. } => "empty classes",
        Problem::Measurement(_) => "measurement",
        Problem::Impossible(_) => "impossible",
        Problem::Metadata { .. } => "metadata",
    }
}

/// A file that is refused, with how it is read.
struct Refused {
    kind: &'static str,
    files: Vec<(&'static str, Vec<u8>)>,
    request: Request,
    /// What the message says beside the name of the file that is to blame: the key, and what to do.
    says: [&'static str; 2],
    /// The file that is to blame.
    blamed: &'static str,
}

fn refused(
    kind: &'static str,
    files: Vec<(&'static str, Vec<u8>)>,
    says: [&'static str; 2],
) -> Refused {
    let blamed = files.last().map_or("missing.npz", |(name, _)| name);
    Refused { kind, files, request: Request::default(), says, blamed }
}

impl Refused {
    fn reading(mut self, reading: Reading) -> Self {
        self.request.reading = reading;
        self
    }

    fn weights(mut self, weights: &[&str]) -> Self {
        self.request.keys.weights = Some(weights.iter().map(|&key| key.into()).collect());
        self
    }

    fn blaming(mut self, file: &'static str) -> Self {
        self.blamed = file;
        self
    }

    /// The kind of the problem and the message.
    fn read(self) -> (&'static str, String) {
        let folder = Folder::new();
        let mut request = self.request;
        request.files = self.files.iter().map(|(name, bytes)| folder.write(name, bytes)).collect();
        if request.files.is_empty() {
            request.files.push(folder.0.join("missing.npz"));
        }
        let error = match read_network(&request) {
            Err(error) => error,
            Ok(network) => {
                let pass = network.data.for_each_batch(|batch| {
                    let (width, classes) = (network.data.width(), network.data.classes());
                    let mut sums = neural_collapse::ClassStatistics::empty(width, classes)?;
                    sums.accumulate(&batch.samples)
                });
                pass.unwrap_err()
            }
        };
        (kind(&error.problem), folder.shorten(&error.to_string()))
    }
}

/// Four samples of two classes, in two dimensions.
fn samples() -> Vec<Array> {
    let numbers = [1.0, 0.0, 2.0, 0.5, 0.0, 1.0, 0.5, 2.0];
    let labels = Array::new("labels", &[4], &[0.0, 0.0, 1.0, 1.0]);
    vec![Array::new("features", &[4, 2], &numbers), labels.of(write::INTEGERS[0])]
}

fn weight(key: &str) -> Array {
    Array::new(key, &[2, 2], &[1.0, -1.0, 0.5, 0.25])
}

/// A whole network with other arrays in the place of those of the same names.
fn with(arrays: &[Array]) -> Vec<u8> {
    let mut all = samples();
    all.push(weight("fc.weight"));
    all.retain(|array| arrays.iter().all(|other| other.key != array.key));
    all.extend_from_slice(arrays);
    container(Format::Npz, &all)
}

fn only(arrays: &[Array]) -> Vec<u8> {
    container(Format::Npz, arrays)
}

/// The same with this entry in its metadata.
fn with_metadata(name: &str, text: &str) -> Vec<u8> {
    safetensors_file(&small_network(), &[(name, text)])
}

fn files_that_cannot_be_used() -> Vec<Refused> {
    let whole = || with(&[]);
    vec![
        refused("unreadable", vec![], ["cannot be read", "No such file"]),
        refused(
            "unknown format",
            vec![("a.dat", b"hello".to_vec())],
            [".npz", "save it as one of these"],
        ),
        refused("foreign", vec![("a.h5", b"\x89HDF\r\n\x1a\n".to_vec())], ["HDF5", "np.savez("]),
        refused("foreign", vec![("a.pkl", b"\x80\x04N.".to_vec())], ["pickle", "save"]),
        refused("foreign", vec![("a.csv", b"1,2\n".to_vec())], ["text", "np.save("]),
        refused(
            "bad container",
            vec![("a.npz", b"PK".to_vec())],
            [".npz", "copy or save it again"],
        ),
        refused(
            "bad container",
            vec![("a.safetensors", vec![0; 3])],
            [".safetensors", "copy or save it again"],
        ),
        refused(
            "repeated",
            vec![("a.npz", whole()), ("a.npz", whole())],
            ["given twice", "give it once"],
        ),
        refused("copy", vec![("a.npz", whole()), ("b.npz", whole())], ["a.npz", "give it once"]),
        refused(
            "nothing found",
            vec![("a.npz", whole()), ("b.npz", only(&[weight("other")]))],
            ["`fc.weight`", "leave the file out, or name what it has with --weights"],
        )
        .weights(&["fc.weight"]),
        refused(
            "contradiction",
            vec![
                ("a.npz", whole()),
                ("b.npz", only(&[Array::new("fc.weight", &[2, 2], &[7.0; 4])])),
            ],
            ["`fc.weight` is not the same as in a.npz", "give the files of one network only"],
        ),
    ]
}

fn keys_that_are_missing() -> Vec<Refused> {
    let without = |key: &str| {
        let mut all = samples();
        all.push(weight("fc.weight"));
        all.retain(|array| array.key != key);
        only(&all)
    };
    vec![
        refused("missing key", vec![("a.npz", without("features"))], ["`features`", "--features"]),
        refused("missing key", vec![("a.npz", without("labels"))], ["`labels`", "--labels"]),
        refused("missing key", vec![("a.npz", with(&[]))], ["`w`", "--weights"]).weights(&["w"]),
        refused(
            "missing everywhere",
            vec![("a.npz", only(&[weight("fc.weight")])), ("b.npz", only(&[weight("other")]))],
            ["`features`", "--features"],
        )
        .blaming("a.npz"),
        refused(
            "missing everywhere",
            vec![("a.npz", with(&[])), ("b.npz", only(&[weight("other")]))],
            ["`w`", "--weights"],
        )
        .weights(&["w"])
        .blaming("a.npz"),
    ]
}

fn heads_that_cannot_be_told() -> Vec<Refused> {
    let bias = |key: &str, shape: &[usize]| Array::new(key, shape, &[1.0, 2.0]);
    let head = |says, arrays: &[Array]| refused("head", vec![("a.npz", with(arrays))], says);
    let mut all = vec![
        head(["`aux.weight` (2×2)", "--weights"], &[weight("aux.weight")]),
        head(
            ["`n.0.weight` (2×2), `n.2.weight` (2×2)", "--weights"],
            &[weight("n.0.weight"), weight("n.2.weight")],
        ),
        refused(
            "head",
            vec![(
                "a.npz",
                only(
                    &[
                        samples(),
                        vec![
                            Array::new("k", &[5, 3], &[0.0; 15]),
                            Array::new("l", &[7, 3], &[0.0; 21]),
                        ],
                    ]
                    .concat(),
                ),
            )],
            ["`k` (5×3), `l` (7×3)", "--weights"],
        ),
        head(["`fc.weight` is taken for two layers", "--weights"], &[]).weights(&["fc.weight"; 2]),
        head(
            ["`parametrizations.weight.original0`", "save `layer.weight` itself"],
            &[weight("parametrizations.weight.original0")],
        )
        .weights(&["parametrizations.weight.original0"]),
        refused(
            "hidden bias",
            vec![("a.npz", with(&[weight("W1"), weight("W2"), bias("b1", &[2])]))],
            ["`b1`", "--bias-key none"],
        )
        .weights(&["W1", "W2"]),
    ];
    for shape in [&[2][..], &[1, 2], &[2, 1]] {
        let arrays = [bias("offset", shape)];
        all.push(
            refused(
                "unused bias",
                vec![("a.npz", with(&arrays))],
                ["`offset`", "--bias-key offset takes it as the bias, --bias-key none"],
            )
            .weights(&["fc.weight"]),
        );
        // In any file of the data set.
        all.push(
            refused(
                "unused bias",
                vec![
                    ("a.npz", with(&[])),
                    ("b.npz", only(&[bias("fc.bias", &[2]), bias("offset", shape)])),
                ],
                ["`offset`", "--bias-key offset takes it as the bias, --bias-key fc.bias"],
            )
            .weights(&["fc.weight"]),
        );
    }
    all
}

/// Each array in turn with a wrong type, a wrong shape, numbers that are not finite, and damage.
fn arrays_that_do_not_fit() -> Vec<Refused> {
    let parts = [
        ("features", [4, 2], "`features`", "--features"),
        ("fc.weight", [2, 2], "`fc.weight`", "--weights"),
        ("fc.bias", [2, 1], "`fc.bias`", "--bias-key"),
    ];
    let mut all = Vec::new();
    for (key, [rows, columns], name, flag) in parts {
        let array = |shape: &[usize], number: f64| {
            Array::new(key, shape, &vec![number; shape.iter().product()])
        };
        for kind in write::INTEGERS {
            let typed = array(&[rows, columns], 1.0).of(kind);
            all.push(refused(
                "data type",
                vec![("a.npz", with(&[typed]))],
                [name, "convert it before"],
            ));
        }
        for shape in [&[][..], &[3], &[3, 1, 2], &[0, columns, 2]] {
            let file = with(&[array(shape, 1.0)]);
            let mut shaped = refused("shape", vec![("a.npz", file)], [name, flag]);
            // A vector is no head that could be found.
            if key == "fc.weight" {
                shaped = shaped.weights(&["fc.weight"]);
            }
            all.push(shaped);
        }
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let file = with(&[array(&[rows, columns], number)]);
            all.push(refused(
                "not finite",
                vec![("a.npz", file)],
                [name, "mend it or leave it out"],
            ));
        }
        let objects = npy_file("{'descr': '|O', 'fortran_order': False, 'shape': (), }", &[0; 9]);
        let mut entries: Vec<(String, Vec<u8>)> =
            samples().iter().map(|array| (format!("{}.npy", array.key), array.npy())).collect();
        entries.push(("fc.weight.npy".into(), weight("fc.weight").npy()));
        entries.retain(|(entry, _)| *entry != format!("{key}.npy"));
        let replaced = |bytes: Vec<u8>| {
            let mut entries = entries.clone();
            entries.push((format!("{key}.npy"), bytes));
            let entries: Vec<_> =
                entries.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
            npz_file(&entries)
        };
        all.push(refused(
            "bad array",
            vec![("a.npz", replaced(objects))],
            [name, "save each array"],
        ));
        let short = array(&[rows, columns], 1.0).npy();
        let short = short[..short.len() - 1].to_vec();
        all.push(
            refused("bad array", vec![("a.npz", replaced(short))], [name, "copy or save it again"])
                .weights(&["fc.weight"]),
        );
    }
    let huge = Array::new("features", &[4, 2], &[1.0, 1e200, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    all.push(refused("refused", vec![("a.npz", with(&[huge]))], ["`features`", "in another unit"]));
    all
}

fn labels_that_do_not_fit() -> Vec<Refused> {
    let labels = |shape: &[usize], codes: &[f64]| with(&[Array::new("labels", shape, codes)]);
    let row = |kind, file, remedy| refused(kind, vec![("a.npz", file)], ["`labels`", remedy]);
    let first = Reading { first_label: 1, ..Reading::default() };
    let ignored = Reading { ignored_labels: vec![0, 1], ..Reading::default() };
    let two = labels(&[4], &[0.0, 0.0, 1.0, 1.0]);
    vec![
        row("label", labels(&[4], &[1.0, 1.0, 2.0, 2.0]), "--first-label 1"),
        row("label", labels(&[4], &[0.0, 1.0, -100.0, 1.0]), "--ignore-label -100"),
        row("label", labels(&[4], &[-1.0, 1.0, -1.0, 1.0]), "(labels + 1) / 2"),
        row("label", labels(&[4], &[0.0, 1.0, 2.0, 3.0]), "--labels names others, --weights"),
        row("label", two.clone(), "--ignore-label 0").reading(first),
        row("impossible", two, "--ignore-label").reading(ignored),
        row("empty classes", labels(&[4], &[1.0; 4]), "--present-classes"),
        row("empty classes", labels(&[4], &[0.0; 4]), "--first-label 1"),
        row("shape", labels(&[3], &[0.0, 1.0, 1.0]), "--labels"),
        row("shape", labels(&[4, 3], &[1.0, 0.0, 0.0].repeat(4)), "--labels"),
        row("shape", labels(&[2, 2, 2], &[0.0; 8]), "--labels"),
        row("bad array", labels(&[4], &[0.0, 0.5, 1.0, 1.0]), "--labels names others"),
        row("bad array", labels(&[4, 2], &[0.5; 8]), "--labels"),
    ]
}

fn metadata_that_is_not_understood() -> Vec<Refused> {
    let entries = [
        ("lambda_w", "--weight-decay"),
        ("lambda_h", "--feature-decay"),
        ("bias", "--bias"),
        ("loss_function", "--loss"),
        ("label_smoothing", "--label-smoothing"),
        ("class_weights", "--class-weights"),
        ("nonnegative_features", "--nonnegative-features"),
    ];
    entries
        .into_iter()
        .map(|(name, flag)| {
            let file = with_metadata(name, "whatever");
            refused("metadata", vec![("a.safetensors", file)], [name, flag])
        })
        .collect()
}

#[test]
fn every_refusal_names_file_key_and_remedy() {
    let (mut kinds, mut wrong) = (BTreeSet::new(), Vec::new());
    let all = [
        files_that_cannot_be_used(),
        keys_that_are_missing(),
        heads_that_cannot_be_told(),
        arrays_that_do_not_fit(),
        labels_that_do_not_fit(),
        metadata_that_is_not_understood(),
    ];
    for refused in all.into_iter().flatten() {
        let (expected, says, blamed) = (refused.kind, refused.says, refused.blamed);
        let (found, message) = refused.read();
        let is_right = found == expected
            && message.starts_with(&format!("{blamed}: "))
            && says.iter().all(|part| message.contains(part));
        if !is_right {
            wrong.push(format!("{expected} {says:?}: {found}: {message}"));
        }
        kinds.insert(found);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // What the library refuses of numbers that files may have comes with its own words.
    let untested = ["measurement"];
    assert_eq!(kinds.len() + untested.len(), KINDS, "{kinds:?}");
}

/// The arms of [`kind`].
const KINDS: usize = 23;
