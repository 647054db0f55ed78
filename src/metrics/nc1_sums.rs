//! NC1: the variability within the classes beside the distances between them.

use nalgebra::DMatrix;

use crate::error::{Error, Result};
use crate::measure::directions::{Directions, Projector};
use crate::measure::labeled_features::LabeledFeatures;
use crate::measure::pooled::PooledScatter;
use crate::measure::projected::{Found, Nc1Part, Observed, ProjectedScatter};
use crate::measure::seen::Observer;
use crate::measure::statistics::ClassStatistics;
use crate::metrics::nc1::{Nc1, Nc1Options};
use crate::numerics::linalg::product;
use crate::numerics::scalar::Scalar;
use crate::problem::head::LinearHead;

/// NC1 = tr(Σ_W Σ_B†)/K, which vanishes when the features of each class have collapsed to their mean.
///
/// ```math
/// Σ_W = 1/N ΣₖΣᵢ (h_ki − h_k)(h_ki − h_k)ᵀ,    Σ_B = 1/K Σₖ (h_k − h_G)(h_k − h_G)ᵀ
/// ```
///
/// h_k is the mean of class k, h_G the mean of all samples and † the pseudo-inverse. The trace is computed as
/// 1/N ΣₖΣᵢ ‖B†(h_ki − h_k)‖² with B = \[h_k − h_G\]/√K from the deviations themselves, in N·d·min(K, d) operations and without a d×d
/// matrix: deviations of 10⁻¹² of the means give as accurate a number as large ones, and if all are
/// zero so is NC1.
///
/// # The rank of Σ_B
/// Σ_B† inverts what the class means differ by, and only that. Where they do not differ (in d−K+1
/// directions always; in one more for each pair of classes whose means coincide, as under minority
/// collapse) rounding errors and unfinished training leave tiny differences, and inverting these
/// could give any number. With singular values σ₁ ≥ σ₂ ≥ … of B the directions kept are
/// those with σᵢ > `rank_cutoff` · σ₁. The default of 10⁻⁶ lies between what is measured for means that
/// should coincide (10⁻⁸ after convergence, 10⁻⁷ from the rounding of `f32` features) and the
/// smallest true differences (above 10⁻⁴, even with a thousand classes). The rank found is part of
/// the result. Whatever the cut-off, differences below 8ε times the root mean square norm of the
/// class means are the rounding errors of the means and count as zero, and so do those below 10⁻²⁹⁰, which nothing can be
/// divided by: features of that size must be multiplied by some number first, on which NC1 does not depend.
///
/// `statistics` are usually those of `data`; with means of other samples it is the variability
/// around those.
///
/// # Errors
/// [`Error::ZeroNorm`] if all class means are equal up to rounding errors (K = 1 included) or differ by less than 10⁻²⁹⁰, as
/// NC1 has no scale then; [`Error::OutOfRange`] if the cut-off is not in 0..1; [`Error::EmptyClass`] if a class has no mean,
/// [`Error::Empty`] without samples, [`Error::Shape`] if `statistics` are of another shape,
/// [`Error::Unrepresentable`] if deviations are too large beside what the class means differ by.
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::{ClassStatistics, Features};
/// use neural_collapse::metrics::{Nc1Options, nc1};
///
/// // Two classes around (1, 0) and (−1, 0): the deviations of 0.3 across do not count.
/// let rows = dmatrix![1.1, 0.0; 0.9, 0.0; -1.0, 0.3; -1.0, -0.3];
/// let data = Features::from_sample_rows(&rows)?.with_labels(&[0, 0, 1, 1], 2)?;
/// let nc1 = nc1(&data, &ClassStatistics::new(&data)?, &Nc1Options::default())?;
/// assert_eq!(nc1.rank, 1);
/// assert!((nc1.value - (0.1_f64.powi(2) + 0.1_f64.powi(2)) / 4.0 / 2.0).abs() < 1e-15);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: Papyan, Han & Donoho, *Prevalence of neural collapse* (PNAS 2020); in this form Dang et al. (ICML 2023),
/// C.1.1.
pub fn nc1<T: Scalar>(
    data: &LabeledFeatures<'_, T>,
    statistics: &ClassStatistics,
    options: &Nc1Options,
) -> Result<Nc1> {
    statistics.check_shape("features", data.features().dimension(), data.classes())?;
    let mut sums = Nc1Sums::new(statistics, options)?.of_other_samples();
    sums.accumulate(data)?;
    sums.nc1()
}

