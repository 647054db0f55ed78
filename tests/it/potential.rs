//! The scalar core g(x; b) = 1/(x^M + 1) + b x against things that share nothing with it: a dense grid
//! search, the root finders of the `roots` crate, and the equations that a minimizer has to satisfy.
//!
//! How many digits are right is the business of `tests/it/accuracy.rs`; here it is which point is the
//! minimum.

use neural_collapse::models::Regime;
use neural_collapse::models::squared::Minimizer;
use neural_collapse::{Error, Potential};
use proptest::prelude::*;
use roots::{Roots, SimpleConvergency};

const EPSILON: f64 = f64::EPSILON;

/// Depths from the shallowest to the deepest that a test goes through.
const DEPTHS: [u32; 12] = [1, 2, 3, 4, 5, 6, 9, 17, 64, 150, 1000, 100_000];

fn potential(depth: u32) -> Potential<f64> {
    Potential::new(depth).unwrap()
}

/// g, written down once more.
fn g(x: f64, depth: u32, b: f64) -> f64 {
    1.0 / (1.0 + x.powf(f64::from(depth))) + b * x
}

/// g′, written down once more.
fn slope_of_g(x: f64, depth: u32, b: f64) -> f64 {
    let m = f64::from(depth);
    b - m * x.powf(m - 1.0) / (1.0 + x.powf(m)).powi(2)
}

/// g″ = M x^(M−2) ((M+1) x^M − (M−1))/(x^M + 1)³.
fn curvature(x: f64, depth: u32) -> f64 {
    let m = f64::from(depth);
    let q = x.powf(m);
    m * x.powf(m - 2.0) * ((m + 1.0) * q - (m - 1.0)) / (1.0 + q).powi(3)
}

/// Where the two stationary points meet: x^M = (M−1)/(M+1).
fn position_of_fold(depth: u32) -> f64 {
    let m = f64::from(depth);
    ((m - 1.0) / (m + 1.0)).powf(1.0 / m)
}

/// The smallest of many values of g at equal distances, where it is, and the distance. Beyond 1/b, g is
/// above g(0).
fn grid_search(depth: u32, b: f64) -> (f64, f64, f64) {
    const CELLS: u32 = 60_000;
    let step = 1.0 / b / f64::from(CELLS);
    let points = (0..=CELLS).map(|cell| f64::from(cell) * step);
    let (value, x) = points
        .map(|x| (g(x, depth, b), x))
        .min_by(|first, second| first.0.total_cmp(&second.0))
        .unwrap();
    (value, x, step)
}

#[test]
fn no_point_of_a_dense_grid_is_below_the_minimum() {
    for depth in [1, 2, 3, 4, 6, 9, 30] {
        let potential = potential(depth);
        let threshold = potential.slope_threshold();
        for share in [0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 0.999, 1.001, 1.02, 1.1, 1.5, 5.0] {
            let b = share * threshold;
            let minimizer = potential.minimizer(b).unwrap();
            let got = (minimizer.value(), minimizer.x());
            let (value, x, step) = grid_search(depth, b);
            let input = format!("M = {depth}, b = {b:e} = {share} β");
            assert!(
                got.0 <= value + 4.0 * EPSILON,
                "{input}: got {got:?}, grid {value:e} at {x:e}"
            );
            // Between two neighboring points of the grid g is above its minimum by no more than half
            // of the largest curvature times the square of their distance.
            let defect = 0.5 * (curvature(got.1.max(0.1), depth).abs() + f64::from(depth)) * step;
            assert!(value - got.0 <= defect, "{input}: got {got:?}, grid {value:e} at {x:e}");
            // Where zero and the valley are no closer in height than the grid can tell, so is the place.
            if (1.0 - got.0).abs() > defect || got.1 == 0.0 {
                assert!((x - got.1).abs() <= step, "{input}: got {got:?}, grid {value:e} at {x:e}");
            }
        }
    }
}

/// `roots` compares x and g′ with one absolute tolerance, which is enough where both are of order 1.
fn convergency() -> SimpleConvergency<f64> {
    SimpleConvergency { eps: 1e-13, max_iter: 200 }
}

