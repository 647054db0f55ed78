//! The arguments of `predict`.

use std::path::PathBuf;

use clap::builder::UnknownArgumentValueParser;
use clap::error::ErrorKind;
use clap::{Args, Command};
use neural_collapse::models::AnyModel;
use neural_collapse::problem::{LossFunction, TrainingObjective};
use neural_collapse::{Basis, Bias, ClassCounts, Regularization};

use super::objective::{LabelArguments, RateArguments, SearchArguments, bias};
use crate::class_sizes::CountsSource;
use crate::error::CliError;
use crate::label_treatment::LabelTreatment;
use crate::loss::Loss;
use crate::progress::Progress;
use crate::rates::Rates;
use crate::stated::spread;

/// The numbers of a training problem.
#[derive(Debug, Args)]
#[command(after_help = PREDICT_EXAMPLES)]
pub(crate) struct PredictArguments {
    /// Samples of each class: a list such as 200,100,50,50
    ///
    /// `600x5` stands for five classes of 600 samples. `@FILE` reads the list from a file and `@-` from the
    /// standard input, separated by commas, spaces or line breaks.
    #[arg(long, value_name = "LIST", allow_hyphen_values = true)]
    pub(crate) counts: CountsSource,

    /// What is minimized
    ///
    /// `mse` and `ce` take the depth and the weight decays, `layer-peeled` the two energies, `uf-svm` nothing
    /// but the counts, margins and scales of the logits.
    #[arg(long, value_name = "LOSS", value_enum, default_value_t)]
    pub(crate) loss: Loss,

    /// The head and its penalties.
    #[command(flatten)]
    pub(crate) head: HeadArguments,

    /// How the loss treats labels.
    #[command(flatten)]
    labels: LabelArguments,

    /// How much is searched for.
    #[command(flatten)]
    search: SearchArguments,

    /// The budget E_W of the layer-peeled model: the mean of the squared norms of the classifier's rows
    #[arg(long, value_name = "E_W", allow_hyphen_values = true)]
    pub(crate) weight_energy: Option<f64>,

    /// The budget E_H of the layer-peeled model: the mean of the squared norms of the features
    #[arg(long, value_name = "E_H", allow_hyphen_values = true)]
    pub(crate) feature_energy: Option<f64>,

    /// The temperature τ that cosines are divided by (spherical-ce, supcon)
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    temperature: Option<f64>,
    /// Write the predicted matrices into a NumPy archive (.npz)
    ///
    /// Gram matrices of the last m layers and of the class means, outputs for the class means, singular vectors, and a
    /// minimizer W₁, …, W_M, b with its class means, one class per row. An existing file is replaced.
    #[arg(long, value_name = "FILE")]
    pub(crate) export: Option<PathBuf>,

    /// Turn the hidden spaces of the exported minimizer at random, drawn from this seed
    /// [default: its directions are the first coordinates]
    #[arg(long, value_name = "NUMBER", requires = "export")]
    seed: Option<u64>,

    /// Print one JSON object instead of tables
    #[arg(long)]
    pub(crate) json: bool,
}

/// The linear layers after the features, and what they cost.
#[derive(Debug, Args)]
pub(crate) struct HeadArguments {
    /// Number of linear layers after the features, M ≥ 1
    #[arg(long, value_name = "M")]
    depth: Option<usize>,

    /// Weight decays λ₁,…,λ_M of the linear layers, from the features to the output
    ///
    /// One value stands for all layers.
    #[arg(long, value_name = "LIST", value_delimiter = ',', allow_hyphen_values = true)]
    weight_decay: Option<Vec<f64>>,

    /// What other programs call the weight decay.
    #[arg(long = "wd", hide = true, value_parser = UnknownArgumentValueParser::suggest_arg("--weight-decay"))]
    wd: Option<String>,

    /// Weight decay λ_H of the features
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    feature_decay: Option<f64>,

    /// Bias of the last layer: none, unregularized, or its weight decay λ_b [default: none]
    #[arg(long, value_name = "BIAS", value_parser = bias, allow_hyphen_values = true)]
    bias: Option<Bias>,

