//! Reference tables made with mpmath (`tests/reference`), and errors in ulps against them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// A reference table: one map from column to text a row.
pub fn table(name: &str) -> Vec<BTreeMap<String, String>> {
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

pub fn list<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> Vec<T> {
    text.split_whitespace().map(|entry| entry.parse().unwrap()).collect()
}

/// Distance of `got` from the correctly rounded reference, in units of the reference's last place.
pub fn ulps(got: f64, reference: &str) -> f64 {
    let exact: f64 = reference.parse().unwrap();
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

/// The largest error of each quantity, with the input that caused it.
#[derive(Default)]
pub struct Worst(BTreeMap<String, (f64, String, usize)>);

impl Worst {
    pub fn record(&mut self, quantity: &str, error: f64, input: &dyn Fn() -> String) {
        let entry = self.0.entry(quantity.to_owned()).or_insert((-1.0, String::new(), 0));
        entry.2 += 1;
        if error > entry.0 || error.is_nan() {
            (entry.0, entry.1) = (error, input());
        }
    }

    pub fn check(&self, quantity: &str, limit: f64) {
        let (error, input, _) = &self.0[quantity];
        assert!(*error <= limit, "{quantity}: {error} ulp for {input}, promised {limit}");
    }

    /// Checks every quantity that was recorded.
    pub fn check_all(&self, limit: f64) {
        for quantity in self.0.keys() {
            self.check(quantity, limit);
        }
    }

    /// Adds the rows to the table that the documentation shows, if it was asked for.
    pub fn publish(&self, section: &str) {
        let mut rows = String::new();
        for (quantity, (error, input, cases)) in &self.0 {
            writeln!(rows, "| {section} | {quantity} | {cases} | {error:.1} | `{input}` |")
                .unwrap();
        }
        println!("{rows}");
        if let Ok(path) = std::env::var("ACCURACY_TABLE") {
            use std::io::Write;
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
            let mut file = std::fs::File::options().create(true).append(true).open(path).unwrap();
            file.write_all(rows.as_bytes()).unwrap();
        }
    }
}
