//! The hyper-parameters in the metadata of a file.

use clap::ValueEnum;
use neural_collapse::Bias;

use super::archive::Archive;
use super::error::Problem;
use crate::arguments::Loss;
use crate::penalties::{BIAS_SYNTAX, Penalties, parse_bias};

/// The names of the entries.
const WEIGHT_DECAYS: &str = "lambda_w";
const FEATURE_DECAY: &str = "lambda_h";
const BIAS: &str = "bias";
const LOSS: &str = "loss_function";

/// `given`, completed by the metadata strings `lambda_w`, `lambda_h`, `bias` and `loss_function`. Those that a
/// flag replaces are not looked at, so that a flag can also overrule an unreadable one.
pub(super) fn complete_penalties(
    archive: &dyn Archive,
    given: &Penalties,
) -> Result<Penalties, Problem> {
    let mut penalties = given.clone();
    if penalties.weight_decays.is_none() {
        let expected = "a JSON list of positive weight decays, such as `[5e-4, 5e-4]`,";
        penalties.weight_decays = metadata(archive, WEIGHT_DECAYS, expected, parse_decays)?;
    }
    if penalties.feature_decay.is_none() {
        let parse = |text: &str| text.trim().parse().ok().filter(is_decay);
        penalties.feature_decay = metadata(archive, FEATURE_DECAY, "a positive number", parse)?;
    }
    if penalties.bias.is_none() {
        let parse = |text: &str| parse_bias(text).filter(is_bias);
        penalties.bias = metadata(archive, BIAS, BIAS_SYNTAX, parse)?;
    }
    if penalties.loss.is_none() {
        let parse = |text: &str| Loss::from_str(text, true).ok();
        penalties.loss = metadata(archive, LOSS, "`mse` or `cross_entropy`", parse)?;
    }
    Ok(penalties)
}

/// The name of the first entry that two files state differently; what one of them leaves open is no contradiction.
pub(super) fn contradiction(one: &Penalties, other: &Penalties) -> Option<&'static str> {
    let decays = one.weight_decays.as_deref().zip(other.weight_decays.as_deref());
    let differ = [
        (WEIGHT_DECAYS, decays.is_some_and(|(one, other)| !same_decays(one, other))),
        (FEATURE_DECAY, differ(one.feature_decay, other.feature_decay)),
        (BIAS, differ(one.bias, other.bias)),
        (LOSS, differ(one.loss, other.loss)),
    ];
    differ.into_iter().find(|(_, differ)| *differ).map(|(name, _)| name)
}

fn differ<T: PartialEq>(one: Option<T>, other: Option<T>) -> bool {
    one.zip(other).is_some_and(|(one, other)| one != other)
}

/// One value stands for all layers.
fn same_decays(one: &[f64], other: &[f64]) -> bool {
    match (one, other) {
        ([decay], list) | (list, [decay]) => list.iter().all(|other| other == decay),
        _ => one == other,
    }
}

/// A JSON list of weight decays, or one for all layers.
fn parse_decays(text: &str) -> Option<Vec<f64>> {
    let list = serde_json::from_str(text).ok();
    let list: Vec<_> = list.or_else(|| serde_json::from_str(text).ok().map(|decay| vec![decay]))?;
    list.iter().all(is_decay).then_some(list)
}

fn is_decay(decay: &f64) -> bool {
    *decay > 0.0 && decay.is_finite()
}

fn is_bias(bias: &Bias) -> bool {
    !matches!(bias, Bias::Regularized(decay) if !is_decay(decay))
}

fn metadata<T>(
    archive: &dyn Archive,
    name: &'static str,
    expected: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, Problem> {
    let Some(text) = archive.metadata(name) else {
        return Ok(None);
    };
    match parse(text) {
        Some(value) => Ok(Some(value)),
        None => Err(Problem::Metadata { name, found: text.into(), expected }),
    }
}
