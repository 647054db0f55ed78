//! The arguments of `audit`.

use std::path::PathBuf;

use clap::builder::{NonEmptyStringValueParser, UnknownArgumentValueParser};
use clap::{Args, ValueEnum};
use neural_collapse::Bias;
use neural_collapse::metrics::Nc1Options;

use super::objective::{LabelArguments, RateArguments, SearchArguments, bias};
use super::trajectory::{TrajectoryArguments, positive};
use crate::input::{Keys, Reading, Request};
use crate::loss::Loss;
use crate::stated::{Decay, StatedTraining};

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

    /// What was minimized [default: the metadata loss_function, else mse]
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
    /// They are what the first linear layer takes. Sizes of 1 after the width do not count, as after pooling. Of several
    /// names the last is that of these features, and those before are of hidden layers in their order, of which collapse is
    /// measured too: without a name, `features.1`, `features.2`, … in a file without `features`.
    #[arg(long, value_name = "KEY,…", value_delimiter = ',')]
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) features: Option<Vec<String>>,

    /// Name of the labels, or a .npy file [default: labels]
    ///
    /// Whole numbers of any type, one for each sample, or one-hot rows.
    #[arg(long, value_name = "KEY")]
    pub(crate) labels: Option<String>,

    /// Name of real-valued targets (samples × outputs), or a .npy file: a network for regression with the squared loss
    ///
    /// In the place of labels. All weight decays and the names of the layers have to be given.
    #[arg(long, value_name = "KEY", conflicts_with_all = OF_CLASSES)]
    pub(crate) targets: Option<String>,

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
    #[arg(value_parser = positive)]
    pub(crate) temperature: f64,

    /// Files of the training set: measure the samples around its class means, as test sets are
    ///
    /// Its features and labels have the names of the others.
    #[arg(long, value_name = "FILE,…", value_delimiter = ',')]
    pub(crate) means: Vec<PathBuf>,

    /// Files of samples out of distribution, without labels: how well features tell them from the others
    ///
    /// Their features have the name of the others, or are the only array of their file. Printed are NC5, the mean
    /// |cosine| between class means and the mean of these samples, and the scores NECO, on the directions in which class
    /// means differ, and NCI with α = 0, with their means and the share of pairs of samples that they put in order (AUROC).
    #[arg(long, value_name = "FILE,…", value_delimiter = ',')]
    pub(crate) out_of_distribution: Vec<PathBuf>,

    /// Files of another network, or of this one at another epoch: print by how much each metric differs, with the error
    ///
    /// They are read with the same flags. The samples of both count as independent of each other, as those of two seeds
    /// with data of their own; of the same samples this gives errors that are usually too large: see --same-samples.
    #[arg(long, value_name = "FILE,…", value_delimiter = ',')]
    pub(crate) against: Vec<PathBuf>,

    /// The samples of --against are the same in the same order: errors that both share cancel
    ///
    /// As of one network at two epochs. Other labels, or in another order, are refused.
    #[arg(long, requires = "against")]
    pub(crate) same_samples: bool,

    /// A text file with a name for each class, one per line or as a JSON list, for tables
    #[arg(long, value_name = "FILE")]
    pub(crate) label_names: Option<PathBuf>,

    /// How the loss treats labels.
    #[command(flatten)]
    treatment: LabelArguments,

    /// How much is searched for.
    #[command(flatten)]
    pub(crate) search: SearchArguments,

    /// Weight decays λ₁,…,λ_M of the linear layers, from the features to the output
    /// [default: the metadata lambda_w, a JSON list]
    ///
    /// One value stands for all layers. `inferred` takes the decay of a layer from the balance that every stationary
    /// point has, λ₁‖W₁‖² = … = λ_M‖W_M‖² = λ_H‖H‖².
    #[arg(long, value_name = "LIST", value_delimiter = ',', allow_hyphen_values = true)]
    pub(crate) weight_decay: Option<Vec<Decay>>,

    /// What other programs call the weight decay.
    #[arg(long = "wd", hide = true, value_parser = UnknownArgumentValueParser::suggest_arg("--weight-decay"))]
    wd: Option<String>,

    /// Weight decay λ_H of the features, or `inferred` [default: the metadata lambda_h]
    ///
    /// Networks are often trained without one. `inferred` takes that which balances features and first layer; the
    /// balance of all layers then tells whether the model applies.
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub(crate) feature_decay: Option<Decay>,

    /// How decays are meant that training code states.
    #[command(flatten)]
    rates: RateArguments,

    /// Bias of the last layer in training: none, unregularized, or its weight decay λ_b
    /// [default: the metadata bias, else unregularized if the file has a bias]
    #[arg(long, value_name = "BIAS", value_parser = bias, allow_hyphen_values = true)]
    pub(crate) bias: Option<Bias>,

    /// How much is measured
    ///
    /// `all` adds NC1 centered either way and after every layer, the quotient of traces, class-distance normalized
    /// variance, norms, angles and hyperspherical uniformity of class means and classifier, self-duality, and the
    /// decisions of each class. With --json it is the object `metrics`.
    #[arg(long, value_name = "WHICH", value_enum, default_value_t)]
    pub(crate) metrics: Metrics,

    /// No standard errors
    ///
    /// They take class means of up to 64 parts of the samples and the metrics of each: with thousands of classes and
    /// `--metrics all` most of the time. The level of noise goes with them; the errors of hidden layers stay. Class means
    /// of more than 65536 numbers (width times classes) get none without `--metrics all` or --against.
    #[arg(long, conflicts_with = "against")]
    pub(crate) no_standard_errors: bool,

    /// NC1 leaves out directions in which class means differ by less than this share of the largest difference
    /// [default: 1e-6]
    #[arg(long, value_name = "SHARE", value_parser = cutoff)]
    rank_cutoff: Option<f64>,

    /// Several checkpoints.
    #[command(flatten)]
    pub(crate) trajectory: TrajectoryArguments,

    /// Write the matrices of the network and, beside them, those predicted into a NumPy archive (.npz)
    ///
    /// `measured.*` and `predicted.*` have the same names: Gram matrices of the last m layers and of the class means,
    /// outputs for the class means, singular vectors, weights and class means, one class per row. The prediction is in the
    /// order of the classes and in the coordinates of the network. An existing file is replaced.
    #[arg(long, value_name = "FILE")]
    pub(crate) export: Option<PathBuf>,

    /// Print one JSON object instead of tables
    #[arg(long)]
    pub(crate) json: bool,
}

