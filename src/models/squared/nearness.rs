//! How near a trained network is to the global minimum: a bound from its loss, and the nearest global minimizer.

use nalgebra::DMatrix;

use crate::error::{Error, Result, check_not_negative, check_shape};
use crate::models::squared::minimum::GlobalMinimum;
use crate::numerics::linalg::{check_finite, svd_thin};
use crate::prediction::Prediction;
use crate::prediction::explicit::Basis;
use crate::problem::head::LinearHead;
use crate::problem::regularization::Bias;

impl GlobalMinimum {
    /// The largest distance ‖WH − (WH)*‖ (Frobenius norm) of the outputs for all samples from those at the minimum
    /// that a network of one layer without a bias and with this `loss` f can have: √(2N(f − f*)).
    ///
    /// As a function of the outputs Z the objective is at least 1/(2N)‖Z − Y‖² plus a multiple of their nuclear norm, which
    /// is convex with the modulus 1/N; f − f* is therefore at least ‖Z − Z*‖²/(2N). A loss below f*, which only rounding
    /// can bring about, gives 0.
    ///
    /// # Errors
    /// [`Error::NotAnswered`] for more than one layer and beside a bias, [`Error::OutOfRange`] if the loss is negative
    /// or not finite.
    ///
    /// ```
    /// use neural_collapse::{ClassCounts, Prediction, Regularization, Ufm};
    ///
    /// let ufm = Ufm::new(ClassCounts::balanced(4, 25)?, Regularization::new(&[1e-3], 1e-3)?)?;
    /// let minimum = ufm.global_minimum()?;
    /// let bound = minimum.output_distance_bound(minimum.loss() + 2e-6)?;
    /// assert!((bound - 0.02).abs() < 1e-9); // √(2 · 100 · 2e-6)
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    ///
    /// Source: strong convexity of the objective reduced to the outputs, section "From matrices to singular values" of
    /// the project's `docs/theory.md`.
    pub fn output_distance_bound(&self, loss: f64) -> Result<f64> {
        check_not_negative("loss", loss)?;
        if self.problem().depth() > 1 || self.problem().regularization().bias() != Bias::None {
            let reason = "the objective is convex in the outputs for one layer without a bias only";
            return Err(Error::NotAnswered { question: "the distance of the outputs", reason });
        }
        let gap = (loss - self.loss()).max(0.0);
        Ok((2.0 * self.problem().samples() as f64 * gap).sqrt())
    }

    /// The basis of the global minimizer that is nearest to a trained network of one layer: [`Prediction::explicit`]
    /// makes the matrices W* and H* with the smallest λ_W ‖W − W*‖² + λ_H ‖H − H*‖², so that weights, features and
    /// prediction can be compared number by number, or training started from the aligned minimum.
    ///
    /// `class_means` is H̄ (d×K). Deviations within the classes add to the distance the same for every minimizer. The
    /// problem has to have the width d. Of a family, the member is taken that [`Prediction::explicit`] takes.
    ///
    /// # Errors
    /// [`Error::NotAnswered`] for more than one layer and an arbitrary target, [`Error::Shape`] if head, means and the
    /// problem's width do not agree, [`Error::OutOfRange`] if a mean is not finite, [`Error::NoConvergence`] if a singular
    /// value decomposition did not converge.
    ///
    /// ```
    /// use neural_collapse::{Basis, ClassCounts, Prediction, Regularization, Ufm};
    ///
    /// let ufm = Ufm::new(ClassCounts::new(&[9, 4, 4])?, Regularization::new(&[1e-3], 1e-3)?)?;
    /// let minimum = ufm.with_widths(&[6])?.global_minimum()?;
    /// let trained = minimum.explicit(&Basis::Random(3))?;
    /// let basis = minimum.nearest_basis(trained.class_means().unwrap(), trained.head())?;
    /// let nearest = minimum.explicit(&basis)?;
    /// assert!((&nearest.head().weights()[0] - &trained.head().weights()[0]).norm() < 1e-14);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    ///
    /// Source: the orthogonal Procrustes problem; Schönemann (Psychometrika 1966).
    #[doc(alias = "Procrustes")]
    pub fn nearest_basis(&self, class_means: &DMatrix<f64>, head: &LinearHead) -> Result<Basis> {
        let counts = &self.class_spectrum(NEAREST)?.counts;
        let (weight, weight_decay) = self.only_layer(head)?;
        let expected = (weight.ncols(), weight.nrows());
        check_shape("class_means", class_means.shape(), expected, "features × classes")?;
        check_finite("class_means", class_means)?;
        let mut sums = class_means.clone();
        for run in counts.runs() {
            let mut columns = sums.columns_range_mut(run.classes());
            columns *= run.size as f64;
        }
        // With W* = U √(t/λ_W) Vᵀ and H* = V √(t/λ_H) V_Tᵀ the distance is the smallest for the largest
        // tr Vᵀ(λ_W WᵀU √(t/λ_W) + λ_H H V_T √(t/λ_H)): V is the orthogonal factor of what is in the brackets.
        let fitted = self.fitted_vectors();
        let feature_decay = self.problem().regularization().feature_decay();
        let mut inner = weight.transpose() * &fitted.left * weight_decay.sqrt()
            + sums * &fitted.right * feature_decay.sqrt();
        for (mut column, energy) in inner.column_iter_mut().zip(&fitted.energies) {
            column *= energy.sqrt();
        }
        let svd = svd_thin(&inner)?;
        Ok(Basis::Given(vec![svd.u * svd.v.transpose()]))
    }