/// How far a root of g′ may be off that `roots` accepts: the tolerance, in x or in g′, and the rounding
/// error of g′ itself.
fn tolerance_of_roots(x: f64, depth: u32, b: f64) -> f64 {
    let rounding = 4.0 * f64::from(depth) * EPSILON * b;
    2e-13 + (2e-13 + rounding) / curvature(x, depth).abs()
}

#[test]
fn stationary_points_are_those_that_brents_method_finds() {
    for depth in [1, 2, 3, 4, 5, 6, 9, 20] {
        let potential = potential(depth);
        for share in [0.05, 0.2, 0.4, 0.6, 0.8, 0.95] {
            let b = share * potential.fold();
            let points = potential.stationary_points(b).unwrap().unwrap();
            let derivative = |x| slope_of_g(x, depth, b);
            let start = f64::from(depth) / b;
            let beyond = start.powf(1.0 / (f64::from(depth) + 1.0));
            let fold = position_of_fold(depth);
            let larger = roots::find_root_brent(fold, beyond, derivative, &mut convergency());
            let (larger, got) = (larger.unwrap(), points.local_minimum);
            let input = format!("M = {depth}, b = {b:e}");
            let tolerance = tolerance_of_roots(got, depth, b);
            assert!((got - larger).abs() <= tolerance, "{input}: got {got:e}, roots {larger:e}");
            let Some(got) = points.local_maximum else {
                assert_eq!(depth, 1, "{input}");
                continue;
            };
            let smaller = roots::find_root_brent(0.0, fold, derivative, &mut convergency());
            let (smaller, tolerance) = (smaller.unwrap(), tolerance_of_roots(got, depth, b));
            assert!((got - smaller).abs() <= tolerance, "{input}: got {got:e}, roots {smaller:e}");
        }
    }
}

#[test]
fn the_minimizer_is_where_newtons_method_ends() {
    for depth in [1, 2, 3, 4, 6, 9] {
        let potential = potential(depth);
        for share in [0.05, 0.2, 0.5, 0.8, 0.99] {
            let b = share * potential.slope_threshold();
            let got = potential.minimizer(b).unwrap().x();
            // Between the minimum and the next inflection g′ is concave: start on the left.
            let start = f64::max(0.9 * got, (0.5 * (got + position_of_fold(depth))).min(got));
            let found = roots::find_root_newton_raphson(
                start,
                |x| slope_of_g(x, depth, b),
                |x| curvature(x, depth),
                &mut convergency(),
            );
            let (found, tolerance) = (found.unwrap(), tolerance_of_roots(got, depth, b));
            assert!((got - found).abs() <= tolerance, "M = {depth}, b = {b:e}: {got:e}, {found:e}");
        }
    }
}

#[test]
fn the_minimizers_of_two_and_three_layers_are_roots_of_polynomials() {
    let largest = |roots: Roots<f64>| roots.as_ref().iter().copied().fold(f64::NAN, f64::max);
    for share in [0.05, 0.2, 0.5, 0.8, 0.95] {
        // M = 2: √x is a root of y⁴ − √(2/b) y + 1.
        let b = share * potential(2).slope_threshold();
        let y = largest(roots::find_roots_quartic(1.0, 0.0, 0.0, -(2.0 / b).sqrt(), 1.0));
        let got = potential(2).minimizer(b).unwrap().x();
        assert!((got / (y * y) - 1.0).abs() < 1e-12, "M = 2, b = {b:e}: {got:e}, {:e}", y * y);
        // M = 3: x is a root of x³ − √(3/b) x + 1.
        let b = share * potential(3).slope_threshold();
        let x = largest(roots::find_roots_cubic(1.0, 0.0, -(3.0 / b).sqrt(), 1.0));
        let got = potential(3).minimizer(b).unwrap().x();
        assert!((got / x - 1.0).abs() < 1e-12, "M = 3, b = {b:e}: {got:e}, {x:e}");
    }
}