/// [`nc1`](crate::metrics::nc1) of samples that come in batches: the second pass, after that of
/// [`ClassStatistics`].
///
/// Batches can come in any order, and pieces that were computed elsewhere with equal first passes and options
/// can be [merged](Self::merge). It takes dK numbers beside the class means, which it shares with all else that is
/// made from the same statistics; features of type `T` are projected in that type, everything is subtracted and
/// summed in `f64`.
///
/// ```
/// use neural_collapse::{ClassStatistics, Features};
/// use neural_collapse::metrics::{Nc1Options, Nc1Sums};
///
/// let (first, second) = ([1.1_f32, 0.0, -1.0, 0.3], [0.9_f32, 0.0, -1.0, -0.3]);
/// let batch = |numbers| Features::from_row_major(numbers, 2, 2)?.with_labels(&[0, 1], 2);
/// let mut statistics = ClassStatistics::empty(2, 2)?;
/// for numbers in [&first, &second] {
///     statistics.accumulate(&batch(numbers)?)?;
/// }
/// let mut sums = Nc1Sums::new(&statistics, &Nc1Options::default())?;
/// for numbers in [&first, &second] {
///     sums.accumulate(&batch(numbers)?)?;
/// }
/// assert!((sums.nc1()?.value - 0.02 / 4.0 / 2.0).abs() < 1e-8);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Nc1Sums<T: Scalar> {
    scatter: ProjectedScatter<T>,
    options: Nc1Options,
}

impl<T: Scalar> Nc1Sums<T> {
    /// No samples yet; their class means are those of `statistics`, which has to be complete.
    ///
    /// # Errors
    /// [`Error::EmptyClass`] if a class has no mean, [`Error::OutOfRange`] if the rank cut-off is not in
    /// 0..1.
    pub fn new(statistics: &ClassStatistics, options: &Nc1Options) -> Result<Self> {
        let scatter = ProjectedScatter::new(statistics, options.directions())?;
        Ok(Self { scatter, options: *options })
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
    /// use neural_collapse::metrics::{Nc1Options, Nc1Sums};
    ///
    /// // The first layer removes the deviations, which are in the second coordinate.
    /// let rows = dmatrix![1.0, 0.1; 1.0, -0.1; -1.0, 0.3; -1.0, -0.3];
    /// let data = Features::from_sample_rows(&rows)?.with_labels(&[0, 0, 1, 1], 2)?;
    /// let layers = vec![dmatrix![1.0, 0.0], dmatrix![1.0; -1.0]];
    /// let head = LinearHead::new(layers, None)?;
    /// let (statistics, options) = (ClassStatistics::new(&data)?, Nc1Options::default());
    /// let mut sums = Nc1Sums::after_layers(&statistics, &head, 1, &options)?;
    /// sums.accumulate(&data)?;
    /// assert_eq!(sums.nc1()?.value, 0.0);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn after_layers(
        statistics: &ClassStatistics,
        head: &LinearHead,
        layers: usize,
        options: &Nc1Options,
    ) -> Result<Self> {
        let directions = options.directions();
        let scatter = ProjectedScatter::after_layers(statistics, head, layers, directions)?;
        Ok(Self { scatter, options: *options })
    }

    /// No samples yet, for the features as they are with other options. Both find the same in a batch where these make no
    /// difference.
    pub(crate) fn beside(
        &self,
        statistics: &ClassStatistics,
        options: &Nc1Options,
    ) -> Result<Self> {
        let scatter = self.scatter.beside(statistics, options.directions())?;
        Ok(Self { scatter, options: *options })
    }

