//! The command line.

use std::path::PathBuf;

use clap::builder::{NonEmptyStringValueParser, UnknownArgumentValueParser};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use neural_collapse::{Bias, ClassCounts, Regularization, Ufm};

use crate::class_sizes::CountsSource;
use crate::error::CliError;
use crate::input::{Keys, Reading, Request};
pub(crate) use crate::loss::Loss;
use crate::model::{Model, Prediction};
use crate::penalties::{BIAS_SYNTAX, Penalties, parse_bias, spread};

/// The closed-form geometry of neural collapse: predict it, and audit trained networks against it
///
/// Trained long enough with weight decay, the last layers of a classifier settle into a rigid geometry that is
/// known in closed form. `predict` computes it from the class sizes and the weight decays; `audit` measures
/// how close the features and weights of a trained network are to it.
#[derive(Debug, Parser)]
#[command(name = "neural-collapse", version, max_term_width = 100)]
pub(crate) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Predict the geometry that training reaches, from class sizes and weight decays
    Predict(PredictArguments),
    /// Measure a trained network and compare it with the prediction
    Audit(AuditArguments),
}

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

    /// What is minimised
    ///
    /// `mse` and `ce` take the depth and the weight decays, `layer-peeled` the two energies, `uf-svm` nothing
    /// but the counts.
    #[arg(long, value_name = "LOSS", value_enum, default_value_t)]
    pub(crate) loss: Loss,

    /// The head and its penalties.
    #[command(flatten)]
    pub(crate) head: HeadArguments,

    /// The budget E_W of the layer-peeled model: the mean of the squared norms of the classifier's rows
    #[arg(long, value_name = "E_W", allow_hyphen_values = true)]
    pub(crate) weight_energy: Option<f64>,

    /// The budget E_H of the layer-peeled model: the mean of the squared norms of the features
    #[arg(long, value_name = "E_H", allow_hyphen_values = true)]
    pub(crate) feature_energy: Option<f64>,

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

/// Which metrics of a network are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Metrics {
    /// NC1 to NC4 beside the prediction
    #[default]
    Main,
    /// Every metric of the library
    All,
}

/// The files to audit, and how to understand them.
#[derive(Debug, Args)]
#[command(after_help = AUDIT_EXAMPLES)]
pub(crate) struct AuditArguments {
    /// Files with features, labels and the weights of the linear layers: .safetensors, .npz, .npy, .pt and .pth of
    /// torch.save, or the *.index.json of a sharded checkpoint
    ///
    /// Several files are one data set, its samples in the order of the files. Each has features, labels, both, or any
    /// part of the head; features and labels in different files belong together in the order of the files. Metadata
    /// may be in any file; no file may contradict another. Features are read in blocks, so they may be larger than the
    /// memory, unless they are in Fortran order. Nothing in a file is executed.
    #[arg(value_name = "FILE", required_unless_present = "features")]
    pub(crate) files: Vec<PathBuf>,

    /// What was minimised [default: the metadata loss_function, else mse]
    #[arg(long, value_name = "LOSS", value_enum)]
    pub(crate) loss: Option<Loss>,

