//! A point of known structure: everything that follows from the sizes of its logits.

use core::ops::RangeInclusive;

use nalgebra::{DMatrix, DVector};

use crate::error::{Error, Result};
use crate::geometry::class_matrix::ClassMatrix;
use crate::geometry::family::Subset;
use crate::models::cross_entropy::problem::CrossEntropyUfm;
use crate::models::cross_entropy::reduced::{Penalty, Reduced};
use crate::models::cross_entropy::structure::LogitStructure;
use crate::models::cross_entropy::verdict::verdict;
use crate::numerics::linalg::{check_memory, svd_thin};
use crate::prediction::class_runs::written_out;
use crate::prediction::explicit::{Basis, ExplicitPoint, FittedVectors, check_matrices};
use crate::prediction::{ClassGeometry, Geometry, Prediction, SingularValue, Verdict};
use crate::problem::counts::{ClassCounts, Run};
use crate::problem::regularization::Bias;
use crate::problem::training_objective::{LossFunction, TrainingObjective};

/// Structures that are not symmetric need K² numbers and a decomposition: not for more classes.
const MOST_CLASSES: usize = 1000;

/// A point of a [`CrossEntropyUfm`] with logits of a known structure, with all layers balanced.
///
/// In a singular direction in which the logits Z of the class means have the singular value σ, the
/// *energy* is t = c·u·σ^(2/(M+1)): λₘ times the squared singular value of Wₘ for every layer, λ_H
/// times that of H, and n λ_H times that of the class means.
///
/// ```
/// use neural_collapse::{Basis, CrossEntropyUfm, Prediction, Regularization};
///
/// let ufm = CrossEntropyUfm::new(4, 25, Regularization::new(&[1e-3; 2], 1e-4)?)?;
/// let etf = ufm.simplex_etf()?;
/// assert_eq!(etf.rank(), 3);
/// // The matrices themselves.
/// let explicit = etf.explicit(&Basis::Random(1))?;
/// let product = explicit.head().product()?;
/// let gram = &product * product.transpose();
/// assert!(etf.trailing_gram(2)?.distance(&gram)? < 1e-14);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct CrossEntropyPoint {
    ufm: CrossEntropyUfm,
    structure: LogitStructure,
    sizes: Vec<f64>,
    /// What a point that was found numerically has instead of sizes.
    numbers: Option<Numbers>,
    measures: Measures,
    verdict: Verdict,
}

/// Logits that were found numerically.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Numbers {
    /// Z.
    pub(crate) logits: DMatrix<f64>,
    /// b, zeros without one.
    pub(crate) bias: Vec<f64>,
    /// Singular values of Z with their multiplicities, the positive ones only.
    pub(crate) singular_values: Vec<(f64, usize)>,
}

/// What the sizes decide.
#[derive(Debug, Clone, PartialEq)]
struct Measures {
    /// Singular values of Z with their multiplicities, the positive ones only.
    singular_values: Vec<(f64, usize)>,
    margin: f64,
    /// F.
    value: f64,
}

impl CrossEntropyPoint {
    /// The point with these sizes; biases, if the structure has several kinds of classes, come last.
    pub(crate) fn new(
        ufm: CrossEntropyUfm,
        structure: LogitStructure,
        sizes: Vec<f64>,
    ) -> Result<Self> {
        let penalty = with_all_biases(Penalty::of(&ufm));
        let measures = match structure.reduced(ufm.classes(), penalty.bias) {
            None => simplex_or_zero(&ufm, &structure, &sizes),
            Some(reduced) => general(&reduced, &sizes, &penalty),
        };
        let verdict = verdict(&ufm, &structure);
        let point = Self { ufm, structure, sizes, numbers: None, measures, verdict };
        point.check_range()?;
        Ok(point)
    }

