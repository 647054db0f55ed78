//! The tables of `tests/reference`, and distances to their entries.

use std::collections::BTreeMap;
use std::path::Path;

/// One row: the text in each column.
pub type Row = BTreeMap<String, String>;

/// The rows of a reference table.
pub fn table(name: &str) -> Vec<Row> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference").join(name);
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    let row = |line: &str| {
        let fields = line.split(',').map(str::to_owned);
        header.iter().map(|&name| name.to_owned()).zip(fields).collect()
    };
    lines.map(row).collect()
}

/// The numbers of a field that holds a list.
pub fn list<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> Vec<T> {
    text.split_whitespace().map(|entry| entry.parse().unwrap()).collect()
}

/// Distance of `got` from the correctly rounded reference, in units of the reference's last place.
pub fn ulps(got: f64, reference: &str) -> f64 {
    ulps_from(got, reference.parse().unwrap())
}

/// The same for a reference that is rounded already.
pub fn ulps_from(got: f64, exact: f64) -> f64 {
    if got == exact {
        return 0.0;
    }
    (got - exact).abs() / (exact.abs().next_up() - exact.abs())
}

/// The same for single precision; the reference is rounded to `f32` first.
pub fn ulps_single(got: f32, reference: &str) -> f64 {
    let exact: f32 = reference.parse().unwrap();
    if got == exact {
        return 0.0;
    }
    f64::from((got - exact).abs() / (exact.abs().next_up() - exact.abs()))
}
