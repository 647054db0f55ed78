//! The hyper-parameters in the metadata of a file.

use clap::ValueEnum;

use super::error::Problem;
use crate::loss::Loss;
use crate::stated::{BIAS_SYNTAX, Decay, StatedTraining};

/// The names of the entries.
const WEIGHT_DECAYS: &str = "lambda_w";
const FEATURE_DECAY: &str = "lambda_h";
const BIAS: &str = "bias";
const LOSS: &str = "loss_function";
const SMOOTHING: &str = "label_smoothing";
const CLASS_WEIGHTS: &str = "class_weights";
const NONNEGATIVE: &str = "nonnegative_features";

/// When a checkpoint was made, and by steps of which size.
pub(super) const EPOCH: &str = "epoch";
pub(super) const LEARNING_RATE: &str = "learning_rate";

/// Entries that say nothing about what was minimized, or nothing that is needed.
const IRRELEVANT: [&str; 4] = ["description", "format", EPOCH, LEARNING_RATE];

/// `given`, completed by the metadata strings `lambda_w`, `lambda_h`, `bias`, `loss_function`, `label_smoothing`,
/// `class_weights` and `nonnegative_features`. Those that a flag replaces are not looked at, so that a flag can also
/// overrule an unreadable one.
pub(super) fn completed(
    metadata: &[(String, String)],
    given: &StatedTraining,
) -> Result<StatedTraining, Problem> {
    let mut stated = given.clone();
    if stated.weight_decays.is_none() {
        let expected = "a JSON list of positive weight decays, such as `[5e-4, 5e-4]`,";
        stated.weight_decays = entry(metadata, WEIGHT_DECAYS, expected, parse_decays)?;
    }
    if stated.feature_decay.is_none() {
        let parse = |text: &str| text.trim().parse().ok().filter(is_decay).map(Decay::Given);
        stated.feature_decay = entry(metadata, FEATURE_DECAY, "a positive number", parse)?;
    }
    if stated.bias.is_none() {
        let parse = |text: &str| text.trim().parse().ok();
        stated.bias = entry(metadata, BIAS, BIAS_SYNTAX, parse)?;
    }
    if stated.loss.is_none() {
        let parse = |text: &str| Loss::from_str(text, true).ok();
        stated.loss = entry(metadata, LOSS, "`mse` or `cross_entropy`", parse)?;
    }
    if stated.labels.label_smoothing.is_none() {
        let parse =
            |text: &str| text.trim().parse().ok().filter(|value| (0.0..1.0).contains(value));
        stated.labels.label_smoothing =
            entry(metadata, SMOOTHING, "a number of at least 0 and below 1", parse)?;
    }
    if stated.labels.class_weights.is_none() {
        let expected = "a JSON list of positive numbers";
        let parse = |text: &str| {
            serde_json::from_str(text).ok().filter(|list: &Vec<f64>| are_weights(list))
        };
        stated.labels.class_weights = entry(metadata, CLASS_WEIGHTS, expected, parse)?;
    }
    if !stated.labels.nonnegative_features {
        let parse = |text: &str| text.trim().to_lowercase().parse().ok();
        stated.labels.nonnegative_features =
            entry(metadata, NONNEGATIVE, "`true` or `false`", parse)?.unwrap_or(false);
    }
    Ok(stated)
}

/// The name of the first entry that two files state differently. What one of them leaves open is no contradiction,
/// nor is what a flag gives for both: that may be any number, even one that is unequal to itself.
pub(super) fn contradiction(
    one: &StatedTraining,
    other: &StatedTraining,
    given: &StatedTraining,
) -> Option<&'static str> {
    let decays = one.weight_decays.as_deref().zip(other.weight_decays.as_deref());
    let decays = decays.filter(|_| given.weight_decays.is_none());
    let weights = (one.labels.class_weights.as_ref(), other.labels.class_weights.as_ref());
    let differ = [
        (WEIGHT_DECAYS, decays.is_some_and(|(one, other)| !same_decays(one, other))),
        (
            FEATURE_DECAY,
            given.feature_decay.is_none() && differ(one.feature_decay, other.feature_decay),
        ),
        (BIAS, given.bias.is_none() && differ(one.bias, other.bias)),
        (LOSS, differ(one.loss, other.loss)),
        (SMOOTHING, differ(one.labels.label_smoothing, other.labels.label_smoothing)),
        (CLASS_WEIGHTS, differ(weights.0, weights.1)),
    ];
    differ.into_iter().find(|(_, differ)| *differ).map(|(name, _)| name)
}

