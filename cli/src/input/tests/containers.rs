//! However a network is stored, what is read is the same, bit for bit.

use super::write::{Array, FLOATS, Format, INTEGERS, container};
use clap::Parser;

use super::*;
use crate::arguments::{Arguments, Command};
use crate::audit::AuditedNetwork;
use crate::input::keys::Reading;
use crate::progress::Progress;
use crate::report::AuditReport;

/// Numbers that look random and are the same every time (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn pick<T: Clone>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())].clone()
    }

    /// A number that every floating-point type holds: eight bits and a small exponent.
    fn number(&mut self) -> f64 {
        let digits = self.below(255) as f64 - 127.0;
        digits / f64::from(1_u32 << self.below(6))
    }

    fn shuffle<T>(&mut self, list: &mut [T]) {
        for index in (1..list.len()).rev() {
            list.swap(index, self.below(index + 1));
        }
    }
}

/// A network in plain numbers.
#[derive(Debug, Clone)]
struct Plain {
    width: usize,
    classes: usize,
    features: Vec<f64>,
    labels: Vec<usize>,
    weights: Vec<DMatrix<f64>>,
    bias: Option<Vec<f64>>,
}

impl Plain {
    fn random(random: &mut Random) -> Self {
        let (width, classes) = (2 + random.below(5), 2 + random.below(4));
        let samples = classes + random.below(12);
        let mut labels: Vec<_> = (0..samples).map(|sample| sample % classes).collect();
        random.shuffle(&mut labels);
        let depth = 1 + random.below(3);
        let mut widths = vec![width];
        widths.extend((1..depth).map(|_| 2 + random.below(5)));
        widths.push(classes);
        let weights = widths
            .windows(2)
            .map(|pair| DMatrix::from_fn(pair[1], pair[0], |_, _| random.number()))
            .collect();
        let bias = (random.below(2) == 0).then(|| (0..classes).map(|_| random.number()).collect());
        let features = (0..samples * width).map(|_| random.number()).collect();
        Self { width, classes, features, labels, weights, bias }
    }

    /// The network read from the way that `random` stores it.
    fn read_back(&self, random: &mut Random, folder: &Folder) -> Whole {
        let cuts = self.cut(random);
        let request = self.store(random, folder, cuts);
        read_request(&request).map_err(|error| folder.shorten(&error)).unwrap()
    }

    /// Files with these rows each, written as `random` has it, and how they are to be read.
    fn store(
        &self,
        random: &mut Random,
        folder: &Folder,
        cuts: Vec<std::ops::Range<usize>>,
    ) -> Request {
        let mut request = Request::default();
        let reading = &mut request.reading;
        reading.first_label = random.pick(&[0, 1, -3]);
        reading.transposed = random.below(3) == 0;
        let (features_key, labels_key) =
            (random.pick(&["features", "h"]), random.pick(&["labels", "y"]));
        request.keys.features = (features_key != "features").then(|| features_key.into());
        request.keys.labels = (labels_key != "labels").then(|| labels_key.into());
        let mut parts: Vec<Vec<Array>> = cuts
            .into_iter()
            .map(|rows| self.samples(random, rows, (features_key, labels_key), reading))
            .collect();
        let mut head = self.head(random, reading.transposed);
        // The head in files of its own, or in those of the samples.
        let mut others: Vec<Vec<Array>> = vec![Vec::new(); random.below(3)];
        random.shuffle(&mut head);
        for array in head {
            let place = random.below(parts.len() + others.len());
            let file = parts.iter_mut().chain(&mut others).nth(place);
            file.unwrap().push(array);
        }
        others.retain(|arrays| !arrays.is_empty());
        let mut files = Vec::new();
        for (index, arrays) in parts.iter_mut().enumerate() {
            random.shuffle(arrays);
            files.push(write(random, folder, &format!("samples{index}"), arrays));
        }
        // The order of files without samples does not matter, nor where they stand, nor whether an index names them.
        let mut weight_map = serde_json::Map::new();
        let has_index = random.below(3) == 0;
        for (index, arrays) in others.iter().enumerate() {
            let file = write(random, folder, &format!("other{index}"), arrays);
            if has_index {
                let name = file.file_name().unwrap().to_string_lossy();
                weight_map.extend(arrays.iter().map(|array| (array.key.clone(), (*name).into())));
            } else {
                files.insert(random.below(files.len() + 1), file);
            }
        }
        if !weight_map.is_empty() {
            let text = serde_json::json!({ "weight_map": weight_map }).to_string();
            let index = folder.write("model.index.json", text.as_bytes());
            files.insert(random.below(files.len() + 1), index);
        }
        request.files = files;
        request
    }

