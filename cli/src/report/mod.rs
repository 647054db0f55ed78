//! What the program prints: JSON objects, and tables for humans.

mod angles;
mod audit;
mod audit_tables;
mod classes;
mod directions;
mod feature_layers;
mod limits;
mod loss_names;
mod metric_tables;
mod prediction;
mod problem;
mod remarks;

use std::io::{self, Write};

use serde::Serialize;

pub(crate) use audit::AuditReport;
pub(crate) use audit_tables::audit_tables;
pub(crate) use loss_names::LossNames;
pub(crate) use prediction::PredictionReport;
pub(crate) use remarks::remarks;

/// The version of the JSON objects. Keys are added without a new one; it grows when one changes its meaning.
pub(crate) const SCHEMA_VERSION: u32 = 2;

/// A JSON object with its version.
#[derive(Debug, Serialize)]
pub(crate) struct Versioned<'a, T> {
    schema_version: u32,
    #[serde(flatten)]
    object: &'a T,
}

impl<'a, T> Versioned<'a, T> {
    pub(crate) fn new(object: &'a T) -> Self {
        Self { schema_version: SCHEMA_VERSION, object }
    }
}

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
