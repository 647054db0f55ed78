//! What the program prints: JSON objects, and tables for humans.

mod audit;
mod audit_tables;
mod metric_tables;
mod model;
mod prediction;
mod problem;

use std::io::{self, Write};

use serde::Serialize;

pub(crate) use audit::AuditReport;
pub(crate) use audit_tables::audit_tables;
pub(crate) use prediction::PredictionReport;

/// Prints `report` as one JSON object if `json` is asked for, else the tables that `to_text` makes.
pub(crate) fn print(
    json: bool,
    report: &impl Serialize,
    to_text: impl FnOnce() -> String,
) -> io::Result<()> {
    // Locked and buffered: a list of ten million classes is written piece by piece.
    let mut output = io::BufWriter::new(io::stdout().lock());
    if json {
        // Numbers that are not finite become null.
        serde_json::to_writer(&mut output, report)?;
        writeln!(output)?;
    } else {
        writeln!(output, "{}", to_text().trim_end())?;
    }
    output.flush()
}