    /// No samples yet, for sums [`beside`](Self::beside) which there will be those with other options, which keep only some
    /// of the directions.
    pub(crate) fn for_others<'a>(
        statistics: &ClassStatistics,
        options: &Nc1Options,
        others: impl Iterator<Item = &'a Nc1Options>,
    ) -> Result<Self> {
        let others: Vec<_> = others.map(Nc1Options::directions).collect();
        let scatter = ProjectedScatter::for_others(statistics, options.directions(), &others)?;
        Ok(Self { scatter, options: *options })
    }

    /// What the samples of a batch add, also to others where that is found along with it, and what an observer finds of
    /// them.
    pub(crate) fn find<O: Observer<T>>(
        &self,
        batch: &LabeledFeatures<'_, T>,
        others: &[&Self],
        observer: Option<&O>,
    ) -> Result<Observed<T, O::Found>> {
        let others: Vec<_> = others.iter().map(|other| &other.scatter).collect();
        self.scatter.find(batch, &others, observer)
    }

    /// The directions that deviations are projected onto and their unit, if there are few.
    pub(crate) fn few_directions(&self) -> Option<(&DMatrix<f64>, f64)> {
        self.scatter.few_directions()
    }

    /// Adds the samples of a batch, in which that much was found already, by these sums or by others.
    pub(crate) fn add(&mut self, batch: &LabeledFeatures<'_, T>, found: &Found<T>) -> Result<()> {
        match self.scatter.add(found) {
            true => Ok(()),
            false => self.accumulate(batch),
        }
    }

    /// The same for samples that are not those of the statistics, such as a test set around the class means of a
    /// training set. Without this, results before all samples are there are refused.
    #[must_use]
    pub fn of_other_samples(self) -> Self {
        Self { scatter: self.scatter.of_other_samples(), ..self }
    }

    /// Adds the samples of a batch; one without samples changes nothing.
    ///
    /// # Errors
    /// [`Error::Shape`] if the batch has another dimension or number of classes,
    /// [`Error::OutOfRange`] naming a number that is not finite or too large; the sums are then as
    /// they were.
    pub fn accumulate(&mut self, batch: &LabeledFeatures<'_, T>) -> Result<()> {
        self.scatter.accumulate(batch)
    }

    /// Adds the samples of others. The order and the grouping of merges change the result by
    /// no more than rounding errors.
    ///
    /// # Errors
    /// As [`merge_part`](Self::merge_part).
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        self.merge_part(&other.part())
    }

    /// What has been added up so far.
    ///
    /// This is what the workers of a cluster send back: each makes its own accumulator from the same statistics and
    /// options and feeds it its samples; wherever the result is wanted, [`merge_part`](Self::merge_part) puts the
    /// sums together. With the feature `serde` they can be serialized.
    #[must_use]
    pub fn part(&self) -> Nc1Part {
        self.scatter.part()
    }

    /// Adds what others have added up.
    ///
    /// # Errors
    /// [`Error::DifferentFirstPass`] if that is for other class means, options or layers.
    ///
    /// ```
    /// use neural_collapse::{ClassStatistics, Error, Features};
    /// use neural_collapse::metrics::{Nc1Options, Nc1Sums};
    ///
    /// let sums = |numbers: &[f64; 2]| {
    ///     let data = Features::from_row_major(numbers, 2, 1)?.with_labels(&[0, 1], 2)?;
    ///     Nc1Sums::<f64>::new(&ClassStatistics::new(&data)?, &Nc1Options::default())
    /// };
    /// let mut first = sums(&[1.0, 2.0])?;
    /// assert!(first.merge_part(&sums(&[1.0, 2.0])?.part()).is_ok());
    /// let other_means = sums(&[1.0, 3.0])?;
    /// assert_eq!(first.merge_part(&other_means.part()), Err(Error::DifferentFirstPass));
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn merge_part(&mut self, other: &Nc1Part) -> Result<()> {
        self.scatter.merge_part(other)
    }

    /// Whether a part is of the same first pass, layers and options.
    pub(crate) fn fits(&self, other: &Nc1Part) -> bool {
        self.scatter.fits(other)
    }

    /// The conventions.
    pub(crate) fn options(&self) -> &Nc1Options {
        &self.options
    }

    /// Number of samples of each class in the second pass.
    #[must_use]
    pub fn counts(&self) -> &[u64] {
        self.scatter.counts()
    }

    /// tr(Σ_W Σ_B†)/K with the conventions that were asked for: see [`nc1`](crate::metrics::nc1).
    ///
    /// # Errors
    /// [`Error::ZeroNorm`] if all class means are equal, [`Error::Empty`] without samples,
    /// [`Error::SecondPass`] if a class has not had as many samples as in the statistics,
    /// [`Error::Unrepresentable`] if deviations are too large beside what the class means differ by.
    pub fn nc1(&self) -> Result<Nc1> {
        Ok(self.options.nc1(self.scatter.trace()?, self.counts().len()))
    }
}

