//! The lowest point that a search has found, with everything that can be measured there.

use core::ops::RangeInclusive;

use nalgebra::{DMatrix, DVector};

use crate::error::{Error, Result};
use crate::geometry::class_matrix::ClassMatrix;
use crate::models::convex::ConvexUfm;
use crate::models::low_rank::objective::DataTerm;
use crate::models::low_rank::problem::LowRankProblem;
use crate::models::low_rank::search::{Found, Search, search};
use crate::models::low_rank::symmetry::symmetry;
use crate::monitor::Monitor;
use crate::prediction::explicit::{Basis, ExplicitPoint, FittedVectors, check_matrices};
use crate::prediction::{ClassGeometry, Geometry, Prediction, SingularValue, Verdict};
use crate::problem::counts::{ClassCounts, Run};
use crate::problem::regularization::Bias;
use crate::problem::training_objective::TrainingObjective;

/// The lowest point of a [`LowRankProblem`] that a search has found: an upper bound of the minimum.
#[derive(Debug, Clone, PartialEq)]
pub struct LowRankMinimum {
    problem: LowRankProblem,
    found: Found,
    /// c·u σ^(2/(M+1)), one for each singular value.
    energies: Vec<f64>,
    automorphisms: Option<u128>,
    orbits: Vec<usize>,
    lower_bound: Option<f64>,
}

impl LowRankProblem {
    /// The lowest point that a numerical search finds.
    ///
    /// `monitor` hears of every start and may end the search; `&()` watches nothing.
    ///
    /// # Errors
    /// [`Error::Cancelled`](crate::Error::Cancelled) if the monitor ends it; [`Error::NoConvergence`](crate::Error::NoConvergence) if no start leads to a finite value;
    /// [`Error::Unrepresentable`](crate::Error::Unrepresentable) for a strength below about 1e-260.
    pub fn minimize(&self, options: &Search, monitor: &dyn Monitor) -> Result<LowRankMinimum> {
        let lower_bound = self.lower_bound(monitor)?;
        let found = search(&self.objective(), self.rank_limit(), &[], options, monitor)?;
        Ok(LowRankMinimum::new(self.clone(), found, lower_bound))
    }

    /// That of the convex program, which knows no widths, for one layer.
    fn lower_bound(&self, monitor: &dyn Monitor) -> Result<Option<f64>> {
        if self.regularization().depth() > 1 {
            return Ok(None);
        }
        match self.without_widths()?.global_minimum_with(monitor) {
            Ok(minimum) => Ok(minimum.lower_bound()),
            Err(Error::Cancelled) => Err(Error::Cancelled),
            Err(_) => Ok(None),
        }
    }

    fn without_widths(&self) -> Result<ConvexUfm> {
        let (counts, regularization) = (self.counts().clone(), self.regularization().clone());
        let ufm = match self.data_term() {
            DataTerm::CrossEntropy => ConvexUfm::cross_entropy(counts, regularization)?,
            DataTerm::Squared => ConvexUfm::squared_error(counts, regularization)?,
        };
        let ufm = match self.class_weights() {
            [] => ufm,
            weights => ufm.with_class_weights(weights)?,
        };
        ufm.with_label_smoothing(self.label_smoothing())
    }
}

impl LowRankMinimum {
    fn new(problem: LowRankProblem, mut found: Found, lower_bound: Option<f64>) -> Self {
        // Cross-entropy does not see a common shift of all logits, and the squared loss does.
        let shifts = problem.data_term() == DataTerm::CrossEntropy;
        if shifts && problem.regularization().bias() == Bias::Unregularized {
            let mean = found.bias.iter().sum::<f64>() / found.bias.len() as f64;
            found.bias.iter_mut().for_each(|b| *b -= mean);
        }
        let exponent = 2.0 / (problem.regularization().depth() as f64 + 1.0);
        let energies =
            found.singular_values.iter().map(|value| problem.strength() * value.powf(exponent));
        let kinds = kinds(&problem, &found);
        let symmetry = symmetry(&found.outputs, &kinds);
        Self {
            energies: energies.collect(),
            automorphisms: symmetry.order,
            orbits: symmetry.orbits,
            lower_bound: lower_bound.map(|bound| up_to_rounding(bound, found.value)),
            problem,
            found,
        }
    }

    /// The problem.
    #[must_use]
    pub fn problem(&self) -> &LowRankProblem {
        &self.problem
    }

