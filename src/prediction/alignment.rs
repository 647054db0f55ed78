//! The minimizer that is nearest to a trained network.

use nalgebra::DMatrix;

use crate::error::{Error, Result};
use crate::numerics::linalg::{product, svd_thin, transposed};
use crate::prediction::explicit::Basis;
use crate::prediction::matrices::Matrices;
use crate::prediction::{Prediction, answered};
use crate::problem::counts::ClassCounts;
use crate::problem::head::LinearHead;
use crate::problem::regularization::Regularization;

/// Sweeps over the hidden spaces; most networks need less than ten.
const MOST_SWEEPS: usize = 200;

/// A sweep that gains less than this share is the last one.
const CONVERGED: f64 = 1e-14;

/// A minimizer in coordinates of its own: W_m = V_(m+1) C_m V_mᵀ and H̄ = V₁ C₀ with a core C for every matrix, cut to
/// the rank, and orthonormal V_m for the hidden spaces, which are free.
struct Cores {
    /// C₀, r×K.
    means: DMatrix<f64>,
    /// C₁, …, C_M, r×r and at last K×r.
    layers: Vec<DMatrix<f64>>,
}

impl Matrices {
    /// Those of a prediction in the hidden coordinates of a trained network: its minimizer W₁*, …, W_M*, H* with the
    /// smallest
    ///
    /// ```math
    /// Σ_m λ_m ‖W_m − W_m*‖² + λ_H Σ_k n_k ‖h_k − h_k*‖²
    /// ```
    ///
    /// over rotations of the hidden spaces, so that weights and features can be compared number by number. For one layer
    /// it is the nearest (the orthogonal Procrustes problem, Schönemann, Psychometrika 1966); for several no rotation of
    /// a single hidden space brings it nearer. The classes have to be in the order of the prediction. A prediction
    /// without a scale gets that of the network. Of a family with several Gram matrices these are of the members nearest
    /// to those of the network, and there are no aligned weights.
    ///
    /// `class_means` is H̄, d₁×K.
    ///
    /// # Errors
    /// [`Error::Shape`] if network and prediction do not fit together, and as [`of_prediction`](Self::of_prediction).
    ///
    /// ```
    /// use neural_collapse::prediction::Matrices;
    /// use neural_collapse::{Basis, ClassCounts, Prediction, Regularization, Ufm};
    ///
    /// let ufm = Ufm::new(ClassCounts::new(&[9, 4, 4])?, Regularization::new(&[1e-3; 3], 1e-3)?)?;
    /// let minimum = ufm.with_widths(&[6, 5, 4])?.global_minimum()?;
    /// let trained = minimum.explicit(&Basis::Random(3))?;
    /// let aligned = Matrices::aligned(&minimum, trained.head(), trained.class_means().unwrap())?;
    /// let (found, expected) = (aligned.head.unwrap(), trained.head());
    /// assert!((&found.weights()[1] - &expected.weights()[1]).norm() < 1e-13);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn aligned(
        prediction: &dyn Prediction,
        head: &LinearHead,
        class_means: &DMatrix<f64>,
    ) -> Result<Self> {
        let counts = prediction.counts();
        let measured = Self::of_network(head, class_means, counts)?;
        if prediction.depth() != head.depth() {
            let reason = "the number of layers of the prediction";
            return Err(Error::length("head", head.depth(), prediction.depth(), reason));
        }
        if prediction.classes() != head.classes() {
            let reason = "the number of classes of the prediction";
            return Err(Error::length("head", head.classes(), prediction.classes(), reason));
        }
        let mut nearest = Self::with_targets(Some(measured), prediction, counts)?;
        (nearest.head, nearest.class_means) = (None, None);
        let point = match prediction.is_unique() {
            true => answered(prediction.explicit(&Basis::Standard))?,
            false => None,
        };
        let Some((point, means)) =
            point.as_ref().and_then(|point| Some((point, point.class_means()?)))
        else {
            return Ok(nearest);
        };
        let mut cores = Cores::new(point.head(), means);
        if !prediction.has_scale() {
            cores.take_scale_of(head, class_means);
        }
        let network = Network::new(prediction, head, class_means, counts);
        let bases = network.bases(&cores)?;
        nearest.class_means = Some(product(&bases[0], &cores.means));
        let layers = (0..head.depth()).map(|layer| {
            let right = product(&cores.layers[layer], &transposed(&bases[layer]));
            bases.get(layer + 1).map_or_else(|| right.clone(), |left| product(left, &right))
        });
        nearest.head = Some(LinearHead::new(layers.collect(), point.head().bias().cloned())?);
        Ok(nearest)
    }
}

impl Cores {
    /// Those of a minimizer along the first unit vectors.
    fn new(head: &LinearHead, class_means: &DMatrix<f64>) -> Self {
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

    fn take_scale_of(&mut self, head: &LinearHead, class_means: &DMatrix<f64>) {
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
struct Network {
    /// H̄ diag(n), times λ_H.
    means: DMatrix<f64>,
    /// W_m times λ_m.
    layers: Vec<DMatrix<f64>>,
}

impl Network {
    fn new(
        prediction: &dyn Prediction,
        head: &LinearHead,
        class_means: &DMatrix<f64>,
        counts: Option<&ClassCounts>,
    ) -> Self {
        let objective = prediction.training_objective();
        let decays = objective.regularization();
        let mut means = class_means * decays.map_or(1.0, Regularization::feature_decay);
        for run in counts.into_iter().flat_map(ClassCounts::runs) {
            for class in run.classes().filter(|&class| class < class_means.ncols()) {
                means.column_mut(class).scale_mut(run.size as f64);
            }
        }
        let decay = |layer: usize| decays.and_then(|d| d.weight_decays().get(layer).copied());
        let layers = head.weights().iter().enumerate();
        let layers = layers.map(|(layer, weight)| weight * decay(layer).unwrap_or(1.0)).collect();
        Self { means, layers }
    }

    /// V₁, …, V_M. Each is the best one for the others: the polar factor of the sum of what the matrices on its two
    /// sides ask for. At first there is only the side of the features.
    fn bases(&self, cores: &Cores) -> Result<Vec<DMatrix<f64>>> {
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
fn polar(matrix: &DMatrix<f64>) -> Result<(DMatrix<f64>, f64)> {
    if matrix.is_empty() {
        return Ok((matrix.clone(), 0.0));
    }
    let svd = svd_thin(matrix)?;
    Ok((product(&svd.u, &transposed(&svd.v)), svd.singular_values.sum()))
}
