//! The command line.

use clap::{Args, Parser, Subcommand};
use neural_collapse::{Bias, Regularization};

use crate::class_sizes::CountsSource;
use crate::error::CliError;
use crate::penalties::{BIAS_SYNTAX, parse_bias};

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

/// Deeper networks are a slip of the finger that would only fill the memory with weight decays.
const MAX_DEPTH: usize = 1_000_000;

impl PredictArguments {
    /// The penalties of the training objective.
    pub(crate) fn regularization(&self) -> Result<Regularization, CliError> {
        if !(1..=MAX_DEPTH).contains(&self.depth) {
            let reason = format!("{}, but a depth from 1 to {MAX_DEPTH} is expected", self.depth);
            return Err(CliError::Argument { name: "--depth".into(), reason });
        }
        let decays = spread("--weight-decay", &self.weight_decay, self.depth)?;
        Ok(Regularization::new(&decays, self.feature_decay)?.with_bias(self.bias)?)
    }

    /// Widths d₁, …, d_M, if they are limited.
    pub(crate) fn widths(&self) -> Result<Option<Vec<usize>>, CliError> {
        let widths = self.widths.as_deref();
        if widths.is_some_and(|widths| widths.contains(&0)) {
            let reason = "0, but a layer has at least one input".into();
            return Err(CliError::Argument { name: "--widths".into(), reason });
        }
        widths.map(|widths| spread("--widths", widths, self.depth)).transpose()
    }
}

/// A value for each of `depth` layers, from one for each or one for all.
pub(crate) fn spread<T: Copy>(name: &str, values: &[T], depth: usize) -> Result<Vec<T>, CliError> {
    match values {
        [value] => Ok(vec![*value; depth]),
        _ if values.len() == depth => Ok(values.to_vec()),
        _ => Err(CliError::Argument {
            name: name.into(),
            reason: format!(
                "{} values for {depth} layers, but one for all or one for each is expected",
                values.len()
            ),
        }),
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

    #[test]
    fn one_value_stands_for_all_layers() {
        assert_eq!(spread("--widths", &[64], 3).unwrap(), [64, 64, 64]);
        assert_eq!(spread("--widths", &[64, 32], 2).unwrap(), [64, 32]);
        let error = spread("--widths", &[64, 32], 3).unwrap_err().to_string();
        assert_eq!(
            error,
            "--widths: 2 values for 3 layers, but one for all or one for each is expected"
        );
    }
}