    /// The rank of the outputs.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.found.singular_values.len()
    }

    /// The outputs Z (K×K) for the class means, without the bias; column k belongs to class k.
    #[must_use]
    pub fn outputs(&self) -> &DMatrix<f64> {
        &self.found.outputs
    }

    /// How many starts ended at this loss, and how many there were.
    #[must_use]
    pub fn hits(&self) -> (usize, usize) {
        (self.found.hits, self.found.starts)
    }

    /// The largest entry of the gradient with respect to the factors of Z and to b.
    #[must_use]
    pub fn gradient(&self) -> f64 {
        self.found.gradient
    }

    /// Whether no direction has negative curvature; `None` if the problem is too large to tell.
    #[must_use]
    pub fn is_local_minimum(&self) -> Option<bool> {
        self.found.is_minimum
    }

    /// How many exchanges of classes of one size and weight leave Z and b as they are; `None` if that could
    /// not be found.
    #[must_use]
    pub fn automorphisms(&self) -> Option<u128> {
        self.automorphisms
    }

    /// The orbit of every class under these exchanges, numbered from 0.
    #[must_use]
    pub fn orbits(&self) -> &[usize] {
        &self.orbits
    }

    fn classes_are_alike(&self) -> bool {
        let mut factorials =
            self.problem.counts().sizes().map(|group| 1..=group.class_count as u128);
        let all = factorials
            .try_fold(1_u128, |all, mut numbers| numbers.try_fold(all, u128::checked_mul));
        all.is_some() && self.automorphisms == all
    }

    /// A function of the energies, one for each singular value.
    fn of_energies(&self, value: impl Fn(f64) -> f64) -> Vec<SingularValue> {
        self.energies.iter().map(|&energy| SingularValue::new(value(energy), 1)).collect()
    }

    /// V (diag(n))^(−1/2): the right singular vectors of the outputs of all samples, a row for each class.
    fn right_vectors(&self) -> DMatrix<f64> {
        let mut right = self.found.right.clone();
        for (mut row, size) in right.row_iter_mut().zip(self.problem.class_sizes()) {
            row /= size.sqrt();
        }
        right
    }
}

/// What an exchange of classes must keep: the size, and weight and bias where there are some.
fn kinds(problem: &LowRankProblem, found: &Found) -> Vec<Vec<f64>> {
    let largest = found.outputs.amax().max(f64::MIN_POSITIVE);
    let sizes = problem.class_sizes().into_iter().enumerate();
    sizes
        .map(|(class, size)| {
            let weight = problem.class_weights().get(class).map(|weight| weight * largest);
            let bias = found.bias.get(class).copied();
            core::iter::once(size * largest).chain(weight).chain(bias).collect()
        })
        .collect()
}

/// V diag(values) Vᵀ.
fn gram(vectors: &DMatrix<f64>, values: impl Iterator<Item = f64>) -> ClassMatrix {
    let diagonal = DVector::from_iterator(vectors.ncols(), values);
    ClassMatrix::dense(vectors * DMatrix::from_diagonal(&diagonal) * vectors.transpose())
}

/// A lower bound of the minimum beside a value that is attained: no larger, if only rounding makes it so. More would be a
/// mistake, which must be seen.
fn up_to_rounding(bound: f64, attained: f64) -> f64 {
    const ROUNDING: f64 = 1e-13;
    if bound <= attained * (1.0 + ROUNDING) { bound.min(attained) } else { bound }
}

impl Prediction for LowRankMinimum {
    fn training_objective(&self) -> TrainingObjective {
        self.problem.training_objective()
    }

    fn counts(&self) -> Option<&ClassCounts> {
        Some(self.problem.counts())
    }

    fn classes(&self) -> usize {
        self.problem.counts().classes()
    }

    fn depth(&self) -> usize {
        self.problem.regularization().depth()
    }

    fn widths(&self) -> Option<&[usize]> {
        self.problem.widths()
    }

    fn geometry(&self) -> Geometry {
        match self.rank() {
            0 => Geometry::Collapsed,
            rank => Geometry::Structure(format!("numerical, rank {rank}").into()),
        }
    }

    fn verdict(&self) -> Verdict {
        let (hits, starts) = self.hits();
        let rank = self.rank();
        let found_by = format!("a numerical search, rank {rank}, {hits} of {starts} starts");
        Verdict::BestKnown { found_by: found_by.into() }
    }

    fn loss(&self) -> f64 {
        self.found.value
    }

    /// For one layer that of the problem with unlimited widths, which is convex.
    fn lower_bound(&self) -> Option<f64> {
        self.lower_bound
    }

    /// True as far as a search can tell: what it reports is one point.
    fn is_unique(&self) -> bool {
        true
    }

    fn is_symmetric(&self) -> bool {
        self.classes_are_alike()
    }

    fn class_runs(&self) -> Result<Vec<(Run, ClassGeometry)>> {
        let grams = [self.trailing_gram(1)?, self.class_means_gram()?];
        Ok(ClassGeometry::runs(self.problem.counts(), self.is_symmetric(), &grams))
    }

    fn bias(&self) -> Option<Vec<f64>> {
        (self.problem.regularization().bias() != Bias::None).then(|| self.found.bias.clone())
    }

    /// Those that are positive.
    fn singular_values(&self, layers: RangeInclusive<usize>) -> Result<Vec<SingularValue>> {
        let regularization = self.problem.regularization();
        let layers = regularization.layer_indices(&layers)?;
        Ok(self.of_energies(|energy| regularization.product_singular_value(layers.clone(), energy)))
    }