    /// The rows of each file; a file may have none.
    fn cut(&self, random: &mut Random) -> Vec<std::ops::Range<usize>> {
        let samples = self.labels.len();
        let mut cuts: Vec<_> = (0..random.below(3)).map(|_| random.below(samples + 1)).collect();
        cuts.extend([0, samples]);
        cuts.sort_unstable();
        cuts.windows(2).map(|pair| pair[0]..pair[1]).collect()
    }

    fn samples(
        &self,
        random: &mut Random,
        rows: std::ops::Range<usize>,
        (features_key, labels_key): (&str, &str),
        reading: &Reading,
    ) -> Vec<Array> {
        let count = rows.len();
        let numbers = &self.features[rows.start * self.width..rows.end * self.width];
        let shape = random.pick(&[vec![count, self.width], vec![count, self.width, 1, 1]]);
        let mut features = Array::new(features_key, &shape, numbers).of(random.pick(&FLOATS));
        features.is_fortran = random.below(3) == 0;
        features.is_big_endian = random.below(3) == 0;
        let labels = &self.labels[rows];
        let codes: Vec<_> =
            labels.iter().map(|&label| label as f64 + reading.first_label as f64).collect();
        let one_hot: Vec<_> = labels
            .iter()
            .flat_map(|&label| (0..self.classes).map(move |class| f64::from(class == label)))
            .collect();
        let mut labels = match random.below(4) {
            0 => Array::new(labels_key, &[count, 1], &codes),
            1 => Array::new(labels_key, &[count, self.classes], &one_hot),
            _ => Array::new(labels_key, &[count], &codes),
        };
        labels.is_fortran = random.below(2) == 0;
        labels.is_big_endian = random.below(2) == 0;
        let kinds: Vec<_> = FLOATS.into_iter().chain(INTEGERS).collect();
        let holds = |kind: &write::Kind| match kind.0 {
            "b1" => labels.values.iter().all(|value| [0.0, 1.0].contains(value)),
            "u1" => labels.values.iter().all(|value| *value >= 0.0),
            _ => true,
        };
        let kinds: Vec<_> = kinds.into_iter().filter(holds).collect();
        vec![features, labels.of(random.pick(&kinds))]
    }

    fn head(&self, random: &mut Random, is_transposed: bool) -> Vec<Array> {
        let depth = self.weights.len();
        let (names, biases) = names(random, depth);
        let mut arrays = Vec::new();
        for (weight, name) in self.weights.iter().zip(names) {
            let weight = if is_transposed { weight.transpose() } else { weight.clone() };
            let shape = [weight.nrows(), weight.ncols()];
            let shape =
                if random.below(3) == 0 { vec![shape[0], shape[1], 1, 1] } else { shape.to_vec() };
            let mut array = Array::new(&name, &shape, weight.transpose().as_slice());
            array.is_fortran = random.below(3) == 0;
            array.is_big_endian = random.below(3) == 0;
            arrays.push(array.of(random.pick(&FLOATS)));
        }
        if let Some(bias) = &self.bias {
            let shape =
                random.pick(&[vec![self.classes], vec![1, self.classes], vec![self.classes, 1]]);
            arrays.push(Array::new(&random.pick(&biases), &shape, bias).of(random.pick(&FLOATS)));
        }
        arrays
    }
}

