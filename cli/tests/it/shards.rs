//! `audit` on a data set in several files.

use std::ops::Range;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::network::Network;
use crate::support::{assert_same, error_line, json};

const SAMPLES: usize = 60;
const WIDTH: usize = 5;
const CLASSES: usize = 3;

/// Numbers that single precision holds, scattered around the means of three classes.
fn features(range: Range<usize>) -> Vec<f64> {
    let entry = |index: usize| {
        let (sample, feature) = (index / WIDTH, index % WIDTH);
        let mean = if feature == class(sample) { 2.0 } else { 0.25 };
        mean + f64::from((((index * index) as f64 * 0.7).sin() * 0.5) as f32)
    };
    let entries = (range.start * WIDTH..range.end * WIDTH).map(entry);
    entries.map(|number| f64::from(number as f32)).collect()
}

/// The last samples are all of one class.
fn class(sample: usize) -> usize {
    if sample < 48 { sample % CLASSES } else { 2 }
}

/// The features and labels of some samples, in single or double precision.
fn with_samples(network: Network, range: Range<usize>, single: bool) -> Network {
    let (shape, values) = ([range.len(), WIDTH], features(range.clone()));
    let labels: Vec<i64> = range.map(|sample| class(sample) as i64).collect();
    let network = match single {
        true => network.with_singles("features", &shape, &values),
        false => network.with_doubles("features", &shape, &values),
    };
    network.with_labels(&labels)
}

fn with_head(network: Network) -> Network {
    let entries = |count: usize| (0..count).map(|i| (i as f64 * 1.7).cos()).collect::<Vec<_>>();
    network
        .with_doubles("classifier.1.weight", &[4, WIDTH], &entries(4 * WIDTH))
        .with_doubles("classifier.2.weight", &[CLASSES, 4], &entries(CLASSES * 4))
        .with_metadata("lambda_w", "[1e-3, 2e-3]")
        .with_metadata("lambda_h", "1e-3")
}

fn shard(range: Range<usize>, single: bool) -> Network {
    with_samples(Network::empty(), range, single)
}

fn audit(files: &[PathBuf], flags: &str) -> Value {
    let names: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
    json(&format!("audit --json {flags} {}", names.join(" ")))
}

/// All losses, and everything that is measured.
const FLAGS: [&str; 4] = [
    "--metrics all",
    "--metrics all --loss ce",
    "--metrics all --loss layer-peeled",
    "--metrics all --loss uf-svm",
];

#[test]
fn several_files_give_the_numbers_of_one() {
    let whole = |single| with_samples(with_head(Network::empty()), 0..SAMPLES, single);
    let double = [whole(false).write("whole.safetensors")];
    let single = [whole(true).write("whole_single.safetensors")];
    let head = with_head(Network::empty()).write("head.safetensors");
    let with_its_head = with_samples(with_head(Network::empty()), 0..20, false);
    let ways = [
        // The head in a file of its own, wherever that stands.
        (
            &double,
            vec![
                head.clone(),
                shard(0..1, false).write("a0.safetensors"),
                shard(1..60, false).write("a1.safetensors"),
            ],
        ),
        (
            &double,
            vec![
                shard(0..31, false).write("b0.safetensors"),
                head.clone(),
                shard(31..60, false).write_npz("b1.npz"),
            ],
        ),
        // One file in double precision makes all double.
        (
            &double,
            vec![
                with_its_head.write("c0.safetensors"),
                shard(20..48, true).write_npz("c1.npz"),
                // Two classes have no sample here.
                shard(48..60, true).write("c2.safetensors"),
            ],
        ),
        (
            &single,
            vec![
                head,
                shard(0..31, true).write_npz("d0.npz"),
                shard(31..60, true).write("d1.safetensors"),
            ],
        ),
    ];
    for flags in FLAGS {
        for (whole, files) in &ways {
            assert_same(&audit(files, flags), &audit(&whole[..], flags), 1e-12);
        }
    }
}

#[test]
fn errors_name_the_file_they_are_about() {
    let head = with_head(Network::empty()).write("good_head.safetensors");
    let good = shard(0..10, false).write("good.safetensors");
    let mut huge = features(10..20);
    huge[7] = 1e200;
    let huge = Network::empty()
        .with_doubles("features", &[10, WIDTH], &huge)
        .with_labels(&[0; 10])
        .write("huge.safetensors");
    let other = with_head(Network::empty())
        .with_doubles("classifier.2.weight", &[CLASSES, 4], &[1.0; 12])
        .write("other.safetensors");
    let useless = Network::empty().with_doubles("x", &[1], &[1.0]).write("useless.safetensors");
    let few = shard(50..60, false).write("few.safetensors");
    let fewer = shard(60..65, false).write("fewer.safetensors");
    let path = |path: &PathBuf| path.display().to_string();
    for (files, message) in [
        (vec![&head, &good, &huge], format!("{}: `features` is 1e200 at [1, 2]", path(&huge))),
        (
            vec![&head, &good, &other],
            format!(
                "{}: `classifier.2.weight` is not the same as in {}",
                path(&other),
                path(&head)
            ),
        ),
        (
            vec![&good, &head, &useless],
            format!("{}: has neither `classifier.1.weight` nor `features`", path(&useless)),
        ),
        (vec![&good, &few], format!("{}: has no `classifier.1.weight`", path(&good))),
        (vec![&head, &good, &good], format!("{}: is given twice", path(&good))),
        (
            vec![&few, &head, &fewer],
            format!(
                "{} and another file: class 0 and 1 more have no sample in `labels`; the head has 3 outputs",
                path(&few)
            ),
        ),
        (vec![&head, &PathBuf::from("/no/such")], "/no/such: cannot be read".into()),
    ] {
        let names: Vec<_> = files.into_iter().map(path).collect();
        let found = error_line(&format!("audit {}", names.join(" ")));
        assert!(found.starts_with(&message), "{found}");
    }
}