    /// Those that are positive.
    fn feature_singular_values(&self) -> Result<Vec<SingularValue>> {
        let decay = self.problem.regularization().feature_decay();
        Ok(self.of_energies(|energy| (energy / decay).sqrt()))
    }

    fn trailing_gram(&self, layers: usize) -> Result<ClassMatrix> {
        let regularization = self.problem.regularization();
        regularization.check_trailing(layers)?;
        let values = self.energies.iter().map(|&t| regularization.trailing_eigenvalue(layers, t));
        Ok(gram(&self.found.left, values))
    }

    fn class_means_gram(&self) -> Result<ClassMatrix> {
        let decay = self.problem.regularization().feature_decay();
        Ok(gram(&self.right_vectors(), self.energies.iter().map(|energy| energy / decay)))
    }

    fn class_outputs(&self) -> Result<ClassMatrix> {
        Ok(ClassMatrix::dense(self.found.outputs.clone()))
    }

    fn explicit(&self, basis: &Basis) -> Result<ExplicitPoint> {
        let (regularization, widths) = (self.problem.regularization(), self.problem.widths());
        let classes = self.classes();
        check_matrices(regularization, widths, (classes, classes, self.rank()))?;
        let vectors = FittedVectors {
            left: self.found.left.clone(),
            right: self.right_vectors(),
            energies: self.energies.clone(),
        };
        let bias = self.bias().map(DVector::from_vec);
        vectors.assemble(regularization, widths, basis, bias, Some(self.problem.counts().clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::regularization::Regularization;

    /// Classes on a regular polygon, Z_ij = cos(2π (i − j)/K), as a point that a search could have found.
    fn polygon(classes: usize, bias: &[f64]) -> Found {
        let angle = |i: usize| 2.0 * core::f64::consts::PI * i as f64 / classes as f64;
        let axes = DMatrix::from_fn(classes, 2, |i, axis| match axis {
            0 => angle(i).cos(),
            _ => angle(i).sin(),
        });
        let vectors = &axes * (2.0 / classes as f64).sqrt();
        Found {
            outputs: &axes * axes.transpose(),
            left: vectors.clone(),
            singular_values: vec![classes as f64 / 2.0; 2],
            right: vectors,
            bias: bias.to_vec(),
            value: 2.0,
            gradient: 0.125,
            is_minimum: Some(false),
            hits: 3,
            starts: 7,
        }
    }

    fn problem(classes: usize, bias: Bias) -> LowRankProblem {
        let counts = ClassCounts::balanced(classes, 4).unwrap();
        let regularization = Regularization::new(&[0.02], 0.01).unwrap().with_bias(bias).unwrap();
        LowRankProblem::cross_entropy(counts, regularization).unwrap()
    }

    #[test]
    fn answers_are_those_of_the_point() {
        let point = LowRankMinimum::new(problem(5, Bias::None), polygon(5, &[]), Some(1.5));
        assert_eq!((point.rank(), point.hits(), point.gradient()), (2, (3, 7), 0.125));
        assert_eq!((point.is_local_minimum(), point.loss()), (Some(false), 2.0));
        assert_eq!((point.lower_bound(), point.is_unique(), point.bias()), (Some(1.5), true, None));
        assert_eq!(point.outputs(), &polygon(5, &[]).outputs);
        assert_eq!(point.geometry().to_string(), "numerical, rank 2");
        let text = "a numerical search, rank 2, 3 of 7 starts";
        assert_eq!(point.verdict(), Verdict::BestKnown { found_by: text.into() });
        // One orbit, but not every exchange.
        assert_eq!((point.automorphisms(), point.orbits()), (Some(10), &[0; 5][..]));
        assert!(!point.is_symmetric());
        let triangle = LowRankMinimum::new(problem(3, Bias::None), polygon(3, &[]), None);
        assert_eq!(triangle.automorphisms(), Some(6));
        assert!(triangle.is_symmetric());
        // 40! is no u128: what is not known is not claimed.
        let mut zero = polygon(40, &[]);
        zero.outputs.fill(0.0);
        let zero = LowRankMinimum::new(problem(40, Bias::None), zero, None);
        assert_eq!((zero.automorphisms(), zero.is_symmetric()), (None, false));
        // Biases tell classes apart, and their mean is no matter of the cross-entropy.
        let free = Bias::Unregularized;
        let shifted = LowRankMinimum::new(problem(3, free), polygon(3, &[3.0, 3.0, 6.0]), None);
        assert_eq!(shifted.bias(), Some(vec![-1.0, -1.0, 2.0]));
        assert_eq!((shifted.automorphisms(), shifted.orbits()), (Some(2), &[0, 0, 1][..]));
    }

    #[test]
    fn a_bound_is_above_what_is_attained_by_rounding_at_most() {
        assert_eq!(up_to_rounding(1.0, 2.0), 1.0);
        assert_eq!(up_to_rounding(2.0 * (1.0 + 5e-14), 2.0), 2.0);
        assert_eq!(up_to_rounding(2.0 * (1.0 + 2e-13), 2.0), 2.0 * (1.0 + 2e-13));
    }
}