    /// The distances ‖W − W*‖/‖W*‖ and ‖H̄ − H̄*‖/‖H̄*‖ (Frobenius norms) of a trained network of one layer from the global
    /// minimizer that is nearest to it, of the [`nearest_basis`](Self::nearest_basis).
    ///
    /// # Errors
    /// As [`nearest_basis`](Self::nearest_basis), and [`Error::ZeroNorm`] if everything is predicted to collapse to zero.
    ///
    /// ```
    /// use neural_collapse::{Basis, ClassCounts, Prediction, Regularization, Ufm};
    ///
    /// let ufm = Ufm::new(ClassCounts::new(&[9, 4, 4])?, Regularization::new(&[1e-3], 1e-3)?)?;
    /// let minimum = ufm.with_widths(&[6])?.global_minimum()?;
    /// let trained = minimum.explicit(&Basis::Random(3))?;
    /// let means = trained.class_means().unwrap();
    /// let (weights, features) = minimum.nearest_distance(&(means * 1.1), trained.head())?;
    /// assert!(weights < 1e-14 && (features - 0.1).abs() < 1e-14);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    ///
    /// Source: as [`nearest_basis`](Self::nearest_basis).
    pub fn nearest_distance(
        &self,
        class_means: &DMatrix<f64>,
        head: &LinearHead,
    ) -> Result<(f64, f64)> {
        let nearest = self.explicit(&self.nearest_basis(class_means, head)?)?;
        let (weight, _) = self.only_layer(head)?;
        let (predicted, means) = (&nearest.head().weights()[0], nearest.distinct_features());
        let relative = |measured: &DMatrix<f64>, predicted: &DMatrix<f64>| {
            let norm = predicted.norm();
            let is_zero = Error::ZeroNorm { argument: "the predicted matrix" };
            (norm > 0.0).then(|| (measured - predicted).norm() / norm).ok_or(is_zero)
        };
        Ok((relative(weight, predicted)?, relative(class_means, means)?))
    }

    /// The layer of a head for this problem, which must have one, and its decay.
    fn only_layer<'a>(&self, head: &'a LinearHead) -> Result<(&'a DMatrix<f64>, f64)> {
        let problem = self.problem();
        let ([weight], [decay]) = (head.weights(), problem.regularization().weight_decays()) else {
            let reason = "it is known for one layer only";
            return Err(Error::NotAnswered { question: NEAREST, reason });
        };
        let width = problem.widths().and_then(|widths| widths.first().copied());
        let expected = (problem.classes(), width.unwrap_or(problem.classes()));
        check_shape("weights", weight.shape(), expected, "classes × width of the problem")?;
        Ok((weight, *decay))
    }
}

/// The question that [`GlobalMinimum::nearest_basis`] answers.
const NEAREST: &str = "the nearest minimizer";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::squared::Ufm;
    use crate::problem::counts::ClassCounts;
    use crate::problem::regularization::Regularization;

    fn minimum(decay: f64, bias: Bias) -> GlobalMinimum {
        let regularization = Regularization::new(&[decay], decay).unwrap().with_bias(bias).unwrap();
        let ufm = Ufm::new(ClassCounts::new(&[4, 4]).unwrap(), regularization).unwrap();
        ufm.with_widths(&[3]).unwrap().global_minimum().unwrap()
    }

    #[test]
    fn the_bound_of_outputs_is_for_no_bias() {
        let error = minimum(1e-3, Bias::Unregularized).output_distance_bound(0.1).unwrap_err();
        assert!(matches!(
            error,
            Error::NotAnswered { question: "the distance of the outputs", .. }
        ));
        let plain = minimum(1e-3, Bias::None);
        assert_eq!(plain.output_distance_bound(plain.loss() / 2.0), Ok(0.0));
        assert!(plain.output_distance_bound(-1.0).is_err());
        // √(2 · 8 · 1/4).
        let bound = plain.output_distance_bound(plain.loss() + 0.25).unwrap();
        assert!((bound - 2.0).abs() < 1e-14, "{bound}");
    }

    /// λ_W = λ_H = λ and N λ = 1 leave W* = √(√4 − 1) V ᵀ and h* = W*ᵀ/√4; N λ = 3 leaves nothing.
    #[test]
    fn distances_are_relative_to_the_nearest() {
        let turned = DMatrix::from_row_slice(2, 3, &[0.0, 0.6, 0.8, 1.0, 0.0, 0.0]);
        let head = LinearHead::new(vec![&turned * 1.5], None).unwrap();
        let means = turned.transpose() * 0.125;
        let found = minimum(0.125, Bias::None).nearest_distance(&means, &head).unwrap();
        assert!((found.0 - 0.5).abs() < 1e-14 && (found.1 - 0.75).abs() < 1e-14, "{found:?}");
        let collapsed = minimum(0.375, Bias::None).nearest_distance(&means, &head);
        assert_eq!(collapsed, Err(Error::ZeroNorm { argument: "the predicted matrix" }));
    }
}
