//! The accuracy of the cross-entropy numbers, in ulps against tables made with mpmath.
//!
//! `UPDATE_ACCURACY=1 cargo test --test it accuracy_cross_entropy` rewrites the table of the largest errors in
//! `docs/cross-entropy.md`.

use crate::exact::measured::{Unit, Worst, compare_with_documentation};
use crate::exact::tables::{list, table, ulps};
use neural_collapse::models::Regime;
use neural_collapse::models::cross_entropy::{LossMean, SimplexPotential, phase_diagram};
use neural_collapse::{Bias, CrossEntropyUfm, Prediction, Regularization};

/// How much a relative error of the strength grows in α: 1/((α e^α/(e^α + K − 1)) − (M−1)/(M+1)).
fn condition(classes: f64, depth: f64, alpha: f64) -> f64 {
    let share = (1.0 + (classes - 1.0) * (-alpha).exp()).recip();
    (alpha * share - (depth - 1.0) / (depth + 1.0)).abs().recip()
}

fn thresholds() -> Worst {
    let mut worst = Worst::new("cross-entropy thresholds", Unit::Ulp);
    for row in table("simplex_thresholds.csv") {
        let (classes, depth) = (row["classes"].parse().unwrap(), row["depth"].parse().unwrap());
        let potential = SimplexPotential::new(classes, depth).unwrap();
        let input = || format!("K = {classes}, M = {depth}");
        worst.record("threshold", 4.0, ulps(potential.threshold(), &row["threshold"]), &input);
        worst.record("fold", 4.0, ulps(potential.fold(), &row["fold"]), &input);
        let proved = potential.proved_collapse();
        worst.record("proved collapse", 4.0, ulps(proved, &row["proved_collapse"]), &input);
        let tie = potential.minimizer(potential.threshold()).unwrap();
        assert_eq!(tie.regime(), if depth == 1 { Regime::Zero } else { Regime::Tie });
        worst.record("α at the tie", 4.0, ulps(tie.alpha(), &row["tie"]), &input);
    }
    worst
}

fn simplex_etf() -> Worst {
    let mut worst = Worst::new("simplex ETF", Unit::Ulp);
    for row in table("simplex.csv") {
        let (classes, depth) = (row["classes"].parse().unwrap(), row["depth"].parse().unwrap());
        let strength: f64 = row["strength"].parse().unwrap();
        let potential = SimplexPotential::new(classes, depth).unwrap();
        let input = || format!("K = {classes}, M = {depth}, u = {strength:e}");
        let minimizer = potential.minimizer(strength).unwrap();
        // The threshold is known within an ulp, and so is the regime.
        let near = (strength / potential.threshold() - 1.0).abs() <= 2.0 * f64::EPSILON;
        let expected = if row["regime"] == "positive" { Regime::Positive } else { Regime::Zero };
        assert!(near || minimizer.regime() == expected, "{}", input());
        if depth == 1 && strength >= potential.threshold() {
            continue;
        }
        let alpha = potential.local_minimum(strength).unwrap().unwrap();
        let of_alpha = condition(classes as f64, depth as f64, alpha);
        if strength <= potential.threshold() {
            worst.record("α below the threshold", 4.0, ulps(alpha, &row["alpha"]), &input);
        } else {
            let error = ulps(alpha, &row["alpha"]) / (of_alpha / 2.0).max(1.0);
            worst.record("α up to the fold, by its condition", 4.0, error, &input);
        }
        let loss = potential.value(alpha, strength).unwrap();
        worst.record("F", 4.0, ulps(loss, &row["loss"]), &input);
    }
    worst
}

fn problems() -> Worst {
    let mut worst = Worst::new("cross-entropy problems", Unit::Ulp);
    for row in table("cross_entropy.csv") {
        let feature_decay = row["feature_decay"].parse().unwrap();
        let regularization =
            Regularization::new(&list::<f64>(&row["decays"]), feature_decay).unwrap();
        let (classes, samples) = (row["classes"].parse().unwrap(), row["samples"].parse().unwrap());
        let mean = if row["loss_mean"] == "N" { LossMean::Samples } else { LossMean::TwiceSamples };
        let ufm =
            CrossEntropyUfm::new(classes, samples, regularization).unwrap().with_loss_mean(mean);
        let input = || format!("M = {}, K = {classes}, n = {samples}", row["depth"]);
        let depth = ufm.depth();
        let etf = ufm.simplex_etf().unwrap();
        let of_alpha = condition(classes as f64, depth as f64, etf.margin());
        let mut record = |quantity: &str, got: f64, column: &str, condition: f64| {
            worst.record(
                quantity,
                8.0,
                ulps(got, &row[column]) / (condition / 2.0).max(1.0),
                &input,
            );
        };
        record("u", ufm.strength(), "strength", 1.0);
        record("α", etf.margin(), "alpha", of_alpha);
        record("energy", etf.energies()[0].0, "energy", of_alpha);
        record("loss", etf.loss(), "loss", 1.0);
        let squared = |layer: usize| etf.singular_values(layer..=layer).unwrap()[0].value.powi(2);
        record("σ(W₁)²", squared(1), "first_squared", of_alpha);
        record("σ(W_M)²", squared(depth), "last_squared", of_alpha);
        record("σ(H̄)²", etf.mean_singular_values()[0].value.powi(2), "mean_squared", of_alpha);
    }
    worst
}

#[test]
fn every_error_is_as_small_as_promised() {
    let measured = [thresholds(), simplex_etf(), problems()];
    for worst in &measured {
        worst.check();
    }
    compare_with_documentation("docs/cross-entropy.md", &measured);
}

#[test]
fn phase_boundaries_are_within_1e_12() {
    for row in table("phases.csv") {
        let (classes, depth) = (row["classes"].parse().unwrap(), row["depth"].parse().unwrap());
        let exact: f64 = row["strength"].parse().unwrap();
        let phases = phase_diagram(classes, depth, Bias::None, 0.0).unwrap();
        let found = phases.windows(2).find(|pair| {
            let names = [pair[0].structure.to_string(), pair[1].structure.to_string()];
            names == [row["below"].as_str(), row["above"].as_str()]
        });
        let at = found.unwrap_or_else(|| panic!("{row:?} is not in {phases:?}"))[0].to;
        assert!((at / exact - 1.0).abs() < 1e-12, "{row:?}: {at:e}");
    }
}
