//! The promise of accuracy, checked in ulps against tables made with mpmath (`tests/reference`).
//!
//! `UPDATE_ACCURACY=1 cargo test --test it accuracy` writes the largest errors found into
//! `docs/accuracy.md`.

use crate::exact::double_double::DoubleDouble;
use crate::exact::measured::{Unit, Worst, compare_with_documentation};
use crate::exact::tables::{Row, list, table, ulps, ulps_from, ulps_single};
use neural_collapse::models::Regime;
use neural_collapse::models::squared::{Direction, critical_imbalance_ratio};
use neural_collapse::{
    Bias, ClassCounts, GlobalMinimum, Potential, Prediction, Regularization, Ufm,
};
use num_traits::Float;

fn number<T: std::str::FromStr<Err: std::fmt::Debug>>(row: &Row, column: &str) -> T {
    row[column].parse().unwrap()
}

fn thresholds() -> Worst {
    let mut worst = Worst::new("thresholds", Unit::Ulp);
    for row in table("thresholds.csv") {
        let depth: u32 = number(&row, "depth");
        let input = || format!("M = {depth}");
        let double = Potential::<f64>::new(depth).unwrap();
        worst.record("τ_M", 2.0, ulps(double.threshold(), &row["tau"]), &input);
        worst.record("β_M", 2.0, ulps(double.slope_threshold(), &row["beta"]), &input);
        worst.record("fold", 2.0, ulps(double.fold(), &row["fold"]), &input);
        let single = Potential::<f32>::new(depth).unwrap();
        worst.record("τ_M, f32", 1.0, ulps_single(single.threshold(), &row["tau"]), &input);
        worst.record("β_M, f32", 1.0, ulps_single(single.slope_threshold(), &row["beta"]), &input);
        worst.record("fold, f32", 1.0, ulps_single(single.fold(), &row["fold"]), &input);
    }
    worst
}

fn minimizer() -> Worst {
    let mut worst = Worst::new("minimizer", Unit::Ulp);
    for row in table("minimizer.csv") {
        if row["regime"] != "positive" {
            continue;
        }
        let (depth, b): (u32, f64) = (number(&row, "depth"), number(&row, "b"));
        let minimizer = Potential::<f64>::new(depth).unwrap().minimizer(b).unwrap();
        let input = || format!("M = {depth}, b = {b:e}");
        let share = ulps(minimizer.unfitted_share(), &row["residual_share"]);
        worst.record("x", 2.0, ulps(minimizer.x(), &row["x"]), &input);
        worst.record("x^M", 8.0, ulps(minimizer.power(), &row["x_pow_depth"]), &input);
        worst.record("g(x)", 8.0, ulps(minimizer.value(), &row["g"]), &input);
        worst.record("1/(x^M+1)", 8.0, share, &input);
    }
    worst
}

fn stationary_points() -> Worst {
    let mut worst = Worst::new("stationary points", Unit::Ulp);
    for row in table("stationary.csv").into_iter().filter(|row| !row["larger"].is_empty()) {
        let (depth, b): (u32, f64) = (number(&row, "depth"), number(&row, "b"));
        let potential = Potential::<f64>::new(depth).unwrap();
        if b == potential.fold() {
            continue; // It stands for the fold itself, a double root.
        }
        let points = potential.stationary_points(b).unwrap().unwrap();
        let input = || format!("M = {depth}, b = {b:e}");
        worst.record("larger", 2.0, ulps(points.local_minimum, &row["larger"]), &input);
        if let Some(smaller) = points.local_maximum {
            worst.record("smaller", 2.0, ulps(smaller, &row["smaller"]), &input);
        }
    }
    worst
}

fn single_precision() -> Worst {
    let mut worst = Worst::new("single precision", Unit::Ulp);
    for row in table("single.csv") {
        let (depth, b): (u32, f32) = (number(&row, "depth"), number(&row, "b"));
        let potential = Potential::<f32>::new(depth).unwrap();
        let input = || format!("M = {depth}, b = {b:e}");
        if row["regime"] == "positive" {
            let x = potential.minimizer(b).unwrap().x();
            worst.record("x, f32", 1.0, ulps_single(x, &row["x"]), &input);
        }
        if row["larger"].is_empty() || b == potential.fold() {
            continue;
        }
        let points = potential.stationary_points(b).unwrap().unwrap();
        let larger = ulps_single(points.local_minimum, &row["larger"]);
        worst.record("larger, f32", 1.0, larger, &input);
        if let Some(smaller) = points.local_maximum {
            worst.record("smaller, f32", 1.0, ulps_single(smaller, &row["smaller"]), &input);
        }
    }
    worst
}

/// Below this, the low word of a double-double or of a product with it may be subnormal.
const FULL_DOUBLE_DOUBLE: f64 = 1e-200;

