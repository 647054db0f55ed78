//! The command line.

use clap::{Parser, Subcommand};

pub(crate) use audit::{AuditArguments, Metrics};
pub(crate) use objective::SearchArguments;
pub(crate) use output::{Kind, PlotArguments, ReportArguments};
pub(crate) use predict::PredictArguments;

mod audit;
mod objective;
mod output;
mod predict;
mod trajectory;

/// The closed-form geometry of neural collapse: predict it, and audit trained networks against it
///
/// Trained long enough with weight decay, the last layers of a classifier settle into a rigid geometry that is
/// known in closed form. `predict` computes it from the class sizes and the weight decays; `audit` measures
/// how close the features and weights of a trained network are to it. `report` and `plot` show the same in pictures.
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
    Predict(Box<PredictArguments>),
    /// Measure a trained network and compare it with the prediction
    Audit(Box<AuditArguments>),
    /// Write a page about a trained network, or its training, beside the prediction
    Report(Box<ReportArguments>),
    /// Draw a prediction
    Plot(Box<PlotArguments>),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }
}
