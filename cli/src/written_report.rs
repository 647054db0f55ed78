//! The commands that write pages, pictures and rows.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap::error::ErrorKind;

use crate::arguments::{Arguments, AuditArguments, Kind, Metrics, PlotArguments};
use crate::audit::AuditedNetwork;
use crate::error::CliError;
use crate::input::read_network;
use crate::page::{Rates, Seen, network_page, prediction_page, training_page};
use crate::phases::phase_of;
use crate::pictures::Ink;
use crate::plot::{collapse_of, potential_of, spectrum_of, vectors_of};
use crate::progress::Progress;
use crate::trajectory::{Checkpoint, Row, Store, checkpoints};
use crate::written_file::write_file;

/// Writes the page of a network or of a training.
pub(crate) fn write_report(mut arguments: AuditArguments) -> Result<(), CliError> {
    if arguments.json {
        misused("report", "report writes a page; `audit --json` prints the same numbers as JSON")
    }
    if arguments.export.is_some() {
        misused("report", "report writes a page; `audit --export` writes matrices")
    }
    if !arguments.out_of_distribution.is_empty() {
        misused(
            "report",
            "a page has no room for --out-of-distribution; `audit` prints its numbers",
        )
    }
    if !arguments.against.is_empty() {
        misused("report", "a page has no room for --against; `audit` prints the differences")
    }
    let Some(output) = arguments.trajectory.output.clone() else {
        misused("report", "report needs -o FILE.html to write to")
    };
    refuse_input(&output, &arguments.files)?;
    Format::of(&output, Kind::Report)?;
    let page = if arguments.trajectory.trajectory {
        arguments.metrics = Metrics::All;
        let (rows, rates) = {
            let progress = Progress::start("reading");
            let mut last = None;
            let rows = rows(&arguments, None, &progress, &mut last)?;
            (rows, last.unwrap_or_default())
        };
        training_page(&rows, &rates, &command_line())?
    } else {
        let progress = Progress::start("reading");
        let network = read_network(&arguments.request())?;
        let data = network.data.clone();
        let audited = AuditedNetwork::new(network, &arguments, &progress)?;
        let seen = Seen::of(&data, &audited.audit.measurement)?;
        network_page(&audited, &seen, &data.name(), &command_line())?
    };
    write_file(&output, page.as_bytes())
}

/// Measures the checkpoints of a training; those whose rows are in the output file are left as they are.
pub(crate) fn trajectory(arguments: &mut AuditArguments) -> Result<Vec<Row>, CliError> {
    arguments.metrics = Metrics::All;
    if let Some(output) = &arguments.trajectory.output {
        refuse_input(output, &arguments.files)?;
    }
    let store = arguments.trajectory.output.as_deref().map(Store::open).transpose()?;
    let progress = Progress::start("reading");
    rows(arguments, store.as_ref(), &progress, &mut None)
}

fn rows(
    arguments: &AuditArguments,
    store: Option<&Store>,
    progress: &Progress,
    last: &mut Option<Rates>,
) -> Result<Vec<Row>, CliError> {
    let files = checkpoints(&arguments.files, &settings(arguments))?;
    let mut rows = Vec::with_capacity(files.len());
    let end = files.len().saturating_sub(1);
    for (index, checkpoint) in files.iter().enumerate() {
        let known = store.and_then(|store| store.row(&checkpoint.fingerprint));
        if let Some(row) = known {
            rows.push(row.clone());
            continue;
        }
        let network = audited(arguments, checkpoint, progress)?;
        rows.push(Row::new(&network, checkpoint)?);
        if let Some(store) = store {
            store.write(&rows)?;
        }
        if index == end {
            let step = arguments.trajectory.learning_rate.or(network.facts.learning_rate);
            *last = Some(Rates::new(&network, step, &rows)?);
        }
    }
    if let Some(store) = store {
        store.write(&rows)?;
    }
    Ok(rows)
}

fn audited(
    arguments: &AuditArguments,
    checkpoint: &Checkpoint,
    progress: &Progress,
) -> Result<AuditedNetwork, CliError> {
    let mut request = arguments.request();
    request.files = vec![checkpoint.file.clone()];
    AuditedNetwork::new(read_network(&request)?, arguments, progress)
}

