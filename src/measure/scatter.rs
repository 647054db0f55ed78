//! The deviations of samples from the means of their classes, summed in a second pass.

use nalgebra::DMatrix;

use crate::error::{Error, Result};
use crate::measure::center::{Center, centre};
use crate::measure::deviations::Deviations;
use crate::measure::labeled_features::LabeledFeatures;
use crate::measure::projector::Projector;
use crate::measure::statistics::ClassStatistics;
use crate::metrics::{Cdnv, Nc1, Nc1Options, cdnv_of};
use crate::numerics::double_double::DoubleDouble;
use crate::numerics::linalg::{LeftFactor, power_of_two};
use crate::numerics::parallel;
use crate::numerics::scalar::Scalar;
use crate::numerics::simd::vectorised;
use crate::problem::head::LinearHead;

/// Sums of squares that are added up side by side.
const LANES: usize = 16;

/// Samples whose squared deviations are kept before they are added up.
const PART: usize = 1 << 18;

/// The within-class scatter that every variant of NC1 is made of, summed in a second pass over samples
/// once the class means are known.
///
/// The first pass is that of [`ClassStatistics`]. With it the K−1 directions in which the class means
/// differ are known, and of each sample only its component in these matters: no d×d matrix is
/// formed, and deviations of 10⁻¹² of the means are measured as accurately as large ones. Batches
/// can come in any order, and pieces that were computed elsewhere with equal first passes and options
/// can be [merged](Self::merge). It takes 2dK numbers; features of type `T` are projected in that
/// type, everything is subtracted and summed in `f64`.
///
/// [`nc1`](crate::nc1), [`nc1_trace_quotient`](crate::nc1_trace_quotient) and [`cdnv`](crate::cdnv) do
/// the same for samples that are in memory; [`PooledScatter`](crate::PooledScatter) needs one pass
/// only, but d² numbers.
///
/// ```
/// use neural_collapse::{ClassStatistics, Features};
/// use neural_collapse::measure::{Center, ProjectedScatter};
/// use neural_collapse::metrics::Nc1Options;
///
/// let (first, second) = ([1.1_f32, 0.0, -1.0, 0.3], [0.9_f32, 0.0, -1.0, -0.3]);
/// let labels = [0, 1];
/// let batch = |numbers| Features::from_row_major(numbers, 2, 2)?.with_labels(&labels, 2);
/// let mut statistics = ClassStatistics::empty(2, 2)?;
/// for numbers in [&first, &second] {
///     statistics.accumulate(&batch(numbers)?)?;
/// }
/// let mut scatter = ProjectedScatter::new(&statistics, &Nc1Options::default())?;
/// for numbers in [&first, &second] {
///     scatter.accumulate(&batch(numbers)?)?;
/// }
/// assert!((scatter.nc1()?.value - 0.02 / 4.0 / 2.0).abs() < 1e-8);
/// assert!((scatter.trace_quotient(Center::Samples)? - 0.2 / 4.0).abs() < 1e-8);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ProjectedScatter<T: Scalar> {
    deviations: Deviations,
    /// Numbers of samples of the first pass.
    class_counts: Vec<u64>,
    options: Nc1Options,
    /// `None` if it is not wanted or if the class means do not differ.
    projector: Option<LeftFactor<T>>,
    /// The product of the layers after which is measured, divided by `unit`.
    layers: Option<LeftFactor<T>>,
    unit: f64,
    sums: ProjectedSums,
}

/// What a [`ProjectedScatter`] has added up: a few numbers for each class.
///
/// This is what the workers of a cluster send back: each makes its own [`ProjectedScatter`] from the same
/// statistics and options, feeds it its samples and returns [`sums`](ProjectedScatter::sums); wherever
/// the result is wanted, [`merge_sums`](ProjectedScatter::merge_sums) puts them together. With the
/// feature `serde` they can be serialised.
#[derive(Debug, Clone, PartialEq)]
pub struct ProjectedSums {
    /// Of the class means, options and layers that these sums are for.
    pub(crate) fingerprint: u64,
    /// Samples of each class.
    pub(crate) counts: Vec<u64>,
    /// Σ ‖h − h_k‖² of each class, in squares of the scale of the deviations.
    pub(crate) squares: Vec<DoubleDouble<f64>>,
    /// Σ ‖B†(h − h_k)‖² of all classes.
    pub(crate) projected: DoubleDouble<f64>,
}

