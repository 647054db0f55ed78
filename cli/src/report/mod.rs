//! What the program prints: JSON objects, and tables for humans.

mod measured;
mod prediction;
mod problem;

use std::io::{self, Write};

use serde::Serialize;

pub(crate) use measured::MeasuredReport;
pub(crate) use prediction::PredictionReport;

/// Prints `report` as one JSON object on the standard output. Numbers that are not finite become null.
pub(crate) fn print_json(report: &impl Serialize) -> io::Result<()> {
    // Locked and buffered: a list of ten million classes is written piece by piece.
    let mut output = io::BufWriter::new(io::stdout().lock());
    serde_json::to_writer(&mut output, report)?;
    writeln!(output)?;
    output.flush()
}

/// Prints `text` on the standard output.
pub(crate) fn print_text(text: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{}", text.trim_end())
}
