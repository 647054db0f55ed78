//! Which level belongs to which metric.

use crate::metrics::errors::Metric;
use crate::metrics::levels::Levels;

impl Levels {
    /// What noise alone leaves of a metric in a perfectly collapsed network; `None` where it is not known.
    ///
    /// ```
    /// use neural_collapse::ClassCounts;
    /// use neural_collapse::metrics::errors::Metric;
    /// use neural_collapse::metrics::levels::{Levels, Unstructured};
    ///
    /// let unstructured = Unstructured::new(&ClassCounts::balanced(4, 25)?, 16)?;
    /// let levels = Levels::new(unstructured, None);
    /// assert_eq!(levels.unstructured_of(Metric::Accuracy), Some(0.25));
    /// assert_eq!(levels.collapsed_of(Metric::Nc3), None);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    #[must_use]
    pub fn collapsed_of(&self, metric: Metric) -> Option<f64> {
        let level = self.collapsed.as_ref()?;
        match metric {
            Metric::Nc2ClassMeans => level.nc2_class_means_as_they_are,
            Metric::Nc3 => level.nc3,
            Metric::Nc3Centered => level.nc3_centered,
            Metric::SelfDuality => level.self_duality,
            Metric::CenteredClassMeansNormVariation => level.norm_variation,
            Metric::CenteredClassMeansCosineDeviation => level.cosine_deviation,
            _ => None,
        }
    }

    /// What a metric is without any structure; `None` where it is not known.
    #[must_use]
    pub fn unstructured_of(&self, metric: Metric) -> Option<f64> {
        let level = &self.unstructured;
        let (means, centered) = (&level.class_means, &level.centered_class_means);
        match metric {
            Metric::Nc1 => level.nc1,
            Metric::Nc1TraceQuotient => level.nc1_trace_quotient,
            Metric::Cdnv => level.cdnv,
            Metric::Nc2ClassMeans => level.nc2_class_means,
            Metric::Nc3 | Metric::Nc3Centered => Some(level.nc3),
            Metric::Nc4 | Metric::Accuracy => Some(level.nc4),
            Metric::SelfDuality => Some(level.self_duality),
            Metric::DualityCosineMean => Some(level.duality_cosine),
            Metric::ClassMeansNormVariation => means.norm_variation,
            Metric::ClassMeansCosineMean => means.cosine_mean,
            Metric::ClassMeansCosineDeviation => means.cosine_deviation,
            Metric::ClassMeansEtfDeviation => means.etf_deviation,
            Metric::ClassMeansLogEnergy => means.log_energy,
            Metric::CenteredClassMeansNormVariation => centered.norm_variation,
            Metric::CenteredClassMeansCosineMean => centered.cosine_mean,
            Metric::CenteredClassMeansCosineDeviation => centered.cosine_deviation,
            Metric::CenteredClassMeansEtfDeviation => centered.etf_deviation,
            Metric::CenteredClassMeansLogEnergy => centered.log_energy,
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::levels::{Collapsed, ShapeLevel, Unstructured};
    use crate::problem::counts::ClassCounts;

    fn shape(first: f64) -> ShapeLevel {
        ShapeLevel {
            norm_variation: Some(first),
            cosine_mean: Some(first + 1.0),
            cosine_deviation: Some(first + 2.0),
            etf_deviation: Some(first + 3.0),
            log_energy: Some(first + 4.0),
        }
    }

    /// Levels that all differ from each other.
    fn levels() -> Levels {
        let unstructured = Unstructured {
            nc1: Some(1.0),
            nc1_trace_quotient: Some(2.0),
            cdnv: Some(3.0),
            nc2_class_means: Some(4.0),
            nc3: 5.0,
            nc4: 6.0,
            self_duality: 7.0,
            duality_cosine: 8.0,
            class_means: shape(10.0),
            centered_class_means: shape(20.0),
            classifier: shape(30.0),
            ..Unstructured::new(&ClassCounts::balanced(3, 4).unwrap(), 5).unwrap()
        };
        let collapsed = Collapsed {
            nc3: Some(41.0),
            nc3_centered: Some(42.0),
            nc2_class_means: Some(43.0),
            nc2_class_means_as_they_are: Some(44.0),
            self_duality: Some(45.0),
            norm_variation: Some(46.0),
            cosine_deviation: Some(47.0),
        };
        Levels::new(unstructured, Some(collapsed))
    }

    #[test]
    fn every_metric_has_its_own_levels() {
        use Metric::*;
        let levels = levels();
        for (metric, collapsed, unstructured) in [
            (Nc1, None, Some(1.0)),
            (Nc1TraceQuotient, None, Some(2.0)),
            (Cdnv, None, Some(3.0)),
            (Nc2ClassMeans, Some(44.0), Some(4.0)),
            (Nc3, Some(41.0), Some(5.0)),
            (Nc3Centered, Some(42.0), Some(5.0)),
            (Nc4, None, Some(6.0)),
            (Accuracy, None, Some(6.0)),
            (SelfDuality, Some(45.0), Some(7.0)),
            (DualityCosineMean, None, Some(8.0)),
            (ClassMeansNormVariation, None, Some(10.0)),
            (ClassMeansCosineMean, None, Some(11.0)),
            (ClassMeansCosineDeviation, None, Some(12.0)),
            (ClassMeansEtfDeviation, None, Some(13.0)),
            (ClassMeansLogEnergy, None, Some(14.0)),
            (CenteredClassMeansNormVariation, Some(46.0), Some(20.0)),
            (CenteredClassMeansCosineMean, None, Some(21.0)),
            (CenteredClassMeansCosineDeviation, Some(47.0), Some(22.0)),
            (CenteredClassMeansEtfDeviation, None, Some(23.0)),
            (CenteredClassMeansLogEnergy, None, Some(24.0)),
            (Nc1Resolved, None, None),
            (Loss, None, None),
        ] {
            assert_eq!(levels.collapsed_of(metric), collapsed, "{metric}");
            assert_eq!(levels.unstructured_of(metric), unstructured, "{metric}");
        }
    }
}
