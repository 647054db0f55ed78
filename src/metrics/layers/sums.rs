//! The metrics of several layers in a second pass over the samples.

use std::collections::BTreeMap;

use crate::error::{Argument, Error, Result};
use crate::geometry::class_matrix::ClassMatrix;
use crate::measure::center::Center;
use crate::measure::features::ranges;
use crate::measure::labeled_features::{LabeledFeatures, chunk_size};
use crate::measure::projected::Nc1Part;
use crate::measure::statistics::ClassStatistics;
use crate::measure::variances::{ClassVariances, VariancePart};
use crate::measure::version::Version;
use crate::metrics::all::{ByCenter, defined};
use crate::metrics::cdnv::Cdnv;
use crate::metrics::errors::{Metric, SamplePart, SampleParts, StandardErrors};
use crate::metrics::layers::cross_scatter::{CrossScatter, Ranks, Similarity, StoredScatter};
use crate::metrics::layers::separation::{SeparationErrors, SeparationLaw};
use crate::metrics::nc1::{Nc1, Nc1Options};
use crate::metrics::nc1_sums::Nc1Sums;
use crate::metrics::nc4::{DecisionCounts, DecisionPart};
use crate::numerics::scalar::Scalar;

/// The metrics of the features after one layer; `None` where one is not defined.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LayerMetrics {
    /// Number of features d.
    pub dimension: usize,
    /// [`nc1`](crate::metrics::nc1).
    pub nc1: ByCenter<Nc1>,
    /// [`nc1_trace_quotient`](crate::metrics::nc1_trace_quotient).
    pub nc1_trace_quotient: ByCenter<f64>,
    /// [`cdnv`](crate::metrics::cdnv).
    pub cdnv: Option<Cdnv>,
    /// Share of the samples whose nearest class mean is that of their class.
    pub nearest_mean_accuracy: f64,
    /// The distance of the Gram matrix of the centered class means to that of a simplex ETF, both of norm 1.
    pub nc2_class_means: Option<f64>,
    /// e to the entropy of σᵢ/Σσ, σ the singular values of the features less their mean: from 1, one direction, to d, all
    /// alike. Roy & Vetterli, *The effective rank* (EUSIPCO 2007).
    pub effective_rank: Option<f64>,
    /// Σσ²/max σ², not above the rank.
    pub stable_rank: Option<f64>,
    /// The standard errors of all of these; `None` if a class has a single sample. Those of the ranks need parts of the
    /// covariance, and are there for up to 1024 features in all layers together.
    pub standard_errors: Option<StandardErrors>,
}

/// The metrics of all layers, in their order.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Layers {
    /// Each layer by itself.
    pub layers: Vec<LayerMetrics>,
    /// Linear CKA between every two layers: ‖Σ_lm‖²/(‖Σ_ll‖ ‖Σ_mm‖) with the covariances Σ_lm of the features of layers l
    /// and m over all samples. It is 1 for features that differ by a rotation and a factor. Kornblith et al., *Similarity
    /// of neural network representations revisited* (ICML 2019).
    pub cka: Vec<Vec<Option<f64>>>,
    /// Their standard errors; `None` for more than 1024 features in all layers together.
    pub cka_standard_errors: Vec<Vec<Option<f64>>>,
    /// The law of equi-separation, from NC1 centered at the mean of all samples; `None` for fewer than three layers.
    pub separation: Option<SeparationLaw>,
    /// The standard errors of slope, intercept and R², from those of NC1 on the same samples; `None` if a class has a single
    /// sample.
    pub separation_standard_errors: Option<SeparationErrors>,
    /// Why standard errors are missing, by their names.
    pub reasons: BTreeMap<&'static str, String>,
}