    /// A point that was found numerically, with F.
    pub(crate) fn numerical(
        ufm: CrossEntropyUfm,
        structure: LogitStructure,
        numbers: Numbers,
        value: f64,
    ) -> Result<Self> {
        let measures = Measures {
            singular_values: numbers.singular_values.clone(),
            margin: smallest_margin(&numbers.logits, &numbers.bias),
            value,
        };
        let verdict = verdict(&ufm, &structure);
        let numbers = Some(numbers);
        let point = Self { ufm, structure, sizes: Vec::new(), numbers, measures, verdict };
        point.check_range()?;
        Ok(point)
    }

    /// The same point with another verdict, from a comparison with others.
    pub(crate) fn with_verdict(self, verdict: Verdict) -> Self {
        Self { verdict, ..self }
    }

    /// Everything that is derived from the energies must be representable.
    fn check_range(&self) -> Result<()> {
        let regularization = self.ufm.regularization();
        let least = regularization.weight_decays().iter().copied().fold(f64::INFINITY, f64::min);
        let least = least.min(regularization.feature_decay());
        match self.energies().iter().find(|(energy, _)| !(energy / least).is_finite()) {
            None => Ok(()),
            Some((energy, _)) => Err(Error::Unrepresentable {
                quantity: "a squared singular value of the weights or features",
                log10: energy.log10() - least.log10(),
            }),
        }
    }

    /// The problem.
    #[must_use]
    pub fn problem(&self) -> &CrossEntropyUfm {
        &self.ufm
    }

    /// The structure of the logits.
    #[must_use]
    pub fn structure(&self) -> &LogitStructure {
        &self.structure
    }

    /// The sizes of the structure: α of a simplex ETF, β of each block of a direct sum that is not at
    /// the origin, (β, x, y) of a pyramid, (β, δ) of an antiprism, the β of each factor of a product.
    #[must_use]
    pub fn sizes(&self) -> &[f64] {
        &self.sizes[..self.structure.size_count()]
    }

    /// The smallest amount by which the output of the right class exceeds that of a wrong one; α for
    /// a simplex ETF. Negative if some classes are not told apart.
    #[must_use]
    pub fn margin(&self) -> f64 {
        self.measures.margin
    }