/// What a scatter is to be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    Projection,
    Variances,
    All,
}

impl<T: Scalar> ProjectedScatter<T> {
    /// No samples yet; their class means are those of `statistics`, which has to be complete.
    ///
    /// # Errors
    /// [`Error::EmptyClass`] if a class has no mean, [`Error::OutOfRange`] if the rank cut-off is not in
    /// 0..1.
    pub fn new(statistics: &ClassStatistics, options: &Nc1Options) -> Result<Self> {
        Self::build(statistics, options, None, Wanted::All)
    }

    /// Like [`new`](Self::new), for the features W_m⋯W₁h after the first m = `layers` layers of a deep
    /// head. Statistics and batches are those of the features h that the head takes.
    ///
    /// # Errors
    /// As [`new`](Self::new); [`Error::Shape`] if the head is for another dimension of features or
    /// number of classes, [`Error::OutOfRange`] unless 1 ≤ m ≤ M.
    ///
    /// ```
    /// use nalgebra::dmatrix;
    /// use neural_collapse::{ClassStatistics, Features, LinearHead};
    /// use neural_collapse::measure::ProjectedScatter;
    /// use neural_collapse::metrics::Nc1Options;
    ///
    /// // The first layer removes the deviations, which are in the second coordinate.
    /// let rows = dmatrix![1.0, 0.1; 1.0, -0.1; -1.0, 0.3; -1.0, -0.3];
    /// let data = Features::from_sample_rows(&rows)?.with_labels(&[0, 0, 1, 1], 2)?;
    /// let layers = vec![dmatrix![1.0, 0.0], dmatrix![1.0; -1.0]];
    /// let head = LinearHead::new(layers, None)?;
    /// let (statistics, options) = (ClassStatistics::new(&data)?, Nc1Options::default());
    /// let mut scatter = ProjectedScatter::after_layers(&statistics, &head, 1, &options)?;
    /// scatter.accumulate(&data)?;
    /// assert_eq!(scatter.nc1()?.value, 0.0);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn after_layers(
        statistics: &ClassStatistics,
        head: &LinearHead,
        layers: usize,
        options: &Nc1Options,
    ) -> Result<Self> {
        head.check_shape("statistics", statistics.dimension(), statistics.classes())?;
        let layers = head.leading_product(layers)?;
        Self::build(statistics, options, Some(&layers), Wanted::All)
    }

    pub(crate) fn build(
        statistics: &ClassStatistics,
        options: &Nc1Options,
        layers: Option<&DMatrix<f64>>,
        wanted: Wanted,
    ) -> Result<Self> {
        let unit = layers.map_or(1.0, power_of_two);
        let layers = layers.map(|layers| layers / unit);
        let projector = if wanted == Wanted::Variances {
            None
        } else {
            match Projector::new(statistics, options, layers.as_ref()) {
                Err(Error::ZeroNorm { .. }) => None,
                projector => Some(projector?),
            }
        };
        let (projector, scale) = match projector {
            Some(Projector { directions, scale }) => {
                (Some(LeftFactor::transpose_of(&directions)), scale)
            }
            None => (None, power_of_two(&statistics.centred_means(options.center)?)),
        };
        let layers = layers.filter(|_| wanted != Wanted::Projection);
        let zero = DoubleDouble::from(0.0);
        let squares = if wanted == Wanted::Projection { 0 } else { statistics.classes() };
        let deviations = Deviations::new(statistics, scale)?;
        // Sums that never leave this crate need none.
        let fingerprint = match wanted {
            Wanted::All => fingerprint(statistics, &deviations, options, layers.as_ref()),
            Wanted::Projection | Wanted::Variances => 0,
        };
        Ok(Self {
            deviations,
            class_counts: statistics.counts().to_vec(),
            options: *options,
            projector,
            layers: layers.map(|layers| LeftFactor::transpose_of(&layers.transpose())),
            unit,
            sums: ProjectedSums {
                fingerprint,
                counts: vec![0; statistics.classes()],
                squares: vec![zero; squares],
                projected: zero,
            },
        })
    }

    /// Adds the samples of a batch; one without samples changes nothing.
    ///
    /// # Errors
    /// [`Error::Shape`] if the batch has another dimension or number of classes,
    /// [`Error::OutOfRange`] naming a number that is not finite or too large; the sums are then as
    /// they were.
    pub fn accumulate(&mut self, batch: &LabeledFeatures<'_, T>) -> Result<()> {
        self.deviations.check_shape(batch)?;
        let blocks: Vec<_> = batch.features().blocks().collect();
        let Some(size) = blocks.first().map(ExactSizeIterator::len) else { return Ok(()) };
        let mut added = self.sums.none();
        for part in blocks.chunks(PART.div_ceil(size)) {
            let samples = part.iter().map(ExactSizeIterator::len).sum();
            let mut squares = vec![Squares::default(); samples];
            let mut results = vec![Ok(()); part.len()];
            let work = part.iter().cloned().zip(squares.chunks_mut(size)).zip(&mut results);
            let operations = self.operations().saturating_mul(samples);
            parallel::for_each(work, operations, Scratch::new, |scratch, block| {
                let ((range, squares), result) = block;
                *result = self.deviations.fill_block(batch, range, &mut scratch.deviations);
                if result.is_ok() {
                    self.squares(scratch, squares);
                }
            });
            results.into_iter().collect::<Result<()>>()?;
            let first = part.first().map_or(0, |range| range.start);
            added.add(&batch.labels()[first..first + samples], &squares);
        }
        self.sums.merge(&added);
        Ok(())
    }

    /// Multiplications for one sample.
    fn operations(&self) -> usize {
        let factors = self.projector.iter().chain(&self.layers);
        let rows: usize = factors.map(LeftFactor::rows).sum();
        (rows + 2).saturating_mul(self.deviations.shape().0)
    }

    /// Squared norms of a block of deviations.
    fn squares(&self, scratch: &mut Scratch<T>, squares: &mut [Squares]) {
        let Scratch { deviations, products } = scratch;
        if let Some(projector) = &self.projector {
            projector.multiply(deviations, products);
            for (square, column) in squares.iter_mut().zip(products.column_iter()) {
                square.projected = sum_of_squares(column.as_slice());
            }
        }
        if self.sums.squares.is_empty() {
            return;
        }
        if let Some(layers) = &self.layers {
            layers.multiply(deviations, products);
        }
        let deviations = if self.layers.is_some() { products } else { deviations };
        for (square, column) in squares.iter_mut().zip(deviations.column_iter()) {
            square.all = sum_of_squares(column.as_slice());
        }
    }

    /// Adds the samples of another scatter. The order and the grouping of merges change the result by
    /// no more than rounding errors.
    ///
    /// # Errors
    /// As [`merge_sums`](Self::merge_sums).
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        self.merge_sums(&other.sums)
    }

    /// What has been added up so far.
    #[must_use]
    pub fn sums(&self) -> &ProjectedSums {
        &self.sums
    }

    /// Adds what another scatter has added up.
    ///
    /// # Errors
    /// [`Error::DifferentFirstPass`] if that is for other class means, options or layers.
    ///
    /// ```
    /// use neural_collapse::{ClassStatistics, Error, Features};
    /// use neural_collapse::measure::ProjectedScatter;
    /// use neural_collapse::metrics::Nc1Options;
    ///
    /// let scatter = |numbers: &[f64; 2]| {
    ///     let data = Features::from_row_major(numbers, 2, 1)?.with_labels(&[0, 1], 2)?;
    ///     ProjectedScatter::<f64>::new(&ClassStatistics::new(&data)?, &Nc1Options::default())
    /// };
    /// let mut first = scatter(&[1.0, 2.0])?;
    /// assert!(first.merge_sums(scatter(&[1.0, 2.0])?.sums()).is_ok());
    /// let other_means = scatter(&[1.0, 3.0])?;
    /// assert_eq!(first.merge_sums(other_means.sums()), Err(Error::DifferentFirstPass));
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn merge_sums(&mut self, other: &ProjectedSums) -> Result<()> {
        if self.sums.fingerprint != other.fingerprint {
            return Err(Error::DifferentFirstPass);
        }
        self.sums.merge(other);
        Ok(())
    }

    /// Number of samples of each class in the second pass.
    #[must_use]
    pub fn counts(&self) -> &[u64] {
        &self.sums.counts
    }

    /// tr(Σ_W Σ_B†)/K with the conventions that were asked for: see [`nc1`](crate::nc1).
    ///
    /// # Errors
    /// [`Error::ZeroNorm`] if all class means are equal, [`Error::Empty`] without samples,
    /// [`Error::Unrepresentable`] if deviations are too large beside what the class means differ by.
    pub fn nc1(&self) -> Result<Nc1> {
        let samples = self.sums.samples()?;
        let Some(projector) = &self.projector else {
            return Err(Error::ZeroNorm { argument: "differences between the class means" });
        };
        let trace = representable("NC1", self.sums.projected.value() / samples)?;
        let classes = self.class_counts.len() as f64;
        let divisor = if self.options.divide_by_classes { classes } else { 1.0 };
        Ok(Nc1 { value: trace / divisor, rank: projector.rows() })
    }

    /// tr Σ_W / tr Σ_B: see [`nc1_trace_quotient`](crate::nc1_trace_quotient).
    ///
    /// # Errors
    /// As [`nc1`](Self::nc1).
    pub fn trace_quotient(&self, center: Center) -> Result<f64> {
        let samples = self.sums.samples()?;
        let within: f64 = self.sums.squares.iter().map(|sum| sum.value()).sum();
        let means = self.means() / self.deviations.scale();
        let within = representable("the trace of the within-class covariance", within / samples)?;
        trace_quotient(within, means, &self.class_counts, center)
    }

    /// σ_k² = 1/n_k Σᵢ ‖h_ki − h_k‖² of every class, `None` for one without samples and for one whose
    /// deviations are too large, as numbers of the type of the features, beside what the means differ by.
    #[must_use]
    pub fn class_variances(&self) -> Vec<Option<f64>> {
        let unit = (self.deviations.scale() * self.unit).powi(2);
        let variances = self.sums.variances();
        let finite = |variance: &f64| variance.is_finite();
        variances.map(|variance| variance.filter(finite).map(|variance| variance * unit)).collect()
    }

    /// Class-distance normalised variances: see [`cdnv`](crate::cdnv).
    ///
    /// # Errors
    /// [`Error::EmptyClass`] if a class has no samples, [`Error::OutOfRange`] if there are less than
    /// two classes.
    pub fn cdnv(&self) -> Result<Cdnv> {
        let argument = "the second pass";
        let variances = self.sums.variances().enumerate().map(|(class, variance)| {
            let variance = variance.ok_or(Error::EmptyClass { argument, class })?;
            representable("the variance of a class", variance)
        });
        cdnv_of(&variances.collect::<Result<Vec<_>>>()?, self.means() / self.deviations.scale())
    }

    /// The class means, after the layers if there are any.
    fn means(&self) -> DMatrix<f64> {
        let means = self.deviations.class_means();
        match &self.layers {
            Some(layers) => layers.times(means),
            None => means.clone(),
        }
    }
}