/// What is summed of several layers over samples that come in batches: the second pass, after a [`ClassStatistics`] for
/// every layer.
///
/// It takes D² numbers and N·D² multiplications for D features in all layers together, for CKA and the ranks.
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::metrics::layers::LayerSums;
/// use neural_collapse::{ClassStatistics, Features};
///
/// let labels = [0, 0, 1, 1];
/// let first = dmatrix![1.4, 0.0; 0.6, 0.2; -1.0, 0.3; -1.0, -0.3];
/// let second = dmatrix![1.1, 0.0; 0.9, 0.0; -1.0, 0.1; -1.0, -0.1];
/// let layers = [
///     Features::from_sample_rows(&first)?.with_labels(&labels, 2)?,
///     Features::from_sample_rows(&second)?.with_labels(&labels, 2)?,
/// ];
/// let statistics: Vec<_> = layers.iter().map(ClassStatistics::new).collect::<Result<_, _>>()?;
/// let mut sums = LayerSums::new(&statistics)?;
/// sums.accumulate(&layers)?;
/// let found = sums.layers()?;
/// let nc1 = |layer: usize| found.layers[layer].nc1.center_samples.unwrap().value;
/// assert!(nc1(1) < nc1(0) && found.cka[0][1].unwrap() > 0.9);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct LayerSums<T: Scalar> {
    layers: Vec<OneLayer<T>>,
    scatter: CrossScatter,
}

#[derive(Debug, Clone)]
struct OneLayer<T: Scalar> {
    statistics: ClassStatistics,
    by_samples: Nc1Sums<T>,
    by_classes: Nc1Sums<T>,
    variances: ClassVariances<T>,
    decisions: DecisionCounts,
    parts: SampleParts,
}

/// What [`LayerSums`] have added up: a few dozen times the numbers of the class means of each layer, and D²/2 numbers for
/// each of the parts of the samples. With the feature `serde` it can be serialized.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct LayerPart {
    version: Version<1>,
    layers: Vec<OneLayerPart>,
    scatter: Vec<StoredScatter>,
}

#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
struct OneLayerPart {
    by_samples: Nc1Part,
    by_classes: Nc1Part,
    variances: VariancePart,
    decisions: DecisionPart,
    parts: SamplePart,
}

impl<T: Scalar> OneLayer<T> {
    fn new(statistics: &ClassStatistics) -> Result<Self> {
        let options = Nc1Options::default();
        Ok(Self {
            by_samples: Nc1Sums::new(statistics, &options.with_center(Center::Samples))?,
            by_classes: Nc1Sums::new(statistics, &options.with_center(Center::Classes))?,
            variances: ClassVariances::new(statistics)?,
            decisions: DecisionCounts::without_head(statistics)?,
            parts: SampleParts::new(statistics, &options)?.with_other_center()?,
            statistics: statistics.clone(),
        })
    }

    fn accumulate(&mut self, chunk: &LabeledFeatures<'_, T>) -> Result<()> {
        self.by_samples.accumulate(chunk)?;
        self.by_classes.accumulate(chunk)?;
        self.variances.accumulate(chunk)?;
        self.decisions.accumulate(chunk)?;
        self.parts.accumulate(chunk)
    }

    fn part(&self) -> OneLayerPart {
        OneLayerPart {
            by_samples: self.by_samples.part(),
            by_classes: self.by_classes.part(),
            variances: self.variances.part(),
            decisions: self.decisions.part(),
            parts: self.parts.part(),
        }
    }

    fn fits(&self, other: &OneLayerPart) -> bool {
        self.by_samples.fits(&other.by_samples)
            && self.by_classes.fits(&other.by_classes)
            && self.variances.fits(&other.variances)
            && self.decisions.fits(&other.decisions)
            && self.parts.fits(&other.parts)
    }

    fn merge_part(&mut self, other: &OneLayerPart) -> Result<()> {
        self.by_samples.merge_part(&other.by_samples)?;
        self.by_classes.merge_part(&other.by_classes)?;
        self.variances.merge_part(&other.variances)?;
        self.decisions.merge_part(&other.decisions)?;
        self.parts.merge_part(&other.parts)
    }