    /// The rank of the logits.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.measures.singular_values.iter().map(|(_, multiplicity)| multiplicity).sum()
    }

    /// The positive singular values σ of the logits Z of the class means (K×K, without the bias), by falling value.
    #[must_use]
    pub fn logit_singular_values(&self) -> Vec<SingularValue> {
        let values = self.measures.singular_values.iter();
        values.map(|&(value, multiplicity)| SingularValue::new(value, multiplicity)).collect()
    }

    /// The energy t = c·u·σ^(2/(M+1)) of each of the [`logit_singular_values`](Self::logit_singular_values),
    /// with its multiplicity.
    #[must_use]
    pub fn energies(&self) -> Vec<(f64, usize)> {
        self.measures.singular_values.iter().map(|&(value, m)| (self.energy(value), m)).collect()
    }

    fn energy(&self, singular_value: f64) -> f64 {
        let exponent = 2.0 / (self.ufm.depth() as f64 + 1.0);
        self.ufm.mean_decay() * singular_value.powf(exponent)
    }

    /// The singular values √(t/(n λ_H)) of the class means H̄ (d₁×K) that are positive, by falling value.
    #[must_use]
    pub fn mean_singular_values(&self) -> Vec<SingularValue> {
        let decay = self.ufm.regularization().feature_decay() * self.ufm.samples_per_class() as f64;
        self.of_energies(|energy| (energy / decay).sqrt())
    }

    /// The singular values of a factor as a function of the energy.
    fn of_energies(&self, value: impl Fn(f64) -> f64) -> Vec<SingularValue> {
        let energies = self.energies().into_iter();
        energies.map(|(energy, m)| SingularValue::new(value(energy), m)).collect()
    }

    fn logits(&self) -> Result<ClassMatrix> {
        Ok(match self.structure {
            LogitStructure::SimplexEtf => self.scaled_simplex_etf(self.sizes[0]),
            LogitStructure::Collapsed => self.scaled_simplex_etf(0.0),
            _ => ClassMatrix::dense(self.dense_logits()?),
        })
    }

    /// value·(I − 11ᵀ/K).
    fn scaled_simplex_etf(&self, value: f64) -> ClassMatrix {
        ClassMatrix::from_contrasts(self.ufm.counts(), &[value], DMatrix::zeros(1, 1))
    }

    fn dense_logits(&self) -> Result<DMatrix<f64>> {
        let classes = self.ufm.classes();
        if let Some(numbers) = &self.numbers {
            return Ok(numbers.logits.clone());
        }
        check_memory("classes", classes as f64, classes.checked_mul(classes))?;
        Ok(self.structure.logits(classes, &self.sizes))
    }

    fn gram(&self, side: Side, eigenvalue: impl Fn(f64) -> f64) -> Result<ClassMatrix> {
        if let LogitStructure::SimplexEtf | LogitStructure::Collapsed = self.structure {
            let value = self.energies().first().map_or(0.0, |&(energy, _)| eigenvalue(energy));
            return Ok(self.scaled_simplex_etf(value));
        }
        let fitted = self.fitted()?;
        let vectors = match side {
            Side::Left => fitted.left,
            Side::Right => fitted.right * (self.ufm.samples_per_class() as f64).sqrt(),
        };
        let values = fitted.energies.iter().map(|&energy| eigenvalue(energy));
        let diagonal = DVector::from_iterator(vectors.ncols(), values);
        Ok(ClassMatrix::dense(&vectors * DMatrix::from_diagonal(&diagonal) * vectors.transpose()))
    }

    /// The singular vectors of the logits of all samples; right ones have n equal entries a class.
    fn fitted(&self) -> Result<FittedVectors> {
        let classes = self.ufm.classes();
        let samples = (self.ufm.samples_per_class() as f64).sqrt();
        let rank = self.rank();
        if let LogitStructure::SimplexEtf | LogitStructure::Collapsed = self.structure {
            let all = core::iter::once(0..classes).collect();
            let left = Subset::Contrasts(all).basis(classes).columns(0, rank).into_owned();
            let energies = self.energies();
            let energy = energies.first().map_or(0.0, |&(energy, _)| energy);
            let right = &left / samples;
            return Ok(FittedVectors { left, right, energies: vec![energy; rank] });
        }
        let svd = svd_thin(&self.dense_logits()?)?;
        let values = svd.singular_values.iter().take(rank);
        Ok(FittedVectors {
            left: svd.u.columns(0, rank).into_owned(),
            right: svd.v.columns(0, rank) / samples,
            energies: values.map(|&value| self.energy(value)).collect(),
        })
    }
}

impl Prediction for CrossEntropyPoint {
    fn training_objective(&self) -> TrainingObjective {
        let (factor, regularization) =
            (self.ufm.loss_mean().factor(), self.ufm.regularization().clone());
        let label_smoothing = self.ufm.label_smoothing();
        if label_smoothing == 0.0 {
            let loss_function = LossFunction::CrossEntropy;
            return TrainingObjective::Penalized { loss_function, factor, regularization };
        }
        let class_weights =
            if factor == 1.0 { Vec::new() } else { vec![factor; self.ufm.classes()] };
        TrainingObjective::WeightedCrossEntropy {
            regularization,
            class_weights,
            label_smoothing,
            logit_offsets: Vec::new(),
            nonnegative_features: false,
        }
    }

    fn counts(&self) -> Option<&ClassCounts> {
        Some(self.ufm.counts())
    }

    fn classes(&self) -> usize {
        self.ufm.classes()
    }

    fn depth(&self) -> usize {
        self.ufm.depth()
    }

    fn widths(&self) -> Option<&[usize]> {
        self.ufm.widths()
    }

