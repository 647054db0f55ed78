//! Arguments that say what was minimized, for predictions and audits alike.

use clap::{Args, ValueEnum};
use neural_collapse::models::low_rank::Search;
use neural_collapse::problem::CodedLoss;
use neural_collapse::{Bias, Error};

use crate::label_treatment::LabelTreatment;
use crate::loss::Loss;
use crate::rates::Rates;
use crate::stated::BIAS_SYNTAX;

/// How training code states its decays.
#[derive(Debug, Args)]
pub(crate) struct RateArguments {
    /// The loss in the training code that the decays are rates beside [default: the objective's own]
    ///
    /// The objective is 1/(2N) Σ‖z − y‖² or the mean cross-entropy over N samples, plus λ/2 ‖·‖². The `weight_decay` of
    /// SGD and Adam is λ beside CrossEntropyLoss(); beside MSELoss(), a mean over N·K numbers, all rates are times
    /// K/2. The decoupled decay of AdamW is no penalty: no objective belongs to it.
    #[arg(long, value_name = "CODE", value_enum)]
    decays_beside: Option<Code>,

    /// The code's penalty r/2 Σ‖h‖² is a sum over batches of so many samples: λ_H is r·B/N
    #[arg(long, value_name = "B", value_parser = clap::value_parser!(u64).range(1..))]
    batch_size: Option<u64>,
}

/// How the loss treats classes, labels and features.
#[derive(Debug, Args)]
pub(crate) struct LabelArguments {
    /// Weights ω of the classes in the loss (mse, ce): a list as --counts takes, 1x5,2.5x5
    /// [default: 1, or the metadata class_weights]
    ///
    /// A weight multiplies the loss of a sample, and the sum is divided by the number N of samples; PyTorch divides by
    /// the sum of the weights instead.
    #[arg(long, value_name = "LIST", value_parser = class_numbers, allow_hyphen_values = true)]
    class_weights: Option<ClassNumbers>,

    /// Label smoothing δ (mse, ce), at least 0 and below 1 [default: 0, or the metadata label_smoothing]
    #[arg(long, value_name = "NUMBER", value_parser = smoothing, allow_hyphen_values = true)]
    label_smoothing: Option<f64>,

    /// Features are non-negative, as after a ReLU (ce, one layer) [default: the metadata nonnegative_features]
    #[arg(long)]
    nonnegative_features: bool,

    /// Margins m of the classes (uf-svm), a list as of --class-weights [default: 1]
    ///
    /// A sample of class y has δ_y z_y − δ_c z_c ≥ m_y for every other class c. The loss with label-dependent
    /// temperatures (LDT: all logits of a sample of class y times δ_y) leads to margins of 1/δ_y.
    #[arg(long, value_name = "LIST", value_parser = class_numbers, allow_hyphen_values = true)]
    margins: Option<ClassNumbers>,

    /// Scales δ of the logits (uf-svm), a list as of --class-weights [default: 1]
    ///
    /// Those of class-dependent temperatures (CDT) and of the vector-scaling loss (VS), whose logits are δ_c z_c.
    #[arg(long, value_name = "LIST", value_parser = class_numbers, allow_hyphen_values = true)]
    logit_scales: Option<ClassNumbers>,
}

/// One number for each class.
#[derive(Debug, Clone, PartialEq)]
struct ClassNumbers(Vec<f64>);

impl LabelArguments {
    pub(super) fn treatment(&self) -> LabelTreatment {
        let list = |list: &Option<ClassNumbers>| list.clone().map(|ClassNumbers(list)| list);
        LabelTreatment {
            label_smoothing: self.label_smoothing,
            class_weights: list(&self.class_weights),
            nonnegative_features: self.nonnegative_features,
            margins: list(&self.margins),
            logit_scales: list(&self.logit_scales),
        }
    }
}

/// How much is searched for numerically.
#[derive(Debug, Args)]
pub(crate) struct SearchArguments {
    /// Starts at each rank of the numerical search for lower losses under cross-entropy with several layers; 0 for none
    /// [default: 100 for up to 10 classes, 25 for up to 20, else 0]
    #[arg(long, value_name = "STARTS")]
    search: Option<usize>,
}

/// Up to so many classes a search takes about a second, and up to so many one from many starts does: classes of different
/// sizes have many minima with nearly the same loss.
const SEARCHED_CLASSES: usize = 20;
const WELL_SEARCHED_CLASSES: usize = 10;
const MANY_STARTS: usize = 100;

impl SearchArguments {
    /// Whether a search is asked for that this loss does not have.
    pub(crate) fn is_in_vain(&self, loss: Loss) -> bool {
        self.search.is_some_and(|starts| starts > 0) && !loss.is_searched()
    }

    /// The search for so many classes, if there is one.
    pub(crate) fn search(&self, classes: usize) -> Option<Search> {
        match self.search {
            Some(0) => None,
            Some(starts) => Some(Search::default().with_starts(starts)),
            None if classes <= WELL_SEARCHED_CLASSES => {
                Some(Search::default().with_starts(MANY_STARTS))
            }
            None => (classes <= SEARCHED_CLASSES).then(Search::default),
        }
    }
}

/// A loss of training code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Code {
    /// The mean cross-entropy over samples
    CrossEntropyLoss,
    /// The squared error, a mean over samples and outputs
    MseLoss,
    /// Half the squared error, a mean over samples
    HalfMse,
}

impl RateArguments {
    pub(super) fn rates(&self) -> Rates {
        let beside = self.decays_beside.map(|code| match code {
            Code::CrossEntropyLoss => CodedLoss::CrossEntropy,
            Code::MseLoss => CodedLoss::MeanSquaredError,
            Code::HalfMse => CodedLoss::HalfSquaredError,
        });
        Rates { beside, batch_size: self.batch_size }
    }
}

/// Numbers separated by commas, each with the number of classes that it stands for: `1x5,2.5x5`.
fn class_numbers(text: &str) -> Result<ClassNumbers, String> {
    let mut numbers = Vec::new();
    for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let (number, repeat) = item.split_once(['x', 'X']).unwrap_or((item, "1"));
        let (Ok(number), Ok(repeat)) = (number.parse::<f64>(), repeat.parse::<usize>()) else {
            return Err(format!("`{item}` is neither a number nor `NUMBERxCLASSES`"));
        };
        if !(number > 0.0 && number.is_finite()) || repeat == 0 {
            return Err(format!("`{item}`: numbers must be positive and finite"));
        }
        if numbers.try_reserve(repeat).is_err() {
            return Err(format!("`{item}` is for more classes than fit into memory"));
        }
        numbers.extend(std::iter::repeat_n(number, repeat));
    }
    Ok(ClassNumbers(numbers))
}

fn smoothing(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (0.0..1.0).contains(number));
    number.ok_or_else(|| "a number of at least 0 and below 1 is expected".into())
}

/// A decay out of range is refused later, by the problem: a bad number is not bad usage.
pub(super) fn bias(text: &str) -> Result<Bias, String> {
    match text.trim().parse() {
        Err(Error::OutOfRange { value, .. }) => Ok(Bias::Regularized(value)),
        parsed => parsed.map_err(|_| format!("{BIAS_SYNTAX} is expected")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_treatment_of_the_bias_is_understood() {
        assert_eq!(bias("none"), Ok(Bias::None));
        assert_eq!(bias("unregularized"), Ok(Bias::Unregularized));
        assert_eq!(bias("5e-4"), Ok(Bias::Regularized(5e-4)));
        assert_eq!(bias("-1"), Ok(Bias::Regularized(-1.0)), "refused later");
        assert!(bias("yes").is_err() && bias("").is_err());
    }
}