    fn metrics(&self, ranks: Option<Ranks>) -> Result<LayerMetrics> {
        let quotient = |center| defined(self.variances.trace_quotient(center));
        let decisions = self.decisions.nc4()?;
        let means = self.statistics.centered_means(Center::Samples)?;
        let simplex = ClassMatrix::simplex_etf(self.statistics.classes())?;
        let (effective_rank, stable_rank) =
            ranks.as_ref().map(|ranks| (ranks.effective, ranks.stable)).unzip();
        let errors = StandardErrors::of_features(&self.parts)?.map(|errors| {
            let counts = self.statistics.counts();
            let [effective, stable] =
                ranks.and_then(|ranks| ranks.errors).unwrap_or([const { None }; 2]);
            errors
                .with_share(Metric::NearestMeanAccuracy, &decisions, counts)
                .with_estimate(Metric::EffectiveRank, effective)
                .with_estimate(Metric::StableRank, stable)
        });
        Ok(LayerMetrics {
            dimension: self.statistics.dimension(),
            nc1: ByCenter {
                center_samples: defined(self.by_samples.nc1())?,
                center_classes: defined(self.by_classes.nc1())?,
            },
            nc1_trace_quotient: ByCenter {
                center_samples: quotient(Center::Samples)?,
                center_classes: quotient(Center::Classes)?,
            },
            cdnv: defined(self.variances.cdnv())?,
            nearest_mean_accuracy: decisions.overall.nearest_mean_accuracy,
            nc2_class_means: defined(simplex.distance_to_gram(&means.transpose()))?,
            effective_rank,
            stable_rank,
            standard_errors: errors,
        })
    }
}

impl<T: Scalar> LayerSums<T> {
    /// No samples yet; the `statistics` of each layer are those of all samples.
    ///
    /// # Errors
    /// [`Error::Empty`] without a layer, [`Error::EmptyClass`] if a class has no mean, [`Error::OutOfRange`] if a layer
    /// has other class sizes than the first, or if D² numbers do not fit in memory.
    pub fn new(statistics: &[ClassStatistics]) -> Result<Self> {
        let Some(first) = statistics.first() else {
            return Err(Error::Empty { argument: "statistics" });
        };
        let other = statistics.iter().position(|other| other.counts() != first.counts());
        if let Some(layer) = other {
            let argument = Argument::at("statistics", layer);
            let samples = statistics[layer].samples() as f64;
            return Err(Error::out_of_range(
                argument,
                samples,
                "the class sizes of the first layer",
            ));
        }
        let mut layers: Vec<_> = statistics.iter().map(OneLayer::new).collect::<Result<_>>()?;
        // The same parts of the samples in all layers, so that their errors can be laid beside each other.
        let parts = layers.iter().map(|layer| layer.parts.parts()).min().unwrap_or(0);
        for layer in &mut layers {
            layer.parts = layer.parts.clone().with_most_parts(parts);
        }
        Ok(Self { layers, scatter: CrossScatter::new(statistics)? })
    }

    /// Adds a batch of samples, given by their features after every layer.
    ///
    /// # Errors
    /// [`Error::Shape`] if there are not as many layers, or one has another dimension, number of classes or of samples;
    /// [`Error::OutOfRange`] naming a number that is not finite or too large, or a label that is not that of the first
    /// layer. The sums are then as they were.
    pub fn accumulate(&mut self, batch: &[LabeledFeatures<'_, T>]) -> Result<()> {
        if batch.len() != self.layers.len() {
            return Err(Error::length(
                "batch",
                batch.len(),
                self.layers.len(),
                "one for each layer",
            ));
        }
        let Some(first) = batch.first() else { return Ok(()) };
        for (features, layer) in batch.iter().zip(&self.layers) {
            let (dimension, classes) = (features.features().dimension(), features.classes());
            layer.statistics.check_shape("features", dimension, classes)?;
            features.features().check()?;
            check_labels(first.labels(), features.labels())?;
        }
        let size = chunk_size(batch.iter().map(|layer| layer.features().dimension()).sum());
        for range in ranges(first.labels().len(), size) {
            let chunk: Vec<_> = batch.iter().map(|features| features.part(range.clone())).collect();
            for (features, layer) in chunk.iter().zip(&mut self.layers) {
                layer.accumulate(features)?;
            }
            self.scatter.accumulate(&chunk)?;
        }
        Ok(())
    }

    /// Adds the samples of others.
    ///
    /// # Errors
    /// As [`merge_part`](Self::merge_part).
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        self.merge_part(&other.part())
    }

