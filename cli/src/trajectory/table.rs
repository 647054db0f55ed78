//! Rows as a table and as CSV.

use std::io;

use super::row::Row;
use crate::error::CliError;
use crate::tables::{Cell, plain_table};

/// The rows for readers.
pub(crate) fn table(rows: &[Row]) -> String {
    let depth = rows.iter().map(|row| row.nc2.len()).max().unwrap_or(0);
    let last = format!("NC2, m = {depth}");
    let headings = ["epoch", "NC0", "NC1", &last, "NC3", "NC4", "accuracy", "loss gap"];
    let cells = |row: &Row| {
        let residual = Cell::Residual;
        vec![
            row.epoch.map_or(Cell::Text("–".into()), |epoch| Cell::Text(epoch.to_string())),
            residual(row.nc0),
            residual(row.nc1),
            residual(row.nc2.get(depth.saturating_sub(1)).copied().flatten()),
            residual(row.nc3),
            Cell::Number(row.nc4),
            Cell::Number(row.accuracy),
            residual(row.loss_gap_relative),
        ]
    };
    plain_table(&headings, &rows.iter().map(cells).collect::<Vec<_>>())
}

/// The rows as CSV: numbers with all their digits, nothing where there is no number.
pub(crate) fn csv(rows: &[Row]) -> Result<String, CliError> {
    let Some(widest) = rows.iter().max_by_key(|row| row.nc2.len()) else {
        return Ok(String::new());
    };
    let names: Vec<String> = widest.numbers().into_iter().map(|(name, _)| name).collect();
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut write = |first: &str, middle: &[String], last: [&str; 2]| {
        let fields = std::iter::once(first).chain(middle.iter().map(String::as_str)).chain(last);
        writer.write_record(fields).map_err(io::Error::from)
    };
    write("file", &names, ["verdict", "fingerprint"])?;
    for row in rows {
        let numbers = row.numbers();
        let number = |name: &String| {
            let found = numbers.iter().find(|(other, _)| other == name);
            found.and_then(|(_, value)| *value).map_or(String::new(), |value| format!("{value:e}"))
        };
        let numbers: Vec<String> = names.iter().map(number).collect();
        write(&row.file, &numbers, [&row.verdict, &row.fingerprint])?;
    }
    let bytes = writer.into_inner().map_err(csv::IntoInnerError::into_error)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The rows that [`csv`] wrote.
pub(super) fn from_csv(text: &str) -> Option<Vec<Row>> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let list = |record: &csv::StringRecord| record.iter().map(String::from).collect();
    let names: Vec<String> = list(reader.headers().ok()?);
    names.iter().find(|name| *name == "fingerprint")?;
    reader.records().map(|record| row(&names, &list(&record.ok()?))).collect()
}

fn row(names: &[String], fields: &[String]) -> Option<Row> {
    let text = |name: &str| {
        let index = names.iter().position(|other| other == name)?;
        fields.get(index).cloned()
    };
    let number = |name: &str| -> Option<Option<f64>> {
        match text(name)? {
            empty if empty.is_empty() => Some(None),
            digits => digits.parse().ok().map(Some),
        }
    };
    let depth = names.iter().filter(|name| name.starts_with("nc2_")).count();
    Some(Row {
        file: text("file")?,
        epoch: number("epoch")?,
        nc0: number("nc0")?,
        nc1: number("nc1")?,
        nc1_resolved: number("nc1_resolved")?,
        nc1_trace_quotient: number("nc1_trace_quotient")?,
        cdnv: number("cdnv")?,
        nc2: (1..=depth).map(|layer| number(&format!("nc2_{layer}"))).collect::<Option<_>>()?,
        nc3: number("nc3")?,
        nc3_centered: number("nc3_centered")?,
        self_duality: number("self_duality")?,
        nc4: number("nc4")?,
        accuracy: number("accuracy")?,
        loss: number("loss")?,
        loss_optimum: number("loss_optimum")?,
        loss_gap_relative: number("loss_gap_relative")?,
        gradient_norm: number("gradient_norm")?,
        weight_distance: number("weight_distance")?,
        feature_distance: number("feature_distance")?,
        // Files of former versions have none.
        largest_singular_value: number("largest_singular_value").flatten(),
        smallest_singular_value: number("smallest_singular_value").flatten(),
        verdict: text("verdict")?,
        fingerprint: text("fingerprint")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_is_read_as_it_was_written() {
        let row = Row {
            file: "a \"b\", c.npz".into(),
            epoch: Some(3.0),
            nc0: Some(1.0 / 3.0),
            nc1: Some(1e-300),
            nc1_resolved: None,
            nc1_trace_quotient: Some(0.1),
            cdnv: None,
            nc2: vec![Some(0.5), None],
            nc3: Some(2.0),
            nc3_centered: None,
            self_duality: Some(0.25),
            nc4: Some(1.0),
            accuracy: Some(0.5),
            loss: Some(0.125),
            loss_optimum: None,
            loss_gap_relative: None,
            gradient_norm: Some(7.0),
            weight_distance: None,
            feature_distance: Some(1.5),
            largest_singular_value: Some(2.5),
            smallest_singular_value: None,
            verdict: "at the minimum, nearly".into(),
            fingerprint: "00ff".into(),
        };
        let rows = vec![row.clone(), Row { nc2: vec![None, Some(1.0)], ..row }];
        assert_eq!(from_csv(&csv(&rows).unwrap()).unwrap(), rows);
        assert_eq!(from_csv("something else\n1,2\n"), None);
    }
}
