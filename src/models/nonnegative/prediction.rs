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
            let own = sizes.get(kind).copied().unwrap_or(f64::NAN);
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
        let alive = alive.filter(|&(_, kind)| sizes.get(kind).is_some_and(|&size| size > 0.0));
        for ((class, kind), vector) in alive.zip(vectors.column_iter()) {
            means.set_column(class, &(vector * self.feature_norm_squared(kind).sqrt()));
            let row = vector.transpose() * sizes.get(kind).copied().unwrap_or(0.0).sqrt();
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