/// The same code with about 31 digits.
fn double_double() -> Worst {
    const PROMISED: f64 = 1e-28;
    let mut worst = Worst::new("double-double", Unit::Relative);
    for row in table("thresholds.csv") {
        let depth: u32 = number(&row, "depth");
        let potential = Potential::<DoubleDouble>::new(depth).unwrap();
        let mut record = |quantity, got: DoubleDouble, column: &str| {
            let error = got.relative_error(DoubleDouble::parse(&row[column]));
            worst.record(quantity, PROMISED, error, &|| format!("M = {depth}"));
        };
        record("τ_M", potential.threshold(), "tau");
        record("β_M", potential.slope_threshold(), "beta");
        record("fold", potential.fold(), "fold");
    }
    for row in table("minimizer.csv") {
        let (depth, b): (u32, f64) = (number(&row, "depth"), number(&row, "b"));
        if row["regime"] == "positive" && b > FULL_DOUBLE_DOUBLE {
            let potential = Potential::new(depth).unwrap();
            let minimizer = potential.minimizer(DoubleDouble::from_f64(b)).unwrap();
            let error = minimizer.x().relative_error(DoubleDouble::parse(&row["x"]));
            worst.record("x", PROMISED, error, &|| format!("M = {depth}, b = {b:e}"));
        }
    }
    for row in table("stationary.csv") {
        let (depth, b): (u32, f64) = (number(&row, "depth"), number(&row, "b"));
        if row["larger"].is_empty() || b < FULL_DOUBLE_DOUBLE {
            continue;
        }
        let potential = Potential::new(depth).unwrap();
        let points = potential.stationary_points(DoubleDouble::from_f64(b)).unwrap().unwrap();
        let mut record = |quantity, got: DoubleDouble, column: &str| {
            let exact = DoubleDouble::parse(&row[column]);
            // The residual is known to twice the digits of an f64 but only once those of this type.
            let error = got.relative_error(exact) / sensitivity(exact, depth).max(1.0);
            worst.record(quantity, PROMISED, error, &|| format!("M = {depth}, b = {b:e}"));
        };
        record("larger ÷ max(κ_x, 1)", points.local_minimum, "larger");
        if let Some(smaller) = points.local_maximum {
            record("smaller ÷ max(κ_x, 1)", smaller, "smaller");
        }
    }
    worst
}

/// κ_x = 1/|M + 1 − 2M/(1 + x^M)|, by how much a relative error of b grows in x.
fn sensitivity(x: DoubleDouble, depth: u32) -> f64 {
    let m = DoubleDouble::from_f64(f64::from(depth));
    let one = DoubleDouble::from_f64(1.0);
    ((m + one) - (m + m) / (one + x.power(depth))).nearest().abs().recip()
}

/// The minimum of a row of `problems.csv`.
fn problem(row: &Row) -> GlobalMinimum {
    let bias = match row["bias"].as_str() {
        "none" => Bias::None,
        "unregularized" => Bias::Unregularized,
        _ => Bias::Regularized(number(row, "bias_decay")),
    };
    let feature_decay = number(row, "feature_decay");
    let regularization = Regularization::new(&list::<f64>(&row["decays"]), feature_decay).unwrap();
    let counts = ClassCounts::new(&list::<u64>(&row["counts"])).unwrap();
    let ufm = Ufm::new(counts, regularization.with_bias(bias).unwrap()).unwrap();
    ufm.global_minimum().unwrap()
}

/// How much a relative error of the slope b = M a/σ² grows in x, in x^M and in the shares.
fn condition(direction: &Direction, depth: f64) -> (f64, f64, f64) {
    let power = direction.power();
    let of_x = ((depth + 1.0) - 2.0 * depth / (1.0 + power)).recip();
    (of_x, depth * of_x, depth * of_x / (1.0 + power))
}

/// The largest errors over `problems.csv`, in units of half the condition number where that is above 2:
/// 8 of them are 8 ulp, or 4 ulp times the condition number.
fn problems() -> Worst {
    let mut worst = Worst::new("problems", Unit::Ulp);
    for row in table("problems.csv") {
        let minimum = problem(&row);
        let input = || {
            let (depth, counts, bias) = (&row["depth"], &row["counts"], &row["bias"]);
            format!("M = {depth}, n = {counts}, bias {bias}")
        };
        let mut record = |quantity: &str, got: f64, exact: f64, condition: f64| {
            let error = ulps_from(got, exact) / (condition / 2.0).max(1.0);
            worst.record(quantity, 8.0, error, &input);
        };
        record_scalars(&row, &minimum, &mut record);
        record_directions(&row, &minimum, &mut record);
        record_classes(&row, &minimum, &mut record);
    }
    worst
}

/// Takes a quantity, its value, the exact value and the condition number.
type Record<'a> = dyn FnMut(&str, f64, f64, f64) + 'a;

