//! Files of measured networks under construction.

use std::io::{Cursor, Write};
use std::path::PathBuf;

use nalgebra::DMatrix;
use neural_collapse::models::low_rank::Search;
use neural_collapse::{Basis, Bias, CrossEntropyUfm, Prediction, Regularization};
use serde_json::{Value, json};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::file;

/// Eleven classes with a free bias at a point that a search finds below every closed form, and the line that audits it
/// against the closed forms alone.
pub(crate) fn better_than_closed_forms(name: &str) -> String {
    let penalties = Regularization::new(&[5.17e-5; 2], 5.17e-5).unwrap();
    let penalties = penalties.with_bias(Bias::Unregularized).unwrap();
    let ufm = CrossEntropyUfm::new(11, 2, penalties).unwrap();
    let lowest = ufm.searched_landscape(&Search::default(), &()).unwrap();
    let network = lowest.explicit(&Basis::Standard).unwrap();
    let (features, weights) = (network.features().unwrap(), network.head().weights());
    let bias = network.head().bias().unwrap();
    let rows = |matrix: &DMatrix<f64>| matrix.transpose().as_slice().to_vec();
    let names = ["classifier.1.weight", "classifier.2.weight"];
    let layers = names.into_iter().zip(weights);
    let labels: Vec<i64> = (0..22).map(|sample| sample / 2).collect();
    let file = Network::empty()
        .with_doubles("features", &[22, features.nrows()], features.as_slice())
        .with_labels(&labels)
        .with_doubles("classifier.bias", &[11], bias.as_slice());
    let file = layers.fold(file, |file, (name, weight)| {
        file.with_doubles(name, &[weight.nrows(), weight.ncols()], &rows(weight))
    });
    let decays = "--loss ce --weight-decay 5.17e-5 --feature-decay 5.17e-5 --bias unregularized";
    format!("{} {decays} --search 0", file.write(name).display())
}

/// A `.safetensors` file under construction.
#[derive(Clone)]
pub(crate) struct Network {
    metadata: Value,
    tensors: Vec<(&'static str, &'static str, Vec<usize>, Vec<u8>)>,
}

impl Network {
    /// No tensors.
    pub(crate) fn empty() -> Self {
        Self { metadata: json!({}), tensors: Vec::new() }
    }

    /// Three samples of width two and two classes; one layer.
    pub(crate) fn small() -> Self {
        Self::empty()
            .with_doubles("features", &[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 7.0])
            .with_labels(&[0, 1, 1])
            .with_doubles("classifier.1.weight", &[2, 2], &[1.0, -1.0, 0.5, 0.25])
    }

    pub(crate) fn with(
        mut self,
        key: &'static str,
        dtype: &'static str,
        shape: &[usize],
        data: Vec<u8>,
    ) -> Self {
        self.tensors.retain(|tensor| tensor.0 != key);
        self.tensors.push((key, dtype, shape.to_vec(), data));
        self
    }

    pub(crate) fn with_doubles(self, key: &'static str, shape: &[usize], values: &[f64]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.with(key, "F64", shape, bytes)
    }

    pub(crate) fn with_singles(self, key: &'static str, shape: &[usize], values: &[f64]) -> Self {
        let bytes = values.iter().flat_map(|&value| (value as f32).to_le_bytes()).collect();
        self.with(key, "F32", shape, bytes)
    }

    pub(crate) fn with_labels(self, labels: &[i64]) -> Self {
        let bytes = labels.iter().flat_map(|label| label.to_le_bytes()).collect();
        self.with("labels", "I64", &[labels.len()], bytes)
    }

    pub(crate) fn with_bias(self) -> Self {
        self.with_doubles("classifier.bias", &[2], &[0.5, -0.5])
    }

    pub(crate) fn with_metadata(mut self, key: &str, text: &str) -> Self {
        self.metadata[key] = text.into();
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut header = json!({"__metadata__": self.metadata});
        let mut data = Vec::new();
        for (key, dtype, shape, bytes) in &self.tensors {
            let offsets = [data.len(), data.len() + bytes.len()];
            header[key] = json!({"dtype": dtype, "shape": shape, "data_offsets": offsets});
            data.extend(bytes);
        }
        let header = header.to_string().into_bytes();
        [(header.len() as u64).to_le_bytes().to_vec(), header, data].concat()
    }

    pub(crate) fn write(&self, name: &str) -> PathBuf {
        file(name, &self.bytes())
    }

    /// The same tensors as a `.npz` file, which has no metadata.
    pub(crate) fn write_npz(&self, name: &str) -> PathBuf {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (key, dtype, shape, bytes) in &self.tensors {
            let description = match *dtype {
                "F64" => "<f8",
                "F32" => "<f4",
                "F128" => "<f16",
                "OBJECT" => "|O",
                _ => "<i8",
            };
            let shape: Vec<_> = shape.iter().map(|size| format!("{size},")).collect();
            let header = format!(
                "{{'descr': '{description}', 'fortran_order': False, 'shape': ({}), }}",
                shape.concat()
            );
            writer.start_file(format!("{key}.npy"), SimpleFileOptions::default()).unwrap();
            writer.write_all(b"\x93NUMPY\x01\x00").unwrap();
            writer.write_all(&(header.len() as u16).to_le_bytes()).unwrap();
            writer.write_all(header.as_bytes()).unwrap();
            writer.write_all(bytes).unwrap();
        }
        file(name, &writer.finish().unwrap().into_inner())
    }
}