    fn geometry(&self) -> Geometry {
        match &self.structure {
            LogitStructure::Collapsed => Geometry::Collapsed,
            LogitStructure::SimplexEtf => Geometry::SimplexEtf,
            structure => Geometry::Structure(structure.to_string().into()),
        }
    }

    fn verdict(&self) -> Verdict {
        self.verdict.clone()
    }

    fn loss(&self) -> f64 {
        self.ufm.loss_mean().factor() * self.measures.value
    }

    /// True: the global minimizers of one structure differ by rotations of the hidden spaces and by the order
    /// of the classes only.
    fn is_unique(&self) -> bool {
        true
    }

    fn is_symmetric(&self) -> bool {
        matches!(self.structure, LogitStructure::SimplexEtf | LogitStructure::Collapsed)
    }

    /// # Errors
    /// [`Error::NotAnswered`] for a structure of more than 1000 classes that is not symmetric, as its K² numbers
    /// would have to be decomposed; as [`trailing_gram`](Prediction::trailing_gram).
    fn class_runs(&self) -> Result<Vec<(Run, ClassGeometry)>> {
        if !self.is_symmetric() && self.ufm.classes() > MOST_CLASSES {
            return Err(Error::NotAnswered {
                question: "the norms of every class",
                reason: "the structure is not symmetric and has more than 1000 classes",
            });
        }
        let grams = [self.trailing_gram(1)?, self.class_means_gram()?];
        Ok(ClassGeometry::runs(self.ufm.counts(), self.is_symmetric(), &grams))
    }

    /// With an unregularized bias the outputs' probabilities do not change when a multiple of 1 is
    /// added: this is the b with Σ b_k = 0. With a regularized one it is unique. It is zero for every
    /// structure that treats all classes alike.
    fn bias_runs(&self) -> Option<Vec<(usize, f64)>> {
        if self.ufm.regularization().bias() == Bias::None {
            return None;
        }
        if let Some(numbers) = &self.numbers {
            return Some(numbers.bias.iter().map(|&entry| (1, entry)).collect());
        }
        let kinds = self.structure.kinds(self.ufm.classes());
        let biases = &self.sizes[self.structure.size_count()..];
        Some(match biases {
            [] => kinds.into_iter().map(|count| (count, 0.0)).collect(),
            biases => kinds.into_iter().zip(biases.iter().copied()).collect(),
        })
    }

    fn bias(&self) -> Option<Vec<f64>> {
        written_out(&self.bias_runs()?)
    }

    /// Those that are positive: √(t^(j−i+1)/(λ_i⋯λ_j)) for the layers i..=j.
    fn singular_values(&self, layers: RangeInclusive<usize>) -> Result<Vec<SingularValue>> {
        let regularization = self.ufm.regularization();
        let layers = regularization.layer_indices(&layers)?;
        Ok(self.of_energies(|energy| regularization.product_singular_value(layers.clone(), energy)))
    }

    /// Those that are positive: √(t/λ_H).
    fn feature_singular_values(&self) -> Result<Vec<SingularValue>> {
        let decay = self.ufm.regularization().feature_decay();
        Ok(self.of_energies(|energy| (energy / decay).sqrt()))
    }

    /// It has the eigenvalues t^m/(λ_M⋯λ_(M−m+1)).
    ///
    /// # Errors
    /// [`Error::OutOfRange`] unless 1 ≤ m ≤ M. For a structure that is no simplex ETF also
    /// [`Error::OutOfRange`] if K² numbers do not fit into memory, and [`Error::NoConvergence`] if the
    /// singular vectors were not found.
    fn trailing_gram(&self, layers: usize) -> Result<ClassMatrix> {
        let regularization = self.ufm.regularization();
        regularization.check_trailing(layers)?;
        self.gram(Side::Left, |energy| regularization.trailing_eigenvalue(layers, energy))
    }

    /// It has the eigenvalues t/(n λ_H).
    fn class_means_gram(&self) -> Result<ClassMatrix> {
        let decay = self.ufm.regularization().feature_decay() * self.ufm.samples_per_class() as f64;
        self.gram(Side::Right, |energy| energy / decay)
    }

