//! Ends of the range of numbers, and inner steps, by formulas of their own.

use super::*;

/// Iterations that converge slowly give the same roots: this is about the number of steps.
#[test]
fn newton_steps_square_the_error() {
    for (classes, depth, strength) in
        [(3, 2, 0.1), (10, 3, 1e-3), (1000, 5, 1e-9), (10, 40, 1e-280), (10, 2, 1e-300)]
    {
        let potential = SimplexPotential::new(classes, depth).unwrap();
        let root = potential.larger_root(strength);
        for error in [1e-4, 1e-6] {
            let alpha = root * (1.0 + error);
            let left = (alpha - alpha * potential.newton_step(alpha, strength)) / root - 1.0;
            // α L″/(2 L′) of the residual L is at most α for roots far from the merger.
            let bound = 4.0 * root.max(1.0) * error * error + 4.0 * f64::EPSILON;
            assert!(left.abs() <= bound, "{classes}, {depth}, {strength:e}: {left:e}");
        }
    }
}

/// Far from the root a step is that of the logarithms, with every term of them.
#[test]
fn newton_steps_from_afar_are_those_of_logarithms() {
    let potential = SimplexPotential::new(50, 3).unwrap();
    for (alpha, strength) in [(2.0_f64, 1e-3_f64), (3.5, 0.2), (9.0, 1e-3), (720.0, 1e-290)] {
        let value = strength.ln() + alpha + (49.0 * (-alpha).exp()).ln_1p() - alpha.ln() / 2.0;
        let slope = alpha * alpha.exp().min(1e300) / (alpha.exp().min(1e300) + 49.0) - 0.5;
        let step = potential.newton_step(alpha, strength);
        assert!((step / (value / slope) - 1.0).abs() < 1e-12, "α = {alpha}: {step}");
    }
}

#[test]
fn roots_reach_to_the_end_of_the_range_of_numbers() {
    let root = |depth, strength| {
        let potential = SimplexPotential::new(3, depth).unwrap();
        potential.local_minimum(strength).unwrap().unwrap()
    };
    // e^α = 1/u for one layer, e^α = α^q/u for others.
    let strength = 1e-310_f64;
    assert_eq!(root(1, strength), -strength.ln());
    for strength in [1e-270_f64, 1e-300, 1e-320] {
        let alpha = root(3, strength);
        let left = alpha - alpha.ln() / 2.0 + strength.ln();
        assert!(left.abs() <= 4.0 * f64::EPSILON * alpha, "{strength:e}: {left:e}");
    }
}

/// The minimum is there up to the fold and with it for several layers, and up to it for one.
#[test]
fn the_minimum_ends_at_the_fold() {
    for (classes, depth, smoothing) in [(2, 2, 0.0), (10, 3, 0.0), (10, 3, 0.2), (1000, 7, 0.0)] {
        let potential = SimplexPotential::new(classes, depth).unwrap();
        let potential = potential.with_label_smoothing(smoothing).unwrap();
        let fold = potential.fold();
        let alpha = potential.local_minimum(fold).unwrap().unwrap();
        assert!((alpha / potential.merger - 1.0).abs() < 1e-6, "{classes}, {depth}: {alpha}");
        assert_eq!(potential.local_minimum(fold * (1.0 + 1e-15)).unwrap(), None);
    }
    let one_layer = SimplexPotential::new(4, 1).unwrap();
    assert_eq!(one_layer.fold(), 0.25);
    assert_eq!(one_layer.local_minimum(0.25).unwrap(), None);
    assert!(one_layer.local_minimum(0.249).unwrap().is_some_and(|alpha| alpha > 0.0));
}

/// At the threshold the minimum is ln K, for any numbers of classes and layers and any smoothing.
#[test]
fn the_tie_is_found_for_all_sizes() {
    for classes in [2, 3, 1_000_000_000] {
        for depth in [2, 50, 1_000_000] {
            for smoothing in [0.0, 1e-9, 0.3, 0.999_9] {
                let potential = SimplexPotential::new(classes, depth).unwrap();
                let potential = potential.with_label_smoothing(smoothing).unwrap();
                assert_eq!(potential.label_smoothing(), smoothing);
                let (alpha, strength) = (potential.tie, potential.threshold());
                let input = format!("K = {classes}, M = {depth}, δ = {smoothing}: α = {alpha}");
                let value = potential.value(alpha, strength).unwrap() / (classes as f64).ln();
                assert!((value - 1.0).abs() < 1e-13, "{input}: {value}");
                let pull = potential.others * strength / alpha.powf(potential.exponent());
                let derivative = potential.derivative(alpha, strength).unwrap() / pull;
                assert!(derivative.abs() < 1e-7, "{input}: {derivative:e}");
            }
        }
    }
}

#[test]
fn derivatives_are_those_of_the_value() {
    for smoothing in [0.0, 0.2] {
        let potential = SimplexPotential::new(7, 3).unwrap();
        let potential = potential.with_label_smoothing(smoothing).unwrap();
        let value = |alpha| potential.value(alpha, 0.05).unwrap();
        let slope = (value(1.7 + 1e-5) - value(1.7 - 1e-5)) / 2e-5;
        let derivative = potential.derivative(1.7, 0.05).unwrap();
        assert!((derivative - slope).abs() < 1e-9 && slope.abs() > 0.01, "{derivative}, {slope}");
    }
}

/// Both ends, at which one of two formulas has lost its digits: (K−1)/K α and ln K.
#[test]
fn gains_keep_their_digits() {
    assert!((gain(1e-9, 9.0) / 9e-10 - 1.0).abs() < 1e-9);
    let all = gain(60.0, 1e9) / 1e9_f64.ln_1p() - 1.0;
    assert!(all.abs() < 1e-15, "{all:e}");
}

/// The bound is the least F with one singular value instead of K − 1, on a fine grid.
#[test]
fn the_lower_bound_is_a_minimum() {
    for (classes, depth, smoothing, strength) in
        [(5.0_f64, 3, 0.1, 0.02), (4.0, 2, 0.0, 0.05), (6.0, 1, 0.3, 0.01), (9.0, 4, 0.2, 0.3)]
    {
        let exponent = 2.0 / (f64::from(depth) + 1.0);
        let value = |alpha: f64| {
            let fit = ((classes - 1.0) * (-alpha).exp()).ln_1p();
            let smoothed = smoothing * (classes - 1.0) / classes * alpha;
            let penalty = strength / exponent * ((classes - 1.0) * alpha).powf(exponent);
            fit + smoothed + penalty
        };
        let lowest = (0..40_000).map(|step| value(f64::from(step) * 5e-4));
        let lowest = lowest.fold(f64::INFINITY, f64::min);
        let potential = SimplexPotential::new(classes as usize, depth as usize).unwrap();
        let bound = potential.with_label_smoothing(smoothing).unwrap().lower_bound(strength);
        assert!((0.0..1e-7).contains(&(lowest - bound + 1e-14)), "{classes}: {bound}, {lowest}");
    }
}

/// The numbers of classes and layers are those given, also where no f64 has them.
#[test]
fn any_number_of_classes_is_kept() {
    for classes in [2, 1000, (1 << 53) + 2, usize::MAX] {
        for depth in [1, 3] {
            let potential = SimplexPotential::new(classes, depth).unwrap();
            assert_eq!((potential.classes(), potential.depth()), (classes, depth));
            assert!(potential.threshold() > 0.0 && potential.threshold() <= potential.fold());
            let smoothed = potential.with_label_smoothing(0.1).unwrap();
            assert_eq!(smoothed.classes(), classes);
        }
    }
}