/// Names of layers that are found, and those of the bias beside them.
fn names(random: &mut Random, depth: usize) -> (Vec<String>, Vec<String>) {
    if depth == 1 && random.below(2) == 0 {
        let prefix = random.pick(&[
            "fc.",
            "head.",
            "module.fc.",
            "lm_head.",
            "score.",
            "heads.head.",
            "classifier.",
        ]);
        return (vec![format!("{prefix}weight")], vec![format!("{prefix}bias")]);
    }
    let first = random.below(2);
    let (prefix, suffix) = random.pick(&[
        ("classifier.", ".weight"),
        ("module.head.", ".weight"),
        ("top/", "/kernel"),
        ("W", ""),
    ]);
    let name = |number: usize| format!("{prefix}{number}{suffix}");
    let last = first + depth - 1;
    let biases = match prefix {
        "W" => vec!["b".into(), format!("b{last}")],
        _ => {
            let end = if suffix == "/kernel" { "/bias" } else { ".bias" };
            vec![format!("{prefix}bias"), format!("{prefix}{last}{end}")]
        }
    };
    ((first..=last).map(name).collect(), biases)
}

fn write(random: &mut Random, folder: &Folder, name: &str, arrays: &[Array]) -> PathBuf {
    let format = random.pick(&[Format::Safetensors, Format::Npz, Format::Torch]);
    // Names do not tell the format.
    let extension = match format {
        Format::Safetensors => random.pick(&["safetensors", "bin", "dat"]),
        Format::Npz => random.pick(&["npz", "zip"]),
        Format::Torch => random.pick(&["pt", "pth", "ckpt", "bin"]),
    };
    folder.write(&format!("{name}.{extension}"), &container(format, arrays))
}

#[test]
fn every_way_to_store_a_network_is_read_alike() {
    let mut random = Random(20_240_607);
    for case in 0..400 {
        let plain = Plain::random(&mut random);
        let folder = Folder::new();
        let whole = plain.read_back(&mut random, &folder);
        assert_eq!(whole.features, plain.features, "{case}");
        assert_eq!(whole.labels, plain.labels, "{case}");
        assert_eq!(whole.network.head.linear.weights(), plain.weights, "{case}");
        let bias = plain.bias.map(DVector::from_vec);
        assert_eq!(whole.network.head.linear.bias().cloned(), bias, "{case}");
    }
}

/// All metrics and predictions of the network that `request` describes, but the names of its layers.
fn audit(request: &Request, flags: &str) -> serde_json::Value {
    let line = format!("neural-collapse audit x --metrics all {flags}");
    let Command::Audit(arguments) = Arguments::parse_from(line.split_whitespace()).command else {
        panic!("{line}")
    };
    let given = arguments.request().given;
    let network = read_network(&Request { given, ..request.clone() }).unwrap();
    let audited = AuditedNetwork::new(network, &arguments, &Progress::start("")).unwrap();
    let mut audit = serde_json::to_value(AuditReport::new(&audited, None).unwrap()).unwrap();
    audit.as_object_mut().unwrap().remove("head");
    audit
}

/// Container, layout, type of numbers, names, codes of labels and the place of the head in the files change no bit of
/// an audit. The samples are in one file, for sums of parts have other rounding errors.
#[test]
fn every_way_to_store_a_network_gives_the_same_audit() {
    let mut random = Random(20_261_128);
    for case in 0..25 {
        let plain = Plain::random(&mut random);
        for flags in ["", "--loss mse --weight-decay 1e-2 --feature-decay 1e-3", "--loss uf-svm"] {
            let mut expected = None;
            for _ in 0..12 {
                let folder = Folder::new();
                let all = std::iter::once(0..plain.labels.len()).collect();
                let whole = plain.store(&mut random, &folder, all);
                let found = audit(&whole, flags);
                assert_eq!(found, *expected.get_or_insert_with(|| found.clone()), "{case} {flags}");
            }
        }
    }
}

