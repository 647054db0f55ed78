//! The matrices of the global minimum with non-negative features.

use core::ops::RangeInclusive;

use nalgebra::{DMatrix, DVector};

use crate::error::{Error, Result};
use crate::geometry::class_matrix::ClassMatrix;
use crate::models::nonnegative::minimum::NonnegativeMinimum;
use crate::numerics::linalg::left_svd;
use crate::prediction::class_runs::written_out;
use crate::prediction::explicit::{Basis, Copies, ExplicitPoint, check_matrices};
use crate::prediction::nonnegative::nonnegative_vectors;
use crate::prediction::{ClassGeometry, Geometry, Prediction, SingularValue, Source, Verdict};
use crate::problem::counts::{ClassCounts, Run};
use crate::problem::head::LinearHead;
use crate::problem::regularization::Bias;
use crate::problem::training_objective::TrainingObjective;

const PROOF: Source = Source::new(
    "orthogonal features minimize a linear bound of the loss that touches it there",
    "Dang et al. (ICML 2024) and docs/closed-forms.md",
);

/// Why there is no answer about the matrices of a family.
const FAMILY: &str =
    "with a free bias and two classes, the bias can take over any part of the logits";

impl NonnegativeMinimum {
    fn determined(&self, question: &'static str) -> Result<()> {
        if self.is_family() {
            return Err(Error::NotAnswered { question, reason: FAMILY });
        }
        Ok(())
    }

    /// The mean of ν_k² over the classes.
    fn mean_squared_size(&self) -> f64 {
        let classes = self.kinds().classes() as f64;
        let kinds = self.kinds().kinds().iter().zip(self.squared_sizes());
        kinds.map(|(kind, size)| kind.classes as f64 / classes * size).sum()
    }

    fn geometry_of_class(&self, count: u64, kind: usize, classifier: f64) -> ClassGeometry {
        let known = |value| (!self.is_family()).then_some(value);
        let features = self.feature_norm_squared(kind);
        ClassGeometry {
            count,
            collapsed: known(features).map(|features| features == 0.0),
            classifier_norm_squared: known(classifier),
            feature_norm_squared: known(features),
        }
    }

    /// The positive singular values of W, those of diag(ν) C: ν of every kind once less than it has classes, and
    /// those of what is left of C between the kinds.
    fn classifier_singular_values(&self) -> Result<Vec<SingularValue>> {
        let (kinds, total) = (self.kinds().kinds(), self.kinds().classes() as f64);
        let sizes: Vec<f64> = self.squared_sizes().into_iter().map(f64::sqrt).collect();
        let within = kinds.iter().zip(&sizes).map(|(kind, &size)| (size, kind.classes - 1));
        let share = DVector::from_iterator(
            kinds.len(),
            kinds.iter().map(|kind| (kind.classes as f64 / total).sqrt()),
        );
        let centering = DMatrix::identity(kinds.len(), kinds.len()) - &share * share.transpose();
        let between = DMatrix::from_diagonal(&DVector::from_vec(sizes.clone())) * centering;
        let dead = sizes.iter().filter(|size| **size == 0.0).count();
        let rank = sizes.len() - dead.max(1);
        let between = left_svd(&between)?.singular_values;
        let values = within.chain(between.iter().take(rank).map(|&value| (value, 1)));
        Ok(sorted(values))
    }
}

/// Positive singular values by falling size.
fn sorted(values: impl Iterator<Item = (f64, usize)>) -> Vec<SingularValue> {
    let positive = values.filter(|&(value, multiplicity)| value > 0.0 && multiplicity > 0);
    let mut values: Vec<_> =
        positive.map(|(value, multiplicity)| SingularValue::new(value, multiplicity)).collect();
    values.sort_by(|a, b| b.value.total_cmp(&a.value));
    values
}

impl Prediction for NonnegativeMinimum {
    fn training_objective(&self) -> TrainingObjective {
        TrainingObjective::WeightedCrossEntropy {
            regularization: self.problem().regularization().clone(),
            class_weights: self.problem().class_weights().map(<[f64]>::to_vec).unwrap_or_default(),
            label_smoothing: self.problem().label_smoothing(),
            logit_offsets: Vec::new(),
            nonnegative_features: true,
        }
    }