    /// Widths d₁,…,d_M of the inputs of the linear layers [default: wide enough for every class]
    ///
    /// d₁ is the length of a feature vector. One value stands for all layers. Widths below the
    /// number of classes limit the rank.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    widths: Option<Vec<usize>>,

    /// How decays are meant that training code states.
    #[command(flatten)]
    rates: RateArguments,
}

const PREDICT_EXAMPLES: &str = "\
Examples:
  Four imbalanced classes, three linear layers, one weight decay for all layers:
    neural-collapse predict --counts 200,100,50,50 --depth 3 \\
        --weight-decay 5e-4 --feature-decay 5e-4

  Ten balanced classes and a bias without weight decay (a simplex ETF), as JSON:
    neural-collapse predict --counts 600x10 --depth 1 \\
        --weight-decay 1e-4 --feature-decay 1e-5 --bias unregularized --json

  A class size for each line of a file:
    neural-collapse predict --counts @sizes.txt --depth 2 \\
        --weight-decay 1e-4,5e-4 --feature-decay 1e-5

  Other losses: cross-entropy, the layer-peeled model, the support vector machine on free features:
    neural-collapse predict --loss ce --counts 600x10 --depth 2 \\
        --weight-decay 1e-4 --feature-decay 1e-5
    neural-collapse predict --loss layer-peeled --counts 1000x5,10x5 \\
        --weight-energy 1 --feature-energy 1
    neural-collapse predict --loss uf-svm --counts 1000x5,10x5";

/// Deeper networks are a slip of the finger that would only fill the memory with weight decays.
const MAX_DEPTH: usize = 1_000_000;

impl PredictArguments {
    /// How the hidden spaces of an exported minimizer are turned.
    pub(crate) fn basis(&self) -> Basis {
        self.seed.map_or(Basis::Standard, Basis::Random)
    }

    /// The prediction for the loss that is asked for.
    ///
    /// Flags that are missing or do not belong to the loss end the program as bad usage.
    pub(crate) fn model(&self, progress: &Progress) -> Result<AnyModel, CliError> {
        let labels = self.labels.treatment();
        self.refuse_flags_of_others(&labels);
        let without_decays = self.objective_without_decays(&labels);
        if without_decays.is_none() {
            self.head.rates.rates().check(self.loss)?;
        }
        let counts = self.counts.read()?;
        let (objective, widths) = match without_decays {
            Some(objective) => (objective, None),
            None => {
                let regularization = self.head.regularization(&counts)?;
                let widths = self.head.widths(regularization.depth())?;
                (labels.objective(self.loss, regularization), widths)
            }
        };
        labels.check(counts.classes())?;
        let (widths, search) = (widths.as_deref(), self.search.search(counts.classes()));
        let model = AnyModel::new_with(&objective, counts, widths, search.as_ref(), progress);
        model.map_err(|error| CliError::of_model(error, self.loss.instead(&objective)))
    }

    /// Flags that belong to other losses end the program.
    fn refuse_flags_of_others(&self, labels: &LabelTreatment) {
        if let Some(reason) = labels.uncovered(Some(self.loss)) {
            misused(reason)
        }
        if self.temperature.is_some() && !matches!(self.loss, Loss::SphericalCe | Loss::Supcon) {
            misused("--temperature is for --loss spherical-ce and --loss supcon")
        }
        if self.search.is_in_vain(self.loss) {
            misused(
                "--search is for --loss mse and --loss ce; the minimum under the other losses is known without",
            )
        }
        let has_energy = self.weight_energy.is_some() || self.feature_energy.is_some();
        if has_energy && matches!(self.loss, Loss::Mse | Loss::Ce) {
            misused("--weight-energy and --feature-energy are for --loss layer-peeled")
        }
    }