#[test]
fn between_threshold_and_fold_the_largest_stationary_point_is_not_the_minimum() {
    for depth in DEPTHS.into_iter().skip(1) {
        let potential = potential(depth);
        let (threshold, fold) = (potential.slope_threshold(), potential.fold());
        assert!(threshold < fold, "M = {depth}: β = {threshold:e}, fold {fold:e}");
        for share in [0.01, 0.1, 0.5, 0.9, 0.99] {
            let b = threshold + share * (fold - threshold);
            let input = format!("M = {depth}, b = {b:e}");
            let x = potential.stationary_points(b).unwrap().unwrap().local_minimum;
            // A valley: the ground rises on both sides …
            let step = share.min(1.0 - share).sqrt() * 0.1 / f64::from(depth) * x;
            let (left, bottom, right) =
                (g(x - step, depth, b), g(x, depth, b), g(x + step, depth, b));
            assert!(bottom < left && bottom < right, "{input}: {left:e}, {bottom:e}, {right:e}");
            // … but it lies above g(0) = 1.
            assert!(bottom > 1.0, "{input}: g({x:e}) = {bottom:e}");
            let minimizer = potential.minimizer(b).unwrap();
            assert_eq!((minimizer.regime(), minimizer.x()), (Regime::Zero, 0.0), "{input}");
            assert_eq!(minimizer.value(), 1.0, "{input}");
        }
        // Beyond the fold the ground rises everywhere.
        let above = fold * (1.0 + 4.0 * EPSILON);
        assert_eq!(potential.stationary_points(above).unwrap(), None, "M = {depth}");
    }
}

#[test]
fn at_the_threshold_zero_and_the_valley_tie() {
    for depth in DEPTHS {
        let potential = potential(depth);
        let b = potential.slope_threshold();
        let at = potential.minimizer(b).unwrap();
        let above = potential.minimizer(b.next_up()).unwrap();
        let below = potential.minimizer(b.next_down()).unwrap();
        assert_eq!((above.regime(), above.x(), above.power()), (Regime::Zero, 0.0, 0.0));
        assert_eq!(below.regime(), Regime::Positive, "M = {depth}");
        if depth == 1 {
            // The transition of one layer is continuous: there is no second minimum.
            assert_eq!((at.regime(), at.x()), (Regime::Zero, 0.0));
            assert!(below.x() > 0.0 && below.x() < EPSILON, "{:e}", below.x());
            continue;
        }
        assert_eq!(at.regime(), Regime::Tie, "M = {depth}");
        // x^M = M − 1 there, and g = 1/M + (M−1)/M = g(0).
        assert_eq!(at.power(), f64::from(depth - 1), "M = {depth}");
        assert!((at.value() - 1.0).abs() <= 2.0 * EPSILON, "M = {depth}: {:e}", at.value());
        assert!(below.x() >= at.x() && below.x() <= at.x() * (1.0 + 8.0 * EPSILON), "M = {depth}");
        // The jump: nothing between 0 and (M−1)^(1/M) is ever a minimum.
        assert!(at.x() >= 1.0, "M = {depth}: {:e}", at.x());
    }
}

#[test]
fn the_thresholds_are_what_they_are_defined_as() {
    for depth in DEPTHS {
        let potential = potential(depth);
        let m = f64::from(depth);
        // 0⁰ = 1.
        let tau = (m - 1.0).powf((m - 1.0) / m) / (m * m);
        assert!((potential.threshold() / tau - 1.0).abs() <= 16.0 * EPSILON, "M = {depth}");
        let ratio = potential.slope_threshold() / potential.threshold();
        assert!((ratio / m - 1.0).abs() <= 2.0 * EPSILON, "M = {depth}: β/τ = {ratio:e}");
        let x = position_of_fold(depth);
        let height = slope_of_g(x, depth, 0.0).abs();
        let tolerance = 16.0 * EPSILON * m.ln().max(1.0);
        let got = potential.fold();
        assert!((got / height - 1.0).abs() <= tolerance, "M = {depth}: {got:e}, {height:e}");
    }
}

