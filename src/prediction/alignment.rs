//! The minimizer that is nearest to a trained network.

use nalgebra::DMatrix;

use crate::error::{Error, Result};
use crate::numerics::linalg::{product, transposed};
use crate::prediction::class_turns::ClassTurns;
use crate::prediction::explicit::Basis;
use crate::prediction::hidden_spaces::{Cores, Network};
use crate::prediction::matrices::Matrices;
use crate::prediction::{Prediction, answered};
use crate::problem::head::LinearHead;

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
    /// without a scale gets that of the network. Where minimizers form a family because widths cut through equal singular
    /// values, or decays are at a threshold, weights and class means are those of a member of the largest rank that no turn
    /// of the classes brings nearer either, and each Gram matrix is that of the member nearest to it. Of other families
    /// there are no aligned weights.
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
    /// let aligned = Matrices::aligned(trained.class_means().unwrap(), trained.head(), &minimum)?;
    /// let (found, expected) = (aligned.head.unwrap(), trained.head());
    /// assert!((&found.weights()[1] - &expected.weights()[1]).norm() < 1e-13);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn aligned(
        class_means: &DMatrix<f64>,
        head: &LinearHead,
        prediction: &dyn Prediction,
    ) -> Result<Self> {
        if prediction.depth() != head.depth() {
            let reason = "the number of layers of the prediction";
            return Err(Error::length("head", head.depth(), prediction.depth(), reason));
        }
        if prediction.classes() != head.classes() {
            let reason = "the number of classes of the prediction";
            return Err(Error::length("head", head.classes(), prediction.classes(), reason));
        }
        let counts = prediction.counts();
        let measured = Self::of_network(counts, class_means, head)?;
        let mut nearest = Self::with_targets(Some(measured), prediction, counts)?;
        (nearest.head, nearest.class_means) = (None, None);
        let turns = ClassTurns::of(prediction)?;
        let point = match prediction.is_unique() || turns.is_some() {
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
        let bases = match &turns {
            None => network.bases(&cores)?,
            Some(turns) => turns.nearest_member(&mut cores, &network, (head, class_means))?,
        };
        nearest.class_means = Some(product(&bases[0], &cores.means));
        let layers = (0..head.depth()).map(|layer| {
            let right = product(&cores.layers[layer], &transposed(&bases[layer]));
            bases.get(layer + 1).map_or_else(|| right.clone(), |left| product(left, &right))
        });
        nearest.head = Some(LinearHead::new(layers.collect(), point.head().bias().cloned())?);
        Ok(nearest)
    }
}