    /// The objective of a loss that has budgets, margins or temperatures in the place of decays; `None` for others.
    fn objective_without_decays(&self, labels: &LabelTreatment) -> Option<TrainingObjective> {
        Some(match (self.loss, self.weight_energy, self.feature_energy) {
            (Loss::Mse | Loss::Ce, ..) => return None,
            (Loss::LayerPeeled, Some(weight_energy), Some(feature_energy))
                if self.head.is_absent() =>
            {
                let loss_function = LossFunction::CrossEntropy;
                TrainingObjective::Budgeted { loss_function, weight_energy, feature_energy }
            }
            (Loss::LayerPeeled, ..) => misused(
                "--loss layer-peeled takes --counts, --weight-energy and --feature-energy, nothing else",
            ),
            (Loss::UfSvm, None, None) if self.head.is_absent() => labels.margins(),
            (Loss::UfSvm, ..) => {
                misused("--loss uf-svm takes --counts, --margins and --logit-scales, nothing else")
            }
            (Loss::FixedEtf, Some(classifier_norm_squared), None) => {
                let Some(feature_decay) = self.head.only_feature_decay() else {
                    misused(FIXED_ETF_TAKES)
                };
                let label_smoothing = labels.label_smoothing.unwrap_or(0.0);
                TrainingObjective::FixedSimplexHead {
                    classifier_norm_squared,
                    feature_decay,
                    label_smoothing,
                }
            }
            (Loss::FixedEtf, ..) => misused(FIXED_ETF_TAKES),
            (Loss::SphericalCe | Loss::Supcon, None, None) if self.head.is_absent() => {
                let Some(temperature) = self.temperature else { misused(UNIT_VECTORS_TAKE) };
                TrainingObjective::UnitVectors {
                    loss_function: self.loss.function(),
                    temperature,
                    nonnegative_features: labels.nonnegative_features,
                }
            }
            (Loss::SphericalCe | Loss::Supcon, ..) => misused(UNIT_VECTORS_TAKE),
        })
    }
}

const FIXED_ETF_TAKES: &str = "--loss fixed-etf takes --counts, --weight-energy (the squared length of each row of the \
                               classifier), --feature-decay and --label-smoothing, nothing else";

const UNIT_VECTORS_TAKE: &str = "--loss spherical-ce and --loss supcon take --counts and --temperature, nothing else; \
                                 --loss supcon also --nonnegative-features";

/// Ends the program with exit status 2.
fn misused(message: &str) -> ! {
    let command = Command::new("predict").bin_name("neural-collapse predict");
    PredictArguments::augment_args(command).error(ErrorKind::ArgumentConflict, message).exit()
}

impl HeadArguments {
    /// The decays of the objective.
    fn regularization(&self, counts: &ClassCounts) -> Result<Regularization, CliError> {
        let (Some(depth), Some(weight_decay), Some(feature_decay)) =
            (self.depth, &self.weight_decay, self.feature_decay)
        else {
            misused("--loss mse and --loss ce need --depth, --weight-decay and --feature-decay")
        };
        if !(1..=MAX_DEPTH).contains(&depth) {
            let reason = format!("{depth}, but a depth from 1 to {MAX_DEPTH} is expected");
            return Err(CliError::Argument { name: "--depth".into(), reason });
        }
        let (rates, classes) = (self.rates.rates(), counts.classes());
        let decays = spread("--weight-decay", weight_decay, depth)?;
        let decay = |&rate: &f64| rates.weight_decay(rate, classes);
        let decays = decays.iter().map(decay).collect::<Result<Vec<_>, _>>()?;
        let feature_decay = rates.feature_decay(feature_decay, counts.samples(), classes)?;
        let bias = rates.bias(self.bias.unwrap_or_default(), classes)?;
        Ok(Regularization::new(&decays, feature_decay)?.with_bias(bias)?)
    }

    /// The widths of all layers, if they are limited.
    fn widths(&self, depth: usize) -> Result<Option<Vec<usize>>, CliError> {
        self.widths.as_ref().map(|widths| spread("--widths", widths, depth)).transpose()
    }

    /// λ_H, if no other flag is given.
    fn only_feature_decay(&self) -> Option<f64> {
        self.feature_decay.filter(|_| self.is_absent_but_for_feature_decay())
    }

    /// Whether none of the flags is given.
    fn is_absent(&self) -> bool {
        self.feature_decay.is_none() && self.is_absent_but_for_feature_decay()
    }

    fn is_absent_but_for_feature_decay(&self) -> bool {
        let Self { depth, weight_decay, wd: _, feature_decay: _, bias, widths, rates } = self;
        depth.is_none()
            && weight_decay.is_none()
            && bias.is_none()
            && widths.is_none()
            && rates.rates() == Rates::default()
    }
}