/// Refuses a number that is not finite: the deviations were too large beside what the class means differ by.
fn representable(quantity: &'static str, value: f64) -> Result<f64> {
    match value.is_finite() {
        true => Ok(value),
        false => Err(Error::Unrepresentable { quantity, log10: f64::INFINITY }),
    }
}

/// FNV-1a over the bits of all that sums depend on.
fn fingerprint(
    statistics: &ClassStatistics,
    deviations: &Deviations,
    options: &Nc1Options,
    layers: Option<&DMatrix<f64>>,
) -> u64 {
    let shape = [deviations.shape().0 as u64, deviations.shape().1 as u64];
    let center = u64::from(options.center == Center::Classes);
    let scalars = [options.rank_cutoff.to_bits(), deviations.scale().to_bits(), center];
    let numbers = deviations.class_means().iter().chain(layers.into_iter().flatten());
    let words = shape.into_iter().chain(scalars).chain(statistics.counts().iter().copied());
    words.chain(numbers.map(|number| number.to_bits())).fold(0xcbf2_9ce4_8422_2325, |hash, word| {
        (hash ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(29)
    })
}

/// tr Σ_W / tr Σ_B for a trace tr Σ_W and class means in the same unit.
pub(crate) fn trace_quotient(
    within: f64,
    mut means: DMatrix<f64>,
    counts: &[u64],
    center: Center,
) -> Result<f64> {
    centre(&mut means, counts, center);
    let between = means.norm_squared() / counts.len() as f64;
    if between == 0.0 {
        return Err(Error::ZeroNorm { argument: "differences between the class means" });
    }
    Ok(within / between)
}

impl ProjectedSums {
    fn samples(&self) -> Result<f64> {
        match self.counts.iter().fold(0, |total: u64, &count| total.saturating_add(count)) {
            0 => Err(Error::Empty { argument: "features" }),
            samples => Ok(samples as f64),
        }
    }

    fn variances(&self) -> impl Iterator<Item = Option<f64>> {
        let sums = self.squares.iter().zip(&self.counts);
        sums.map(|(sum, &count)| (count > 0).then(|| sum.value() / count as f64))
    }

    /// The sums of no samples.
    fn none(&self) -> Self {
        let zero = DoubleDouble::from(0.0);
        Self {
            fingerprint: self.fingerprint,
            counts: vec![0; self.counts.len()],
            squares: vec![zero; self.squares.len()],
            projected: zero,
        }
    }

    /// Adds squared norms in the order of the samples.
    fn add(&mut self, labels: &[usize], squares: &[Squares]) {
        for (&label, square) in labels.iter().zip(squares) {
            self.counts[label] = self.counts[label].saturating_add(1);
            self.projected = self.projected.plus(square.projected);
            if let Some(sum) = self.squares.get_mut(label) {
                *sum = sum.plus(square.all);
            }
        }
    }

    fn merge(&mut self, other: &Self) {
        for (count, &other) in self.counts.iter_mut().zip(&other.counts) {
            *count = count.saturating_add(other);
        }
        for (square, other) in self.squares.iter_mut().zip(&other.squares) {
            *square = *square + *other;
        }
        self.projected = self.projected + other.projected;
    }
}

/// ‖B†x‖² and ‖x‖² of a sample's deviation x.
#[derive(Debug, Clone, Copy, Default)]
struct Squares {
    projected: f64,
    all: f64,
}

struct Scratch<T: Scalar> {
    deviations: DMatrix<T>,
    products: DMatrix<T>,
}

impl<T: Scalar> Scratch<T> {
    fn new() -> Self {
        Self { deviations: DMatrix::zeros(0, 0), products: DMatrix::zeros(0, 0) }
    }
}

/// Σ x², in several sums that the compiler can vectorise.
fn sum_of_squares<T: Scalar>(numbers: &[T]) -> f64 {
    vectorised(
        #[inline(always)]
        || lanes_of_squares(numbers),
    )
    .iter()
    .sum()
}

#[inline(always)]
fn lanes_of_squares<T: Scalar>(numbers: &[T]) -> [f64; LANES] {
    let mut sums = [0.0; LANES];
    let (chunks, rest) = numbers.as_chunks::<LANES>();
    let add = |(sum, &number): (&mut f64, &T)| {
        let number: f64 = number.into();
        *sum += number * number;
    };
    for chunk in chunks {
        sums.iter_mut().zip(chunk).for_each(add);
    }
    sums.iter_mut().zip(rest).for_each(add);
    sums
}
