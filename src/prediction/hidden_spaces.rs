//! The hidden spaces of a network in which a minimizer lies nearest to it.

use nalgebra::DMatrix;

use crate::error::Result;
use crate::numerics::linalg::{product, svd_thin, transposed};
use crate::prediction::Prediction;
use crate::problem::counts::ClassCounts;
use crate::problem::head::LinearHead;
use crate::problem::regularization::Regularization;

/// Sweeps over the hidden spaces; most networks need less than ten.
const MOST_SWEEPS: usize = 200;

/// A sweep that gains less than this share is the last one.
const CONVERGED: f64 = 1e-14;

/// A minimizer in coordinates of its own: W_m = V_(m+1) C_m V_mᵀ and H̄ = V₁ C₀ with a core C for every matrix, cut to
/// the rank, and orthonormal V_m for the hidden spaces, which are free.
pub(super) struct Cores {
    /// C₀, r×K.
    pub(super) means: DMatrix<f64>,
    /// C₁, …, C_M, r×r and at last K×r.
    pub(super) layers: Vec<DMatrix<f64>>,
}

impl Cores {
    /// Those of a minimizer along the first unit vectors.
    pub(super) fn new(head: &LinearHead, class_means: &DMatrix<f64>) -> Self {
        let is_used = |&row: &usize| class_means.row(row).amax() > 0.0;
        let rank = (0..class_means.nrows()).rfind(is_used).map_or(0, |last| last + 1);
        let depth = head.depth();
        let layer = |(index, weight): (usize, &DMatrix<f64>)| {
            let rows = if index + 1 == depth { weight.nrows() } else { rank };
            weight.view((0, 0), (rows, rank)).into_owned()
        };
        Self {
            means: class_means.rows(0, rank).into_owned(),
            layers: head.weights().iter().enumerate().map(layer).collect(),
        }
    }

    pub(super) fn take_scale_of(&mut self, head: &LinearHead, class_means: &DMatrix<f64>) {
        rescale(&mut self.means, class_means);
        self.layers.iter_mut().zip(head.weights()).for_each(|(core, weight)| rescale(core, weight));
    }
}

fn rescale(core: &mut DMatrix<f64>, measured: &DMatrix<f64>) {
    let norm = core.norm();
    if norm > 0.0 {
        *core *= measured.norm() / norm;
    }
}

/// A trained network, each matrix times what it counts.
pub(super) struct Network {
    /// H̄ diag(n), times λ_H.
    means: DMatrix<f64>,
    /// W_m times λ_m.
    layers: Vec<DMatrix<f64>>,
}

impl Network {
    pub(super) fn new(
        prediction: &dyn Prediction,
        head: &LinearHead,
        class_means: &DMatrix<f64>,
        counts: Option<&ClassCounts>,
    ) -> Self {
        let objective = prediction.training_objective();
        let regularization = objective.regularization();
        let mut means = class_means * regularization.map_or(1.0, Regularization::feature_decay);
        for run in counts.into_iter().flat_map(ClassCounts::runs) {
            for class in run.classes().filter(|&class| class < class_means.ncols()) {
                means.column_mut(class).scale_mut(run.size as f64);
            }
        }
        let decay =
            |layer: usize| regularization.and_then(|d| d.weight_decays().get(layer).copied());
        let layers = head.weights().iter().enumerate();
        let layers = layers.map(|(layer, weight)| weight * decay(layer).unwrap_or(1.0)).collect();
        Self { means, layers }
    }

    /// V₁, …, V_M. Each is the best one for the others: the polar factor of the sum of what the matrices on its two
    /// sides ask for. At first there is only the side of the features.
    pub(super) fn bases(&self, cores: &Cores) -> Result<Vec<DMatrix<f64>>> {
        let depth = self.layers.len();
        let mut bases: Vec<DMatrix<f64>> = Vec::with_capacity(depth);
        for space in 0..depth {
            let (basis, _) = polar(&self.asked_below(space, &bases, cores))?;
            bases.push(basis);
        }
        let mut last = 0.0;
        for _ in 0..MOST_SWEEPS {
            let mut overlap = 0.0;
            for space in 0..depth {
                let below = self.asked_below(space, &bases, cores);
                let (basis, gain) = polar(&(below + self.asked_above(space, &bases, cores)))?;
                bases[space] = basis;
                overlap = gain;
            }
            if overlap - last <= CONVERGED * overlap {
                break;
            }
            last = overlap;
        }
        Ok(bases)
    }