#[test]
fn for_small_slopes_the_minimizer_is_a_power_of_the_slope() {
    let slopes: [f64; 10] =
        [1e-3, 1e-10, 1e-40, 1e-100, 1e-200, 1e-300, 1e-307, 3e-310, 1e-320, 5e-324];
    for depth in DEPTHS {
        for b in slopes {
            let m = f64::from(depth);
            // x^(M+1)(1 + x^(−M))² = M/b, so that x lies below (M/b)^(1/(M+1)) = y, by no more than
            // the factor (1 + x^(−M))^(2/(M+1)).
            let logarithm = (m.ln() - b.ln()) / (m + 1.0);
            let limit = logarithm.exp();
            let minimizer = potential(depth).minimizer(b).unwrap();
            let x = minimizer.x();
            let correction = 2.0 / (m + 1.0) * minimizer.power().recip();
            let rounding = EPSILON * (8.0 + 4.0 * (m.ln() - b.ln()).abs() / (m + 1.0));
            let input = format!("M = {depth}, b = {b:e}: {x:e}, limit {limit:e}");
            assert!(x.is_finite() && x > 0.0, "{input}");
            assert!(x <= limit * (1.0 + rounding), "{input}");
            assert!(x >= limit * (1.0 - correction - rounding), "{input}");
        }
    }
}

#[test]
fn the_whole_range_of_slopes_has_a_finite_answer() {
    for depth in DEPTHS.into_iter().chain([1 << 20, u32::MAX]) {
        let potential = potential(depth);
        for exponent in (-324..=308).step_by(4) {
            let b: f64 = format!("7e{exponent}").parse().unwrap();
            if b == 0.0 || b.is_infinite() {
                continue;
            }
            let minimizer = potential.minimizer(b).unwrap();
            check_equations(&minimizer, depth, b, EPSILON).unwrap();
            let points = potential.stationary_points(b).unwrap();
            let smaller = points.and_then(|points| points.local_maximum);
            assert!(smaller.is_none_or(|x| x.is_finite() && x >= 0.0), "M = {depth}, b = {b:e}");
        }
    }
}

/// What the minimizer has to satisfy, whatever found it: ln g′ = 0 in the form that neither overflows
/// nor cancels, its place beyond the jump, its height below g(0), and shares that add up.
fn check_equations<T: num_traits::Float + std::fmt::Debug>(
    minimizer: &Minimizer<T>,
    depth: u32,
    slope: T,
    epsilon: f64,
) -> Result<(), String> {
    let number = |value: T| value.to_f64().unwrap();
    let (m, b) = (f64::from(depth), number(slope));
    let (x, power) = (number(minimizer.x()), number(minimizer.power()));
    let fail = |what: &str, size: f64| {
        Err(format!("{what}: {size:e} for M = {depth}, b = {b:e}, {minimizer:?}"))
    };
    // False for NaN.
    let within = |size: f64, limit: f64| size.abs() <= limit;
    let shares = number(minimizer.fitted_share()) + number(minimizer.unfitted_share());
    if !within(shares - 1.0, 2.0 * epsilon) {
        return fail("the shares do not add up", shares);
    }
    if minimizer.regime() == Regime::Zero {
        let zero = x == 0.0 && power == 0.0 && number(minimizer.value()) == 1.0;
        return if zero { Ok(()) } else { fail("no zero", x) };
    }
    let height = number(minimizer.value());
    if !within(height, 1.0 + 2.0 * epsilon) {
        return fail("above g(0)", height);
    }
    if power < (m - 1.0) * (1.0 - 4.0 * epsilon) {
        return fail("before the jump", power);
    }
    // ln x + ln(b/M) = ln(x^M/(1 + x^M)²), each term to a few ε of its size; x^M may overflow and is
    // then known by its logarithm M ln x only, to M times the rounding error of x.
    let (log_power, error) =
        if power.is_finite() { (power.ln(), 1.0) } else { (m * x.ln(), 1.0 + m) };
    let log_one_plus = if log_power > 40.0 { log_power } else { power.ln_1p() };
    let terms = [x.ln(), b.ln(), -m.ln(), -log_power, 2.0 * log_one_plus];
    let size = terms.iter().fold(error, |sum, term| sum + term.abs());
    let residual: f64 = terms.iter().sum();
    if !within(residual, 8.0 * epsilon * size) {
        return fail("not stationary", residual);
    }
    // x to ε of itself is x^M to M ε.
    let gap = m * x.ln() - power.ln();
    if power.is_finite() && !within(gap, 4.0 * epsilon * (m + size)) {
        return fail("x and x^M do not agree", gap);
    }
    Ok(())
}

