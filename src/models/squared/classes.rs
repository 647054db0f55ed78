//! What the global minimum makes of each class.

use crate::models::squared::minimum::GlobalMinimum;
use crate::models::squared::spectrum::{ClassSpectrum, Spectrum};
use crate::prediction::geometry::ClassGeometry;
use crate::problem::counts::Run;
use crate::problem::regularization::Bias;
use crate::problem::target::Target;

impl GlobalMinimum {
    /// Every run of neighboring classes of one size, with the geometry of each of its classes.
    pub(crate) fn runs_of<'a>(
        &'a self,
        spectrum: &'a ClassSpectrum,
    ) -> impl Iterator<Item = (Run, ClassGeometry)> + 'a {
        spectrum.counts.runs().map(move |run| (run, self.geometry_of_group(spectrum, run.group)))
    }

    /// The geometry of one class, or `None` if there is no such class.
    #[must_use]
    pub fn class(&self, class: usize) -> Option<ClassGeometry> {
        let Spectrum::Classes(spectrum) = self.spectrum() else { return None };
        let run = spectrum.counts.run_of(class)?;
        Some(self.geometry_of_group(spectrum, run.group))
    }

    fn geometry_of_group(&self, spectrum: &ClassSpectrum, index: usize) -> ClassGeometry {
        let regularization = self.problem().regularization();
        let group = spectrum.counts.groups()[index];
        let size = group.size as f64;
        let mut norms = Some((0.0, 0.0));
        for (direction, subspace) in self.class_directions(spectrum, spectrum.touching(index)) {
            let leverage = subspace.leverage(index, group);
            if leverage > 0.0 && !direction.is_unique() {
                norms = None;
            }
            let energy = direction.energy();
            let spread = direction.target_squared() / size;
            norms = norms.map(|(classifier, feature)| {
                (classifier + leverage * energy, feature + leverage * energy * spread)
            });
        }
        ClassGeometry {
            count: group.size,
            collapsed: norms.map(|(classifier, _)| classifier == 0.0),
            classifier_norm_squared: norms
                .map(|(classifier, _)| regularization.trailing_eigenvalue(1, classifier)),
            feature_norm_squared: norms
                .map(|(_, feature)| feature / regularization.feature_decay() / size),
        }
    }

    /// The paper's s_k: the singular value √(t_k/λ₁) of W₁ that belongs to class k, whose singular vector is
    /// that of the class alone; 0 if the class collapses.
    ///
    /// `None` if there is no such class, with a bias, beside which singular vectors mix the classes, and where
    /// it differs between global minimizers. [`directions`](Self::directions) are what there is with a bias too,
    /// see [`direction_singular_values`](Self::direction_singular_values).
    ///
    /// ```
    /// use neural_collapse::{ClassCounts, Regularization, Ufm};
    ///
    /// // One layer: s_k² = √(n_k λ_H/λ_W) − N λ_H, in the order of the classes.
    /// let minimum = Ufm::new(ClassCounts::new(&[50, 200])?, Regularization::new(&[1e-4], 1e-3)?)?
    ///     .global_minimum()?;
    /// let squared = minimum.s_k(0).unwrap().powi(2);
    /// assert!((squared - (500.0_f64.sqrt() - 0.25)).abs() < 1e-13);
    /// assert!(minimum.s_k(1) > minimum.s_k(0));
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    ///
    /// Source: Theorems 4.1 and 4.4 of Dang et al. (ICML 2023).
    #[must_use]
    pub fn s_k(&self, class: usize) -> Option<f64> {
        if self.problem().regularization().bias() != Bias::None {
            return None;
        }
        let run = self.problem().counts()?.run_of(class)?;
        let direction = self.direction(run.group)?;
        direction.is_unique().then(|| self.singular_value(&direction, 0..1))
    }

    /// The runs of classes that collapse to zero: minority collapse. None for an arbitrary target.
    #[doc(alias = "minority collapse")]
    pub fn collapsed_runs(&self) -> impl Iterator<Item = Run> + '_ {
        let spectrum = match self.spectrum() {
            Spectrum::Classes(spectrum) => Some(spectrum),
            Spectrum::Matrix(_) => None,
        };
        let runs = spectrum.into_iter().flat_map(|spectrum| self.runs_of(spectrum));
        runs.filter(|(_, class)| class.collapsed == Some(true)).map(|(run, _)| run)
    }

    /// ‖w_i‖²/‖w_j‖² between the classifiers of two classes; `None` if a class does not exist, has no
    /// determined norm, or class j collapses.
    ///
    /// Source: Lemma 4.3, first ratio, for any depth and bias.
    #[must_use]
    pub fn classifier_norm_ratio(&self, i: usize, j: usize) -> Option<f64> {
        ratio(self.class(i)?.classifier_norm_squared?, self.class(j)?.classifier_norm_squared?)
    }

    /// ‖h_i‖²/‖h_j‖² between two class means; `None` if a class does not exist, has no determined norm,
    /// or class j collapses.
    ///
    /// Without a bias this is (n_j/n_i)·s_i²/s_j², for any depth. The second ratio of Lemma 4.3 (one
    /// layer) is printed upside down in its last factor, and its conclusion that larger classes have
    /// shorter means holds only while a/n ≤ 1/4 for both.
    #[must_use]
    pub fn feature_norm_ratio(&self, i: usize, j: usize) -> Option<f64> {
        ratio(self.class(i)?.feature_norm_squared?, self.class(j)?.feature_norm_squared?)
    }

    /// The entry of the bias b* for one class, without a list of all classes: equal for classes
    /// of equal sizes. `None` without a bias, where it differs between global minimizers, without such a class,
    /// and for an arbitrary target.
    ///
    /// ```
    /// use neural_collapse::{Bias, ClassCounts, Regularization, Ufm};
    ///
    /// let regularization = Regularization::new(&[5e-4], 5e-4)?.with_bias(Bias::Unregularized)?;
    /// let minimum = Ufm::new(ClassCounts::new(&[20, 10, 10])?, regularization)?.global_minimum()?;
    /// assert_eq!(minimum.bias_of_class(0), Some(0.5));
    /// assert_eq!(minimum.bias_of_class(3), None);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    #[must_use]
    pub fn bias_of_class(&self, class: usize) -> Option<f64> {
        let run = self.problem().counts()?.run_of(class)?;
        self.largest_bias_of_size(run.size).filter(|_| self.bias_is_unique())
    }

    /// Only a regularized bias depends on what is fitted, which differs at a tie.
    pub(crate) fn bias_is_unique(&self) -> bool {
        self.all_ones().is_none_or(|direction| direction.is_unique())
    }

    /// b* of the global minimizer with the largest rank: n/N if it is not regularized (the mean of the
    /// targets), and the same number (unfitted share of the all-ones direction)/(K(1 + λ_b)) for every class if
    /// it is.
    pub(crate) fn bias_runs_of_largest_member(&self) -> Option<Vec<(usize, f64)>> {
        match self.problem().target() {
            Target::Classes(counts) => {
                let entry =
                    |run: Run| Some((run.class_count, self.largest_bias_of_size(run.size)?));
                counts.runs().map(entry).collect()
            }
            Target::Matrix(target) => match self.problem().regularization().bias() {
                Bias::None => None,
                _ => Some(target.column_mean().iter().map(|&entry| (1, entry)).collect()),
            },
        }
    }

    /// The entry of b* for a class of `size` samples, at the global minimizer with the largest rank.
    fn largest_bias_of_size(&self, size: u64) -> Option<f64> {
        match self.problem().regularization().bias() {
            Bias::None => None,
            Bias::Unregularized => Some(size as f64 / self.problem().samples() as f64),
            Bias::Regularized(decay) => {
                let unfitted = self.all_ones()?.unfitted_share();
                Some(unfitted / (self.problem().classes() as f64 * (1.0 + decay)))
            }
        }
    }
}