    /// What features and last layer ask for of a turn T of the classes, W_M → T W_M and H̄ → H̄ Tᵀ: the matrix A for which
    /// tr TᵀA is to be large.
    pub(super) fn asked_of_classes(&self, bases: &[DMatrix<f64>], cores: &Cores) -> DMatrix<f64> {
        let mut asked = match bases.first() {
            Some(first) => product(&transposed(&self.means), &product(first, &cores.means)),
            None => DMatrix::zeros(cores.means.ncols(), cores.means.ncols()),
        };
        if let (Some(weight), Some(basis), Some(core)) =
            (self.layers.last(), bases.last(), cores.layers.last())
        {
            asked += product(&product(weight, basis), &transposed(core));
        }
        asked
    }

    /// What the matrix with this space as its outputs asks for: λ W V Cᵀ.
    fn asked_below(&self, space: usize, bases: &[DMatrix<f64>], cores: &Cores) -> DMatrix<f64> {
        match space.checked_sub(1) {
            None => product(&self.means, &transposed(&cores.means)),
            Some(layer) => {
                let image = product(&self.layers[layer], &bases[layer]);
                product(&image, &transposed(&cores.layers[layer]))
            }
        }
    }

    /// What the layer with this space as its inputs asks for: λ Wᵀ V C.
    fn asked_above(&self, space: usize, bases: &[DMatrix<f64>], cores: &Cores) -> DMatrix<f64> {
        let image = match bases.get(space + 1) {
            Some(above) => product(above, &cores.layers[space]),
            None => cores.layers[space].clone(),
        };
        product(&transposed(&self.layers[space]), &image)
    }
}

/// The matrix with orthonormal columns that is nearest to A, UVᵀ for A = UΣVᵀ, and tr Σ.
pub(super) fn polar(matrix: &DMatrix<f64>) -> Result<(DMatrix<f64>, f64)> {
    if matrix.is_empty() {
        return Ok((matrix.clone(), 0.0));
    }
    let svd = svd_thin(matrix)?;
    Ok((product(&svd.u, &transposed(&svd.v)), svd.singular_values.sum()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(rows: usize, columns: usize, seed: usize) -> DMatrix<f64> {
        DMatrix::from_fn(rows, columns, |i, j| ((i * 31 + j * 17 + seed * 7 + i * j) as f64).sin())
    }

    /// Spaces of 5, 4 and 6 dimensions, three classes and rank two: no turn of one space alone brings it nearer.
    #[test]
    fn each_space_is_the_best_for_the_others() {
        let network = Network {
            means: matrix(5, 3, 0) * 1e-8,
            layers: [matrix(4, 5, 1), matrix(6, 4, 2), matrix(3, 6, 3)].map(|w| w * 1e-8).to_vec(),
        };
        let cores = Cores {
            means: matrix(2, 3, 4),
            layers: vec![matrix(2, 2, 5), matrix(2, 2, 6), matrix(3, 2, 7)],
        };
        let bases = network.bases(&cores).unwrap();
        // tr of the network times V₁C₀ and V_(m+1) C_m V_mᵀ.
        let overlap = |bases: &[DMatrix<f64>]| {
            let mut sum = network.means.dot(&(&bases[0] * &cores.means));
            for (layer, (weight, core)) in network.layers.iter().zip(&cores.layers).enumerate() {
                let right = core * bases[layer].transpose();
                let own = bases.get(layer + 1).map_or_else(|| right.clone(), |left| left * &right);
                sum += weight.dot(&own);
            }
            sum
        };
        let best = overlap(&bases);
        for (space, seed) in (0..3).flat_map(|space| (8..28).map(move |seed| (space, seed))) {
            let mut turned = bases.clone();
            let change = matrix(bases[space].nrows(), 2, seed) * 1e-3;
            turned[space] = polar(&(&bases[space] + change)).unwrap().0;
            assert!(overlap(&turned) < best, "{space} {seed}");
        }
    }

    #[test]
    fn every_core_takes_the_length_of_what_was_measured() {
        let mut core = DMatrix::from_row_slice(1, 2, &[3.0, 4.0]);
        rescale(&mut core, &DMatrix::from_row_slice(1, 2, &[0.0, 10.0]));
        assert_eq!(core.as_slice(), [6.0, 8.0]);
        let mut none = DMatrix::zeros(1, 2);
        rescale(&mut none, &core);
        assert_eq!(none.as_slice(), [0.0, 0.0]);
        let mut cores = Cores { means: matrix(2, 3, 0), layers: vec![matrix(3, 2, 1)] };
        let head = LinearHead::new(vec![matrix(3, 5, 2)], None).unwrap();
        cores.take_scale_of(&head, &matrix(5, 3, 3));
        assert!((cores.means.norm() - matrix(5, 3, 3).norm()).abs() < 1e-14);
        assert!((cores.layers[0].norm() - matrix(3, 5, 2).norm()).abs() < 1e-14);
    }
}
