//! In which order directions collapse as the decays grow.

use crate::models::squared::minimum::GlobalMinimum;
use crate::numerics::nth_root::root_of_ratio;

/// A factor on all decays at which a direction collapses.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct CollapseFactor {
    /// The factor on λ₁, …, λ_M and λ_H.
    pub factor: f64,
    /// The number of singular vectors that are still fitted above it.
    pub surviving_directions: usize,
}

impl GlobalMinimum {
    /// The factors on all of λ₁, …, λ_M and λ_H at which directions collapse, by rising factor, each with the
    /// number of singular vectors that are still fitted above it: (τ_M σ²/a)^(M/(M+1)) for every direction that
    /// the widths have room for. Factors below 1 belong to directions that have collapsed already.
    ///
    /// Without a bias, directions are classes. The all-ones direction beside a regularized bias is left out,
    /// as in [`largest_decay_factor`](Self::largest_decay_factor), which is the first of these numbers.
    ///
    /// ```
    /// use neural_collapse::{ClassCounts, Regularization, Ufm};
    ///
    /// let counts = ClassCounts::new(&[400, 100, 25])?;
    /// let minimum = Ufm::new(counts, Regularization::new(&[1e-4], 1e-4)?)?.global_minimum()?;
    /// let steps = minimum.collapse_factors();
    /// let surviving: Vec<usize> = steps.iter().map(|step| step.surviving_directions).collect();
    /// assert_eq!(surviving, [2, 1, 0]);
    /// // One layer: factors are as √n_k.
    /// assert!((steps[2].factor / steps[0].factor - 4.0).abs() < 1e-14);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    ///
    /// Source: Theorem 4.4 of Dang et al. (ICML 2023).
    #[must_use]
    pub fn collapse_factors(&self) -> Vec<CollapseFactor> {
        let degree = u32::try_from(self.problem().depth()).unwrap_or(u32::MAX).saturating_add(1);
        let mut room = self.problem().rank_limit();
        let mut steps = Vec::new();
        for direction in self.unshared_directions() {
            let kept = direction.multiplicity().min(room);
            room -= kept;
            if kept > 0 {
                let margin = self.threshold() / direction.ratio();
                steps.push((margin / root_of_ratio(margin, 1.0, degree), kept));
            }
        }
        steps.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut surviving_directions: usize = steps.iter().map(|&(_, kept)| kept).sum();
        let collapse = |(factor, kept)| {
            surviving_directions -= kept;
            CollapseFactor { factor, surviving_directions }
        };
        steps.into_iter().map(collapse).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::models::squared::Ufm;
    use crate::problem::counts::ClassCounts;
    use crate::problem::regularization::{Bias, Regularization};

    /// a = 1 and τ₁ = 1 make the factors √n; with a bias, which shares the all-ones direction, √σ² of the others.
    #[test]
    fn directions_with_room_collapse_at_the_root_of_their_size() {
        let factors = |counts: &[u64], bias: Bias, width: usize| {
            let counts = ClassCounts::new(counts).unwrap();
            let decay = (counts.samples() as f64).recip();
            let regularization =
                Regularization::new(&[decay], decay).unwrap().with_bias(bias).unwrap();
            let ufm = Ufm::new(counts, regularization).unwrap().with_widths(&[width]).unwrap();
            let minimum = ufm.global_minimum().unwrap();
            let found = minimum.collapse_factors();
            let first = minimum.largest_decay_factor().unwrap();
            assert!((found[0].factor / first - 1.0).abs() < 1e-14, "{found:?}, {first}");
            found
                .iter()
                .map(|step| ((step.factor * 1e9).round() / 1e9, step.surviving_directions))
                .collect::<Vec<_>>()
        };
        let counts = [9, 4, 4, 9, 25];
        assert_eq!(factors(&counts, Bias::None, 7), [(2.0, 3), (3.0, 1), (5.0, 0)]);
        assert_eq!(factors(&counts, Bias::None, 4), [(2.0, 3), (3.0, 1), (5.0, 0)]);
        assert_eq!(factors(&counts, Bias::None, 3), [(3.0, 1), (5.0, 0)]);
        assert_eq!(factors(&counts, Bias::None, 2), [(3.0, 1), (5.0, 0)]);
        assert_eq!(factors(&[4, 4, 4], Bias::Regularized(1.0), 3), [(2.0, 0)]);
    }
}