fn ratio(numerator: f64, denominator: f64) -> Option<f64> {
    (denominator > 0.0).then(|| numerator / denominator)
}

#[cfg(test)]
mod tests {
    use nalgebra::DMatrix;

    use super::*;
    use crate::models::regime::Regime;
    use crate::models::squared::Ufm;
    use crate::prediction::Prediction;
    use crate::prediction::explicit::Basis;
    use crate::problem::counts::ClassCounts;
    use crate::problem::regularization::Regularization;

    fn ufm(counts: &[u64], decay: f64, bias: Bias) -> Ufm {
        let regularization = Regularization::new(&[decay], decay).unwrap().with_bias(bias).unwrap();
        Ufm::new(ClassCounts::new(counts).unwrap(), regularization).unwrap()
    }

    /// N λ = 4 is above √4 and below √36 and √25: of one layer ‖w‖² = √n − N λ, and ‖h‖² = ‖w‖²/n.
    #[test]
    fn ratios_to_collapsed_classes_are_unknown() {
        let minimum = ufm(&[36, 25, 4], 4.0 / 65.0, Bias::None).global_minimum().unwrap();
        let near = |found: Option<f64>, expected: f64| (found.unwrap() - expected).abs() < 1e-14;
        assert!(near(minimum.classifier_norm_ratio(0, 1), 2.0));
        assert!(near(minimum.feature_norm_ratio(0, 1), 50.0 / 36.0));
        assert_eq!(
            (minimum.classifier_norm_ratio(2, 0), minimum.feature_norm_ratio(2, 0)),
            (Some(0.0), Some(0.0))
        );
        assert_eq!(
            (minimum.classifier_norm_ratio(0, 2), minimum.feature_norm_ratio(0, 2)),
            (None, None)
        );
        let collapsed = minimum.collapsed_runs().map(|run| (run.first_class, run.class_count));
        assert_eq!(collapsed.collect::<Vec<_>>(), [(2, 1)]);
        let values = minimum.singular_values(1..=1).unwrap();
        assert_eq!(values.iter().map(|value| value.multiplicity).collect::<Vec<_>>(), [1, 1]);
        assert!(near(minimum.s_k(0), 2_f64.sqrt()) && near(minimum.s_k(2), 0.0));
        assert_eq!(minimum.s_k(3), None);
    }