    fn counts(&self) -> Option<&ClassCounts> {
        Some(self.problem().counts())
    }

    fn classes(&self) -> usize {
        self.kinds().classes()
    }

    fn depth(&self) -> usize {
        1
    }

    fn widths(&self) -> Option<&[usize]> {
        self.problem().widths()
    }

    fn geometry(&self) -> Geometry {
        if self.living_classes() == 0 {
            return Geometry::Collapsed;
        }
        Geometry::Structure("orthogonal features, centered classifier".into())
    }

    fn verdict(&self) -> Verdict {
        Verdict::Proved(PROOF)
    }

    fn loss(&self) -> f64 {
        self.loss
    }

    fn is_unique(&self) -> bool {
        !self.is_family()
    }

    /// Classes of one size with different weights are not alike.
    fn is_symmetric(&self) -> bool {
        self.kinds().kinds().len() == self.problem().counts().sizes().len()
    }

    /// Weights tell which class is which.
    fn has_arbitrary_order(&self) -> bool {
        false
    }

    fn class_runs(&self) -> Result<Vec<(Run, ClassGeometry)>> {
        let (sizes, mean) = (self.squared_sizes(), self.mean_squared_size());
        let classes = self.kinds().classes() as f64;
        let runs = self.kinds().runs(self.problem().counts());
        let runs = runs.map(|(run, kind)| {
            let own = sizes[kind];
            // Row k of W has the entries ν_k on h_k and −ν_j/K on every h_j.
            let classifier = own * (classes - 2.0) / classes + mean / classes;
            (run, self.geometry_of_class(run.size, kind, classifier))
        });
        Ok(runs.collect())
    }

    fn bias(&self) -> Option<Vec<f64>> {
        written_out(&self.bias_runs()?)
    }

    fn bias_runs(&self) -> Option<Vec<(usize, f64)>> {
        let known = self.problem().regularization().bias() != Bias::None && !self.is_family();
        known.then(|| vec![(self.kinds().classes(), 0.0)])
    }

    fn singular_values(&self, layers: RangeInclusive<usize>) -> Result<Vec<SingularValue>> {
        self.problem().regularization().layer_indices(&layers)?;
        self.determined("the singular values")?;
        self.classifier_singular_values()
    }

    fn feature_singular_values(&self) -> Result<Vec<SingularValue>> {
        self.determined("the singular values of the features")?;
        let kinds = self.kinds().kinds().iter().enumerate();
        Ok(sorted(kinds.map(|(index, kind)| {
            let norm = self.feature_norm_squared(index).sqrt();
            (norm * (kind.size as f64).sqrt(), kind.classes)
        })))
    }

    /// C diag(ν²) C with C = I − 11ᵀ/K and v_k = ν_k (e_k − 1/K).
    fn trailing_gram(&self, layers: usize) -> Result<ClassMatrix> {
        self.problem().regularization().check_trailing(layers)?;
        self.determined("the classifier's Gram matrix")?;
        let (sizes, mean) = (self.squared_sizes(), self.mean_squared_size());
        let classes = self.kinds().classes() as f64;
        let column = DVector::from_vec(sizes.clone());
        let coupling = DMatrix::from_fn(sizes.len(), sizes.len(), |g, h| {
            (mean - column[g] - column[h]) / classes
        });
        Ok(ClassMatrix::from_kinds(self.kinds(), sizes, Some(coupling)))
    }

    /// diag(‖h_k‖²).
    fn class_means_gram(&self) -> Result<ClassMatrix> {
        self.determined("the class means' Gram matrix")?;
        let norms = (0..self.margins().len()).map(|kind| self.feature_norm_squared(kind));
        Ok(ClassMatrix::from_kinds(self.kinds(), norms.collect(), None))
    }

    /// (I − 11ᵀ/K) diag(α).
    fn class_outputs(&self) -> Result<ClassMatrix> {
        self.determined("the outputs for the class means")?;
        let classes = self.kinds().classes() as f64;
        let margins = DVector::from_row_slice(self.margins());
        let size = margins.len();
        let coupling = DMatrix::from_fn(size, size, |_, h| -margins[h] / classes);
        Ok(ClassMatrix::from_kinds(self.kinds(), self.margins().to_vec(), Some(coupling)))
    }