impl<T: Scalar> PartialEq for Nc1Sums<T> {
    fn eq(&self, other: &Self) -> bool {
        self.options == other.options && self.part() == other.part()
    }
}

impl PooledScatter {
    /// tr(Σ_W Σ_B†)/K: see [`nc1`](crate::metrics::nc1).
    ///
    /// # Errors
    /// As [`nc1`](crate::metrics::nc1).
    pub fn nc1(&self, options: &Nc1Options) -> Result<Nc1> {
        let samples = self.samples()?;
        let means = self.statistics.shared_means()?;
        let Some(projector) = Projector::new(&means, options.directions(), None)? else {
            return Err(Error::ZeroNorm { argument: "differences between the class means" });
        };
        let Projector { directions, scale, .. } = projector;
        let (rank, factor) = (directions.ncols(), self.unit / scale);
        let scattered = product(&self.scatter, &directions).dot(&directions);
        let trace = scattered * factor * factor / samples;
        match trace.is_finite() {
            true => Ok(options.nc1((trace, rank), self.statistics.classes())),
            false => Err(Error::Unrepresentable { quantity: "NC1", log10: f64::INFINITY }),
        }
    }
}

impl Nc1Options {
    pub(crate) fn directions(&self) -> Directions {
        Directions {
            center: self.center,
            rank_cutoff: self.rank_cutoff,
            largest_rank: self.largest_rank,
        }
    }