/// A finite number in the metadata, if there is one.
pub(super) fn number(metadata: &[(String, String)], name: &str) -> Option<f64> {
    let (_, text) = metadata.iter().find(|(entry, _)| entry == name)?;
    text.trim().parse().ok().filter(|number: &f64| number.is_finite())
}

/// The entries that have no meaning here, with the name of that which may have been meant.
pub(super) fn unknown(metadata: &[(String, String)]) -> Vec<UnknownEntry> {
    let known = [WEIGHT_DECAYS, FEATURE_DECAY, BIAS, LOSS, SMOOTHING, CLASS_WEIGHTS, NONNEGATIVE];
    let is_known = |name: &str, text: &str| {
        known.contains(&name)
            || IRRELEVANT.contains(&name)
            // The loss that was reached, not what was minimized.
            || (name == "loss" && text.trim().parse::<f64>().is_ok())
    };
    let unknown = metadata.iter().filter(|(name, text)| !is_known(name, text));
    unknown.map(|(name, _)| UnknownEntry { name: name.clone(), meant: meant(name) }).collect()
}

/// An entry of the metadata that is not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnknownEntry {
    /// Its name.
    pub(crate) name: String,
    /// The entry that may have been meant.
    pub(crate) meant: Option<&'static str>,
}

impl std::fmt::Display for UnknownEntry {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "`{}` is not understood", self.name)?;
        match self.meant {
            Some(meant) => write!(formatter, " (is `{meant}` meant?)"),
            None => Ok(()),
        }
    }
}

/// Whether an entry may be a list of numbers.
pub(super) fn may_be_list(entry: &str) -> bool {
    [WEIGHT_DECAYS, CLASS_WEIGHTS].contains(&entry)
}

/// What other programs call the hyper-parameters.
pub(super) fn meant(name: &str) -> Option<&'static str> {
    let plain: String = name.to_lowercase().replace(['_', '-', ' ', '.'], "");
    Some(match plain.as_str() {
        "lambdaw" | "weightdecay" | "weightdecays" | "wd" | "l2" | "decay" | "lambda" => {
            WEIGHT_DECAYS
        }
        "lambdah" | "featuredecay" | "fd" | "lambdafeatures" => FEATURE_DECAY,
        "bias" | "usebias" | "biasdecay" | "lambdab" => BIAS,
        "loss" | "lossfunction" | "lossfn" | "criterion" | "objective" => LOSS,
        "labelsmoothing" | "smoothing" => SMOOTHING,
        "classweights" | "classweight" => CLASS_WEIGHTS,
        "nonnegativefeatures" | "nonnegative" | "reluonfeatures" => NONNEGATIVE,
        _ => return None,
    })
}

fn differ<T: PartialEq>(one: Option<T>, other: Option<T>) -> bool {
    one.zip(other).is_some_and(|(one, other)| one != other)
}

/// One value stands for all layers.
fn same_decays(one: &[Decay], other: &[Decay]) -> bool {
    match (one, other) {
        ([decay], list) | (list, [decay]) => list.iter().all(|other| other == decay),
        _ => one == other,
    }
}

/// A JSON list of weight decays, or one for all layers.
fn parse_decays(text: &str) -> Option<Vec<Decay>> {
    let list = serde_json::from_str(text).ok();
    let list: Vec<f64> =
        list.or_else(|| serde_json::from_str(text).ok().map(|decay| vec![decay]))?;
    list.iter().all(is_decay).then(|| list.into_iter().map(Decay::Given).collect())
}

fn is_decay(decay: &f64) -> bool {
    *decay > 0.0 && decay.is_finite()
}

fn are_weights(weights: &[f64]) -> bool {
    weights.iter().all(|weight| *weight > 0.0 && weight.is_finite())
}

/// The flag that takes the place of an entry.
fn flag(name: &str) -> &'static str {
    match name {
        WEIGHT_DECAYS => "--weight-decay",
        FEATURE_DECAY => "--feature-decay",
        BIAS => "--bias",
        LOSS => "--loss",
        SMOOTHING => "--label-smoothing",
        CLASS_WEIGHTS => "--class-weights",
        _ => "--nonnegative-features",
    }
}

fn entry<T>(
    metadata: &[(String, String)],
    name: &'static str,
    expected: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, Problem> {
    let Some((_, text)) = metadata.iter().find(|(entry, _)| entry == name) else {
        return Ok(None);
    };
    match parse(text) {
        Some(value) => Ok(Some(value)),
        None => Err(Problem::Metadata { name, found: text.clone(), expected, flag: flag(name) }),
    }
}
