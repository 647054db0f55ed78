//! Matrices as a NumPy archive.

use std::io::{Cursor, Write};
use std::path::Path;

use nalgebra::DMatrix;
use neural_collapse::prediction::Matrices;
use neural_collapse::{Basis, ClassCounts, LinearHead, Prediction, Regularization};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::audit::AuditedNetwork;
use crate::error::CliError;
use crate::written_file::write_file;

/// Writes the matrices of a prediction into the file `path`.
pub(crate) fn export_prediction(
    path: &Path,
    prediction: &dyn Prediction,
    basis: &Basis,
) -> Result<(), CliError> {
    let matrices = Matrices::of_prediction(prediction, basis)?;
    let mut archive = Archive::new();
    archive.problem(prediction)?;
    archive.matrices("", &matrices)?;
    write_file(path, &archive.finish()?)
}

/// Writes the matrices of a network and of its prediction, if there is one, into the file `path`.
pub(crate) fn export_audit(path: &Path, network: &AuditedNetwork) -> Result<(), CliError> {
    let measurement = &network.audit.measurement;
    let mut archive = Archive::new();
    archive.counts(measurement.counts())?;
    archive.matrices("measured.", &measurement.matrices()?)?;
    if let Some(model) = &network.model {
        let aligned = network.audit.aligned(model.prediction())?;
        archive.matrices("predicted.", &aligned)?;
    }
    write_file(path, &archive.finish()?)
}

/// A `.npz` archive under construction.
struct Archive(ZipWriter<Cursor<Vec<u8>>>);

impl Archive {
    fn new() -> Self {
        Self(ZipWriter::new(Cursor::new(Vec::new())))
    }

    fn finish(self) -> Result<Vec<u8>, CliError> {
        Ok(self.0.finish().map_err(std::io::Error::from)?.into_inner())
    }

    /// What the prediction is for.
    fn problem(&mut self, prediction: &dyn Prediction) -> Result<(), CliError> {
        if let Some(counts) = prediction.counts() {
            self.counts(counts)?;
        }
        self.numbers("loss", &[], &[prediction.loss()])?;
        let objective = prediction.training_objective();
        if let Some(decays) = objective.regularization() {
            self.decays(decays)?;
        }
        Ok(())
    }

    fn decays(&mut self, decays: &Regularization) -> Result<(), CliError> {
        self.numbers("lambda_w", &[decays.depth()], decays.weight_decays())?;
        self.numbers("lambda_h", &[], &[decays.feature_decay()])
    }

    fn counts(&mut self, counts: &ClassCounts) -> Result<(), CliError> {
        let sizes: Vec<u64> =
            counts.runs().flat_map(|run| std::iter::repeat_n(run.size, run.class_count)).collect();
        let bytes = sizes.iter().flat_map(|size| size.to_le_bytes());
        self.array("counts", "<u8", &[sizes.len()], bytes)
    }

    /// All matrices that there are, their names after `prefix`.
    fn matrices(&mut self, prefix: &str, matrices: &Matrices) -> Result<(), CliError> {
        let name = |name: &str| format!("{prefix}{name}");
        for (layers, gram) in (1..).zip(&matrices.trailing_grams) {
            self.matrix(&name(&format!("trailing_gram_{layers}")), gram.as_ref())?;
        }
        self.matrix(&name("class_means_gram"), matrices.class_means_gram.as_ref())?;
        self.matrix(&name("class_outputs"), matrices.class_outputs.as_ref())?;
        if let Some(outputs) = &matrices.outputs {
            let values = &outputs.singular_values;
            self.matrix(&name("left_singular_vectors"), Some(&outputs.left))?;
            self.numbers(&name("singular_values"), &[values.len()], values)?;
            self.matrix(&name("right_singular_vectors"), Some(&outputs.right))?;
        }
        for (layer, weight) in (1..).zip(matrices.head.iter().flat_map(LinearHead::weights)) {
            self.matrix(&name(&format!("W{layer}")), Some(weight))?;
        }
        if let Some(bias) = matrices.bias() {
            self.numbers(&name("b"), &[bias.len()], bias.as_slice())?;
        }
        // One class per row, as features have one sample per row.
        let means = matrices.class_means.as_ref().map(DMatrix::transpose);
        self.matrix(&name("class_means"), means.as_ref())
    }

    /// A matrix, row by row.
    fn matrix(&mut self, name: &str, matrix: Option<&DMatrix<f64>>) -> Result<(), CliError> {
        let Some(matrix) = matrix else { return Ok(()) };
        let rows = matrix.transpose();
        self.numbers(name, &[matrix.nrows(), matrix.ncols()], rows.as_slice())
    }

    fn numbers(&mut self, name: &str, shape: &[usize], numbers: &[f64]) -> Result<(), CliError> {
        self.array(name, "<f8", shape, numbers.iter().flat_map(|number| number.to_le_bytes()))
    }

    /// An array in version 1.0 of NumPy's format.
    fn array(
        &mut self,
        name: &str,
        description: &str,
        shape: &[usize],
        bytes: impl Iterator<Item = u8>,
    ) -> Result<(), CliError> {
        const PREFIX: &[u8] = b"\x93NUMPY\x01\x00";
        // The data begin at a multiple of 64 bytes.
        const ALIGNMENT: usize = 64;
        let sizes: String = shape.iter().map(|size| format!("{size}, ")).collect();
        let header =
            format!("{{'descr': '{description}', 'fortran_order': False, 'shape': ({sizes}), }}");
        let length = (PREFIX.len() + 2 + header.len() + 1).next_multiple_of(ALIGNMENT);
        let header = format!("{header:<width$}\n", width = length - PREFIX.len() - 3);
        let data: Vec<u8> = bytes.collect();
        let options = SimpleFileOptions::default().large_file(data.len() >= 1 << 31);
        self.0.start_file(format!("{name}.npy"), options).map_err(std::io::Error::from)?;
        self.0.write_all(PREFIX)?;
        self.0.write_all(&(header.len() as u16).to_le_bytes())?;
        self.0.write_all(header.as_bytes())?;
        self.0.write_all(&data)?;
        Ok(())
    }
}
