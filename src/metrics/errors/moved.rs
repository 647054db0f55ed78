//! Metrics of class means and variances that are moved a little.

use std::collections::BTreeMap;

use nalgebra::DMatrix;

use crate::error::{Error, Result};
use crate::geometry::class_matrix::ClassMatrix;
use crate::measure::center::{Center, subtract_center};
use crate::measure::class_vectors::ClassVectors;
use crate::measure::variances::VariancesAndMeans;
use crate::metrics::all::{defined, duality};
use crate::metrics::cdnv::cdnv_of;
use crate::metrics::errors::metric::Metric;
use crate::metrics::errors::parts::SampleParts;
use crate::metrics::nc3::nc3;
use crate::metrics::shape::{Shape, equiangularity};
use crate::metrics::trace_quotient::trace_quotient;
use crate::problem::head::LinearHead;

/// Class means and variances that are moved a little.
pub(super) struct Moved {
    pub(super) means: DMatrix<f64>,
    pub(super) centered: DMatrix<f64>,
    /// In squares of the scale.
    variances: Vec<f64>,
}

impl Moved {
    /// As they are.
    pub(super) fn nowhere(parts: &SampleParts) -> Self {
        let variances = class_variances(parts);
        let centered = parts.means().centered(Center::Samples);
        Self { means: parts.means().matrix().clone(), centered, variances }
    }

    /// By so many times what a part of the samples differs.
    pub(super) fn by(
        parts: &SampleParts,
        part: usize,
        moves: &DMatrix<f64>,
        corrections: &[f64],
        factor: f64,
    ) -> Self {
        let mut moved = Self::nowhere(parts);
        let change = moves * (parts.scale() * factor);
        moved.means += &change;
        // Only what moves is centered, so that means that are large beside their differences cost no digits.
        let mut change = change;
        subtract_center(&mut change, parts.means().counts(), Center::Samples);
        moved.centered += change;
        let sums = &parts.sums()[part];
        for (class, variance) in moved.variances.iter_mut().enumerate() {
            let count = parts.means().counts()[class] as f64;
            let expected = sums.counts[class] as f64 * *variance;
            *variance += factor * corrections[class] * (sums.squares[class] - expected) / count;
        }
        moved
    }

    /// All metrics of the means and variances.
    pub(super) fn values(
        &self,
        parts: &SampleParts,
        head: &LinearHead,
        target: Option<&ClassMatrix>,
        all: bool,
    ) -> Result<BTreeMap<Metric, Option<f64>>> {
        let mut values = BTreeMap::new();
        if let Some(target) = target {
            values.insert(Metric::Nc3, defined(nc3(&self.means, head, target))?);
            values.insert(Metric::Nc3Centered, defined(nc3(&self.centered, head, target))?);
        }
        if all {
            self.insert_all(parts, head, &mut values)?;
        }
        for value in values.values_mut() {
            *value = value.filter(|value| value.is_finite());
        }
        Ok(values)
    }

    fn insert_all(
        &self,
        parts: &SampleParts,
        head: &LinearHead,
        values: &mut BTreeMap<Metric, Option<f64>>,
    ) -> Result<()> {
        self.insert_variances(parts, values)?;
        let (self_duality, cosines) = duality(head, &self.centered)?;
        values.extend([
            (Metric::SelfDuality, self_duality),
            (Metric::DualityCosineMean, cosines.map(|cosines| cosines.mean)),
            (Metric::DualityCosineDeviation, cosines.map(|cosines| cosines.deviation)),
        ]);
        let shape = Shape::of(&ClassVectors::columns(&self.means)?);
        let centered = Shape::of(&ClassVectors::columns(&self.centered)?);
        values.extend(MEANS.into_iter().zip(entries(&shape)));
        values.extend(CENTERED_MEANS.into_iter().zip(entries(&centered)));
        Ok(())
    }

    /// CDNV and quotient of traces.
    pub(super) fn insert_variances(
        &self,
        parts: &SampleParts,
        values: &mut BTreeMap<Metric, Option<f64>>,
    ) -> Result<()> {
        let cdnv = defined(cdnv_of(self.with_means(parts)))?;
        let finite = |value: Option<f64>| value.filter(|value| value.is_finite());
        values.insert(Metric::Cdnv, finite(cdnv.and_then(|cdnv| cdnv.mean)));
        values.insert(Metric::CdnvLargest, finite(cdnv.and_then(|cdnv| cdnv.largest)));
        for (metric, center) in [
            (Metric::Nc1TraceQuotient, Center::Samples),
            (Metric::Nc1TraceQuotientCenterClasses, Center::Classes),
        ] {
            let quotient = defined(trace_quotient(self.with_means(parts), center))?;
            values.insert(metric, finite(quotient));
        }
        Ok(())
    }

    /// The largest of all pairs alone.
    pub(super) fn largest(&self, parts: &SampleParts) -> Result<BTreeMap<Metric, Option<f64>>> {
        let angle = |means: &DMatrix<f64>| {
            let found = defined(equiangularity(&ClassVectors::columns(means)?))?;
            Ok::<_, Error>(found.map(|found| found.largest_etf_deviation))
        };
        let mut values = self.largest_cdnv(parts)?;
        values.insert(Metric::ClassMeansLargestEtfDeviation, angle(&self.means)?);
        values.insert(Metric::CenteredClassMeansLargestEtfDeviation, angle(&self.centered)?);
        Ok(values)
    }