/// What is said of classes, or of outputs that regression does not have, and would be left aside in silence.
const OF_CLASSES: [&str; 23] = [
    "against",
    "same_samples",
    "labels",
    "first_label",
    "ignore_label",
    "present_classes",
    "label_names",
    "means",
    "out_of_distribution",
    "loss",
    "normalize",
    "class_weights",
    "label_smoothing",
    "nonnegative_features",
    "margins",
    "logit_scales",
    "search",
    "metrics",
    "no_standard_errors",
    "rank_cutoff",
    "trajectory",
    "output",
    "export",
];

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
        --metrics all --json

  What has changed between two epochs on the same samples, with standard errors:
    neural-collapse audit epoch_90.npz --against epoch_10.npz --same-samples

  A training, checkpoint by checkpoint, as a table; as CSV, which a later run goes on with:
    neural-collapse audit --trajectory epoch_*.npz
    neural-collapse audit --trajectory epoch_*.npz -o training.csv";

impl AuditArguments {
    /// The conventions of NC1.
    pub(crate) fn nc1(&self) -> Nc1Options {
        let default = Nc1Options::default();
        self.rank_cutoff.map_or(default, |cutoff| default.with_rank_cutoff(cutoff))
    }

    /// All that is said of the files.
    pub(crate) fn request(&self) -> Request {
        Request {
            files: self.files.clone(),
            means: self.means.clone(),
            out_of_distribution: self.out_of_distribution.clone(),
            keys: self.keys(),
            reading: self.reading(),
            given: self.training(),
            label_names: self.label_names.clone(),
        }
    }

    /// The names of the arrays.
    fn keys(&self) -> Keys {
        let names = self.features.as_deref().unwrap_or_default();
        let (features, layers) = names.split_last().unzip();
        Keys {
            features: features.cloned(),
            layers: layers.unwrap_or_default().to_vec(),
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

    /// The training as flags state it.
    fn training(&self) -> StatedTraining {
        StatedTraining {
            weight_decays: self.weight_decay.clone(),
            feature_decay: self.feature_decay,
            bias: self.bias,
            loss: self.loss,
            labels: self.treatment.treatment(),
            temperature: self.normalize.then_some(self.temperature),
            rates: self.rates.rates(),
            has_one_output: false,
        }
    }
}

fn cutoff(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (0.0..1.0).contains(number));
    number.ok_or_else(|| "a number of at least 0 and below 1 is expected".into())
}
