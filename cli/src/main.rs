//! The command line of `neural-collapse`.

mod arguments;
mod class_sizes;
mod error;
mod penalties;
mod report;
mod tables;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command, PredictArguments};
use error::CliError;
use report::{ProblemReport, print_json, print_text};

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Predict(arguments) => predict(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            // If even this fails there is nobody left to tell.
            let _ = writeln!(std::io::stderr(), "error: {}", error.one_line());
            ExitCode::FAILURE
        }
    }
}

fn predict(arguments: &PredictArguments) -> Result<(), CliError> {
    let sizes = arguments.counts.read()?;
    let (penalties, widths) = (arguments.regularization()?, arguments.widths()?);
    let problem = ProblemReport::new(&sizes, &penalties, widths.as_deref());
    if arguments.json {
        print_json(&problem)?
    } else {
        print_text(&problem.to_text())?
    }
    Ok(())
}
