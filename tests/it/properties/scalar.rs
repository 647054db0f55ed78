//! The scalar core.

use std::fmt::Debug;

use neural_collapse::Potential;
use neural_collapse::models::Regime;
use neural_collapse::models::squared::Minimizer;
use num_traits::Float;

/// The potential of any depth at any two numbers, in both precisions.
pub fn check(depth: u32, b: f64, x: f64) {
    check_type::<f64>(depth, b, x);
    check_type::<f32>(depth, b as f32, x as f32);
}

fn check_type<T: Float + Into<f64> + Debug>(depth: u32, b: T, x: T) {
    let Ok(potential) = Potential::<T>::new(depth) else {
        let single = T::epsilon() > T::from(f64::EPSILON).unwrap();
        assert!(depth == 0 || (single && depth > 1 << 17), "M = {depth}");
        return;
    };
    let good = |value: T| value.is_finite() && value > T::zero();
    assert!(good(potential.threshold()) && potential.threshold() <= T::one(), "M = {depth}");
    assert!(potential.slope_threshold() <= potential.fold(), "M = {depth}");
    let position = x >= T::zero() && x.is_finite();
    assert_eq!(
        potential.value(x, b).is_ok(),
        position && good(b),
        "M = {depth}, x = {x:?}, b = {b:?}"
    );
    if let (Ok(value), Ok(slope)) = (potential.value(x, b), potential.derivative(x, b)) {
        // b x may overflow, but there is no other way out of the range.
        assert!(
            value >= T::zero() && !slope.is_nan() && slope <= b,
            "M = {depth}, x = {x:?}, b = {b:?}"
        );
    }
    let minimizer = potential.minimizer(b);
    assert_eq!(minimizer.is_ok(), good(b), "M = {depth}, b = {b:?}");
    if let Ok(minimizer) = minimizer {
        check_minimizer(&potential, b, &minimizer);
        check_stationary_points(&potential, b, &minimizer);
    }
    assert_eq!(potential.stationary_points(b).is_ok(), good(b), "M = {depth}, b = {b:?}");
}

fn few_ulp<T: Float>() -> T {
    T::epsilon() * T::from(8).unwrap()
}

fn check_minimizer<T: Float + Into<f64> + Debug>(
    potential: &Potential<T>,
    b: T,
    minimizer: &Minimizer<T>,
) {
    let input = (potential.depth(), b, minimizer);
    let (x, power) = (minimizer.x(), minimizer.power());
    let regime = match b.partial_cmp(&potential.slope_threshold()).unwrap() {
        core::cmp::Ordering::Less => Regime::Positive,
        core::cmp::Ordering::Equal if potential.depth() > 1 => Regime::Tie,
        _ => Regime::Zero,
    };
    assert_eq!(minimizer.regime(), regime, "{input:?}");
    if regime == Regime::Zero {
        assert!(x.is_zero() && power.is_zero(), "{input:?}");
    } else {
        // The root is beyond that of the threshold, where x^M = M − 1.
        let least = T::from(potential.depth() - 1).unwrap() * (T::one() - few_ulp());
        assert!(x.is_finite() && x > T::zero() && power >= least, "{input:?}");
    }
    let (fitted, unfitted) = (minimizer.fitted_share(), minimizer.unfitted_share());
    assert!(fitted >= T::zero() && unfitted >= T::zero(), "{input:?}");
    assert!((fitted + unfitted - T::one()).abs() <= few_ulp(), "{input:?}");
    let value = minimizer.value();
    assert!(value >= T::zero() && value <= T::one() + few_ulp(), "{input:?}: g = {value:?}");
    check_neighbors(potential, b, minimizer);
}

/// No other x is better, and x falls as b grows.
fn check_neighbors<T: Float + Into<f64> + Debug>(
    potential: &Potential<T>,
    b: T,
    minimizer: &Minimizer<T>,
) {
    let input = (potential.depth(), b, minimizer);
    let value = minimizer.value();
    for factor in [0.5, 0.999, 1.001, 2.0] {
        let x = minimizer.x() * T::from(factor).unwrap();
        // Where x^M overflows, 1/(x^M + 1) is lost, and g with it.
        let overflow = T::max_value().ln() - T::one();
        if minimizer.power().is_infinite()
            || T::from(potential.depth()).unwrap() * x.ln() > overflow
        {
            continue;
        }
        if let Ok(other) = potential.value(x, b) {
            // 1/(x^M + 1) multiplies the rounding errors of x^M by up to M.
            let noise = few_ulp::<T>() * T::from(potential.depth()).unwrap();
            assert!(other >= value * (T::one() - noise), "{input:?}: g({x:?}) = {other:?}");
        }
    }
    let larger_slope = b * (T::one() + few_ulp());
    if let Ok(next) = potential.minimizer(larger_slope) {
        assert!(next.x() <= minimizer.x(), "{input:?}: x grows to {:?}", next.x());
    }
}

fn check_stationary_points<T: Float + Into<f64> + Debug>(
    potential: &Potential<T>,
    b: T,
    minimizer: &Minimizer<T>,
) {
    let points = potential.stationary_points(b).unwrap();
    let input = (potential.depth(), b, points);
    let any = b < potential.fold() || (potential.depth() > 1 && b == potential.fold());
    assert_eq!(points.is_some(), any, "{input:?}");
    let Some(points) = points else { return };
    assert!(points.local_minimum.is_finite() && points.local_minimum > T::zero(), "{input:?}");
    assert_eq!(points.local_maximum.is_some(), potential.depth() > 1, "{input:?}");
    if let Some(maximum) = points.local_maximum {
        // It may underflow, as x ≈ b/2 for M = 2.
        assert!(maximum >= T::zero() && maximum <= points.local_minimum, "{input:?}");
    }
    if minimizer.regime() == Regime::Positive {
        let gap = (points.local_minimum - minimizer.x()).abs();
        assert!(gap <= few_ulp::<T>() * minimizer.x(), "{input:?}, {minimizer:?}");
    }
}
