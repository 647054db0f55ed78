//! The layer-peeled model against its optimality conditions and a direct minimization.

use nalgebra::{DMatrix, DVector};
use neural_collapse::models::layer_peeled::{LayerPeeledMinimum, layer_peeled_critical_ratio};
use neural_collapse::prediction::ClassGeometry;
use neural_collapse::problem::Run;
use neural_collapse::{ClassCounts, LayerPeeled, Prediction};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::support::lbfgs::{Smooth, minimize};

fn minimum(runs: &[(u64, usize)], weight_energy: f64, feature_energy: f64) -> LayerPeeledMinimum {
    let counts = ClassCounts::from_runs(runs.iter().copied()).unwrap();
    LayerPeeled::new(counts, weight_energy, feature_energy).unwrap().global_minimum().unwrap()
}

/// Problems of every kind: single classes on either side, in either order, interleaved, before and
/// after the minority collapse, and budgets so small that only the majority is told apart.
fn problems() -> Vec<LayerPeeledMinimum> {
    let shapes: [&[(u64, usize)]; 12] = [
        &[(30, 2), (20, 1), (10, 3)],
        &[(1000, 1), (40, 3), (5, 2), (4, 1)],
        &[(9, 1), (8, 1), (7, 1), (6, 1)],
        &[(20, 3), (10, 3)],
        &[(11, 2), (10, 5)],
        &[(1000, 2), (1, 4)],
        &[(50, 1), (10, 4)],
        &[(50, 4), (10, 1)],
        &[(7, 1), (3, 1)],
        &[(3, 2), (9, 2), (3, 1)],
        &[(1_000_000, 10), (1, 90)],
        &[(5, 4)],
    ];
    let budgets = [1e-3, 0.1, 0.4, 1.0, 3.0, 10.0, 40.0];
    let all =
        shapes.iter().flat_map(|shape| budgets.map(|budget| minimum(shape, budget, 2.0 * budget)));
    all.collect()
}

/// ∇f for f(Z) = Σ_k (n_k/N) CE(Z e_k, k), and f.
fn loss_and_gradient(counts: &ClassCounts, outputs: &DMatrix<f64>) -> (f64, DMatrix<f64>) {
    let mut gradient = outputs.clone();
    let mut loss = 0.0;
    for (class, mut column) in gradient.column_iter_mut().enumerate() {
        let weight = counts.count(class).unwrap() as f64 / counts.samples() as f64;
        let own = column[class];
        column.apply(|logit| *logit = (*logit - own).exp());
        column[class] = 0.0;
        let others = column.sum();
        loss += weight * others.ln_1p();
        column *= weight / (1.0 + others);
        // p − 1 without cancellation.
        column[class] = -weight * others / (1.0 + others);
    }
    (loss, gradient)
}

/// The problem is convex, so its Karush–Kuhn–Tucker conditions prove the minimum: −∇f = ν S with
/// ‖S‖ ≤ 1 (spectral norm) and ⟨S, Z⟩ = ‖Z‖_* = K√(E_W E_H).
#[test]
fn optimality_conditions_of_the_convex_problem() {
    for minimum in problems() {
        let problem = minimum.problem();
        let outputs = minimum.class_outputs().unwrap().to_dense().unwrap();
        let (loss, gradient) = loss_and_gradient(problem.counts(), &outputs);
        let nuclear: f64 = outputs.singular_values().sum();
        let budget = problem.nuclear_norm();
        let context = format!("{problem:?}\n{minimum:?}");
        assert!((nuclear / budget - 1.0).abs() < 1e-10, "{nuclear:e}, {budget:e}: {context}");
        let dual = -gradient / minimum.multiplier();
        let largest = dual.singular_values().max();
        assert!(largest < 1.0 + 1e-10, "{largest}: {context}");
        assert!(
            (dual.dot(&outputs) / budget - 1.0).abs() < 1e-10,
            "{}: {context}",
            dual.dot(&outputs)
        );
        assert!((loss / minimum.loss() - 1.0).abs() < 1e-11, "{loss:e}: {context}");
    }
}

