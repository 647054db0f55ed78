//! The command line.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand};
use neural_collapse::{Bias, Regularization, Ufm};

use crate::class_sizes::CountsSource;
use crate::error::CliError;
use crate::input::Keys;
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

    /// Number of linear layers after the features, M ≥ 1
    #[arg(long, value_name = "M")]
    pub(crate) depth: usize,

    /// Weight decays λ₁,…,λ_M of the linear layers, from the features to the output
    ///
    /// One value stands for all layers.
    #[arg(long, value_name = "LIST", value_delimiter = ',', allow_hyphen_values = true)]
    #[arg(required = true)]
    pub(crate) weight_decay: Vec<f64>,

    /// Weight decay λ_H of the features
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub(crate) feature_decay: f64,

    /// Bias of the last layer: none, unregularized, or its weight decay λ_b
    #[arg(long, value_name = "BIAS", default_value = "none", value_parser = bias)]
    #[arg(allow_hyphen_values = true)]
    pub(crate) bias: Bias,

    /// Widths d₁,…,d_M of the inputs of the linear layers [default: wide enough for every class]
    ///
    /// d₁ is the length of a feature vector. One value stands for all layers. Widths below the
    /// number of classes limit the rank.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(crate) widths: Option<Vec<usize>>,

    /// Print one JSON object instead of tables
    #[arg(long)]
    pub(crate) json: bool,
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
        --weight-decay 1e-4,5e-4 --feature-decay 1e-5";

/// The file to audit, and how to understand it.
#[derive(Debug, Args)]
#[command(after_help = AUDIT_EXAMPLES)]
pub(crate) struct AuditArguments {
    /// A .safetensors or .npz file with features, labels and the weights of the linear layers
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Names of the weight matrices W₁,…,W_M (outputs × inputs), from the features to the output
    /// [default: classifier.1.weight,…,classifier.M.weight]
    #[arg(long, value_name = "KEY,…", value_delimiter = ',')]
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) weights: Option<Vec<String>>,

    /// Name of the features (samples × width) [default: features]
    #[arg(long, value_name = "KEY")]
    pub(crate) features: Option<String>,

    /// Name of the labels, an integer from 0 for each sample [default: labels]
    #[arg(long, value_name = "KEY")]
    pub(crate) labels: Option<String>,

    /// Name of the bias of the last layer [default: classifier.bias, if it is there]
    #[arg(long, value_name = "KEY")]
    pub(crate) bias_key: Option<String>,

    /// Weight decays λ₁,…,λ_M of the linear layers, from the features to the output
    /// [default: the metadata lambda_w, a JSON list]
    ///
    /// One value stands for all layers.
    #[arg(long, value_name = "LIST", value_delimiter = ',', allow_hyphen_values = true)]
    pub(crate) weight_decay: Option<Vec<f64>>,

    /// Weight decay λ_H of the features [default: the metadata lambda_h]
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub(crate) feature_decay: Option<f64>,

    /// Bias of the last layer in training: none, unregularized, or its weight decay λ_b
    /// [default: the metadata bias, else unregularized if the file has a bias]
    #[arg(long, value_name = "BIAS", value_parser = bias, allow_hyphen_values = true)]
    pub(crate) bias: Option<Bias>,

    /// Print one JSON object instead of tables
    #[arg(long)]
    pub(crate) json: bool,
}

const AUDIT_EXAMPLES: &str = "\
Numbers may be f64, f32, f16 or bf16, labels of any integer type. Without weight decays, from flags or the \
metadata of a .safetensors file, every metric that needs none is still printed.

Examples:
  A file with the default names, weight decays in its metadata:
    neural-collapse audit network.safetensors

  Other names, and weight decays from the command line:
    neural-collapse audit network.npz --features h --labels y \\
        --weights fc1.weight,fc2.weight --weight-decay 5e-4 --feature-decay 1e-5 --bias none";

/// Deeper networks are a slip of the finger that would only fill the memory with weight decays.
const MAX_DEPTH: usize = 1_000_000;

impl PredictArguments {
    /// The training problem.
    pub(crate) fn problem(&self) -> Result<Ufm, CliError> {
        if !(1..=MAX_DEPTH).contains(&self.depth) {
            let reason = format!("{}, but a depth from 1 to {MAX_DEPTH} is expected", self.depth);
            return Err(CliError::Argument { name: "--depth".into(), reason });
        }
        let decays = spread("--weight-decay", &self.weight_decay, self.depth)?;
        let penalties = Regularization::new(&decays, self.feature_decay)?.with_bias(self.bias)?;
        let ufm = Ufm::new(self.counts.read()?, penalties)?;
        match &self.widths {
            None => Ok(ufm),
            Some(widths) => Ok(ufm.with_widths(&spread("--widths", widths, self.depth)?)?),
        }
    }
}

impl AuditArguments {
    /// The names of the arrays.
    pub(crate) fn keys(&self) -> Keys {
        Keys {
            features: self.features.clone(),
            labels: self.labels.clone(),
            weights: self.weights.clone(),
            bias: self.bias_key.clone(),
        }
    }

    /// The penalties given by flags.
    pub(crate) fn penalties(&self) -> Penalties {
        Penalties {
            weight_decays: self.weight_decay.clone(),
            feature_decay: self.feature_decay,
            bias: self.bias,
        }
    }
}

fn bias(text: &str) -> Result<Bias, String> {
    parse_bias(text).ok_or_else(|| format!("{BIAS_SYNTAX} is expected"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }
}