    /// Names of the weight matrices W₁,…,W_M (outputs × inputs), from the features to the output
    /// [default: found by their shapes, if there is only one way]
    ///
    /// Only a linear chain may be named: weights do not show activations between layers or biases of hidden layers,
    /// and a head with either is another function than the product of its matrices. Without names, all matrices under
    /// one prefix that are numbered without gaps from 0 or 1 and lead from the features to the classes are taken, or a
    /// single matrix that does, unless others could be meant. A name may also be a .npy file.
    #[arg(long, value_name = "KEY,…", value_delimiter = ',')]
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) weights: Option<Vec<String>>,

    /// Name of the features (samples × width), or a .npy file [default: features]
    ///
    /// They are what the first linear layer takes. Sizes of 1 after the width do not count, as after pooling.
    #[arg(long, value_name = "KEY")]
    pub(crate) features: Option<String>,

    /// Name of the labels, or a .npy file [default: labels]
    ///
    /// Whole numbers of any type, one for each sample, or one-hot rows.
    #[arg(long, value_name = "KEY")]
    pub(crate) labels: Option<String>,

    /// Name of the bias of the last layer, or none to leave it out [default: that beside the weights, if there is one]
    #[arg(long, value_name = "KEY")]
    pub(crate) bias_key: Option<String>,

    /// The weights are stored as inputs × outputs, as kernels of Keras and Flax are
    #[arg(long)]
    pub(crate) transposed: bool,

    /// The label of the first class
    #[arg(long, value_name = "LABEL", default_value_t = 0, allow_hyphen_values = true)]
    pub(crate) first_label: i64,

    /// Leave out samples with these labels, as -100
    #[arg(long, value_name = "LABEL,…", value_delimiter = ',', allow_hyphen_values = true)]
    pub(crate) ignore_label: Vec<i64>,

    /// Leave out outputs that are the class of no sample, as those of a background or of classes not in the files
    #[arg(long)]
    pub(crate) present_classes: bool,

    /// Divide features and rows of the classifier by their norms: a cosine classifier of one layer
    #[arg(long)]
    pub(crate) normalize: bool,

    /// The temperature that the cosines of --normalize are divided by
    #[arg(long, value_name = "NUMBER", default_value_t = 1.0, requires = "normalize")]
    #[arg(value_parser = temperature)]
    pub(crate) temperature: f64,

    /// Files of the training set: measure the samples around its class means, as test sets are
    ///
    /// Its features and labels have the names of the others.
    #[arg(long, value_name = "FILE,…", value_delimiter = ',')]
    pub(crate) means: Vec<PathBuf>,

    /// A text file with a name for each class, one per line or as a JSON list, for tables
    #[arg(long, value_name = "FILE")]
    pub(crate) label_names: Option<PathBuf>,

    /// Label smoothing of the cross-entropy in training [default: the metadata label_smoothing]
    #[arg(long, value_name = "NUMBER", value_parser = smoothing)]
    pub(crate) label_smoothing: Option<f64>,

    /// Weight decays λ₁,…,λ_M of the linear layers, from the features to the output
    /// [default: the metadata lambda_w, a JSON list]
    ///
    /// One value stands for all layers.
    #[arg(long, value_name = "LIST", value_delimiter = ',', allow_hyphen_values = true)]
    pub(crate) weight_decay: Option<Vec<f64>>,

    /// What other programs call the weight decay.
    #[arg(long = "wd", hide = true, value_parser = UnknownArgumentValueParser::suggest_arg("--weight-decay"))]
    wd: Option<String>,

    /// Weight decay λ_H of the features [default: the metadata lambda_h]
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub(crate) feature_decay: Option<f64>,

    /// Bias of the last layer in training: none, unregularized, or its weight decay λ_b
    /// [default: the metadata bias, else unregularized if the file has a bias]
    #[arg(long, value_name = "BIAS", value_parser = bias, allow_hyphen_values = true)]
    pub(crate) bias: Option<Bias>,

    /// How much is measured
    ///
    /// `all` adds NC1 centred either way and after every layer, the quotient of traces, class-distance normalised
    /// variance, norms, angles and hyperspherical uniformity of class means and classifier, self-duality, and the
    /// decisions of each class. With --json it is the object `metrics`.
    #[arg(long, value_name = "WHICH", value_enum, default_value_t)]
    pub(crate) metrics: Metrics,

    /// Print one JSON object instead of tables
    #[arg(long)]
    pub(crate) json: bool,
}

const AUDIT_EXAMPLES: &str = "\
Numbers may be f64, f32, f16 or bf16. Without weight decays, from flags or the metadata of a file, every metric that \
needs none is still printed.

Examples:
  A file with the default names, weight decays in its metadata:
    neural-collapse audit network.safetensors

  Other names, and weight decays from the command line:
    neural-collapse audit network.npz --features h --labels y --weights head.weight \\
        --weight-decay 5e-4 --feature-decay 1e-5 --bias none

  A PyTorch checkpoint with the head, features and labels in files of their own:
    neural-collapse audit checkpoint.pt --features h.npy --labels y.npy --present-classes

  Samples in several files, the weights in another one, every metric as JSON:
    neural-collapse audit head.npz shard-0.safetensors shard-1.safetensors \\
        --metrics all --json";

/// Deeper networks are a slip of the finger that would only fill the memory with weight decays.
const MAX_DEPTH: usize = 1_000_000;

