//! Audits a network in a `.safetensors` file, as PyTorch saves it: features row by row, labels, and one weight matrix
//! for each layer.

#![allow(clippy::print_stdout, reason = "an example shows its results")]

use std::error::Error;

use neural_collapse::{
    ClassCounts, ClassStatistics, Features, LinearHead, Regularization, Ufm, audit,
};
use safetensors::SafeTensors;

/// The numbers of a matrix of doubles, row by row, with its numbers of rows and columns.
fn matrix(file: &SafeTensors<'_>, name: &str) -> Result<(Vec<f64>, usize, usize), Box<dyn Error>> {
    let tensor = file.tensor(name)?;
    let [rows, columns] = *tensor.shape() else { return Err(format!("{name}: no matrix").into()) };
    let (numbers, rest) = tensor.data().as_chunks();
    if tensor.dtype() != safetensors::Dtype::F64 || !rest.is_empty() {
        return Err(format!("{name}: no doubles").into());
    }
    Ok((numbers.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect(), rows, columns))
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/data/direct_gof_m3.safetensors");
    let bytes = std::fs::read(path)?;
    let file = SafeTensors::deserialize(&bytes)?;

    let (features, samples, dimension) = matrix(&file, "features")?;
    let (labels, _) = file.tensor("labels")?.data().as_chunks();
    let labels: Vec<i64> = labels.iter().map(|&bytes| i64::from_le_bytes(bytes)).collect();
    let names = ["classifier.1.weight", "classifier.2.weight", "classifier.3.weight"];
    let layers =
        names.map(|name| matrix(&file, name)).into_iter().collect::<Result<Vec<_>, _>>()?;
    let layers: Vec<(&[f64], usize, usize)> =
        layers.iter().map(|(numbers, rows, columns)| (&numbers[..], *rows, *columns)).collect();
    let head = LinearHead::from_row_major(&layers, None)?;
    let features = Features::from_row_major(&features, samples, dimension)?;
    let data = features.with_labels(&labels, head.classes())?;

    // The sizes of the classes are those of the file; depth and decays are those of the training.
    let counts = ClassCounts::new(ClassStatistics::new(&data)?.counts())?;
    let ufm =
        Ufm::new(counts, Regularization::uniform(3, 5e-4, 5e-4)?)?.with_widths(&head.widths())?;
    let audit = audit(&data, &head, &ufm.global_minimum()?)?;
    println!("NC1  {:.3e}", audit.measurement.nc1().map_or(f64::NAN, |nc1| nc1.value));
    for (layers, distance) in (1..).zip(&audit.nc2) {
        println!("NC2  {:.3e}  (last {layers} layers)", distance.unwrap_or(f64::NAN));
    }
    println!("NC3  {:.3e}", audit.nc3.unwrap_or(f64::NAN));
    println!("{}", audit.verdict.text);
    Ok(())
}
