//! Decisions from what NC1 finds of deviations, where these are certain.

use std::marker::PhantomData;

use nalgebra::{DMatrix, DVector};

use crate::measure::center::Center;
use crate::measure::class_means::ClassMeans;
use crate::measure::seen::{Observer, Seen};
use crate::metrics::decisions::functions::Functions;
use crate::metrics::decisions::screened::{DOUBLE, LARGEST, Rule, SINGLE, Screened, rules};
use crate::numerics::linalg::{
    Block, Cholesky, Entries, FewRows, Packed, gram, product, transposed,
};
use crate::numerics::magnitude;
use crate::numerics::scalar::Scalar;
use crate::numerics::simd::vectorized;
use crate::numerics::squares::{norm, sum_of_squares};

/// Sizes of coefficients that are far from over- and underflow.
const SIZES: std::ops::Range<f64> = 1e-15..1e15;

/// The scores of all classes for a sample h of class c from Dᵀ(h − h_c), which is fewer numbers than h has, and how far they
/// may be from the true ones. All is in a unit.
///
/// D are the directions in which the class means differ. The functions w of the nearest class mean are combinations Da of
/// these, and so are those of a head that has collapsed, but for a rest. That changes a score by no more than its length
/// times that of h − h_c.
#[derive(Debug, Clone)]
pub(crate) struct Near<T> {
    /// a of each function.
    weights: Packed<f32>,
    /// What is added to each score.
    offsets: Vec<f32>,
    /// Dᵀ(h_k − g) for the mean g of the class means, and its length.
    means: DMatrix<f32>,
    means_lengths: Vec<f64>,
    bounds: Vec<Bound>,
    /// By how much lengths may be larger than what was found of them: relative, and whatever they are.
    lengths: (f64, f64),
    features: PhantomData<T>,
}

/// How far the scores of a rule may be off.
#[derive(Debug, Clone)]
struct Bound {
    rule: Rule,
    /// For each unit of the length of what is multiplied by a.
    projected: f64,
    /// For each unit of the length of h − h_c.
    around: f64,
    /// For samples of each class.
    constant: Vec<f64>,
}

/// Memory for some samples.
pub(crate) struct Scratch {
    projected: Block<f32>,
    lengths: Vec<f64>,
    scores: DMatrix<f32>,
}

impl Default for Scratch {
    fn default() -> Self {
        Self { projected: Block::new(), lengths: Vec::new(), scores: DMatrix::zeros(0, 0) }
    }
}

/// What functions are made of.
struct Parts {
    /// a of each as a column.
    coefficients: DMatrix<f64>,
    /// The lengths of the directions.
    lengths: DVector<f64>,
    /// The lengths of the rests w − Da.
    rests: Vec<f64>,
    /// What the parts of these in the directions make of the class means, a row for each.
    of_means: DMatrix<f64>,
    /// The largest rest of a class mean.
    rest_of_means: f64,
    /// In the unit, ‖h_k‖ + 2‖g‖, and the lengths of what h_k − g is combined of.
    whole: Vec<f64>,
    dimension: usize,
    scale: f64,
}