/// WWᵀ, H̄ᵀH̄ and Z belong together, the budgets are used up, and the norms are on the diagonals.
#[test]
fn gram_matrices_fit_together() {
    for minimum in problems() {
        let problem = minimum.problem();
        let k = problem.counts().classes() as f64;
        let [classifier, means, outputs] = [
            minimum.trailing_gram(1).unwrap(),
            minimum.class_means_gram().unwrap(),
            minimum.class_outputs().unwrap(),
        ]
        .map(|matrix| matrix.to_dense().unwrap());
        assert!((classifier.trace() / k / problem.weight_energy() - 1.0).abs() < 1e-9);
        assert!((means.trace() / k / problem.feature_energy() - 1.0).abs() < 1e-9);
        let product = &classifier * &outputs;
        let other = &outputs * &means * (problem.weight_energy() / problem.feature_energy());
        assert!((&product - other).norm() < 1e-12 * product.norm());
        // W ∝ V Λ^(1/2) and H̄ ∝ Λ^(1/2) Uᵀ for Z = V Λ Uᵀ: (WWᵀ)² ∝ ZZᵀ and (H̄ᵀH̄)² ∝ ZᵀZ.
        let ratio = problem.weight_energy() / problem.feature_energy();
        for (gram, square, ratio) in [
            (&classifier, &outputs * outputs.transpose(), ratio),
            (&means, outputs.transpose() * &outputs, ratio.recip()),
        ] {
            let error = (gram * gram - &square * ratio).norm() / (square.norm() * ratio);
            assert!(error < 1e-13, "{error:e}: {problem:?}");
        }
        for (run, geometry) in minimum.class_runs().unwrap() {
            let norms = [&classifier, &means].map(|gram| gram[(run.first_class, run.first_class)]);
            let got = [geometry.classifier_norm_squared, geometry.feature_norm_squared];
            for (got, norm) in got.into_iter().zip(norms) {
                assert!((got.unwrap() - norm).abs() <= 1e-14 * norm, "{got:?}, {norm:e}");
            }
        }
    }
}

/// Theorem 1 of Fang et al.: a simplex ETF, ‖w_k‖² = E_W, ‖h_k‖² = E_H, aligned.
#[test]
fn balanced_classes_form_a_simplex_etf() {
    for (classes, weight_energy, feature_energy) in [(2, 1.0, 1.0), (5, 0.3, 7.0), (10, 1e-3, 1e2)]
    {
        let minimum = minimum(&[(7, classes)], weight_energy, feature_energy);
        let k = classes as f64;
        let product: f64 = weight_energy * feature_energy;
        let loss = ((k - 1.0) * (-k / (k - 1.0) * product.sqrt()).exp()).ln_1p();
        assert!((minimum.loss() / loss - 1.0).abs() < 1e-14);
        for (gram, energy) in [
            (minimum.trailing_gram(1).unwrap(), weight_energy),
            (minimum.class_means_gram().unwrap(), feature_energy),
            (minimum.class_outputs().unwrap(), product.sqrt()),
        ] {
            assert!((gram.get(1, 1).unwrap() / energy - 1.0).abs() < 1e-14);
            assert!((gram.get(1, 0).unwrap() / energy + 1.0 / (k - 1.0)).abs() < 1e-14);
        }
        assert!(!minimum.minority_collapsed());
    }
}

/// A ratio of sizes of 1 + 10⁻⁹ must not differ by more from a balanced problem.
#[test]
fn nearly_equal_sizes_are_nearly_balanced() {
    for budget in [0.05, 1.0, 5.0] {
        let near = minimum(&[(1_000_000_001, 4), (1_000_000_000, 6)], budget, 1.0);
        let balanced = minimum(&[(5, 10)], budget, 1.0);
        let [near, balanced] =
            [near, balanced].map(|minimum| minimum.class_outputs().unwrap().to_dense().unwrap());
        let error = (near - &balanced).norm() / balanced.norm();
        assert!(error < 1e-7, "{error:e}");
    }
}

