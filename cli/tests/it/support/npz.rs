//! Reading the archives that the program writes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use zip::ZipArchive;

/// The shapes and numbers of arrays by their names, row by row.
pub(crate) type Arrays = BTreeMap<String, (Vec<usize>, Vec<f64>)>;

/// The arrays of a `.npz` file.
pub(crate) fn read_npz(path: &Path) -> Arrays {
    let mut archive = ZipArchive::new(File::open(path).unwrap()).unwrap();
    let mut arrays = BTreeMap::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).unwrap();
        let name = entry.name().unwrap().strip_suffix(".npy").unwrap().to_string();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        assert_eq!((10 + length) % 64, 0, "{name}: the data are not aligned");
        let header = std::str::from_utf8(&bytes[10..10 + length]).unwrap();
        let (_, shape) = header.split_once("'shape': (").unwrap();
        let (shape, _) = shape.split_once(')').unwrap();
        let sizes = shape.split(',').map(str::trim).filter(|size| !size.is_empty());
        let shape: Vec<usize> = sizes.map(|size| size.parse().unwrap()).collect();
        let is_whole = header.contains("'<u8'");
        let number = |chunk: &[u8]| match is_whole {
            true => u64::from_le_bytes(chunk.try_into().unwrap()) as f64,
            false => f64::from_le_bytes(chunk.try_into().unwrap()),
        };
        let numbers: Vec<f64> = bytes[10 + length..].chunks(8).map(number).collect();
        assert_eq!(numbers.len(), shape.iter().product::<usize>(), "{name}");
        arrays.insert(name, (shape, numbers));
    }
    arrays
}