fn record_scalars(row: &Row, minimum: &GlobalMinimum, record: &mut Record<'_>) {
    let depth = minimum.problem().depth() as f64;
    record("a", minimum.scale(), number(row, "a"), 1.0);
    record("f*", minimum.loss(), number(row, "loss"), 1.0);
    let smallest = number(row, "smallest_surviving");
    record("smallest surviving count", minimum.smallest_surviving_count(), smallest, 1.0);
    let factor = minimum.largest_decay_factor().unwrap();
    record("largest decay factor", factor, number(row, "largest_factor"), 1.0);
    if let Some(bias) = minimum.bias() {
        let unfitted = |last: Direction| condition(&last, depth).1 * last.fitted_share();
        let shared = minimum.directions().last().map_or(1.0, unfitted);
        for (got, exact) in bias.into_iter().zip(list(&row["bias_vector"])) {
            record("b*", got, exact, shared);
        }
    }
}

/// The index, among the minimum's directions, of the reference's direction `index`.
fn position(row: &Row, minimum: &GlobalMinimum, index: usize) -> usize {
    match minimum.problem().counts().unwrap() {
        counts if row["bias"] == "none" => {
            let size = counts.count(index).unwrap();
            counts.sizes().position(|group| group.size == size).unwrap()
        }
        _ => index,
    }
}

fn record_directions(row: &Row, minimum: &GlobalMinimum, record: &mut Record<'_>) {
    let problem = minimum.problem();
    let (layers, depth) = (problem.depth(), problem.depth() as f64);
    let product = minimum.direction_singular_values(1..=layers).unwrap();
    let classifier = minimum.direction_singular_values(layers..=layers).unwrap();
    let (s_k, features) = (
        minimum.direction_singular_values(1..=1).unwrap(),
        minimum.direction_feature_singular_values(),
    );
    let outputs = minimum.output_singular_values();
    let column = |name: &str| list::<f64>(&row[name]);
    let twice = |name: &str| -> Vec<DoubleDouble> {
        row[name].split_whitespace().map(DoubleDouble::parse).collect()
    };
    let (target, x, share) = (twice("target_squared"), twice("x"), twice("fitted_share"));
    for index in 0..x.len() {
        let position = position(row, minimum, index);
        let direction = &minimum.direction(position).unwrap();
        let (of_x, of_power, of_share) = condition(direction, depth);
        record("σ²", direction.target_squared(), column("target_squared")[index], 1.0);
        record("a/σ²", direction.ratio(), column("ratio")[index], 1.0);
        record("x", direction.x(), column("x")[index], of_x);
        record("t", direction.energy(), column("energy")[index], of_x);
        record("s_k", s_k[position], column("s")[index], of_x);
        record("fitted share", direction.fitted_share(), column("fitted_share")[index], of_share);
        let squared = [classifier[position].powi(2), features[position].powi(2)];
        record("σ(W_M)²", squared[0], column("classifier_squared")[index], of_x);
        record("σ(H)²", squared[1], column("features_squared")[index], of_x);
        let output = target[index].sqrt() * share[index];
        record("σ(W_M⋯W₁H)", outputs[position], output.nearest(), of_share);
        // √(N' λ_H x^M), where N' is N or its replacement by a regularized bias.
        let weight = DoubleDouble::from_f64(direction.effective_samples())
            * DoubleDouble::from_f64(problem.regularization().feature_decay());
        let whole = (weight * x[index].power(u32::try_from(layers).unwrap())).sqrt();
        record("σ(W_M⋯W₁)", product[position], whole.nearest(), of_power);
    }
}

fn record_classes(row: &Row, minimum: &GlobalMinimum, record: &mut Record<'_>) {
    // The norms of a class hang on all of its directions.
    let depth = minimum.problem().depth() as f64;
    let conditions = minimum.directions().map(|direction| condition(&direction, depth).0);
    let largest = conditions.fold(0.0, f64::max);
    let columns = ["classifier_norms_squared", "mean_norms_squared"];
    let [classifier, means] = columns.map(|column| list::<f64>(&row[column]));
    for (class, (&w, &h)) in classifier.iter().zip(&means).enumerate() {
        let geometry = minimum.class(class).unwrap();
        record("‖w_k‖²", geometry.classifier_norm_squared.unwrap(), w, largest);
        record("‖h_k‖²", geometry.feature_norm_squared.unwrap(), h, largest);
        if let Some(ratio) = minimum.classifier_norm_ratio(0, class) {
            record("‖w_i‖²/‖w_j‖²", ratio, classifier[0] / w, 2.0 * largest);
        }
        if let Some(ratio) = minimum.feature_norm_ratio(0, class) {
            record("‖h_i‖²/‖h_j‖²", ratio, means[0] / h, 2.0 * largest);
        }
    }
}