    /// What has been added up so far: what the workers of a cluster send back.
    #[must_use]
    pub fn part(&self) -> LayerPart {
        LayerPart {
            version: Version,
            layers: self.layers.iter().map(OneLayer::part).collect(),
            scatter: self.scatter.part(),
        }
    }

    /// Adds what others have added up.
    ///
    /// # Errors
    /// [`Error::DifferentFirstPass`] if that is for other class means or another number of layers; the sums are then as they
    /// were.
    pub fn merge_part(&mut self, other: &LayerPart) -> Result<()> {
        let mut layers = self.layers.iter().zip(&other.layers);
        let fits = self.layers.len() == other.layers.len()
            && layers.all(|(own, other)| own.fits(other))
            && self.scatter.fits(&other.scatter);
        if !fits {
            return Err(Error::DifferentFirstPass);
        }
        let mut layers = self.layers.iter_mut().zip(&other.layers);
        layers.try_for_each(|(own, other)| own.merge_part(other))?;
        self.scatter.merge_part(&other.scatter);
        Ok(())
    }

    /// The metrics of all layers.
    ///
    /// # Errors
    /// [`Error::SecondPass`] if a class has not had as many samples as in the statistics, [`Error::NoConvergence`] if
    /// singular values were not found.
    pub fn layers(&self) -> Result<Layers> {
        let one = |(index, layer): (usize, &OneLayer<T>)| layer.metrics(self.scatter.ranks(index)?);
        let layers: Vec<_> = self.layers.iter().enumerate().map(one).collect::<Result<_>>()?;
        let nc1: Vec<_> =
            layers.iter().map(|layer| layer.nc1.center_samples.map(|nc1| nc1.value)).collect();
        let separation = SeparationLaw::fit(&nc1)?;
        let estimates: Vec<_> = layers
            .iter()
            .map(|layer| layer.standard_errors.as_ref()?.get(Metric::Nc1).cloned())
            .collect();
        let cka = self.scatter.cka()?;
        let part = |part: fn(Similarity) -> Option<f64>| {
            let row = |row: &Vec<Option<Similarity>>| {
                row.iter().map(|found| found.and_then(part)).collect()
            };
            cka.iter().map(row).collect()
        };
        Ok(Layers {
            cka: part(|found| Some(found.value)),
            cka_standard_errors: part(|found| found.standard_error),
            separation_standard_errors: separation.and_then(|law| law.errors(&estimates)),
            separation,
            reasons: self.reasons(&layers),
            layers,
        })
    }

    /// Why standard errors are missing.
    fn reasons(&self, layers: &[LayerMetrics]) -> BTreeMap<&'static str, String> {
        let mut reasons = BTreeMap::new();
        if !self.scatter.has_parts() {
            for key in ["cka_standard_errors", "effective_rank", "stable_rank"] {
                let reason =
                    "covariances of parts of the samples are not kept for so many features";
                reasons.insert(key, reason.to_string());
            }
        }
        let errors = layers.iter().filter_map(|layer| layer.standard_errors.as_ref());
        for (metric, reason) in errors.flat_map(StandardErrors::reasons) {
            reasons.insert(metric.reason_key(), reason.into());
        }
        reasons
    }
}

/// Refuses samples whose labels are not those of the first layer.
fn check_labels(first: &[usize], labels: &[usize]) -> Result<()> {
    if first.len() != labels.len() {
        let reason = "as in the first layer";
        return Err(Error::length("labels", labels.len(), first.len(), reason));
    }
    match first.iter().zip(labels).position(|(first, label)| first != label) {
        None => Ok(()),
        Some(sample) => {
            let (argument, label) = (Argument::at("labels", sample), labels[sample] as f64);
            Err(Error::out_of_range(argument, label, "the label in the first layer"))
        }
    }
}