    /// One of the two contrasts of three large classes has room, which leaves nothing for the small ones.
    #[test]
    fn a_family_of_some_classes_leaves_the_others_determined() {
        let ufm = ufm(&[9, 9, 9, 4, 4, 4], 1e-3, Bias::Unregularized).with_widths(&[1]).unwrap();
        let minimum = ufm.global_minimum().unwrap();
        assert_eq!(minimum.class(0).unwrap().collapsed, None);
        let small = minimum.class(3).unwrap();
        assert_eq!((small.collapsed, small.classifier_norm_squared), (Some(true), Some(0.0)));
        assert_eq!((minimum.s_k(0), minimum.bias_of_class(0)), (None, Some(9.0 / 39.0)));
    }

    /// λ_b = 1 makes N' = 32 of 16 samples and a = 32 √(32/2¹⁵) = 1, which is τ₂ = 1/4 of n = 4: the all-ones direction may
    /// be fitted or left to the bias.
    #[test]
    fn a_bias_differs_at_the_tie_of_its_direction() {
        let regularization = Regularization::new(&[0.03125; 2], 0.03125).unwrap();
        let regularization = regularization.with_bias(Bias::Regularized(1.0)).unwrap();
        let ufm = Ufm::new(ClassCounts::balanced(4, 4).unwrap(), regularization).unwrap();
        let minimum = ufm.global_minimum().unwrap();
        let regimes: Vec<_> = minimum.directions().map(|direction| direction.regime()).collect();
        assert_eq!(regimes, [Regime::Positive, Regime::Tie]);
        assert_eq!((minimum.bias(), minimum.bias_of_class(0)), (None, None));
        assert_eq!(minimum.class(0).unwrap().classifier_norm_squared, None);
        let point = minimum.explicit(&Basis::Standard).unwrap();
        // x^M = 1 there: half of the target is fitted, and the bias has 1/2/(K (1 + λ_b)).
        assert_eq!(point.head().bias().unwrap().as_slice(), [0.0625; 4]);
        let classifier = &point.head().weights()[1];
        let gram = minimum.trailing_gram(1).unwrap();
        let whole = classifier * classifier.transpose();
        let centering = DMatrix::identity(4, 4).add_scalar(-0.25);
        for found in [&centering * &whole * &centering, whole] {
            let nearest = gram.nearest_member(&found).unwrap();
            assert!((nearest - &found).amax() < 1e-13, "{found}");
        }
    }
}
