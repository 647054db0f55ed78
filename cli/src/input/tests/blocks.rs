//! Features in blocks of rows: the same numbers and the same messages, whatever the size of a block.

use super::*;
use neural_collapse::ClassStatistics;

/// Bytes of blocks of one number, of a few rows that do not divide the samples, and of everything.
const BLOCKS: [usize; 4] = [1, 24, 56, 1 << 20];

/// Opens the file, and passes over its features in blocks of `block_bytes` bytes.
fn read_in_blocks(name: &str, bytes: &[u8], block_bytes: usize) -> Result<Vec<f64>, String> {
    let folder = Folder::new();
    let mut network = open(&folder, name, bytes);
    let collected = collect(&mut network.data, block_bytes);
    collected.map(|(features, _)| features).map_err(|message| folder.shorten(&message))
}

fn open(folder: &Folder, name: &str, bytes: &[u8]) -> MeasuredNetwork {
    let path = folder.write(name, bytes);
    read_network(&Request { files: vec![path], ..Request::default() }).unwrap()
}

/// Twenty samples of width two; `change` is made to the features.
fn twenty_samples(change: impl FnOnce(&mut [f64])) -> Vec<u8> {
    let mut features: Vec<f64> = (0..40).map(f64::from).collect();
    change(&mut features);
    let classes: Vec<i64> = (0..20).map(|index| index % 2).collect();
    let tensors = [
        doubles("features", &[20, 2], &features),
        labels(&classes),
        doubles("classifier.1.weight", &[2, 2], &[1.0, -1.0, 0.5, 0.25]),
    ];
    safetensors_file(&tensors, &[])
}

#[test]
fn every_block_size_gives_the_same_numbers() {
    let expected: Vec<_> = (0..40).map(f64::from).collect();
    let numpy: Vec<_> = (0..12).map(|index| f64::from(index) / 8.0 - 0.5).collect();
    for block in BLOCKS {
        let found = read_in_blocks("a.safetensors", &twenty_samples(|_| ()), block);
        assert_eq!(found.unwrap(), expected, "{block}");
        for file in [NUMPY_STORED, NUMPY_DEFLATED] {
            assert_eq!(read_in_blocks("a.npz", file, block).unwrap(), numpy, "{block}");
        }
    }
}

#[test]
fn blocks_are_as_small_as_asked_for() {
    let folder = Folder::new();
    let mut network = open(&folder, "a.safetensors", &twenty_samples(|_| ()));
    for (block_bytes, expected) in
        [(1, vec![1; 20]), (56, vec![3, 3, 3, 3, 3, 3, 2]), (320, vec![20])]
    {
        network.data.block_bytes = block_bytes;
        let mut sizes = Vec::new();
        let pass = network.data.for_each_batch(|batch| {
            sizes.push(batch.samples.labels().len());
            Ok(())
        });
        assert!(pass.is_ok());
        assert_eq!(sizes, expected);
    }
}

#[test]
fn positions_are_those_in_the_file() {
    let nan = twenty_samples(|features| features[27] = f64::NAN);
    for block in BLOCKS {
        let error = read_in_blocks("a.safetensors", &nan, block).unwrap_err();
        let expected = "a.safetensors: `features` is NaN at [13, 1], but only finite numbers are allowed; mend it or leave it out, and save the others";
        assert_eq!(error, expected, "{block}");
    }
}

#[test]
fn numbers_that_the_library_refuses_are_named_by_their_row_in_the_file() {
    let folder = Folder::new();
    let huge = twenty_samples(|features| features[26] = -1e141);
    let mut network = open(&folder, "a.safetensors", &huge);
    for block in BLOCKS {
        network.data.block_bytes = block;
        let mut statistics = ClassStatistics::empty(2, 2).unwrap();
        let pass = network.data.for_each_batch(|batch| statistics.accumulate(&batch.samples));
        let error = folder.shorten(&pass.unwrap_err().to_string());
        let expected = "a.safetensors: `features` is -1e141 at [13, 0], but must be finite and at most 1e140 in magnitude; save the numbers in another unit";
        assert!(error.starts_with(expected), "{block}: {error}");
    }
}

#[test]
fn damage_at_the_end_is_found_in_every_pass() {
    // The bytes of the last feature, as they are stored.
    let last = 0.875_f32.to_le_bytes();
    let mut damaged = NUMPY_STORED.to_vec();
    let place = damaged.windows(4).position(|bytes| bytes == last).unwrap();
    damaged[place] ^= 1;
    for block in BLOCKS {
        let error = read_in_blocks("a.npz", &damaged, block).unwrap_err();
        assert!(error.starts_with("a.npz: `features`: the data cannot be read: "), "{error}");
    }
}

/// What was true in the first pass need not be in the second.
#[test]
fn files_that_change_between_passes_are_errors() {
    let folder = Folder::new();
    let whole = twenty_samples(|_| ());
    let mut network = open(&folder, "a.safetensors", &whole);
    assert!(collect(&mut network.data, 56).is_ok());
    let small = safetensors_file(&small_network(), &[]);
    let no_features = safetensors_file(&small_network()[1..], &[]);
    let cases: [(&[u8], &str); 5] = [
        (&small, "`features`: it has changed while it was read"),
        (&no_features, "has no `features` (the features, one sample per row); it has"),
        (&whole[..whole.len() - 1], "is not a valid .safetensors file: it is truncated"),
        (b"", "is not a valid .safetensors file: it is only 0 bytes long"),
        (&twenty_samples(|features| features[39] = f64::INFINITY), "`features` is inf at [19, 1]"),
    ];
    for (bytes, message) in cases {
        folder.write("a.safetensors", bytes);
        let error = folder.shorten(&collect(&mut network.data, 56).unwrap_err());
        assert!(error.starts_with(&format!("a.safetensors: {message}")), "{error}");
    }
    std::fs::remove_file(folder.0.join("a.safetensors")).unwrap();
    let error = folder.shorten(&collect(&mut network.data, 56).unwrap_err());
    assert!(error.starts_with("a.safetensors: cannot be read: "), "{error}");
}

/// Other numbers of the same shape: only the file itself tells.
#[test]
fn numbers_that_change_after_the_file_was_opened_are_errors() {
    let folder = Folder::new();
    let mut network = open(&folder, "a.safetensors", &twenty_samples(|_| ()));
    let other = twenty_samples(|features| features[0] = 0.5);
    let path = folder.write("a.safetensors", &other);
    // As if a second had passed, for systems whose clocks are coarse.
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(std::time::SystemTime::now() + std::time::Duration::from_secs(1)).unwrap();
    let error = collect(&mut network.data, 56).unwrap_err();
    assert!(
        error.ends_with("`features`: it has changed while it was read; run again once it is whole"),
        "{error}"
    );
}
