//! The objective of samples in memory.

use crate::error::Result;
use crate::measure::labeled_features::LabeledFeatures;
use crate::numerics::scalar::Scalar;
use crate::objective::gradient::Workspace;
use crate::objective::sums::ObjectiveSums;
use crate::objective::value::Objective;
use crate::problem::head::LinearHead;
use crate::problem::regularization::Regularization;
use crate::problem::training_objective::{LossFunction, TrainingObjective};

impl Objective {
    /// Evaluates a training objective on measured features, labels and weights.
    ///
    /// The samples are passed over once, in chunks; the gradient with respect to H is never stored.
    ///
    /// # Errors
    /// [`Error::Empty`](crate::Error::Empty) without samples, [`Error::Shape`](crate::Error::Shape) if `head` is for another dimension or number
    /// of classes, if the penalties are for another number of layers, or if one of them has a bias
    /// and the other has not; [`Error::NotAnswered`](crate::Error::NotAnswered) for margins, which are constraints and have no value;
    /// [`Error::Unrepresentable`](crate::Error::Unrepresentable) if a term is too large for a floating-point number.
    pub fn new<T: Scalar>(
        data: &LabeledFeatures<'_, T>,
        head: &LinearHead,
        objective: &TrainingObjective,
    ) -> Result<Self> {
        let mut counts = vec![0; data.classes()];
        data.labels().iter().for_each(|&label| counts[label] += 1);
        let shape = (data.features().dimension(), data.classes());
        let mut sums = ObjectiveSums::of_counts(shape, counts, head, objective)?;
        let mut workspace = Workspace::new();
        data.chunks().try_for_each(|chunk| sums.add_whole(&chunk, &mut workspace).map(drop))?;
        sums.objective()
    }

    /// With the squared error 1/(2N) ‖W_M⋯W₁ H + b 1ᵀ − Y‖² as the data term: problem (3).
    ///
    /// # Errors
    /// As [`new`](Self::new).
    ///
    /// ```
    /// use nalgebra::dmatrix;
    /// use neural_collapse::{Features, LinearHead, Regularization};
    /// use neural_collapse::objective::Objective;
    ///
    /// // One class, one sample, W = h = √(1 − λ): the minimum for λ = λ_W = λ_H.
    /// let (decay, root) = (0.19, 0.9);
    /// let numbers = [root];
    /// let data = Features::from_row_major(&numbers, 1, 1)?.with_labels(&[0], 1)?;
    /// let head = LinearHead::new(vec![dmatrix![root]], None)?;
    /// let regularization = Regularization::new(&[decay], decay)?;
    /// let objective = Objective::squared_error(&data, &head, &regularization)?;
    /// assert!((objective.data_term - decay * decay / 2.0).abs() < 1e-15);
    /// assert!((objective.loss() - decay * (1.0 - decay / 2.0)).abs() < 1e-15);
    /// assert!(objective.gradient_norm < 1e-15);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn squared_error<T: Scalar>(
        data: &LabeledFeatures<'_, T>,
        head: &LinearHead,
        regularization: &Regularization,
    ) -> Result<Self> {
        let loss_function = LossFunction::SquaredError;
        Self::new(data, head, &TrainingObjective::penalized(loss_function, regularization.clone()))
    }

    /// With the mean cross-entropy 1/N Σᵢ (ln Σⱼ exp(z_ji) − z_(yᵢ)i) of the outputs
    /// Z = W_M⋯W₁ H + b 1ᵀ as the data term: problem (7).
    ///
    /// # Errors
    /// As [`new`](Self::new).
    ///
    /// ```
    /// use nalgebra::DMatrix;
    /// use neural_collapse::{Features, LinearHead, Regularization};
    /// use neural_collapse::objective::Objective;
    ///
    /// // Zero weights leave all classes equally likely.
    /// let data = Features::from_row_major(&[1.0, 2.0, 3.0], 3, 1)?.with_labels(&[0, 1, 2], 3)?;
    /// let head = LinearHead::new(vec![DMatrix::zeros(3, 1)], None)?;
    /// let regularization = Regularization::new(&[0.1], 0.1)?;
    /// let objective = Objective::cross_entropy(&data, &head, &regularization)?;
    /// assert!((objective.data_term - 3.0_f64.ln()).abs() < 1e-15);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn cross_entropy<T: Scalar>(
        data: &LabeledFeatures<'_, T>,
        head: &LinearHead,
        regularization: &Regularization,
    ) -> Result<Self> {
        let loss_function = LossFunction::CrossEntropy;
        Self::new(data, head, &TrainingObjective::penalized(loss_function, regularization.clone()))
    }
}