/// Mostly a few layers, sometimes very many.
fn depths() -> impl Strategy<Value = u32> {
    prop_oneof![3 => 1..=12_u32, 1 => 13..=2000_u32]
}

/// Slopes of all magnitudes, many of them close to the threshold, which lies between 1/2 and 1.
fn slopes() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => 0.01..1.2_f64,
        2 => (-300.0..300.0_f64).prop_map(|exponent| 10_f64.powf(exponent)),
        1 => (1..1_u64 << 52).prop_map(f64::from_bits),
    ]
}

/// Single-precision slopes of all magnitudes.
fn single_slopes() -> impl Strategy<Value = f32> {
    prop_oneof![
        4 => 0.01..1.2_f32,
        2 => (-37.0..37.0_f32).prop_map(|exponent| 10_f32.powf(exponent)),
        1 => (1..1_u32 << 23).prop_map(f32::from_bits),
    ]
}

proptest! {
    #![proptest_config(crate::support::strategies::config(2000))]

    #[test]
    fn the_minimizer_satisfies_its_equations(depth in depths(), b in slopes()) {
        let minimizer = potential(depth).minimizer(b).unwrap();
        prop_assert!(minimizer.regime() != Regime::Tie || b == potential(depth).slope_threshold());
        let checked = check_equations(&minimizer, depth, b, EPSILON);
        prop_assert!(checked.is_ok(), "{}", checked.unwrap_err());
    }

    #[test]
    fn no_other_point_is_lower(depth in depths(), b in slopes(), x in 0.0..1.0_f64) {
        let minimum = potential(depth).minimizer(b).unwrap().value();
        // From 0 to 1/b, beyond which g > 1; and around the place where x^M is of order 1.
        for x in [x / b, 2.0 * x, x.powf(1.0 / f64::from(depth))] {
            if !x.is_finite() {
                continue;
            }
            let value = potential(depth).value(x, b).unwrap();
            // 1/(x^M + 1) is flushed to zero where x^M overflows, below the smallest normal number.
            let tolerance = 8.0 * EPSILON * minimum + f64::MIN_POSITIVE;
            prop_assert!(minimum <= value + tolerance, "g({x:e}) = {value:e} < {minimum:e}");
        }
    }

    #[test]
    fn more_penalty_never_means_a_larger_minimizer(
        depth in depths(), b in slopes(), factor in 1.0..1.001_f64,
    ) {
        let larger = (b * factor).min(f64::MAX);
        let (before, after) =
            (potential(depth).minimizer(b).unwrap(), potential(depth).minimizer(larger).unwrap());
        // Each is within an ulp of the truth, so two neighbors may change places by two.
        prop_assert!(after.x() <= before.x() * (1.0 + 2.0 * EPSILON), "{before:?}, {after:?}");
        let (before, after) = (before.value(), after.value());
        prop_assert!(after >= before * (1.0 - 8.0 * EPSILON), "{before:e}, {after:e}");
    }

    #[test]
    fn value_and_derivative_are_the_formulas(depth in depths(), b in slopes(), x in 0.0..3.0_f64) {
        let m = f64::from(depth);
        let value = potential(depth).value(x, b).unwrap();
        let tolerance = EPSILON * (8.0 + 4.0 * m);
        prop_assert!((value - g(x, depth, b)).abs() <= tolerance * value, "{value:e}");
        let q = x.powf(m);
        if q.is_finite() && q < 1e150 {
            let pull = slope_of_g(x, depth, 0.0).abs();
            let derivative = potential(depth).derivative(x, b).unwrap();
            let difference = derivative - slope_of_g(x, depth, b);
            prop_assert!(difference.abs() <= tolerance * (b + pull), "{derivative:e}");
        }
    }

    #[test]
    fn stationary_points_are_stationary_and_on_their_sides_of_the_fold(
        depth in 2..=200_u32, share in 0.0001..0.9999_f64,
    ) {
        let potential = potential(depth);
        let b = share * potential.fold();
        let points = potential.stationary_points(b).unwrap().unwrap();
        let (small, large) = (points.local_maximum.unwrap(), points.local_minimum);
        let fold = position_of_fold(depth);
        prop_assert!(small < fold && fold < large, "{small:e}, {fold:e}, {large:e}");
        for x in [small, large] {
            let residual = potential.derivative(x, b).unwrap();
            let tolerance = 8.0 * EPSILON * (b + curvature(x, depth).abs() * x) + 4.0 * f64::from(depth) * EPSILON * b;
            prop_assert!(residual.abs() <= tolerance, "g′({x:e}) = {residual:e}, b = {b:e}");
        }
    }

    #[test]
    fn single_precision_is_double_precision_rounded(depth in depths(), b in single_slopes()) {
        let single = Potential::<f32>::new(depth).unwrap();
        let minimizer = single.minimizer(b).unwrap();
        let checked = check_equations(&minimizer, depth, b, f64::from(f32::EPSILON));
        prop_assert!(checked.is_ok(), "{}", checked.unwrap_err());
        let reference = potential(depth).minimizer(f64::from(b)).unwrap();
        let threshold = single.slope_threshold();
        if (b - threshold).abs() <= threshold * f32::EPSILON {
            // Which side of the threshold b is on may be below single precision.
            return Ok(());
        }
        prop_assert_eq!(minimizer.regime(), reference.regime());
        let got = f64::from(minimizer.x());
        let ulp = f64::from(minimizer.x().next_up() - minimizer.x());
        prop_assert!((got - reference.x()).abs() <= 1.0 * ulp, "{got:e}, {:e}", reference.x());
    }
}