fn secular_equation() -> Worst {
    let mut worst = Worst::new("spectra", Unit::Ulp);
    for row in table("secular.csv") {
        let (sizes, classes) = (list::<u64>(&row["sizes"]), list::<usize>(&row["multiplicities"]));
        let counts = ClassCounts::from_runs(sizes.into_iter().zip(classes)).unwrap();
        let samples = counts.samples() as f64;
        let regularization = Regularization::new(&[1.0 / samples], 1.0 / samples).unwrap();
        let regularization = regularization.with_bias(Bias::Unregularized).unwrap();
        let minimum = Ufm::new(counts.clone(), regularization).unwrap().global_minimum().unwrap();
        let sizes: Vec<f64> = counts.sizes().map(|group| group.size as f64).collect();
        let eigenvalues = minimum.directions().map(|direction| direction.target_squared());
        let mut between: Vec<f64> = eigenvalues.filter(|value| !sizes.contains(value)).collect();
        between.sort_by(f64::total_cmp);
        let mut expected: Vec<f64> = list(&row["eigenvalues"]);
        expected.sort_by(f64::total_cmp);
        assert_eq!(between.len(), expected.len(), "sizes {sizes:?}");
        for (got, exact) in between.into_iter().zip(expected) {
            worst.record("eigenvalue", 4.0, ulps_from(got, exact), &|| format!("μ ≈ {got:e}"));
        }
    }
    worst
}

fn critical_imbalance() -> Worst {
    let mut worst = Worst::new("critical imbalance", Unit::Ulp);
    for row in table("critical_ratio.csv") {
        let feature_decay = number(&row, "feature_decay");
        let regularization =
            Regularization::new(&list::<f64>(&row["decays"]), feature_decay).unwrap();
        let majority = number(&row, "majority_classes");
        let minority: u64 = number(&row, "minority_classes");
        let size: u64 = number(&row, "minority_samples");
        let ratio = critical_imbalance_ratio(majority, minority, size, &regularization).unwrap();
        // ρ* K_A = N*/n_B − K_B: the subtraction may cancel.
        let total = number::<f64>(&row, "critical_total") / size as f64;
        let condition = total / (total - minority as f64).abs();
        let error = ulps(ratio, &row["critical_ratio"]) / (condition / 2.0).max(1.0);
        worst.record("ρ*", 8.0, error, &|| format!("M = {}, n_B = {size}", row["depth"]));
    }
    worst
}

#[test]
fn every_error_is_as_small_as_promised() {
    let measurements = [
        thresholds,
        minimizer,
        stationary_points,
        single_precision,
        problems,
        secular_equation,
        critical_imbalance,
        double_double,
    ];
    let measured = measurements.map(|measure| measure());
    for worst in &measured {
        worst.check();
    }
    compare_with_documentation("docs/accuracy.md", &measured);
}

#[test]
fn the_minimizer_is_in_the_right_regime() {
    for row in table("minimizer.csv") {
        let (depth, b): (u32, f64) = (number(&row, "depth"), number(&row, "b"));
        let potential = Potential::<f64>::new(depth).unwrap();
        let at_threshold = depth > 1 && b == potential.slope_threshold();
        let found = potential.minimizer(b).unwrap().regime();
        assert_eq!(found, expected(&row, at_threshold), "M = {depth}, b = {b:e}");
    }
    for row in table("single.csv") {
        let (depth, b): (u32, f32) = (number(&row, "depth"), number(&row, "b"));
        let potential = Potential::<f32>::new(depth).unwrap();
        let at_threshold = depth > 1 && b == potential.slope_threshold();
        let found = potential.minimizer(b).unwrap().regime();
        assert_eq!(found, expected(&row, at_threshold), "M = {depth}, b = {b:e}, f32");
    }
}

/// The tie stands for the number nearest to the threshold, on whichever side of it; one layer has none,
/// as its transition is continuous.
fn expected(row: &Row, at_threshold: bool) -> Regime {
    match row["regime"].as_str() {
        _ if at_threshold => Regime::Tie,
        "positive" => Regime::Positive,
        _ => Regime::Zero,
    }
}

#[test]
fn there_are_stationary_points_exactly_up_to_the_fold() {
    for row in table("stationary.csv") {
        let (depth, b): (u32, f64) = (number(&row, "depth"), number(&row, "b"));
        let potential = Potential::<f64>::new(depth).unwrap();
        let found = potential.stationary_points(b).unwrap();
        if b == potential.fold() && depth > 1 {
            // The double nearest to the fold stands for it, on whichever side: a double root.
            let points = found.unwrap();
            assert_eq!(points.local_maximum, Some(points.local_minimum), "M = {depth}, b = {b:e}");
        } else {
            assert_eq!(found.is_some(), !row["larger"].is_empty(), "M = {depth}, b = {b:e}");
        }
    }
}