impl PredictArguments {
    /// The prediction for the loss that is asked for.
    ///
    /// Flags that are missing or do not belong to the loss end the program as bad usage.
    pub(crate) fn prediction(&self) -> Result<Prediction, CliError> {
        let counts = || self.counts.read();
        match (self.loss, self.weight_energy, self.feature_energy) {
            (Loss::Mse, None, None) => {
                Ok(Prediction::Squared(self.head.problem(counts)?.global_minimum()?))
            }
            (Loss::Ce, None, None) => {
                let ufm = self.head.problem(counts)?;
                Ok(Prediction::Other(Model::cross_entropy(&ufm)?))
            }
            (Loss::Mse | Loss::Ce, ..) => {
                misused("--weight-energy and --feature-energy are for --loss layer-peeled")
            }
            (Loss::LayerPeeled, Some(weights), Some(features)) if self.head.is_absent() => {
                Ok(Prediction::Other(Model::layer_peeled(counts()?, weights, features)?))
            }
            (Loss::LayerPeeled, ..) => misused(
                "--loss layer-peeled takes --counts, --weight-energy and --feature-energy, nothing else",
            ),
            (Loss::UfSvm, None, None) if self.head.is_absent() => {
                Ok(Prediction::Other(Model::support_vectors(counts()?)?))
            }
            (Loss::UfSvm, ..) => misused("--loss uf-svm takes --counts, nothing else"),
        }
    }
}

/// Ends the program with exit status 2.
fn misused(message: &str) -> ! {
    let mut command = Arguments::command();
    command.build();
    let error = match command.find_subcommand_mut("predict") {
        Some(predict) => predict.error(ErrorKind::ArgumentConflict, message),
        None => command.error(ErrorKind::ArgumentConflict, message),
    };
    error.exit()
}

impl HeadArguments {
    /// The training problem with the class sizes `counts`.
    fn problem(
        &self,
        counts: impl FnOnce() -> Result<ClassCounts, CliError>,
    ) -> Result<Ufm, CliError> {
        let (Some(depth), Some(weight_decay), Some(feature_decay)) =
            (self.depth, &self.weight_decay, self.feature_decay)
        else {
            misused("--loss mse and --loss ce need --depth, --weight-decay and --feature-decay")
        };
        if !(1..=MAX_DEPTH).contains(&depth) {
            let reason = format!("{depth}, but a depth from 1 to {MAX_DEPTH} is expected");
            return Err(CliError::Argument { name: "--depth".into(), reason });
        }
        let decays = spread("--weight-decay", weight_decay, depth)?;
        let bias = self.bias.unwrap_or_default();
        let penalties = Regularization::new(&decays, feature_decay)?.with_bias(bias)?;
        let ufm = Ufm::new(counts()?, penalties)?;
        match &self.widths {
            None => Ok(ufm),
            Some(widths) => Ok(ufm.with_widths(&spread("--widths", widths, depth)?)?),
        }
    }

    /// Whether none of the flags is given.
    fn is_absent(&self) -> bool {
        let Self { depth, weight_decay, wd: _, feature_decay, bias, widths } = self;
        depth.is_none()
            && weight_decay.is_none()
            && feature_decay.is_none()
            && bias.is_none()
            && widths.is_none()
    }
}

impl AuditArguments {
    /// All that is said of the files.
    pub(crate) fn request(&self) -> Request {
        Request {
            files: self.files.clone(),
            means: self.means.clone(),
            keys: self.keys(),
            reading: self.reading(),
            given: self.penalties(),
            label_names: self.label_names.clone(),
        }
    }

    /// The names of the arrays.
    fn keys(&self) -> Keys {
        Keys {
            features: self.features.clone(),
            labels: self.labels.clone(),
            weights: self.weights.clone(),
            bias: self.bias_key.clone(),
        }
    }

    /// How the arrays are to be understood.
    fn reading(&self) -> Reading {
        Reading {
            first_label: self.first_label,
            ignored_labels: self.ignore_label.clone(),
            present_classes: self.present_classes,
            temperature: self.normalize.then_some(self.temperature),
            transposed: self.transposed,
        }
    }

    /// The penalties given by flags.
    fn penalties(&self) -> Penalties {
        Penalties {
            weight_decays: self.weight_decay.clone(),
            feature_decay: self.feature_decay,
            bias: self.bias,
            loss: self.loss,
            label_smoothing: self.label_smoothing,
            class_weights: None,
        }
    }
}

fn temperature(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| *number > 0.0 && number.is_finite());
    number.ok_or_else(|| "a positive number is expected".into())
}

fn smoothing(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (0.0..1.0).contains(number));
    number.ok_or_else(|| "a number from 0 to 1 is expected".into())
}

fn bias(text: &str) -> Result<Bias, String> {
    parse_bias(text).ok_or_else(|| format!("{BIAS_SYNTAX} is expected"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }
}