impl<T: Scalar> Near<T> {
    /// For directions as columns in the unit `scale`; `None` if these are not independent or out of range.
    pub(super) fn new(
        functions: &Functions,
        means: &ClassMeans,
        directions: &DMatrix<f64>,
        scale: f64,
    ) -> Option<Self> {
        let center = means.center(Center::Classes);
        let (offsets, rules) = rules(functions, &center, scale);
        let mut weights = functions.weights.clone();
        // What all outputs have in common does not count; the class means are centered already.
        for rule in rules.iter().skip(1) {
            let mut own = weights.columns_range_mut(rule.rows.clone());
            let mean = own.column_mean();
            own.column_iter_mut().for_each(|mut weight| weight -= &mean);
        }
        let across = transposed(directions);
        let (products, gram) = (product(&across, &weights), gram(&across));
        let coefficients = Cholesky::new(gram.clone())?.solve(products.clone());
        let rests = norms(&(weights - product(directions, &coefficients)));
        // The first functions are those of the class means.
        let unit = functions.size / scale;
        let classes = 0..means.classes();
        let of_rests =
            (&products - gram * &coefficients).tr_mul(&coefficients.columns_range(classes.clone()));
        let projected = products.columns_range(classes.clone()) * unit;
        let rest_of_means = magnitude::largest(&rests[classes]) * unit;
        let lengths = norms(directions);
        let center = 2.0 * norm(center.as_slice());
        let whole = norms(means.matrix()).into_iter().zip(coefficients.column_iter());
        let whole = whole.map(|(mean, own)| {
            let terms = own.iter().zip(&lengths).map(|(entry, length)| entry.abs() * length);
            (mean + center) / scale + terms.sum::<f64>() * unit
        });
        let parts = Parts {
            lengths: DVector::from_row_slice(&lengths),
            of_means: of_rests.abs() * unit,
            rests,
            rest_of_means,
            whole: whole.collect(),
            dimension: directions.nrows(),
            coefficients,
            scale,
        };
        let bounds = rules.into_iter().map(|rule| Bound::new::<T>(&parts, rule));
        let (dimension, (unit, smallest)) = (directions.nrows() as f64, digits::<T>());
        let roundings = roundings::<T>(directions.nrows()) as f64 * unit;
        Some(Self {
            bounds: bounds.collect::<Option<_>>()?,
            weights: Packed::new(&transposed(&parts.coefficients), |entry| entry as f32),
            offsets,
            means_lengths: norms(&projected),
            means: projected.map(|entry| entry as f32),
            lengths: (
                1.0 / (1.0 - roundings),
                (dimension * smallest).sqrt() * scale.recip().max(1.0),
            ),
            features: PhantomData,
        })
    }

    /// What is certain of a sample of a class, whose projection and deviation are of these lengths.
    #[inline(always)]
    fn screened(&self, scores: &[f32], class: usize, projected: f64, around: f64) -> Screened {
        let projected = projected + self.means_lengths[class];
        let bounds = self.bounds.iter();
        let margins = bounds.map(|bound| (&bound.rule, bound.margin(class, projected, around)));
        Screened::of(scores, &self.offsets, margins, None)
    }
}

impl<T: Scalar> Observer<T> for Near<T> {
    type Found = Screened;
    type Scratch = Scratch;

    fn see(&self, seen: &Seen<'_, T>, scratch: &mut Scratch, found: &mut [Screened]) {
        let Scratch { projected, lengths, scores } = scratch;
        projected.reshape(self.means.nrows(), seen.labels.len());
        lengths.clear();
        let columns = seen.projected.column_iter().zip(seen.labels).enumerate();
        for (index, (column, &label)) in columns {
            let (column, out) = (column.as_slice(), projected.column_mut(index));
            let mean = &self.means.as_slice()[label * column.len()..][..column.len()];
            lengths.push(add(column, mean, out));
        }
        self.weights.multiply(projected, Entries::All, scores);
        let (relative, least) = self.lengths;
        vectorized(
            #[inline(always)]
            || {
                let samples = seen.labels.iter().zip(seen.around).zip(lengths.iter());
                let scores = scores.column_iter();
                for ((found, ((&label, around), &length)), scores) in
                    found.iter_mut().zip(samples).zip(scores)
                {
                    let around = around.sqrt() * relative + least;
                    *found = self.screened(scores.as_slice(), label, length, around);
                }
            },
        );
    }
}