    /// The features need non-negative orthonormal vectors: of [`Basis::Standard`] the first unit vectors, of
    /// [`Basis::Random`] positive vectors on a random division of the coordinates; a given basis has to be
    /// non-negative. A column of the basis belongs to each living class, in their order.
    fn explicit(&self, basis: &Basis) -> Result<ExplicitPoint> {
        let problem = self.problem();
        let (classes, living) = (self.kinds().classes(), self.living_classes());
        check_matrices(problem.regularization(), problem.widths(), (classes, classes, living))?;
        let width = problem.widths().and_then(<[usize]>::first).copied().unwrap_or(classes);
        let vectors = nonnegative_vectors(basis, width, living)?;
        let sizes = self.squared_sizes();
        let mut classifier = DMatrix::zeros(classes, width);
        let mut means = DMatrix::zeros(width, classes);
        let alive = self.kinds().of_classes().into_iter().enumerate();
        let alive = alive.filter(|&(_, kind)| sizes[kind] > 0.0);
        for ((class, kind), vector) in alive.zip(vectors.column_iter()) {
            means.set_column(class, &(vector * self.feature_norm_squared(kind).sqrt()));
            let row = vector.transpose() * sizes[kind].sqrt();
            let mut of_class = classifier.row_mut(class);
            of_class += row;
        }
        let mean = classifier.row_mean();
        classifier.row_iter_mut().for_each(|mut row| row -= &mean);
        let bias = problem.regularization().bias() != Bias::None;
        let bias = bias.then(|| DVector::zeros(classes));
        let head = LinearHead::new(vec![classifier], bias)?;
        Ok(ExplicitPoint::new(head, means, Copies::Classes(problem.counts().clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::nonnegative::problem::NonnegativeUfm;
    use crate::problem::regularization::Regularization;

    fn ufm(counts: &[u64], (weight, feature): (f64, f64), bias: Bias) -> NonnegativeUfm {
        let regularization =
            Regularization::new(&[weight], feature).unwrap().with_bias(bias).unwrap();
        NonnegativeUfm::new(ClassCounts::new(counts).unwrap(), regularization).unwrap()
    }

    /// Centering couples classes of different sizes: singular values are the roots of the eigenvalues of W Wᵀ.
    #[test]
    fn singular_values_of_several_kinds_are_those_of_the_gram_matrix() {
        for counts in [&[8, 8, 4, 4, 4, 2][..], &[9, 5, 2]] {
            let minimum = ufm(counts, (1e-3, 1e-3), Bias::None).global_minimum().unwrap();
            let gram = minimum.trailing_gram(1).unwrap().to_dense().unwrap();
            let expected = crate::numerics::linalg::symmetric_eigen(&gram).unwrap().values;
            let found = minimum.classifier_singular_values().unwrap();
            let found: Vec<f64> = found
                .iter()
                .flat_map(|found| std::iter::repeat_n(found.value, found.multiplicity))
                .collect();
            assert_eq!(found.len(), counts.len() - 1);
            for (found, square) in found.iter().zip(&expected) {
                assert!((found / square.sqrt() - 1.0).abs() < 1e-12, "{found} {square}");
            }
        }
    }

    /// Two living classes and a free bias: nothing else leaves a choice.
    #[test]
    fn families_are_known() {
        let (free, penalized) = (Bias::Unregularized, Bias::Regularized(0.1));
        for (counts, decay, bias, living, is_family) in [
            (&[4, 4][..], 1e-2, free, 2, true),
            (&[4, 4], 1e-2, penalized, 2, false),
            (&[4, 4], 1e-2, Bias::None, 2, false),
            (&[4, 4], 1.0, free, 0, false),
            (&[4, 4, 4], 1e-2, free, 3, false),
            (&[8, 1, 4], 7e-2, Bias::None, 2, false),
        ] {
            let minimum = ufm(counts, (decay, decay), bias).global_minimum().unwrap();
            assert_eq!((minimum.living_classes(), minimum.is_family()), (living, is_family));
            assert_eq!(minimum.is_unique(), !is_family);
            let zeros = (bias != Bias::None && !is_family).then(|| vec![0.0; counts.len()]);
            assert_eq!(minimum.bias(), zeros);
            let point = minimum.explicit(&Basis::Standard).unwrap();
            assert_eq!(point.head().bias().is_some(), bias != Bias::None);
            assert_eq!(minimum.geometry() == Geometry::Collapsed, living == 0);
            // The class in the middle is dead where not all live.
            let means = point.class_means().unwrap();
            let alive: Vec<bool> = means.column_iter().map(|mean| mean.norm() > 0.0).collect();
            let margins = (0..counts.len()).map(|class| minimum.margin(class) > Some(0.0));
            assert_eq!(alive, margins.collect::<Vec<_>>());
        }
    }

    #[test]
    fn weights_tell_classes_of_one_size_apart() {
        let problem = ufm(&[4, 4], (1e-2, 1e-2), Bias::None);
        let minimum = problem.global_minimum().unwrap();
        assert!(minimum.is_symmetric() && !minimum.has_arbitrary_order());
        let weighted = problem.with_class_weights(&[1.0, 2.0]).unwrap().global_minimum().unwrap();
        assert!(!weighted.is_symmetric() && weighted.margin(2).is_none());
        let values = sorted([(0.0, 1), (2.0, 0), (1.0, 2), (3.0, 1)].into_iter());
        let found: Vec<_> = values.iter().map(|value| (value.value, value.multiplicity)).collect();
        assert_eq!(found, [(3.0, 1), (1.0, 2)]);
    }

    /// As many dimensions as living classes are enough; a bias where weights differ and classes die is refused.
    #[test]
    fn what_has_no_closed_form_is_refused() {
        let wide = |width: usize| {
            let ufm = ufm(&[8, 1, 4], (7e-2, 7e-2), Bias::None).with_widths(&[width]).unwrap();
            ufm.global_minimum().is_ok()
        };
        assert_eq!([1, 2, 3].map(wide), [false, true, true]);
        let biased = |decay: f64, weights: &[f64]| {
            let ufm = ufm(&[4, 4], (decay, decay), Bias::Regularized(0.1));
            ufm.with_class_weights(weights).unwrap().global_minimum().is_ok()
        };
        assert!(biased(1e-2, &[1.0, 2.0]) && biased(1.0, &[1.0, 1.0]) && !biased(0.3, &[1.0, 2.0]));
    }

    /// α = ln((1 − u)/u) with u = Nκ/√(2n) for two classes, also where 1/u is no number; norms and counts out of range
    /// have a logarithm.
    #[test]
    fn tiny_decays_have_large_margins() {
        let least = f64::from_bits(1 << 34); // 2⁻¹⁰⁴⁰
        let minimum = ufm(&[1, 1], (least, least), Bias::None).global_minimum().unwrap();
        let expected = 1039.5 * 2.0_f64.ln();
        assert!((minimum.margin(0).unwrap() / expected - 1.0).abs() < 1e-12);
        let extreme = ufm(&[4, 4], (1e-320, 1e300), Bias::None);
        let error = extreme.global_minimum().unwrap_err();
        let Error::Unrepresentable { log10, .. } = error else { panic!("{error}") };
        let alpha = (1.0 / (8e-10 / 8.0_f64.sqrt()) - 1.0).ln();
        let expected = alpha.log10() + 310.0 + 2.0_f64.log10();
        assert!((log10 - expected).abs() < 1e-4, "{log10} {expected}");
        let usual = ufm(&[4, 4], (1e-2, 4e-2), Bias::None).with_label_smoothing(0.2).unwrap();
        let error = usual.smallest_surviving_count(1e-200).unwrap_err();
        let Error::Unrepresentable { log10, .. } = error else { panic!("{error}") };
        // Nκ/((1 − δ) ω) = 8 · 0.02/0.8 · 10²⁰⁰.
        assert!((log10 - 2.0 * (200.0 + 0.2_f64.log10())).abs() < 1e-11, "{log10}");
    }
}
