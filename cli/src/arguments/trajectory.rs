//! Arguments for several checkpoints of one training.

use std::path::PathBuf;

use clap::Args;

/// Several checkpoints of one training.
#[derive(Debug, Args)]
pub(crate) struct TrajectoryArguments {
    /// Each FILE is a checkpoint of one training: print a row of numbers for each
    ///
    /// Files are taken in natural order, epoch_9 before epoch_10. The epoch is that of the metadata `epoch`, else the last
    /// number in the name.
    #[arg(long)]
    pub(crate) trajectory: bool,

    /// Write the rows of --trajectory as CSV
    #[arg(long, requires = "trajectory", conflicts_with = "json")]
    pub(crate) csv: bool,

    /// The sum of the steps of an epoch of plain gradient descent, for predicted rates [default: the metadata
    /// learning_rate]
    #[arg(long, value_name = "NUMBER", requires = "trajectory", value_parser = positive)]
    pub(crate) learning_rate: Option<f64>,

    /// Write into FILE: the page of `report`, .html, or the rows of --trajectory, .csv or JSON lines
    ///
    /// Rows that are in the file already are not measured again, unless their checkpoint or a flag has changed; those of
    /// other checkpoints stay. A file is written beside and renamed, so that an interrupted run leaves it whole.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// A number above zero.
pub(super) fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| *number > 0.0 && number.is_finite());
    number.ok_or_else(|| "a positive number is expected".into())
}
