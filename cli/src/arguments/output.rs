//! Arguments that say what is written where.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::audit::AuditArguments;
use super::predict::PredictArguments;

/// What goes into a report.
#[derive(Debug, Args)]
#[command(after_help = REPORT_EXAMPLES)]
pub(crate) struct ReportArguments {
    /// The files and how to understand them, as for `audit`.
    #[command(flatten)]
    pub(crate) audit: AuditArguments,
}

const REPORT_EXAMPLES: &str = "\
The page is one HTML file that needs no network. `plot report` makes one of a prediction alone.

Examples:
  A measured network beside its prediction:
    neural-collapse report network.safetensors -o report.html

  A training, checkpoint by checkpoint:
    neural-collapse report --trajectory epoch_*.npz -o training.html";

/// What is drawn of a prediction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// The vectors of the classes in a plane
    Vectors,
    /// The singular values of layers and features
    Spectrum,
    /// Which classes collapse over decays and imbalance; under cross-entropy which structure is the lowest
    Phase,
    /// Norms of the classes over the imbalance
    Collapse,
    /// The function g(x; β) whose minimum decides the size of a direction
    Potential,
    /// All of it in one HTML page
    Report,
}

/// A picture of a prediction.
#[derive(Debug, Args)]
#[command(after_help = PLOT_EXAMPLES)]
pub(crate) struct PlotArguments {
    /// What is drawn
    #[arg(value_name = "KIND", value_enum)]
    pub(crate) kind: Kind,

    /// The file, .svg or .png (of `plot report`: .html)
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,

    /// The problem, as for `predict`.
    #[command(flatten)]
    pub(crate) predict: PredictArguments,
}

const PLOT_EXAMPLES: &str = "\
Examples:
  Minority collapse of five of ten classes:
    neural-collapse plot collapse --counts 1000x5,100x5 --depth 2 \\
        --weight-decay 1e-3 --feature-decay 1e-3 -o collapse.svg

  Which structure has the lowest loss under cross-entropy:
    neural-collapse plot phase --loss ce --counts 100x4 --depth 2 \\
        --weight-decay 5e-4 --feature-decay 5e-4 -o phase.png";
