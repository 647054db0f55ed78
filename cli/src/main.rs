//! The command line of `neural-collapse`.

mod arguments;
mod audit;
mod class_sizes;
mod error;
mod input;
mod loss;
mod penalties;
mod progress;
mod report;
mod tables;
#[allow(dead_code, reason = "for the commands that write files")]
mod written_file;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, AuditArguments, Command, PredictArguments};
use audit::AuditedNetwork;
use error::CliError;
use input::read_network;
use progress::Progress;
use report::{AuditReport, PredictionReport, Versioned, audit_tables, print};

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Predict(arguments) => predict(&arguments),
        Command::Audit(arguments) => audit(&arguments),
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
    let report = {
        let progress = Progress::start("searching");
        PredictionReport::new(&arguments.model(&progress)?)?
    };
    print(arguments.json, &Versioned::new(&report), || report.to_text())?;
    Ok(())
}

fn audit(arguments: &AuditArguments) -> Result<(), CliError> {
    let audited = measure(arguments)?;
    print(arguments.json, &AuditReport::new(&audited)?, || audit_tables(&audited))?;
    Ok(())
}

/// Everything up to the printing, and with it the progress, has come to its end when this returns.
fn measure(arguments: &AuditArguments) -> Result<AuditedNetwork, CliError> {
    let progress = Progress::start("reading");
    let network = read_network(&arguments.request())?;
    AuditedNetwork::new(network, arguments, &progress)
}