/// Refuses to write over what is to be read.
fn refuse_input(output: &Path, files: &[PathBuf]) -> Result<(), CliError> {
    let Ok(place) = output.canonicalize() else { return Ok(()) };
    match files.iter().any(|file| file.canonicalize().is_ok_and(|file| file == place)) {
        true => {
            let reason = "it is one of the files to read, and would be overwritten".into();
            Err(CliError::Argument { name: output.display().to_string(), reason })
        }
        false => Ok(()),
    }
}

/// All flags but the files themselves and what is written where: those that decide about numbers are among them.
fn settings(arguments: &AuditArguments) -> String {
    let written = [format!("{:?}", arguments.files), format!("{:?}", arguments.trajectory)];
    written.iter().fold(format!("{arguments:?}"), |text, part| text.replace(part, ""))
}

/// Writes a picture of a prediction, or a page of all of them.
pub(crate) fn write_plot(arguments: &PlotArguments) -> Result<(), CliError> {
    if arguments.predict.json {
        misused("plot", "plot writes a picture; `predict --json` prints the numbers as JSON")
    }
    if arguments.predict.export.is_some() {
        misused("plot", "plot writes a picture; `predict --export` writes matrices")
    }
    let output = &arguments.output;
    let format = Format::of(output, arguments.kind)?;
    let progress = Progress::start("searching");
    let model = arguments.predict.model(&progress)?;
    let picture = match arguments.kind {
        Kind::Vectors => vectors_of(&model, Ink::Own),
        Kind::Spectrum => spectrum_of(&model, Ink::Own),
        Kind::Phase => phase_of(&model, Ink::Own, &progress),
        Kind::Collapse => collapse_of(&model, Ink::Own, &progress),
        Kind::Potential => potential_of(&model, Ink::Own),
        Kind::Report => {
            let page = prediction_page(&model, &command_line(), &progress)?;
            return write_file(output, page.as_bytes());
        }
    }?;
    let bytes = match format {
        Format::Png => picture.into_png()?,
        Format::Svg | Format::Html => picture.into_svg().into_bytes(),
    };
    write_file(output, &bytes)
}

enum Format {
    Svg,
    Png,
    Html,
}

impl Format {
    /// The format that the name of a file asks for.
    fn of(output: &Path, kind: Kind) -> Result<Self, CliError> {
        let extension = output.extension().and_then(OsStr::to_str).unwrap_or_default();
        match (extension.to_lowercase().as_str(), kind) {
            ("html" | "htm", Kind::Report) => Ok(Self::Html),
            (_, Kind::Report) => Err(wrong_extension(output, ".html")),
            ("svg", _) => Ok(Self::Svg),
            ("png", _) => Ok(Self::Png),
            _ => Err(wrong_extension(output, ".svg or .png")),
        }
    }
}

fn wrong_extension(output: &Path, expected: &str) -> CliError {
    let reason = format!("the name of the file must end in {expected}");
    CliError::Argument { name: output.display().to_string(), reason }
}

/// The command as it can be given to a shell again.
fn command_line() -> String {
    let mut words = std::env::args();
    let program = words.next().map(PathBuf::from);
    let program = program.as_deref().and_then(Path::file_name).and_then(OsStr::to_str);
    let is_plain =
        |character: char| character.is_ascii_alphanumeric() || "-_./=,:@+".contains(character);
    let quoted = |word: String| match !word.is_empty() && word.chars().all(is_plain) {
        true => word,
        false => format!("'{}'", word.replace('\'', "'\\''")),
    };
    let words: Vec<String> = words.map(quoted).collect();
    format!("{} {}", program.unwrap_or("neural-collapse"), words.join(" "))
}

/// Ends the program with exit status 2.
pub(crate) fn misused(name: &str, message: &str) -> ! {
    let mut command = Arguments::command();
    command.build();
    let error = match command.find_subcommand_mut(name) {
        Some(found) => found.error(ErrorKind::MissingRequiredArgument, message),
        None => command.error(ErrorKind::MissingRequiredArgument, message),
    };
    error.exit()
}