    /// The logits Z of the class means, without the bias; column k belongs to class k.
    fn class_outputs(&self) -> Result<ClassMatrix> {
        self.logits()
    }

    /// With K for widths that are not limited.
    fn explicit(&self, basis: &Basis) -> Result<ExplicitPoint> {
        let (regularization, widths) = (self.ufm.regularization(), self.ufm.widths());
        let classes = self.ufm.classes();
        check_matrices(regularization, widths, (classes, classes, self.rank()))?;
        self.fitted()?.assemble(
            regularization,
            widths,
            basis,
            self.bias().map(DVector::from_vec),
            Some(self.ufm.counts().clone()),
        )
    }
}

/// Which singular vectors.
#[derive(Debug, Clone, Copy)]
enum Side {
    Left,
    Right,
}

/// The smallest amount by which the right output exceeds a wrong one.
fn smallest_margin(logits: &DMatrix<f64>, bias: &[f64]) -> f64 {
    let mut smallest = f64::INFINITY;
    for (class, column) in logits.column_iter().enumerate() {
        let outputs = column.iter().zip(bias).map(|(z, b)| z + b).enumerate();
        let right = column[class] + bias[class];
        let wrong = outputs.filter(|(output, _)| *output != class).map(|(_, output)| output);
        smallest = smallest.min(right - wrong.fold(f64::NEG_INFINITY, f64::max));
    }
    smallest
}

/// The two structures with a scalar problem of their own.
fn simplex_or_zero(ufm: &CrossEntropyUfm, structure: &LogitStructure, sizes: &[f64]) -> Measures {
    let classes = ufm.classes();
    match (structure, sizes) {
        (LogitStructure::SimplexEtf, &[alpha]) => Measures {
            singular_values: vec![(alpha, classes - 1)],
            margin: alpha,
            value: ufm.simplex_potential().value_unchecked(alpha, ufm.strength()),
        },
        _ => Measures { singular_values: Vec::new(), margin: 0.0, value: (classes as f64).ln() },
    }
}

/// All others, from their loss as a function of θ with a bias for every kind of classes.
fn general(reduced: &Reduced, sizes: &[f64], penalty: &Penalty) -> Measures {
    let values = reduced.singular_forms.iter();
    let mut singular_values: Vec<_> =
        values.map(|value| (value.value(sizes), value.multiplicity)).collect();
    singular_values.sort_by(|a, b| b.0.total_cmp(&a.0));
    let gaps = reduced.kinds.iter().map(|kind| kind.smallest_gap(sizes));
    Measures {
        singular_values,
        margin: gaps.fold(f64::INFINITY, f64::min),
        value: reduced.value(sizes, penalty),
    }
}

/// A bias for every kind of classes, with the penalty of the problem.
fn with_all_biases(penalty: Penalty) -> Penalty {
    match penalty.bias {
        Bias::Regularized(_) => penalty,
        _ => Penalty { bias: Bias::Regularized(0.0), ..penalty },
    }
}

impl CrossEntropyUfm {
    /// The best point with logits α(I − 11ᵀ/K): a simplex ETF, or zero where that is better.
    ///
    /// It is a critical point for every λ_b ≥ 0, and the global minimum of Theorem A.1.
    ///
    /// # Errors
    /// [`Error::Unrepresentable`] if a squared singular value is out of the range of `f64`.
    pub fn simplex_etf(&self) -> Result<CrossEntropyPoint> {
        let minimizer = self.simplex_potential().minimizer_unchecked(self.strength());
        if minimizer.alpha() == 0.0 {
            return CrossEntropyPoint::new(self.clone(), LogitStructure::Collapsed, Vec::new());
        }
        let sizes = vec![minimizer.alpha()];
        CrossEntropyPoint::new(self.clone(), LogitStructure::SimplexEtf, sizes)
    }
}

#[cfg(test)]
mod tests;