impl Bound {
    /// `None` if something may be out of range.
    ///
    /// A product of n roundings has an error of γ‖a‖‖x‖ with γ = nu/(1 − nu) (Higham, *Accuracy and stability of numerical
    /// algorithms*, section 3.1). The products in `f64` that would be compared otherwise, and those that all here is made of,
    /// have errors relative to the whole lengths.
    fn new<T: Scalar>(parts: &Parts, rule: Rule) -> Option<Self> {
        let coefficients = parts.coefficients.columns_range(rule.rows.clone()).into_owned();
        let (directions, dimension) = (coefficients.nrows(), parts.dimension);
        let sizes = coefficients.abs();
        let largest_sum =
            |factors: &DVector<f64>| magnitude::largest(sizes.tr_mul(factors).as_slice());
        let size = magnitude::largest(&norms(&coefficients));
        let (terms, spread) =
            (largest_sum(&DVector::repeat(directions, 1.0)), largest_sum(&parts.lengths));
        let (unit, smallest) = digits::<T>();
        // Of both factors, and of the sum of two.
        let of_scores = (Packed::<f32>::roundings(directions) + 4) as f64 * SINGLE;
        let of_projected = roundings::<T>(dimension) as f64 * unit;
        let in_double = 2.0 * (dimension + directions + 8) as f64 * DOUBLE * (rule.weight + spread);
        let rest = magnitude::largest(&parts.rests[rule.rows.clone()]);
        let of_means =
            parts.of_means.rows_range(rule.rows.clone()).max() + rest * parts.rest_of_means;
        let of_offsets = 5.0 * SINGLE * rule.offset + 4.0 * DOUBLE * rule.whole_offset;
        let underflow = directions as f64 * f64::from(f32::MIN_POSITIVE)
            + terms * dimension as f64 * smallest * parts.scale.recip().max(1.0);
        let of_whole = 2.0 * unit * unit * spread + in_double;
        let constant =
            parts.whole.iter().map(|whole| of_whole * whole + of_means + of_offsets + underflow);
        let bound = Self {
            projected: of_scores / (1.0 - of_scores) * size,
            around: of_projected / (1.0 - of_projected) * spread + in_double + rest,
            constant: constant.collect(),
            rule,
        };
        let in_range = SIZES.contains(&size) && bound.rule.offset < LARGEST;
        (in_range && of_scores < 0.5 && of_projected < 0.5).then_some(bound)
    }

    /// By how much two scores have to differ, so that the larger one is larger in truth, and in `f64`: twice a bound on the
    /// error of either. `None` if something may be out of range.
    #[inline(always)]
    fn margin(&self, class: usize, projected: f64, around: f64) -> Option<f64> {
        let error = self.projected * projected + self.around * around + self.constant[class];
        // Rounded up.
        (projected < LARGEST && around < LARGEST).then_some(2.01 * error)
    }
}

/// Adds two vectors in `f32`, and returns the length of the first.
fn add<T: Scalar>(vector: &[T], other: &[f32], out: &mut [f32]) -> f64 {
    vectorized(
        #[inline(always)]
        || {
            for ((out, &entry), other) in out.iter_mut().zip(vector).zip(other) {
                let entry: f64 = entry.into();
                *out = entry as f32 + other;
            }
        },
    );
    sum_of_squares(vector).sqrt()
}

/// Half the distance from 1 to the next number of a type, and its smallest number of all digits.
fn digits<T: Scalar>() -> (f64, f64) {
    match T::IS_SINGLE {
        true => (SINGLE, f64::from(f32::MIN_POSITIVE)),
        false => (DOUBLE, f64::MIN_POSITIVE),
    }
}

/// How many roundings a term of a projection goes through at most: those of a product, of both factors, of which a deviation has
/// two, and of what is found.
fn roundings<T: Scalar>(dimension: usize) -> usize {
    Packed::<T>::roundings(dimension).max(FewRows::<T>::roundings(dimension)) + 5
}

/// The lengths of columns.
fn norms(matrix: &DMatrix<f64>) -> Vec<f64> {
    matrix.column_iter().map(|column| norm(column.as_slice())).collect()
}
