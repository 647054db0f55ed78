//! The lower bound of the cross-entropy landscape and the structures that are found by a descent.

use neural_collapse::models::low_rank::{LowRankProblem, Search};
use neural_collapse::{Bias, ClassCounts, CrossEntropyUfm, Landscape, Prediction, Regularization};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

/// One sample per class and equal decays, so that the strength is the decay.
fn with_strength(classes: usize, depth: usize, bias: Bias, strength: f64) -> CrossEntropyUfm {
    let regularization = Regularization::new(&vec![strength; depth], strength).unwrap();
    CrossEntropyUfm::new(classes, 1, regularization.with_bias(bias).unwrap()).unwrap()
}

fn searched(ufm: &CrossEntropyUfm, starts: usize) -> Landscape {
    ufm.searched_landscape(&Search::default().with_starts(starts), &()).unwrap()
}

/// The bound by the nuclear norm alone, by a fine grid.
pub fn by_nuclear_norm(classes: usize, depth: usize, strength: f64) -> f64 {
    let (others, exponent) = (classes as f64 - 1.0, 2.0 / (depth as f64 + 1.0));
    let value = |alpha: f64| {
        (others * (-alpha).exp()).ln_1p() + strength / exponent * (others * alpha).powf(exponent)
    };
    (0..60_000).map(|step| value(f64::from(step) * 1e-3)).fold(f64::INFINITY, f64::min)
}

/// On random problems no search ends below the bound, which is never below that by the nuclear norm.
#[test]
fn no_search_ends_below_the_bound() {
    let mut rng = SmallRng::seed_from_u64(17);
    for _ in 0..40 {
        let (classes, depth) = (rng.random_range(3..8), rng.random_range(2..6));
        let bias = match rng.random_range(0..3) {
            0 => Bias::None,
            1 => Bias::Unregularized,
            _ => Bias::Regularized(0.02),
        };
        let strength = 0.3 / classes as f64 * 10.0_f64.powf(-4.0 * rng.random::<f64>());
        let ufm = with_strength(classes, depth, bias, strength);
        let landscape = searched(&ufm, 3);
        let bound = landscape.lower_bound().unwrap();
        let input = format!("K = {classes}, M = {depth}, {bias:?}, u = {strength:e}");
        assert!(bound <= landscape.loss() * (1.0 + 1e-12), "{input}: {bound}");
        assert!(
            bound >= by_nuclear_norm(classes, depth, strength) * (1.0 - 1e-6),
            "{input}: {bound}"
        );
        // With smoothed labels, half the loss or narrow layers it is a bound as well.
        let smoothed = searched(&ufm.clone().with_label_smoothing(0.05).unwrap(), 2);
        assert!(smoothed.lower_bound().unwrap() <= smoothed.loss() * (1.0 + 1e-12), "{input}");
    }
}

/// Where a structure that is found by a descent is the lowest one, a search without closed forms ends there: it is
/// stationary and no direction has negative curvature.
#[test]
fn solids_are_minima_where_they_are_lowest() {
    let free = Bias::Unregularized;
    for (classes, depth, bias, strength, name, loss) in [
        (4, 3, Bias::None, 0.142, "path", f64::NAN),
        (4, 3, free, 0.13, "path", 1.249512),
        (7, 3, Bias::None, 0.00012, "capped octahedron", 0.0040506),
        (8, 3, free, 0.012, "snub disphenoid", 0.3279487),
        (9, 3, Bias::None, 0.012, "tricapped prism", 0.3656529),
        (10, 3, Bias::None, 0.012, "gyroelongated square bipyramid", 0.4011524),
        (10, 3, Bias::None, 0.0012, "three triangles and an apex", 0.0482687),
        (11, 3, Bias::None, 0.012, "icosahedron without a vertex", 0.4383279),
        (10, 2, free, 0.03, "8-antiprism ⊕ pair", f64::NAN),
        (14, 3, Bias::None, 0.005, "points spread over a sphere, rank 4", f64::NAN),
        (14, 4, Bias::None, 0.001, "points spread over a sphere, rank 3", f64::NAN),
        (14, 4, free, 0.001, "points spread over a sphere and inside, rank 3", 0.0433465),
    ] {
        let ufm = with_strength(classes, depth, bias, strength);
        let closed = ufm.landscape().unwrap();
        assert_eq!(closed.geometry().to_string(), name);
        if !loss.is_nan() {
            assert!((closed.loss() - loss).abs() < 1e-6, "{name}: {}", closed.loss());
        }
        let counts = ClassCounts::balanced(classes, 1).unwrap();
        let free = LowRankProblem::cross_entropy(counts, ufm.regularization().clone()).unwrap();
        let found = free.minimize(&Search::default().with_starts(12), &()).unwrap();
        assert!((found.loss() / closed.loss() - 1.0).abs() < 1e-11, "{name}: {}", found.loss());
        assert_eq!(found.is_local_minimum(), Some(true), "{name}");
        assert!(found.gradient() < 1e-10, "{name}: {:e}", found.gradient());
        assert_eq!(found.rank(), closed.best().rank(), "{name}");
    }
}
