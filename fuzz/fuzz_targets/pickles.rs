//! Files of `torch.save` whose pickle is any bytes: what it names is never executed, and no pickle keeps the program
//! busy or takes memory that the file does not hold.

#![no_main]
#![allow(dead_code, unused_imports, reason = "only the readers of the program are used")]

use std::io::{Cursor, Write};

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

use input::{Request, read_network};
use libfuzzer_sys::fuzz_target;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

fuzz_target!(|pickle: &[u8]| {
    let folder: std::path::PathBuf =
        if cfg!(target_os = "linux") { "/dev/shm".into() } else { std::env::temp_dir() };
    let file = folder.join(format!("neural-collapse-pickle-{}", std::process::id()));
    std::fs::write(&file, archive(pickle)).expect("the temporary folder can be written");
    let request = Request { files: vec![file.clone()], ..Request::default() };
    match read_network(&request) {
        Ok(network) => assert!(network.data.samples() > 0 && network.data.width() > 0),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    std::fs::remove_file(&file).expect("it was just written");
});

/// The pickle with three storages of 64 bytes beside it.
fn archive(pickle: &[u8]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let storage: Vec<u8> = (0..64).map(|byte| byte % 2).collect();
    for (name, bytes) in
        [("a/data.pkl", pickle), ("a/data/0", &storage), ("a/data/1", &storage), ("a/data/2", &storage)]
    {
        writer.start_file(name, options).expect("memory can be written");
        writer.write_all(bytes).expect("memory can be written");
    }
    writer.finish().expect("memory can be written").into_inner()
}