/// `.npy` files by the names of files, and features and labels in files of their own.
#[test]
fn features_and_labels_may_be_in_files_of_their_own() {
    let folder = Folder::new();
    let features = Array::new("x", &[4, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
    let labels = Array::new("y", &[4], &[0.0, 1.0, 1.0, 0.0]).of(INTEGERS[0]);
    let weights = Array::new("w", &[2, 2], &[1.0, -1.0, 0.5, 0.25]);
    let part = |array: &Array, rows: std::ops::Range<usize>| {
        let columns = array.values.len() / 4;
        let mut part = array.clone();
        part.shape[0] = rows.len();
        part.values = array.values[rows.start * columns..rows.end * columns].to_vec();
        part
    };
    let file = |name: &str, bytes: &[u8]| folder.write(name, bytes);
    let path = |path: &PathBuf| Some(path.display().to_string());
    let (h, y) = (file("h.npy", &features.npy()), file("y.npy", &labels.npy()));
    let w = file("w.npy", &weights.npy());
    let named = Request {
        keys: Keys {
            layers: Vec::new(),
            features: path(&h),
            labels: path(&y),
            weights: path(&w).map(|path| vec![path]),
            bias: None,
        },
        ..Request::default()
    };
    let keys = |features: &str, labels: &str| Keys {
        features: Some(features.into()),
        labels: Some(labels.into()),
        ..Keys::default()
    };
    let given =
        Request { files: vec![h, y, w.clone()], keys: keys("h", "y"), ..Request::default() };
    let npz = |name: &str, array: &Array| {
        file(name, &container(Format::Npz, std::slice::from_ref(array)))
    };
    let halves = [npz("h0.npz", &part(&features, 0..1)), npz("h1.npz", &part(&features, 1..4))];
    let pairs = [npz("y0.npz", &part(&labels, 0..1)), npz("y1.npz", &part(&labels, 1..4))];
    let whole = npz("y.npz", &labels);
    let with = |labels: &[PathBuf]| Request {
        files: [&halves[..], labels, std::slice::from_ref(&w)].concat(),
        keys: keys("x", "y"),
        ..Request::default()
    };
    let mixed = Request {
        // A file with both between those without labels.
        files: vec![
            halves[0].clone(),
            file(
                "both.pt",
                &container(Format::Torch, &[part(&features, 1..2), part(&labels, 1..2)]),
            ),
            npz("h2.npz", &part(&features, 2..4)),
            pairs[0].clone(),
            npz("y2.npz", &part(&labels, 2..4)),
            w.clone(),
        ],
        ..with(&[])
    };
    for request in [named, given, with(&pairs), with(&[whole]), mixed] {
        let read = read_request(&request).map_err(|error| folder.shorten(&error)).unwrap();
        assert_eq!(read.features, features.values);
        assert_eq!(read.labels, [0, 1, 1, 0]);
        assert_eq!(
            read.network.head.linear.weights(),
            [DMatrix::from_row_slice(2, 2, &weights.values)]
        );
    }
    let error = |request: &Request| folder.shorten(&read_request(request).unwrap_err());
    assert_eq!(
        error(&with(&pairs[..1])),
        "y0.npz: `y` has shape (1), but (3) for the rows of `x` in h1.npz is expected; --labels names others"
            .replace("`y` has shape (1), but (3)", "`y` has shape (0), but (3) from row 1 on"),
    );
    let swapped = [pairs[1].clone(), pairs[0].clone()];
    assert_eq!(
        error(&with(&swapped)),
        "y1.npz: `y` has shape (3), but (1) for the rows of `x` in h0.npz is expected; --labels names others"
    );
    let third = npz("y3.npz", &part(&labels, 0..1));
    assert_eq!(
        error(&with(&[pairs[0].clone(), pairs[1].clone(), third])),
        "y0.npz: has labels without features; 3 files with labels for 2 with features cannot be matched: give one for \
         each, in the same order, or all labels in one file"
    );
}