#[test]
fn the_minority_collapses_from_the_critical_ratio_on() {
    for (large, small, energy) in
        [(3, 3, 1.0), (1, 5, 0.2), (5, 2, 4.0), (2, 8, 1e-2), (90, 10, 0.7)]
    {
        let ratio = layer_peeled_critical_ratio(large, small, energy, energy).unwrap();
        assert!(ratio > 1.0);
        let unit = 1e12;
        let at = |ratio: f64| {
            minimum(
                &[((ratio * unit) as u64, large as usize), (unit as u64, small as usize)],
                energy,
                energy,
            )
        };
        let (below, above) = (at(ratio * (1.0 - 1e-8)), at(ratio * (1.0 + 1e-8)));
        assert!(!below.minority_collapsed() && above.minority_collapsed(), "{large}, {small}");
        let last = (large + small - 1) as usize;
        let cosine =
            |minimum: &LayerPeeledMinimum| minimum.trailing_gram(1).unwrap().cosine(last, last - 1);
        assert!(cosine(&above).unwrap() >= 1.0 - 1e-15);
        assert!(cosine(&below).unwrap() < 1.0 - 1e-13);
        let floor = above.problem().counts().count(last).unwrap() as f64
            / above.problem().counts().samples() as f64;
        assert!((above.multiplier() / floor - 1.0).abs() < 1e-7);
    }
    let error = layer_peeled_critical_ratio(5, 5, 1e5, 1e5).unwrap_err().to_string();
    assert!(error.starts_with("the critical ratio of the layer-peeled model is out of the range"));
    assert!(layer_peeled_critical_ratio(5, 1, 1.0, 1.0).is_err());
    assert!(layer_peeled_critical_ratio(0, 5, 1.0, 1.0).is_err());
    assert!(layer_peeled_critical_ratio(5, 5, f64::NAN, 1.0).is_err());
}

/// Nothing hangs, overflows or loses its meaning at the ends of the ranges.
#[test]
fn extreme_problems() {
    for (runs, smallest) in [
        (&[(1 << 50, 3), (1, 2)][..], 1e-250),
        (&[(2, 1_000_000), (1, 1_000_000)], 1e-250),
        (&[(3, 1), (2, 1)], 1e-5),
        (&[(1 << 50, 1), (1, 3)], 1e-5),
    ] {
        for energy in [smallest, 1e-4, 1.0, 1e3, 1e6, 1e150] {
            let minimum = minimum(runs, energy, energy);
            let classes = minimum.problem().counts().classes() as f64;
            let norms = |norm: fn(&ClassGeometry) -> Option<f64>| -> f64 {
                let of_run = |(run, class): (Run, ClassGeometry)| {
                    norm(&class).unwrap() * run.class_count as f64
                };
                minimum.class_runs().unwrap().into_iter().map(of_run).sum::<f64>() / classes
            };
            let found = norms(|class| class.classifier_norm_squared);
            assert!((found / energy - 1.0).abs() < 1e-3, "{runs:?}, {energy:e}: {found:e}");
            let found = norms(|class| class.feature_norm_squared);
            assert!((found / energy - 1.0).abs() < 1e-9, "{runs:?}, {energy:e}: {found:e}");
            assert!((0.0..=classes.ln() * (1.0 + 1e-12)).contains(&minimum.loss()));
        }
    }
}

