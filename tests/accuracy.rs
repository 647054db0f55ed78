//! The promise of accuracy, checked in ulps against tables made with mpmath (`tests/reference`).
//!
//! `ACCURACY_TABLE=docs/accuracy-table.md cargo test --test accuracy` writes the largest errors found
//! to that file, as the documentation shows them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use neural_collapse::{
    Bias, ClassCounts, Direction, GlobalMinimum, Potential, Regime, Regularization, Ufm,
    critical_imbalance_ratio,
};

/// A reference table: one map from column to text a row.
fn table(name: &str) -> Vec<BTreeMap<String, String>> {
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

fn list<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> Vec<T> {
    text.split_whitespace().map(|entry| entry.parse().unwrap()).collect()
}

/// Distance of `got` from the correctly rounded reference, in units of the reference's last place.
fn ulps(got: f64, reference: &str) -> f64 {
    let exact: f64 = reference.parse().unwrap();
    if got == exact {
        return 0.0;
    }
    (got - exact).abs() / (exact.abs().next_up() - exact.abs())
}

/// The same for single precision; the reference is rounded to `f32` first.
fn ulps_single(got: f32, reference: &str) -> f64 {
    let exact: f32 = reference.parse().unwrap();
    if got == exact {
        return 0.0;
    }
    f64::from((got - exact).abs() / (exact.abs().next_up() - exact.abs()))
}

/// The largest error of each quantity, with the input that caused it.
#[derive(Default)]
struct Worst(BTreeMap<String, (f64, String, usize)>);

impl Worst {
    fn record(&mut self, quantity: &str, error: f64, input: &dyn Fn() -> String) {
        let entry = self.0.entry(quantity.to_owned()).or_insert((-1.0, String::new(), 0));
        entry.2 += 1;
        if error > entry.0 || error.is_nan() {
            (entry.0, entry.1) = (error, input());
        }
    }

    fn check(&self, quantity: &str, limit: f64) {
        let (error, input, _) = &self.0[quantity];
        assert!(*error <= limit, "{quantity}: {error} ulp for {input}, promised {limit}");
    }

    /// Adds the rows to the table that the documentation shows, if it was asked for.
    fn publish(&self, section: &str) {
        let mut rows = String::new();
        for (quantity, (error, input, cases)) in &self.0 {
            writeln!(rows, "| {section} | {quantity} | {cases} | {error:.1} | `{input}` |").unwrap();
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

#[test]
fn thresholds_are_within_two_ulp() {
    let mut worst = Worst::default();
    for row in table("thresholds.csv") {
        let depth: u32 = row["depth"].parse().unwrap();
        let potential = Potential::<f64>::new(depth).unwrap();
        let input = || format!("M = {depth}");
        worst.record("τ_M", ulps(potential.threshold(), &row["tau"]), &input);
        worst.record("β_M", ulps(potential.slope_threshold(), &row["beta"]), &input);
        worst.record("fold", ulps(potential.fold(), &row["fold"]), &input);
        let single = Potential::<f32>::new(depth).unwrap();
        worst.record("β_M (f32)", ulps_single(single.slope_threshold(), &row["beta"]), &input);
    }
    worst.publish("thresholds");
    for quantity in ["τ_M", "β_M", "fold"] {
        worst.check(quantity, 2.0);
    }
    worst.check("β_M (f32)", 1.0);
}

#[test]
fn the_minimiser_is_within_two_ulp_and_in_the_right_regime() {
    let mut worst = Worst::default();
    for row in table("minimizer.csv") {
        let (depth, b): (u32, f64) = (row["depth"].parse().unwrap(), row["b"].parse().unwrap());
        let potential = Potential::<f64>::new(depth).unwrap();
        let minimizer = potential.minimizer(b).unwrap();
        let input = || format!("M = {depth}, b = {b:e}");
        // The tie stands for the double nearest to the threshold, on whichever side of it; one layer
        // has none, as its transition is continuous.
        let expected = match row["regime"].as_str() {
            _ if b == potential.slope_threshold() && depth > 1 => Regime::Tie,
            "positive" => Regime::Positive,
            _ => Regime::Zero,
        };
        assert_eq!(minimizer.regime(), expected, "{}", input());
        if row["regime"] != "positive" {
            continue;
        }
        worst.record("x", ulps(minimizer.x(), &row["x"]), &input);
        worst.record("x^M", ulps(minimizer.power(), &row["x_pow_depth"]), &input);
        worst.record("g(x)", ulps(minimizer.value(b), &row["g"]), &input);
        worst.record("1/(x^M+1)", ulps(minimizer.unfitted_share(), &row["residual_share"]), &input);
    }
    worst.publish("minimiser");
    worst.check("x", 2.0);
    for quantity in ["x^M", "g(x)", "1/(x^M+1)"] {
        worst.check(quantity, 8.0);
    }
}

#[test]
fn stationary_points_are_accurate_up_to_the_fold() {
    let mut worst = Worst::default();
    for row in table("stationary.csv") {
        let (depth, b): (u32, f64) = (row["depth"].parse().unwrap(), row["b"].parse().unwrap());
        let potential = Potential::<f64>::new(depth).unwrap();
        let input = || format!("M = {depth}, b = {b:e}");
        let points = potential.stationary_points(b).unwrap();
        if b == potential.fold() {
            // The double nearest to the fold stands for it, on whichever side: a double root.
            assert!(points.is_none_or(|points| points.local_maximum == Some(points.local_minimum)));
            continue;
        }
        assert_eq!(points.is_some(), !row["larger"].is_empty(), "{}", input());
        let Some(points) = points else { continue };
        worst.record("larger", ulps(points.local_minimum, &row["larger"]), &input);
        match points.local_maximum {
            Some(smaller) => worst.record("smaller", ulps(smaller, &row["smaller"]), &input),
            None => assert_eq!(row["smaller"], ""),
        }
    }
    worst.publish("stationary points");
    worst.check("larger", 2.0);
    worst.check("smaller", 2.0);
}
