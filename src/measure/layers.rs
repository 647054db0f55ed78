//! The first layers of a head, after which features are measured.

use nalgebra::DMatrix;

use crate::error::Result;
use crate::measure::fingerprint::Fingerprint;
use crate::numerics::linalg::{power_of_two, shortened};
use crate::problem::head::LinearHead;

/// The product of the first layers of a head, or what measures the same.
#[derive(Debug, Clone)]
pub(crate) struct FirstLayers {
    /// Of size 1, in units of `unit`.
    pub(crate) matrix: DMatrix<f64>,
    /// A power of two.
    pub(crate) unit: f64,
    /// Of the layers.
    pub(crate) fingerprint: Fingerprint,
}

impl FirstLayers {
    /// W_m⋯W₁ for m = `layers`.
    ///
    /// Outputs of many classes are longer than the features: K class means of K numbers each need K² numbers and K³
    /// operations. So these are turned into something shorter, which leaves lengths and inner products as they are.
    pub(crate) fn new(head: &LinearHead, layers: usize) -> Result<Self> {
        let product = head.leading_product(layers)?;
        // Of size 1, as squares of others could overflow on the way.
        let size = power_of_two(&product);
        let product = product / size;
        let matrix = match product.nrows() > product.ncols() {
            true => shortened(product),
            false => product,
        };
        let rest = power_of_two(&matrix);
        let fingerprint = Fingerprint::new().layers(head.weights().iter().take(layers));
        Ok(Self { matrix: matrix / rest, unit: size * rest, fingerprint })
    }
}