/// As the budget T vanishes, the logits become T times the steepest direction of the loss at zero: the first singular
/// vectors of C diag(n), as long as there is one largest class. The digits must not vanish with it.
#[test]
fn small_budgets_keep_their_digits() {
    for sizes in [&[1000, 10, 10][..], &[1000, 10], &[90, 70, 20, 20, 5]] {
        let classes = sizes.len();
        let centering = DMatrix::identity(classes, classes).add_scalar(-1.0 / classes as f64);
        let of_sizes = DVector::from_iterator(classes, sizes.iter().map(|&n| n as f64));
        let svd = (centering * DMatrix::from_diagonal(&of_sizes)).svd(true, true);
        let (left, right) = (svd.u.unwrap(), svd.v_t.unwrap().transpose());
        let first = svd.singular_values.imax();
        for energy in [1e-10, 1e-12, 1e-16, 1e-100, 1e-250] {
            let runs: Vec<(u64, usize)> = sizes.iter().map(|&n| (n, 1)).collect();
            let minimum = minimum(&runs, energy, energy);
            let total = classes as f64 * energy;
            for (class, geometry) in
                minimum.class_runs().unwrap().into_iter().flat_map(|(run, class)| {
                    run.classes().map(move |k| (k, class)).collect::<Vec<_>>()
                })
            {
                let limits = [&left, &right].map(|vectors| total * vectors[(class, first)].powi(2));
                let found = [geometry.classifier_norm_squared, geometry.feature_norm_squared];
                // The next term is of relative size T.
                let tolerance = 1e-13 + 10.0 * total * classes as f64;
                for (found, limit) in found.into_iter().zip(limits) {
                    assert!(
                        (found.unwrap() / limit - 1.0).abs() < tolerance,
                        "{found:?}, {limit:e}"
                    );
                }
            }
            assert_eq!(minimum.minority_collapsed(), sizes == [1000, 10, 10]);
        }
    }
}

#[test]
fn bad_problems_are_named() {
    let error = |runs: &[(u64, usize)], weight: f64, feature: f64| {
        let counts = ClassCounts::from_runs(runs.iter().copied()).unwrap();
        let problem = LayerPeeled::new(counts, weight, feature);
        problem.and_then(|problem| problem.global_minimum()).unwrap_err().to_string()
    };
    assert_eq!(error(&[(3, 1)], 1.0, 1.0), "`classes` is 1, but must be at least 2");
    assert_eq!(
        error(&[(3, 2)], -1.0, 1.0),
        "`weight_energy` is -1, but must be positive and finite"
    );
    assert_eq!(
        error(&[(3, 2)], 1.0, f64::INFINITY),
        "`feature_energy` is inf, but must be positive and finite"
    );
    assert!(error(&[(3, 1), (2, 1), (1, 1)], 1e9, 1e9).contains("out of the range"));
    assert!(error(&[(3, 2)], 1e-320, 1e-320).starts_with("the nuclear norm"));
}

/// The model as it is written, without convexity: CE of W H with W and H scaled to their budgets, which
/// the minimum uses up. A point is W (K×d) and then H̄ (d×K), column by column.
struct Direct<'a> {
    problem: &'a LayerPeeled,
    width: usize,
}

impl Direct<'_> {
    fn factors(&self, point: &[f64]) -> [DMatrix<f64>; 2] {
        let classes = self.problem.counts().classes();
        let (weights, means) = point.split_at(classes * self.width);
        [
            DMatrix::from_column_slice(classes, self.width, weights),
            DMatrix::from_column_slice(self.width, classes, means),
        ]
    }

    fn scaled(&self, point: &[f64]) -> [DMatrix<f64>; 2] {
        let [weights, means] = self.factors(point);
        [
            on_sphere(&weights, self.budget(self.problem.weight_energy())),
            on_sphere(&means, self.budget(self.problem.feature_energy())),
        ]
    }

    fn budget(&self, energy: f64) -> f64 {
        (energy * self.problem.counts().classes() as f64).sqrt()
    }
}

fn on_sphere(matrix: &DMatrix<f64>, radius: f64) -> DMatrix<f64> {
    matrix * (radius / matrix.norm())
}

