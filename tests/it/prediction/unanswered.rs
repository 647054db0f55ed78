//! What predictions have no answer to, and why: all else is answered, and held against matrices.

use std::collections::BTreeSet;

use neural_collapse::error::Result;
use neural_collapse::problem::Bias;
use neural_collapse::{Basis, Error, Prediction};

/// A question of the trait that may have no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Question {
    Counts,
    LowerBound,
    ClassRuns,
    ClassifierNorms,
    FeatureNorms,
    Bias,
    SingularValues,
    FeatureSingularValues,
    TrailingGram,
    ClassMeansGram,
    ClassMeanRank,
    ClassOutputs,
    LabelGeometry,
    Explicit,
}

use Question::*;

/// All about classes.
const CLASSES: &[Question] = &[Counts, ClassRuns, ClassMeansGram, ClassMeanRank, ClassOutputs];
/// All that a bias may change.
const MATRICES: &[Question] = &[
    ClassifierNorms,
    FeatureNorms,
    Bias,
    SingularValues,
    FeatureSingularValues,
    TrailingGram,
    ClassMeansGram,
    ClassMeanRank,
    ClassOutputs,
];
/// All about a classifier.
const CLASSIFIER: &[Question] =
    &[ClassifierNorms, SingularValues, TrailingGram, ClassOutputs, Explicit];

/// The same, and all about the angle between two samples.
const ALONE: &[Question] = &[
    ClassifierNorms,
    SingularValues,
    FeatureSingularValues,
    TrailingGram,
    ClassMeansGram,
    ClassMeanRank,
    ClassOutputs,
    Explicit,
];

/// Every implementor, with the problems in which it answers alike: what it does not answer, and the reason.
pub const TABLE: [(&str, &[Question], &str); 22] = [
    ("GlobalMinimum", &[], ""),
    ("GlobalMinimum, narrow", &[ClassifierNorms, FeatureNorms], "global minimizers differ in them"),
    ("GlobalMinimum of a target", CLASSES, "a target matrix has no classes"),
    ("CrossEntropyPoint", &[], ""),
    ("CrossEntropyPoint, not proved", &[LowerBound], "only the whole landscape has a bound"),
    ("Landscape", &[], ""),
    ("ConvexMinimum", &[], ""),
    ("ConvexMinimum of soft labels", CLASSES, "soft labels are no classes"),
    ("NonnegativeMinimum", &[], ""),
    ("NonnegativeMinimum, a family", MATRICES, "a free bias takes over any part of the logits"),
    ("LowRankMinimum of one layer", &[], ""),
    ("LowRankMinimum of several layers", &[LowerBound], "the problem is not convex"),
    ("LayerPeeledMinimum", &[], ""),
    ("Seli", &[], ""),
    ("FixedHeadMinimum", &[], ""),
    ("UnitMinimum", &[], ""),
    ("UnitMinimum, contrastive", CLASSIFIER, "the loss has no classifier"),
    (
        "UnitMinimum, contrastive with samples alone",
        ALONE,
        "no term of the loss compares two samples that are alone in their classes",
    ),
    ("MultiLabelMinimum", &[Counts, ClassRuns], "samples with several tags have no class"),
    ("MultiLabelMinimum without single tags", CLASSES, "no tag has features of its own"),
    ("CenteredSupports", CLASSES, "samples belong to contexts, not to classes"),
    ("SmallestLogits", CLASSES, "samples belong to contexts, not to classes"),
];

/// Who has no geometry by labels, with the reason.
const WITHOUT_LABELS: [(&str, &[&str]); 2] = [
    (
        "samples belong to classes",
        &[
            "GlobalMinimum",
            "GlobalMinimum, narrow",
            "CrossEntropyPoint",
            "CrossEntropyPoint, not proved",
            "Landscape",
            "ConvexMinimum",
            "NonnegativeMinimum",
            "NonnegativeMinimum, a family",
            "LowRankMinimum of one layer",
            "LowRankMinimum of several layers",
            "LayerPeeledMinimum",
            "Seli",
            "FixedHeadMinimum",
            "UnitMinimum",
            "UnitMinimum, contrastive",
            "UnitMinimum, contrastive with samples alone",
        ],
    ),
    ("every sample has a target of its own", &["GlobalMinimum of a target"]),
];

/// The questions that have no answer.
fn unanswered(prediction: &dyn Prediction) -> BTreeSet<Question> {
    let objective = prediction.training_objective();
    let has_bias = objective.regularization().is_some_and(|decays| decays.bias() != Bias::None);
    let classes = answered(prediction.class_runs());
    let norm_is_missing = |which: fn(&neural_collapse::prediction::ClassGeometry) -> bool| {
        classes.iter().flatten().any(|(_, class)| which(class))
    };
    let questions = [
        (Counts, prediction.counts().is_none()),
        (LowerBound, prediction.lower_bound().is_none()),
        (ClassRuns, classes.is_none()),
        (ClassifierNorms, norm_is_missing(|class| class.classifier_norm_squared.is_none())),
        (FeatureNorms, norm_is_missing(|class| class.feature_norm_squared.is_none())),
        (Bias, has_bias && prediction.bias().is_none()),
        (SingularValues, answered(prediction.singular_values(1..=1)).is_none()),
        (FeatureSingularValues, answered(prediction.feature_singular_values()).is_none()),
        (TrailingGram, answered(prediction.trailing_gram(1)).is_none()),
        (ClassMeansGram, answered(prediction.class_means_gram()).is_none()),
        (ClassMeanRank, answered(prediction.class_mean_rank()).is_none()),
        (ClassOutputs, answered(prediction.class_outputs()).is_none()),
        (LabelGeometry, answered(prediction.label_geometry()).is_none()),
        (Explicit, answered(prediction.explicit(&Basis::Standard)).is_none()),
    ];
    questions.into_iter().filter(|(_, is_missing)| *is_missing).map(|(own, _)| own).collect()
}

/// `None` where there is no answer; all other errors are failures.
pub fn answered<T>(answer: Result<T>) -> Option<T> {
    match answer {
        Ok(answer) => Some(answer),
        Err(Error::NotAnswered { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

/// Fails unless exactly those questions have no answer that the table says.
pub fn check(kind: &str, name: &str, prediction: &dyn Prediction) {
    let row = TABLE.iter().find(|(own, ..)| *own == kind);
    let (_, expected, reason) = row.unwrap_or_else(|| panic!("{kind} is not in the table"));
    assert_eq!(reason.is_empty(), expected.is_empty(), "{kind}");
    let no_labels = WITHOUT_LABELS.iter().find(|(_, kinds)| kinds.contains(&kind));
    let expected: BTreeSet<Question> =
        expected.iter().copied().chain(no_labels.map(|_| LabelGeometry)).collect();
    let reasons = [Some(reason), no_labels.map(|(reason, _)| reason)];
    assert_eq!(unanswered(prediction), expected, "{name}: not answered, because {reasons:?}");
}
