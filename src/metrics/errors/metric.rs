//! The metrics that have standard errors, with their names.

use std::borrow::Cow;

/// A number that is measured on samples.
///
/// Those of class means and of centered class means are the entries of [`Shape`](crate::metrics::Shape).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Metric {
    /// NC1 on all directions in which the class means differ ([`nc1`](crate::metrics::nc1)).
    Nc1,
    /// NC1 on as many directions as the prediction has.
    Nc1PredictedRank,
    /// NC1 on the directions that stand out of the noise of the class means.
    Nc1Resolved,
    /// NC1 around the mean of the class means.
    Nc1CenterClasses,
    /// tr Σ_W / tr Σ_B ([`nc1_trace_quotient`](crate::metrics::nc1_trace_quotient)).
    Nc1TraceQuotient,
    /// The same around the mean of the class means.
    Nc1TraceQuotientCenterClasses,
    /// The mean of [`cdnv`](crate::metrics::cdnv) over all pairs of classes.
    Cdnv,
    /// The largest of them.
    CdnvLargest,
    /// The distance of the Gram matrix of the class means to the predicted one.
    Nc2ClassMeans,
    /// The distance of the outputs for the class means to the predicted ones ([`nc3`](crate::metrics::nc3)).
    Nc3,
    /// The same for the class means less the mean of all samples.
    Nc3Centered,
    /// The share of samples for which head and nearest class mean agree ([`nc4`](crate::metrics::nc4)).
    Nc4,
    /// The share of samples for which the head decides for the label.
    Accuracy,
    /// The share of samples whose nearest class mean is that of their label.
    NearestMeanAccuracy,
    /// The training objective f.
    Loss,
    /// f − f*, f* being the predicted loss.
    LossGap,
    /// (f − f*)/f*.
    LossGapRelative,
    /// The distance of the classifier to the class means ([`self_duality`](crate::metrics::self_duality)).
    SelfDuality,
    /// The mean cosine between classifier and mean of a class ([`duality_cosines`](crate::metrics::duality_cosines)).
    DualityCosineMean,
    /// The deviation of these cosines.
    DualityCosineDeviation,
    /// The mean length of the class means.
    ClassMeansNormMean,
    /// The deviation of the lengths of the class means.
    ClassMeansNormDeviation,
    /// The same divided by their mean.
    ClassMeansNormVariation,
    /// The mean cosine between two of the class means.
    ClassMeansCosineMean,
    /// The deviation of these cosines.
    ClassMeansCosineDeviation,
    /// The mean distance of these cosines from −1/(K−1), that of a simplex ETF.
    ClassMeansEtfDeviation,
    /// The largest such distance.
    ClassMeansLargestEtfDeviation,
    /// The mean logarithmic energy of pairs of the class means ([`log_energy`](crate::metrics::log_energy)).
    ClassMeansLogEnergy,
    /// The deviation of these energies.
    ClassMeansLogEnergyDeviation,
    /// The mean length of the class means less their center.
    CenteredClassMeansNormMean,
    /// The deviation of the lengths of the class means less their center.
    CenteredClassMeansNormDeviation,
    /// The same divided by their mean.
    CenteredClassMeansNormVariation,
    /// The mean cosine between two of the class means less their center.
    CenteredClassMeansCosineMean,
    /// The deviation of these cosines.
    CenteredClassMeansCosineDeviation,
    /// The mean distance of these cosines from −1/(K−1), that of a simplex ETF.
    CenteredClassMeansEtfDeviation,
    /// The largest such distance.
    CenteredClassMeansLargestEtfDeviation,
    /// The mean logarithmic energy of pairs of the class means less their center ([`log_energy`](crate::metrics::log_energy)).
    CenteredClassMeansLogEnergy,
    /// The deviation of these energies.
    CenteredClassMeansLogEnergyDeviation,
    /// The effective rank of the features of a layer.
    EffectiveRank,
    /// The stable rank of the features of a layer.
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
    Nc1CenterClasses "nc1_center_classes" "NC1, center of classes",
    Nc1TraceQuotient "nc1_trace_quotient" "tr Σ_W / tr Σ_B",
    Nc1TraceQuotientCenterClasses "nc1_trace_quotient_center_classes" "the same, center of classes",
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