    pub(super) fn largest_cdnv(
        &self,
        parts: &SampleParts,
    ) -> Result<BTreeMap<Metric, Option<f64>>> {
        let cdnv = defined(cdnv_of(self.with_means(parts)))?;
        Ok(BTreeMap::from([(Metric::CdnvLargest, cdnv.and_then(|cdnv| cdnv.largest))]))
    }

    fn with_means(&self, parts: &SampleParts) -> VariancesAndMeans {
        let counts = parts.means().counts();
        let samples: f64 = counts.iter().map(|&count| count as f64).sum();
        let sums = self.variances.iter().zip(counts).map(|(square, &n)| square * n as f64);
        VariancesAndMeans {
            within: sums.sum::<f64>() / samples,
            variances: self.variances.iter().copied().map(Some).collect(),
            unit: parts.scale(),
            means: self.means.clone(),
            counts: counts.to_vec(),
        }
    }
}

/// σ_k² in squares of the scale.
fn class_variances(parts: &SampleParts) -> Vec<f64> {
    let sum = |class: usize| parts.sums().iter().map(|part| part.squares[class]).sum::<f64>();
    let counts = parts.means().counts().iter().enumerate();
    counts.map(|(class, &count)| sum(class) / count as f64).collect()
}

const MEANS: [Metric; 9] = [
    Metric::ClassMeansNormMean,
    Metric::ClassMeansNormDeviation,
    Metric::ClassMeansNormVariation,
    Metric::ClassMeansCosineMean,
    Metric::ClassMeansCosineDeviation,
    Metric::ClassMeansEtfDeviation,
    Metric::ClassMeansLargestEtfDeviation,
    Metric::ClassMeansLogEnergy,
    Metric::ClassMeansLogEnergyDeviation,
];

const CENTERED_MEANS: [Metric; 9] = [
    Metric::CenteredClassMeansNormMean,
    Metric::CenteredClassMeansNormDeviation,
    Metric::CenteredClassMeansNormVariation,
    Metric::CenteredClassMeansCosineMean,
    Metric::CenteredClassMeansCosineDeviation,
    Metric::CenteredClassMeansEtfDeviation,
    Metric::CenteredClassMeansLargestEtfDeviation,
    Metric::CenteredClassMeansLogEnergy,
    Metric::CenteredClassMeansLogEnergyDeviation,
];

/// The entries of a shape in the order of the lists of metrics.
fn entries(shape: &Shape) -> [Option<f64>; 9] {
    [
        Some(shape.norm_spread.mean),
        Some(shape.norm_spread.deviation),
        shape.norm_spread.coefficient_of_variation(),
        shape.cosine_spread.map(|cosines| cosines.mean),
        shape.cosine_spread.map(|cosines| cosines.deviation),
        shape.equiangularity.map(|found| found.etf_deviation),
        shape.equiangularity.map(|found| found.largest_etf_deviation),
        shape.log_energy.map(|energy| energy.mean),
        shape.log_energy.map(|energy| energy.deviation),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::features::Features;
    use crate::measure::statistics::ClassStatistics;
    use crate::metrics::nc1::Nc1Options;

    /// Means move by the deviations x of a part, and variances by ‖x‖² − σ², over the samples of the class.
    #[test]
    fn a_part_moves_means_and_variances_by_its_samples() {
        const PARTS: usize = 16;
        let labels: Vec<usize> = (0..90).map(|i| [0, 1, 0, 2, 1][i % 5]).collect();
        let rows = DMatrix::from_fn(90, 3, |i, j| {
            30.0 * ((7 * i * i + j) as f64 * 0.37).sin() + (labels[i] * (j + 1)) as f64 * 100.0
        });
        let data = Features::from_sample_rows(&rows).unwrap().with_labels(&labels, 3).unwrap();
        let statistics = ClassStatistics::new(&data).unwrap();
        let parts = SampleParts::new(&statistics, &Nc1Options::default()).unwrap();
        let mut parts = parts.with_most_parts(PARTS);
        parts.accumulate(&data).unwrap();
        let (moves, corrections) = (parts.moves().unwrap(), parts.corrections().unwrap());
        let (moves, corrections) = (moves.unwrap(), corrections.unwrap());
        let (means, scale) = (statistics.class_means().unwrap(), parts.scale());
        let (part, factor) = (3, -2.5);
        let found = Moved::by(&parts, part, &moves[part], &corrections, factor);
        let mut expected = means.clone();
        for (class, correction) in corrections.iter().enumerate() {
            let own: Vec<usize> = (0..90).filter(|&i| labels[i] == class).collect();
            let deviation = |&i: &usize| rows.row(i).transpose() - means.column(class);
            let square = |i: &usize| deviation(i).norm_squared() / scale / scale;
            let variance = own.iter().map(square).sum::<f64>() / own.len() as f64;
            let share = factor * correction / own.len() as f64;
            let in_part = own.iter().skip(part).step_by(PARTS);
            let change: f64 = in_part.clone().map(|i| square(i) - variance).sum();
            let moved = variance + share * change;
            assert!((found.variances[class] / moved - 1.0).abs() < 1e-12, "{class}");
            for i in in_part {
                let moved = expected.column(class) + deviation(i) * share;
                expected.set_column(class, &moved);
            }
        }
        assert!((&found.means - &expected).amax() < 1e-10);
        let center = &expected * nalgebra::dvector![36.0, 36.0, 18.0] / 90.0;
        expected.column_iter_mut().for_each(|mut column| column -= &center);
        assert!((&found.centered - &expected).amax() < 1e-10);
    }
}