/// The gradient in M from that in radius·M/‖M‖.
fn pulled_back(gradient: DMatrix<f64>, matrix: &DMatrix<f64>, radius: f64) -> DMatrix<f64> {
    let norm = matrix.norm();
    let along = gradient.dot(matrix) / (norm * norm);
    (gradient - matrix * along) * (radius / norm)
}

impl Smooth for Direct<'_> {
    type Workspace = Vec<f64>;

    fn scales(&self) -> Vec<f64> {
        vec![1.0; 2 * self.problem.counts().classes() * self.width]
    }

    fn workspace(&self) -> Vec<f64> {
        self.scales()
    }

    fn evaluate(&self, point: &[f64], gradient: &mut Vec<f64>) -> f64 {
        let [raw_weights, raw_means] = self.factors(point);
        let [weights, means] = self.scaled(point);
        let (loss, upstream) = loss_and_gradient(self.problem.counts(), &(&weights * &means));
        let weight_radius = self.budget(self.problem.weight_energy());
        let mean_radius = self.budget(self.problem.feature_energy());
        let of_weights = pulled_back(&upstream * means.transpose(), &raw_weights, weight_radius);
        let of_means = pulled_back(weights.transpose() * upstream, &raw_means, mean_radius);
        gradient.clear();
        gradient.extend(of_weights.iter().chain(of_means.iter()));
        loss
    }

    fn gradient_in(gradient: &Vec<f64>) -> &[f64] {
        gradient
    }
}

/// Descent from random points, for d = K − 1 (less than any theorem asks for) and d = 2K, ends at the
/// predicted loss and matrices, and never below.
#[test]
fn direct_minimization_of_the_model() {
    let mut rng = SmallRng::seed_from_u64(5);
    let mut uniform = || rng.random_range(-1.0..1.0);
    for (runs, energies) in [
        (&[(20, 3), (10, 3)][..], (1.0, 2.0)),
        (&[(12, 2), (10, 3)], (3.0, 1.5)),
        (&[(300, 2), (10, 3)], (1.0, 1.0)),
        (&[(40, 3), (10, 2)], (0.1, 0.3)),
        (&[(30, 1), (10, 4)], (2.0, 0.7)),
        (&[(9, 1), (3, 1)], (2.0, 1.0)),
        (&[(40, 1), (20, 2), (10, 1)], (1.5, 2.0)),
        (&[(300, 2), (100, 1), (10, 2)], (0.6, 1.0)),
    ] {
        let minimum = minimum(runs, energies.0, energies.1);
        let classes = minimum.problem().counts().classes();
        for width in [classes - 1, 2 * classes] {
            let objective = Direct { problem: minimum.problem(), width };
            let starts = core::array::from_fn::<_, 4, _>(|_| {
                minimize(
                    &objective,
                    &(0..2 * classes * width).map(|_| uniform()).collect::<Vec<_>>(),
                )
            });
            for outcome in &starts {
                assert!(outcome.loss > minimum.loss() * (1.0 - 1e-12), "{}", outcome.loss);
            }
            let best = starts.iter().min_by(|a, b| a.loss.total_cmp(&b.loss)).unwrap();
            let excess = best.loss / minimum.loss() - 1.0;
            assert!(excess < 1e-8, "{runs:?}, width {width}: {excess:e}");
            let [weights, means] = objective.scaled(&best.parameters);
            let outputs = &weights * &means;
            for (predicted, measured) in [
                (minimum.class_outputs().unwrap(), outputs),
                (minimum.trailing_gram(1).unwrap(), &weights * weights.transpose()),
                (minimum.class_means_gram().unwrap(), means.transpose() * &means),
            ] {
                let distance = predicted.distance(&measured).unwrap();
                assert!(distance < 1e-3, "{runs:?}, width {width}: {distance:e}");
            }
        }
    }
}