    /// NC1 from tr(Σ_W Σ_B†) and the rank of Σ_B.
    fn nc1(&self, (trace, rank): (f64, usize), classes: usize) -> Nc1 {
        Nc1 { value: trace / self.divisor(classes), rank }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::center::Center;
    use crate::measure::features::Features;
    use nalgebra::dmatrix;

    /// Two classes with means ±`half` in the first of two coordinates and deviations ±`deviation`
    /// in both.
    fn two_classes(half: f64, deviation: f64) -> (DMatrix<f64>, [usize; 4]) {
        let (h, d) = (half, deviation);
        (dmatrix![h + d, d; h - d, -d; -h + d, -d; -h - d, d], [0, 0, 1, 1])
    }

    fn value(
        rows: &DMatrix<f64>,
        labels: &[usize],
        classes: usize,
        options: Nc1Options,
    ) -> Result<Nc1> {
        let data = Features::from_sample_rows(rows)?.with_labels(labels, classes)?;
        nc1(&data, &ClassStatistics::new(&data)?, &options)
    }

    #[test]
    fn collapse_of_any_depth_and_scale() {
        for scale in [1e-200, 1e-9, 1.0, 1e139] {
            for deviation in [1e-1, 1e-3, 1e-6] {
                let (rows, labels) = two_classes(1.0, deviation);
                let found = value(&(rows * scale), &labels, 2, Nc1Options::default()).unwrap();
                let expected = deviation * deviation / 2.0;
                assert!((found.value / expected - 1.0).abs() < 1e-9, "{scale} {deviation}");
            }
            let (rows, labels) = two_classes(1.0, 0.0);
            let found = value(&(rows * scale), &labels, 2, Nc1Options::default()).unwrap();
            assert_eq!(found, Nc1 { value: 0.0, rank: 1 });
        }
    }

    #[test]
    fn conventions() {
        // Classes of 3 and 1 samples with means 0 and 4: h_G = 1 or 2; Σ_B = 5 or 4; Σ_W = 3/2.
        let (rows, labels) = (dmatrix![-1.0; -1.0; 2.0; 4.0], [0, 0, 0, 1]);
        let found = |center, divide_by_classes| {
            let options = Nc1Options { center, divide_by_classes, ..Nc1Options::default() };
            value(&rows, &labels, 2, options).unwrap().value
        };
        assert!((found(Center::Samples, true) - 1.5 / 5.0 / 2.0).abs() < 1e-15);
        assert!((found(Center::Classes, true) - 1.5 / 4.0 / 2.0).abs() < 1e-15);
        assert!((found(Center::Samples, false) - 1.5 / 5.0).abs() < 1e-15);
    }

    #[test]
    fn equal_class_means_have_no_scale() {
        let options = Nc1Options::default();
        let one_class = value(&dmatrix![1.0; 2.0], &[0, 0], 1, options);
        let equal = value(&dmatrix![1.0; 2.0; 0.0; 3.0], &[0, 0, 1, 1], 2, options);
        let zero = value(&DMatrix::zeros(4, 3), &[0, 0, 1, 1], 2, options);
        // 0.1 + 0.2 differs from 0.3 by a rounding error.
        let rounded = value(&dmatrix![0.1 + 0.2; 0.3], &[0, 1], 2, options);
        for result in [one_class, equal, zero, rounded] {
            assert!(matches!(result, Err(Error::ZeroNorm { .. })), "{result:?}");
        }
    }

    #[test]
    fn bad_options_and_shapes_are_named() {
        let (rows, labels) = two_classes(1.0, 0.1);
        for rank_cutoff in [-0.1, 1.0, f64::NAN, f64::INFINITY] {
            let options = Nc1Options { rank_cutoff, ..Nc1Options::default() };
            let error = value(&rows, &labels, 2, options).unwrap_err().to_string();
            assert!(error.starts_with("`rank_cutoff` is"), "{error}");
        }
        let options = Nc1Options::default();
        let empty_class = Error::EmptyClass { argument: "labels", class: 2 };
        assert_eq!(value(&rows, &labels, 3, options), Err(empty_class));
        let data = Features::from_sample_rows(&rows).unwrap().with_labels(&labels, 2).unwrap();
        let other = ClassStatistics::empty(2, 3).unwrap();
        assert!(matches!(nc1(&data, &other, &options), Err(Error::Shape { .. })));
    }

    #[test]
    fn sums_are_equal_if_options_and_samples_are() {
        let (rows, labels) = two_classes(1.0, 0.1);
        let data = Features::from_sample_rows(&rows).unwrap().with_labels(&labels, 2).unwrap();
        let statistics = ClassStatistics::new(&data).unwrap();
        let sums = |options: Nc1Options| Nc1Sums::<f64>::new(&statistics, &options).unwrap();
        let empty = sums(Nc1Options::default());
        let mut whole = empty.clone();
        whole.accumulate(&data).unwrap();
        assert!(empty == sums(Nc1Options::default()) && empty != whole);
        assert!(empty != sums(Nc1Options::default().with_divide_by_classes(false)));
        let mut twice = whole.clone();
        twice.merge(&whole).unwrap();
        assert_eq!(twice.counts(), [4, 4]);
    }
}
