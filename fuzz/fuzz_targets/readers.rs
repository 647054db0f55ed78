//! Both file readers of the program, on any bytes.

#![no_main]
#![allow(dead_code, unused_imports, reason = "only the readers of the program are used")]

// All modules of the program, as its `main.rs` lists them.
#[path = "../../cli/src/arguments.rs"]
mod arguments;
#[path = "../../cli/src/audit.rs"]
mod audit;
#[path = "../../cli/src/class_sizes.rs"]
mod class_sizes;
#[path = "../../cli/src/error.rs"]
mod error;
#[path = "../../cli/src/input/mod.rs"]
mod input;
#[path = "../../cli/src/model.rs"]
mod model;
#[path = "../../cli/src/penalties.rs"]
mod penalties;
#[path = "../../cli/src/relabelling.rs"]
mod relabelling;
#[path = "../../cli/src/report/mod.rs"]
mod report;
#[path = "../../cli/src/tables.rs"]
mod tables;

use input::{Keys, read_network};
use libfuzzer_sys::fuzz_target;
use penalties::Penalties;

fuzz_target!(|bytes: &[u8]| {
    // The extension is missing, so that the first bytes tell the format.
    let folder: std::path::PathBuf =
        if cfg!(target_os = "linux") { "/dev/shm".into() } else { std::env::temp_dir() };
    let file = folder.join(format!("neural-collapse-fuzz-{}", std::process::id()));
    std::fs::write(&file, bytes).expect("the temporary folder can be written");
    match read_network(&file, &Keys::default(), &Penalties::default()) {
        Ok(network) => {
            let classes = network.weights.last().map_or(0, nalgebra::DMatrix::nrows);
            assert!(network.labels.iter().all(|&label| label < classes));
            assert_eq!(network.labels.len(), network.features.samples);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    std::fs::remove_file(&file).expect("it was just written");
});
