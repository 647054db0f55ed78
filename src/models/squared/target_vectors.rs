//! The left singular vectors of the effective target, one by one.

use core::ops::Range;

use crate::models::squared::direction::Direction;
use crate::models::squared::minimum::GlobalMinimum;
use crate::problem::counts::ClassCounts;
use crate::problem::regularization::Bias;

/// What the global minimizers make of one left singular vector of the effective target.
///
/// Numbers are `None` where it depends on the minimizer whether the vector is fitted.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct TargetVector {
    /// σ², the square of its singular value.
    pub target_squared: f64,
    /// a/σ², to be compared with the threshold τ_M.
    pub ratio: f64,
    /// The minimizer x of the potential; 0 if the vector is not fitted.
    pub x: Option<f64>,
    /// The energy t = (a/N) x: λₘ times the squared singular value of Wₘ, the same for all layers.
    pub energy: Option<f64>,
    /// The singular value s = √(t/λ₁) of W₁.
    pub s: Option<f64>,
}

impl GlobalMinimum {
    /// The left singular vectors of the effective target, as runs of those that are alike with their number: in the
    /// order of the classes without a bias, beside which each class has a vector of its own, else by falling σ².
    ///
    /// Which vectors of a [`Direction`] are fitted is not determined if the widths have no room for all of them, but
    /// how many are is: those that every minimizer fits come first, then those that some minimizers fit (at a tie),
    /// then the others.
    ///
    /// ```
    /// use neural_collapse::{ClassCounts, Regularization, Ufm};
    ///
    /// // Of three classes of one size, two find room in the width.
    /// let counts = ClassCounts::new(&[100, 400, 100, 100])?;
    /// let ufm = Ufm::new(counts, Regularization::new(&[1e-4], 1e-3)?)?.with_widths(&[3])?;
    /// let vectors = ufm.global_minimum()?.target_vectors();
    /// let fitted: Vec<(usize, bool)> =
    ///     vectors.iter().map(|(number, vector)| (*number, vector.x > Some(0.0))).collect();
    /// assert_eq!(fitted, [(1, true), (1, true), (1, true), (1, false)]);
    /// assert_eq!(vectors[1].1.target_squared, 400.0);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    ///
    /// Source: Theorems 4.1 and 4.4 of Dang et al. (ICML 2023).
    #[must_use]
    pub fn target_vectors(&self) -> Vec<(usize, TargetVector)> {
        if self.problem().regularization().bias() == Bias::None && self.problem().counts().is_some()
        {
            return self.vectors_of_classes();
        }
        let mut directions: Vec<Direction> = self.directions().collect();
        directions.sort_by(|a, b| b.target_squared().total_cmp(&a.target_squared()));
        let all = |direction: &Direction| self.vectors_of(direction, 0..direction.multiplicity());
        directions.iter().flat_map(all).collect()
    }

    /// Without a bias, the directions of a class size belong to the classes of that size.
    fn vectors_of_classes(&self) -> Vec<(usize, TargetVector)> {
        let mut used = vec![0; self.directions().len()];
        let mut vectors = Vec::new();
        for run in self.problem().counts().into_iter().flat_map(ClassCounts::runs) {
            let first = used[run.group];
            let range = first..first + run.class_count;
            used[run.group] = range.end;
            let own = self.direction(run.group);
            vectors.extend(own.into_iter().flat_map(|own| self.vectors_of(&own, range.clone())));
        }
        vectors
    }

    /// The vectors `range` of a direction.
    fn vectors_of(
        &self,
        direction: &Direction,
        range: Range<usize>,
    ) -> impl Iterator<Item = (usize, TargetVector)> + use<> {
        let (least, most) = direction.rank().into_inner();
        let below = |limit: usize| range.end.min(limit).saturating_sub(range.start);
        let (fitted, possible) = (below(least), below(most));
        let regularization = self.problem().regularization();
        let singular_value = |energy| regularization.product_singular_value(0..1, energy);
        let vector = |x: Option<f64>, energy: Option<f64>| TargetVector {
            target_squared: direction.target_squared(),
            ratio: direction.ratio(),
            x,
            energy,
            s: energy.map(singular_value),
        };
        let pieces = [
            (fitted, vector(Some(direction.x()), Some(direction.energy()))),
            (possible - fitted, vector(None, None)),
            (range.len() - possible, vector(Some(0.0), Some(0.0))),
        ];
        pieces.into_iter().filter(|(length, _)| *length > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::squared::Ufm;
    use crate::problem::regularization::Regularization;

    fn minimum(sizes: &[u64], decay: f64, bias: Bias, width: usize) -> GlobalMinimum {
        let regularization =
            Regularization::uniform(2, decay, decay).unwrap().with_bias(bias).unwrap();
        let ufm = Ufm::new(ClassCounts::new(sizes).unwrap(), regularization).unwrap();
        ufm.with_widths(&[width; 2]).unwrap().global_minimum().unwrap()
    }

    fn one_by_one(minimum: &GlobalMinimum) -> Vec<TargetVector> {
        let runs = minimum.target_vectors();
        runs.iter().flat_map(|&(number, vector)| std::iter::repeat_n(vector, number)).collect()
    }

    #[test]
    fn classes_have_their_vectors() {
        let sizes = [50, 200, 50, 1, 200];
        let minimum = minimum(&sizes, 2e-3, Bias::None, 5);
        let vectors = one_by_one(&minimum);
        assert_eq!(vectors.len(), sizes.len());
        for (class, (vector, size)) in vectors.iter().zip(sizes).enumerate() {
            assert_eq!(vector.target_squared, size as f64);
            assert_eq!(vector.s, minimum.s_k(class));
            let survives = vector.ratio < minimum.threshold();
            assert_eq!((vector.x > Some(0.0), vector.energy > Some(0.0)), (survives, survives));
        }
        assert_eq!(vectors[3].s, Some(0.0));
    }

    /// Fitted ones first, as many as there is room for: the rank is that of the minimum.
    #[test]
    fn as_many_are_fitted_as_there_is_room_for() {
        for width in 1..=5 {
            for bias in [Bias::None, Bias::Unregularized] {
                let minimum = minimum(&[50, 200, 50, 50, 200], 1e-3, bias, width);
                let vectors = one_by_one(&minimum);
                let expected = if bias == Bias::None { 5 } else { 4 };
                assert_eq!(vectors.len(), expected);
                let fitted = vectors.iter().filter(|vector| vector.x > Some(0.0)).count();
                assert_eq!(fitted, width.min(expected), "{bias:?}");
                if bias != Bias::None {
                    assert!(vectors.is_sorted_by(|a, b| a.target_squared >= b.target_squared));
                }
            }
        }
    }

    /// Of N = 16 and λ = 1/16 follow a = 16 √(16 λ³) = 1 and a/σ² = ¼ = τ₂: up to three vectors are fitted.
    #[test]
    fn at_a_tie_nothing_is_said_of_single_vectors() {
        let tie = minimum(&[4; 4], 0.0625, Bias::None, 3);
        assert_eq!(tie.direction(0).unwrap().rank(), 0..=3);
        let vectors = tie.target_vectors();
        assert_eq!(vectors.iter().map(|run| run.0).collect::<Vec<_>>(), [3, 1]);
        assert_eq!((vectors[0].1.x, vectors[0].1.s, vectors[1].1.x), (None, None, Some(0.0)));
    }
}