/// Both were more than an ulp off: 1/√b rounded twice, and an exponential of a logarithm.
#[test]
fn tiny_slopes_lose_no_digits_in_single_precision() {
    for depth in DEPTHS.into_iter().chain([145, 1 << 16]) {
        let (single, double) = (Potential::<f32>::new(depth).unwrap(), potential(depth));
        for step in 0..2000_u32 {
            let b = f32::from_bits(1 + step * step * 37);
            let got = single.minimizer(b).unwrap().x();
            let wanted = double.minimizer(f64::from(b)).unwrap().x();
            let ulp = f64::from(got.next_up() - got);
            let error = (f64::from(got) - wanted).abs() / ulp;
            assert!(error <= 1.0, "M = {depth}, b = {b:e}: {got:e}, {wanted:e}, {error} ulp");
        }
    }
}

/// The error of a call names `b` or `x` as the culprit and repeats the value.
fn assert_names<R: std::fmt::Debug>(result: Result<R, Error>, name: &'static str, bad: f64) {
    match result.unwrap_err() {
        Error::OutOfRange { argument, value, .. } => {
            assert_eq!(argument, name.into());
            assert_eq!(value.to_bits(), bad.to_bits(), "{value} and {bad}");
        }
        other => panic!("{other:?} for {name} = {bad}"),
    }
}

#[test]
fn bad_slopes_positions_and_depths_are_named() {
    assert_names(Potential::<f64>::new(0), "depth", 0.0);
    assert_names(Potential::<f32>::new(0), "depth", 0.0);
    for depth in [1, 2, 3, 1000] {
        let potential = potential(depth);
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, -1.0, -5e-324] {
            assert_names(potential.minimizer(bad), "b", bad);
            assert_names(potential.stationary_points(bad), "b", bad);
            assert_names(potential.value(1.0, bad), "b", bad);
            assert_names(potential.derivative(1.0, bad), "b", bad);
        }
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, -5e-324] {
            assert_names(potential.value(bad, 1.0), "x", bad);
            assert_names(potential.derivative(bad, 1.0), "x", bad);
        }
        assert_eq!(potential.value(0.0, 1e300).unwrap(), 1.0);
        assert_eq!(potential.value(1e300, 1e-300).unwrap(), 1.0);
        for x in [1e-300, 1.0, 1e150, 1e300, f64::MAX] {
            let derivative = potential.derivative(x, 1e-3).unwrap();
            assert!(derivative.is_finite(), "M = {depth}, x = {x:e}: {derivative}");
        }
    }
}
