//! The command line of `neural-collapse`.

mod against;
mod arguments;
mod audit;
mod class_sizes;
mod error;
mod export;
mod input;
mod label_treatment;
mod layers;
mod loss;
mod negatives;
mod outside;
mod page;
mod phases;
mod pictures;
mod plot;
mod progress;
mod rates;
mod regression;
mod report;
mod stated;
mod tables;
mod training;
mod trajectory;
mod written_file;
mod written_report;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use against::Against;
use arguments::{Arguments, AuditArguments, Command, PredictArguments};
use audit::AuditedNetwork;
use error::CliError;
use export::{export_audit, export_prediction};
use input::read_network;
use progress::Progress;
use regression::audit_targets;
use report::{AuditReport, PredictionReport, Versioned, audit_tables, print};
use trajectory::{csv, json_lines, table};
use written_report::{misused, trajectory, write_plot, write_report};

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Predict(arguments) => predict(&arguments),
        Command::Audit(arguments) => audit(*arguments),
        Command::Report(arguments) => write_report(arguments.audit),
        Command::Plot(arguments) => write_plot(&arguments),
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
    let (model, report) = {
        let progress = Progress::start("searching");
        let model = arguments.model(&progress)?;
        let report = PredictionReport::new(&model)?;
        (model, report)
    };
    if let Some(path) = &arguments.export {
        export_prediction(path, model.prediction(), &arguments.basis())?;
    }
    print(arguments.json, &Versioned::new(&report), || report.to_text())?;
    Ok(())
}

fn audit(mut arguments: AuditArguments) -> Result<(), CliError> {
    if arguments.trajectory.trajectory {
        if arguments.export.is_some() {
            misused("audit", "--export is for one network, not for a --trajectory")
        }
        if !arguments.out_of_distribution.is_empty() {
            misused("audit", "--out-of-distribution is for one network, not for a --trajectory")
        }
        if !arguments.against.is_empty() {
            misused("audit", "--against is for one network, not for a --trajectory")
        }
        return print_trajectory(&mut arguments);
    }
    if arguments.trajectory.output.is_some() {
        misused("audit", "audit writes a file of --trajectory only; `report` writes a page")
    }
    if let Some(targets) = &arguments.targets {
        return audit_targets(&arguments.request(), targets, arguments.json);
    }
    let (audited, against) = measure(&arguments)?;
    let report = AuditReport::new(&audited, against.as_ref())?;
    if let Some(path) = &arguments.export {
        export_audit(path, &audited)?;
    }
    print(arguments.json, &report, || audit_tables(&audited, against.as_ref()))?;
    Ok(())
}

/// Rows of a training: where no file is given to write them to, on the standard output.
fn print_trajectory(arguments: &mut AuditArguments) -> Result<(), CliError> {
    let rows = trajectory(arguments)?;
    let text = match (arguments.json, arguments.trajectory.csv, &arguments.trajectory.output) {
        (true, ..) => json_lines(&rows)?,
        (_, true, _) => csv(&rows)?,
        (_, _, None) => table(&rows) + "\n",
        (_, _, Some(_)) => return Ok(()),
    };
    let mut output = std::io::stdout().lock();
    output.write_all(text.as_bytes())?;
    output.flush()?;
    Ok(())
}

/// Everything up to the printing, and with it the progress, has come to its end when this returns.
fn measure(arguments: &AuditArguments) -> Result<(AuditedNetwork, Option<Against>), CliError> {
    let progress = Progress::start("reading");
    let network = read_network(&arguments.request())?;
    let audited = AuditedNetwork::new(network, arguments, &progress)?;
    let against = (!arguments.against.is_empty())
        .then(|| Against::new(&audited, arguments, &progress))
        .transpose()?;
    Ok((audited, against))
}
