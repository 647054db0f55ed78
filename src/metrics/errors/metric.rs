//! The metrics that have standard errors, with their names.

use std::borrow::Cow;

/// A number that is measured on samples.
///
/// Those of class means and of centered class means are the entries of [`Shape`](crate::metrics::Shape).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the names are those of the metrics' functions and fields")]
#[non_exhaustive]
pub enum Metric {
    Nc1,
    Nc1PredictedRank,
    Nc1Resolved,
    Nc1CenterClasses,
    Nc1TraceQuotient,
    Nc1TraceQuotientCenterClasses,
    Cdnv,
    CdnvLargest,
    Nc2ClassMeans,
    Nc3,
    Nc3Centered,
    Nc4,
    Accuracy,
    NearestMeanAccuracy,
    Loss,
    LossGap,
    LossGapRelative,
    SelfDuality,
    DualityCosineMean,
    DualityCosineDeviation,
    ClassMeansNormMean,
    ClassMeansNormDeviation,
    ClassMeansNormVariation,
    ClassMeansCosineMean,
    ClassMeansCosineDeviation,
    ClassMeansEtfDeviation,
    ClassMeansLargestEtfDeviation,
    ClassMeansLogEnergy,
    ClassMeansLogEnergyDeviation,
    CenteredClassMeansNormMean,
    CenteredClassMeansNormDeviation,
    CenteredClassMeansNormVariation,
    CenteredClassMeansCosineMean,
    CenteredClassMeansCosineDeviation,
    CenteredClassMeansEtfDeviation,
    CenteredClassMeansLargestEtfDeviation,
    CenteredClassMeansLogEnergy,
    CenteredClassMeansLogEnergyDeviation,
    EffectiveRank,
    StableRank,
    /// NC1 of the features after so many layers of the head.
    Nc1AfterLayer(usize),
}

/// Gives each metric its key in JSON and its name in words.
macro_rules! names {
    ($($name:ident $key:literal $words:literal,)*) => {
        impl Metric {
            /// The key in the JSON of standard errors.
            ///
            /// ```
            /// use neural_collapse::metrics::errors::Metric;
            ///
            /// assert_eq!(Metric::CdnvLargest.key(), "cdnv_largest");
            /// assert_eq!(Metric::Nc1AfterLayer(2).key(), "nc1_after_layer_2");
            /// ```
            #[must_use]
            pub fn key(self) -> Cow<'static, str> {
                match self {
                    $(Self::$name => Cow::Borrowed($key),)*
                    Self::Nc1AfterLayer(layer) => Cow::Owned(format!("nc1_after_layer_{layer}")),
                }
            }

            /// The key of the reason for which there is no standard error.
            pub(crate) fn reason_key(self) -> &'static str {
                match self {
                    $(Self::$name => concat!("standard_errors.", $key),)*
                    Self::Nc1AfterLayer(_) => "standard_errors.nc1_after_layer",
                }
            }
        }

        impl core::fmt::Display for Metric {
            fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                match self {
                    $(Self::$name => formatter.write_str($words),)*
                    Self::Nc1AfterLayer(layer) => write!(formatter, "NC1 after layer {layer}"),
                }
            }
        }
    };
}

names! {
    Nc1 "nc1" "NC1",
    Nc1PredictedRank "nc1_predicted_rank" "NC1, predicted rank",
    Nc1Resolved "nc1_resolved" "NC1, resolved",
    Nc1CenterClasses "nc1_center_classes" "NC1, centre of classes",
    Nc1TraceQuotient "nc1_trace_quotient" "tr Σ_W / tr Σ_B",
    Nc1TraceQuotientCenterClasses "nc1_trace_quotient_center_classes" "the same, centre of classes",
    Cdnv "cdnv" "CDNV, mean",
    CdnvLargest "cdnv_largest" "CDNV, largest",
    Nc2ClassMeans "nc2_class_means" "NC2, class means",
    Nc3 "nc3" "NC3",
    Nc3Centered "nc3_centered" "NC3, centered",
    Nc4 "nc4" "NC4",
    Accuracy "accuracy" "accuracy",
    NearestMeanAccuracy "nearest_mean_accuracy" "nearest-mean accuracy",
    Loss "loss" "loss f",
    LossGap "loss_gap" "loss gap f − f*",
    LossGapRelative "loss_gap_relative" "loss gap (f − f*)/f*",
    SelfDuality "self_duality" "self-duality",
    DualityCosineMean "duality_cosine_mean" "duality cosines, mean",
    DualityCosineDeviation "duality_cosine_deviation" "duality cosines, deviation",
    ClassMeansNormMean "class_means_norm_mean" "class means: norms, mean",
    ClassMeansNormDeviation "class_means_norm_deviation" "class means: norms, deviation",
    ClassMeansNormVariation "class_means_norm_variation" "class means: norms, CV",
    ClassMeansCosineMean "class_means_cosine_mean" "class means: cosines, mean",
    ClassMeansCosineDeviation "class_means_cosine_deviation" "class means: cosines, deviation",
    ClassMeansEtfDeviation "class_means_etf_deviation" "class means: ETF, mean",
    ClassMeansLargestEtfDeviation "class_means_largest_etf_deviation" "class means: ETF, largest",
    ClassMeansLogEnergy "class_means_log_energy" "class means: energy, mean",
    ClassMeansLogEnergyDeviation "class_means_log_energy_deviation" "class means: energy, deviation",
    CenteredClassMeansNormMean "centered_class_means_norm_mean" "centered: norms, mean",
    CenteredClassMeansNormDeviation "centered_class_means_norm_deviation" "centered: norms, deviation",
    CenteredClassMeansNormVariation "centered_class_means_norm_variation" "centered: norms, CV",
    CenteredClassMeansCosineMean "centered_class_means_cosine_mean" "centered: cosines, mean",
    CenteredClassMeansCosineDeviation "centered_class_means_cosine_deviation" "centered: cosines, deviation",
    CenteredClassMeansEtfDeviation "centered_class_means_etf_deviation" "centered: ETF, mean",
    CenteredClassMeansLargestEtfDeviation "centered_class_means_largest_etf_deviation" "centered: ETF, largest",
    CenteredClassMeansLogEnergy "centered_class_means_log_energy" "centered: energy, mean",
    CenteredClassMeansLogEnergyDeviation "centered_class_means_log_energy_deviation" "centered: energy, deviation",
    EffectiveRank "effective_rank" "effective rank",
    StableRank "stable_rank" "stable rank",
}

#[cfg(feature = "serde")]
impl serde::Serialize for Metric {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.key())
    }
}
