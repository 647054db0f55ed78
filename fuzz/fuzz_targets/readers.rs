//! The file readers of the program, on any bytes.

#![no_main]
#![allow(dead_code, unused_imports, reason = "only the readers of the program are used")]

// The modules of the program that reading needs.
#[path = "../../cli/src/decays.rs"]
mod decays;
#[path = "../../cli/src/error.rs"]
mod error;
#[path = "../../cli/src/input/mod.rs"]
mod input;
#[path = "../../cli/src/loss.rs"]
mod loss;
#[path = "../../cli/src/label_treatment.rs"]
mod label_treatment;
#[path = "../../cli/src/penalties.rs"]
mod penalties;
#[path = "../../cli/src/tables.rs"]
mod tables;

use input::{Float, MeasuredNetwork, Precision, Reading, Request, read_network};
use libfuzzer_sys::fuzz_target;

/// Bytes of a block: most files have several.
const BLOCK_BYTES: usize = 64;

fuzz_target!(|bytes: &[u8]| {
    // The extension is missing, so that the first bytes tell the format.
    let folder: std::path::PathBuf =
        if cfg!(target_os = "linux") { "/dev/shm".into() } else { std::env::temp_dir() };
    let file = folder.join(format!("neural-collapse-fuzz-{}", std::process::id()));
    std::fs::write(&file, bytes).expect("the temporary folder can be written");
    let anything = Reading {
        first_label: -1,
        ignored_labels: vec![1],
        present_classes: true,
        temperature: Some(0.1),
        transposed: true,
    };
    for reading in [Reading::default(), anything] {
        let request = Request { files: vec![file.clone()], reading, ..Request::default() };
        match read_network(&request) {
            Ok(network) => match network.data.precision() {
                Precision::Single => pass_twice::<f32>(network),
                Precision::Double => pass_twice::<f64>(network),
            },
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    std::fs::remove_file(&file).expect("it was just written");
});

/// Both passes over the samples see the same ones, or fail alike.
fn pass_twice<T: Float>(mut network: MeasuredNetwork) {
    network.data.block_bytes = BLOCK_BYTES;
    let (width, classes) = (network.data.width(), network.data.classes());
    let pass = || {
        let (mut samples, mut sum) = (0, 0.0);
        let passed = network.data.for_each_batch::<T>(|batch| {
            assert!(batch.samples.labels().iter().all(|&label| label < classes));
            assert_eq!(batch.numbers.len(), batch.samples.labels().len() * width);
            samples += batch.samples.labels().len();
            sum += batch.numbers.iter().map(|&number| Into::<f64>::into(number)).sum::<f64>();
            Ok(())
        });
        assert!(passed.is_err() || samples == network.data.samples());
        (passed.map_err(|error| error.to_string()), samples, sum.to_bits())
    };
    assert_eq!(pass(), pass());
}
