//! The largest errors found, and the tables of them in the documentation.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// The unit of an error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Unit {
    /// Units in the last place.
    Ulp,
    /// Relative to the value.
    Relative,
}

/// The largest error of one quantity.
#[derive(Debug, Clone)]
pub struct Entry {
    pub promised: f64,
    pub error: f64,
    pub cases: usize,
    pub input: String,
}

/// The largest errors of several quantities against one reference table.
#[derive(Debug)]
pub struct Worst {
    pub section: &'static str,
    pub unit: Unit,
    pub entries: BTreeMap<String, Entry>,
}

impl Worst {
    pub fn new(section: &'static str, unit: Unit) -> Self {
        Self { section, unit, entries: BTreeMap::new() }
    }

    /// Notes an error of `quantity`, which is promised to be `promised` at most.
    pub fn record(
        &mut self,
        quantity: &str,
        promised: f64,
        error: f64,
        input: &dyn Fn() -> String,
    ) {
        let first = Entry { promised, error: -1.0, cases: 0, input: String::new() };
        let entry = self.entries.entry(quantity.to_owned()).or_insert(first);
        entry.cases += 1;
        if error > entry.error || error.is_nan() {
            (entry.error, entry.input) = (error, input());
        }
    }

    /// Fails where an error is larger than promised.
    pub fn check(&self) {
        for (quantity, entry) in &self.entries {
            let Entry { promised, error, input, .. } = entry;
            let section = self.section;
            assert!(*error <= *promised, "{section}, {quantity}: {error:e} for {input}, {entry:?}");
        }
    }

    fn rows(&self) -> Vec<String> {
        let text = |error: f64| match self.unit {
            Unit::Ulp => format!("{error:.1}"),
            Unit::Relative => format!("{error:.1e}"),
        };
        let row = |(quantity, entry): (&String, &Entry)| {
            let Entry { promised, error, cases, input } = entry;
            let promised = match self.unit {
                Unit::Ulp => promised.to_string(),
                Unit::Relative => format!("{promised:e}"),
            };
            let section = self.section;
            format!(
                "| {section} | {quantity} | {cases} | {promised} | {} | {input} |",
                text(*error)
            )
        };
        self.entries.iter().map(row).collect()
    }
}

const BEGIN: &str = "<!-- begin: measured -->";
const END: &str = "<!-- end: measured -->";

/// Rewrites the table in a document if the variable `UPDATE_ACCURACY` is set, and fails where it
/// is out of date otherwise: where a row is missing, superfluous, has another promise or number of
/// cases, or an error that is not the measured one up to what another platform's `powf` may change.
pub fn compare_with_documentation(document: &str, measured: &[Worst]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(document);
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (committed, after) = rest.split_once(END).unwrap();
    let rows: Vec<String> = measured.iter().flat_map(Worst::rows).collect();
    if std::env::var_os("UPDATE_ACCURACY").is_some() {
        let mut table =
            String::from("\n| table | quantity | cases | promised | largest error | at |\n");
        table.push_str("|---|---|--:|--:|--:|---|\n");
        for row in &rows {
            writeln!(table, "{row}").unwrap();
        }
        std::fs::write(path, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
        return;
    }
    let committed: Vec<&str> =
        committed.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    let keys = |row: &str| row.split(" | ").take(4).map(str::to_owned).collect::<Vec<_>>();
    let expected: Vec<_> = rows.iter().map(|row| keys(row)).collect();
    let found: Vec<_> = committed.iter().map(|row| keys(row)).collect();
    assert_eq!(found, expected, "run this test with UPDATE_ACCURACY=1");
    let entries = measured
        .iter()
        .flat_map(|worst| worst.entries.values().map(move |entry| (entry, worst.unit)));
    for ((entry, unit), row) in entries.zip(committed) {
        let error: f64 = row.split(" | ").nth(4).unwrap().parse().unwrap();
        let same = match unit {
            Unit::Ulp => (error - entry.error).abs() <= 2.0,
            Unit::Relative => error <= entry.promised,
        };
        assert!(same, "documented: {row}, measured: {entry:?}");
    }
}
