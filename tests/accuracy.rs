//! The promise of accuracy, checked in ulps against tables made with mpmath (`tests/reference`).
//!
//! `ACCURACY_TABLE=docs/accuracy-table.md cargo test --test accuracy` writes the largest errors found
//! to that file, as the documentation shows them.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test may stop")]

mod support;

use std::collections::BTreeMap;

use neural_collapse::{
    Bias, ClassCounts, Direction, GlobalMinimum, Potential, Regime, Regularization, Ufm,
    critical_imbalance_ratio,
};
use support::reference::{Worst, list, table, ulps, ulps_single};

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

/// The minimum of a row of `problems.csv`.
fn problem(row: &BTreeMap<String, String>) -> GlobalMinimum {
    let bias = match row["bias"].as_str() {
        "none" => Bias::None,
        "unregularized" => Bias::Unregularized,
        _ => Bias::Regularized(row["bias_decay"].parse().unwrap()),
    };
    let feature_decay = row["feature_decay"].parse().unwrap();
    let penalties = Regularization::new(&list::<f64>(&row["decays"]), feature_decay).unwrap();
    let counts = ClassCounts::new(&list::<u64>(&row["counts"])).unwrap();
    let ufm = Ufm::new(counts, penalties.with_bias(bias).unwrap()).unwrap();
    ufm.global_minimum().unwrap()
}

/// How much a relative error of the slope b = M a/σ² grows in x, in x^M and in the shares.
fn condition(direction: &Direction, depth: f64) -> (f64, f64, f64) {
    let power = direction.power();
    let of_x = ((depth + 1.0) - 2.0 * depth / (1.0 + power)).recip();
    (of_x, depth * of_x, depth * of_x / (1.0 + power))
}

#[test]
fn whole_problems_are_within_eight_ulp_or_four_times_their_condition() {
    let mut worst = Worst::default();
    for row in table("problems.csv") {
        let minimum = problem(&row);
        let depth = minimum.problem().depth() as f64;
        let input = || format!("M = {}, n = {}, bias {}", row["depth"], row["counts"], row["bias"]);
        let mut record = |quantity: &str, got: f64, column: &str, index: usize, condition: f64| {
            let reference = row[column].split_whitespace().nth(index).unwrap();
            // In units of what is allowed: 8 ulp, or 4 ulp times the condition number.
            worst.record(quantity, ulps(got, reference) / (condition / 2.0).max(1.0), &input);
        };
        record("a", minimum.scale(), "a", 0, 1.0);
        record("f*", minimum.loss(), "loss", 0, 1.0);
        record("a/τ_M", minimum.smallest_surviving_count(), "smallest_surviving", 0, 1.0);
        record("decay factor", minimum.largest_decay_factor().unwrap(), "largest_factor", 0, 1.0);
        if let Some(bias) = minimum.bias() {
            let shared = minimum.directions().last().map_or(1.0, |last| condition(last, depth).2);
            record("b*", bias[0], "bias_vector", 0, shared);
        }
        let s_k = minimum.s_k();
        let features = minimum.feature_singular_values();
        let layer = minimum.problem().depth();
        let classifier = minimum.product_singular_values(layer..=layer).unwrap();
        for index in 0..row["x"].split_whitespace().count() {
            let position = match minimum.problem().counts().unwrap() {
                counts if row["bias"] == "none" => {
                    let size = counts.count(index).unwrap();
                    counts.sizes().position(|group| group.size == size).unwrap()
                }
                _ => index,
            };
            let direction = &minimum.directions()[position];
            let (of_x, _, of_share) = condition(direction, depth);
            record("a/σ²", direction.ratio(), "ratio", index, 1.0);
            record("x", direction.x(), "x", index, of_x);
            record("t", direction.energy(), "energy", index, of_x);
            record("s_k", s_k[position], "s", index, of_x);
            record("fitted share", direction.fitted_share(), "fitted_share", index, of_share);
            let squared = [classifier[position].powi(2), features[position].powi(2)];
            record("σ(W_M)²", squared[0], "classifier_squared", index, of_x);
            record("σ(H)²", squared[1], "features_squared", index, of_x);
        }
        // The norms of a class hang on all of its directions.
        let norm_condition =
            minimum.directions().iter().map(|d| condition(d, depth).0).fold(0.0, f64::max);
        for class in 0..minimum.problem().classes() {
            let geometry = minimum.class(class).unwrap();
            let norms = [geometry.classifier_norm_squared, geometry.feature_norm_squared];
            record("‖w_k‖²", norms[0].unwrap(), "classifier_norms_squared", class, norm_condition);
            record("‖h_k‖²", norms[1].unwrap(), "mean_norms_squared", class, norm_condition);
        }
    }
    worst.publish("problems");
    worst.check_all(8.0);
}

#[test]
fn secular_eigenvalues_are_within_four_ulp() {
    let mut worst = Worst::default();
    for row in table("secular.csv") {
        let (sizes, classes) = (list::<u64>(&row["sizes"]), list::<usize>(&row["multiplicities"]));
        let counts = ClassCounts::from_runs(sizes.into_iter().zip(classes)).unwrap();
        let samples = counts.samples() as f64;
        let penalties = Regularization::new(&[1.0 / samples], 1.0 / samples).unwrap();
        let ufm =
            Ufm::new(counts.clone(), penalties.with_bias(Bias::Unregularized).unwrap()).unwrap();
        let sizes: Vec<f64> = counts.sizes().map(|group| group.size as f64).collect();
        let eigenvalues: Vec<f64> = ufm
            .global_minimum()
            .unwrap()
            .directions()
            .iter()
            .map(Direction::target_squared)
            .collect();
        let mut between: Vec<f64> =
            eigenvalues.into_iter().filter(|eigenvalue| !sizes.contains(eigenvalue)).collect();
        between.sort_by(f64::total_cmp);
        let mut expected: Vec<&str> = row["eigenvalues"].split_whitespace().collect();
        expected.sort_by(|a, b| a.parse::<f64>().unwrap().total_cmp(&b.parse().unwrap()));
        assert_eq!(between.len(), expected.len());
        for (got, reference) in between.into_iter().zip(expected) {
            worst.record("eigenvalue", ulps(got, reference), &|| format!("μ ≈ {got:e}"));
        }
    }
    worst.publish("secular equation");
    worst.check("eigenvalue", 4.0);
}

#[test]
fn the_critical_ratio_is_as_accurate_as_its_condition_allows() {
    let mut worst = Worst::default();
    for row in table("critical_ratio.csv") {
        let number = |column: &str| row[column].parse::<u64>().unwrap();
        let feature_decay = row["feature_decay"].parse().unwrap();
        let penalties = Regularization::new(&list::<f64>(&row["decays"]), feature_decay).unwrap();
        let (majority, minority) = (number("majority_classes"), number("minority_classes"));
        let size = number("minority_samples");
        let ratio = critical_imbalance_ratio(majority, minority, size, &penalties).unwrap();
        // R* K_A = N*/n_B − K_B: the subtraction may cancel.
        let total = row["critical_total"].parse::<f64>().unwrap() / size as f64;
        let condition = total / (total - minority as f64).abs();
        let error = ulps(ratio, &row["critical_ratio"]) / (condition / 2.0).max(1.0);
        worst.record("R*", error, &|| format!("M = {}, n_B = {size}", row["depth"]));
    }
    worst.publish("critical imbalance");
    worst.check("R*", 8.0);
}
