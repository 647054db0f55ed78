//! What a class of another size would become.

use crate::error::{Error, Result, check_positive};
use crate::models::squared::direction::Direction;
use crate::models::squared::minimum::GlobalMinimum;
use crate::models::squared::spectrum::TargetValue;
use crate::problem::regularization::Bias;

impl GlobalMinimum {
    /// ‖w‖² and ‖h‖² of a class of `size` samples, which need not be a whole number, in a data set of as many samples
    /// N and with the decays of this one: the curve that the classes of a problem without a bias lie on. Both are 0
    /// below the [`smallest_surviving_count`](Self::smallest_surviving_count).
    ///
    /// Widths are taken to leave room for the class.
    ///
    /// # Errors
    /// [`Error::NotAnswered`] beside a bias, with which classes depend on each other, and for an arbitrary target;
    /// [`Error::OutOfRange`] if the size is not positive and finite, [`Error::Unrepresentable`] if a norm is.
    ///
    /// ```
    /// use neural_collapse::{ClassCounts, Regularization, Ufm};
    ///
    /// let counts = ClassCounts::new(&[200, 100, 50, 50])?;
    /// let minimum = Ufm::new(counts, Regularization::new(&[5e-4; 3], 5e-4)?)?.global_minimum()?;
    /// let (classifier, feature) = minimum.norms_of_size(100.0)?;
    /// let class = minimum.class(1).unwrap();
    /// assert!((classifier - class.classifier_norm_squared.unwrap()).abs() < 1e-12);
    /// assert!((feature - class.feature_norm_squared.unwrap()).abs() < 1e-12);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    ///
    /// Source: Theorems 4.1 and 4.4 of Dang et al. (ICML 2023), in which n_k need not be an integer.
    pub fn norms_of_size(&self, size: f64) -> Result<(f64, f64)> {
        check_positive("size", size)?;
        let (problem, question) = (self.problem(), "the norms of a class of another size");
        let regularization = problem.regularization();
        if regularization.bias() != Bias::None || problem.counts().is_none() {
            let reason = "they depend on the other classes";
            return Err(Error::NotAnswered { question, reason });
        }
        let samples = problem.samples() as f64;
        let target = TargetValue { squared: size, multiplicity: 1, samples };
        let slope = target.checked_slope(self.scale(), self.potential())?;
        let minimizer = self.potential().minimizer_unchecked(slope);
        let energy = Direction::new(target, 1, self.scale(), minimizer).energy();
        let classifier = regularization.trailing_eigenvalue(1, energy);
        Ok((classifier, energy / regularization.feature_decay() / size))
    }
}

#[cfg(test)]
mod tests {
    use nalgebra::DMatrix;

    use super::*;
    use crate::models::squared::Ufm;
    use crate::problem::counts::ClassCounts;
    use crate::problem::regularization::Regularization;

    #[test]
    fn only_classes_of_their_own_have_a_curve() {
        let regularization = Regularization::new(&[0.125], 0.125).unwrap();
        let free = regularization.clone().with_bias(Bias::Unregularized).unwrap();
        let counts = ClassCounts::new(&[4, 4]).unwrap();
        let refused = |ufm: Ufm| ufm.global_minimum().unwrap().norms_of_size(4.0).unwrap_err();
        for ufm in [
            Ufm::new(counts.clone(), free).unwrap(),
            Ufm::from_target(DMatrix::identity(2, 2), regularization.clone()).unwrap(),
        ] {
            assert!(matches!(refused(ufm), Error::NotAnswered { .. }));
        }
        // One layer: ‖w‖² = √n − N λ = 3 and ‖h‖² = 3/16.
        let minimum = Ufm::new(counts, regularization).unwrap().global_minimum().unwrap();
        assert_eq!(minimum.norms_of_size(16.0), Ok((3.0, 0.1875)));
        assert_eq!(minimum.norms_of_size(0.5), Ok((0.0, 0.0)));
        assert!(minimum.norms_of_size(0.0).is_err());
    }
}
