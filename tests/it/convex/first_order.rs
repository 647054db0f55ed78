//! A first-order method that shares nothing with the solver: no groups, no eliminated contrasts, no second derivatives.

use super::*;

/// Σ_j w_j CE(z_j + b, y_j) + λ_b/2 ‖b‖² + κ‖X‖_*, X = Z diag(√n), by proximal gradient steps with restarted momentum.
struct FirstOrder {
    labels: DMatrix<f64>,
    weights: Vec<f64>,
    scales: Vec<f64>,
    price: f64,
    bias: Bias,
}

impl FirstOrder {
    fn new(case: &Case) -> Self {
        let classes = case.counts.len();
        let samples = case.counts.iter().sum::<u64>() as f64;
        let sizes = case.counts.iter().map(|&n| n as f64);
        Self {
            labels: DMatrix::from_fn(classes, classes, |k, j| {
                let own = if k == j { 1.0 - case.smoothing } else { 0.0 };
                own + case.smoothing / classes as f64
            }),
            weights: sizes.clone().zip(&case.weights).map(|(n, w)| n * w / samples).collect(),
            scales: sizes.map(f64::sqrt).collect(),
            price: (case.decays.0 * case.decays.1).sqrt(),
            bias: case.bias,
        }
    }

    fn bias_decay(&self) -> f64 {
        if let Bias::Regularized(decay) = self.bias { decay } else { 0.0 }
    }

    /// Value of the smooth part and its slopes.
    fn smooth(&self, x: &DMatrix<f64>, bias: &DVector<f64>) -> (f64, DMatrix<f64>, DVector<f64>) {
        let mut value = 0.5 * self.bias_decay() * bias.norm_squared();
        let mut slope = DMatrix::zeros(x.nrows(), x.ncols());
        let mut of_bias = bias * self.bias_decay();
        for j in 0..x.ncols() {
            let logits = x.column(j) / self.scales[j] + bias;
            let largest = logits.max();
            let mut p = logits.map(|z| (z - largest).exp());
            let total = p.sum();
            value += self.weights[j] * (largest + total.ln() - logits.dot(&self.labels.column(j)));
            p = (p / total - self.labels.column(j)) * self.weights[j];
            slope.set_column(j, &(&p / self.scales[j]));
            of_bias += p;
        }
        (value, slope, of_bias)
    }

    /// The singular values less by `by`, and the sum of what is left.
    fn shrunk(matrix: DMatrix<f64>, by: f64) -> (DMatrix<f64>, f64) {
        let svd = matrix.svd(true, true);
        let values = svd.singular_values.map(|value| (value - by).max(0.0));
        let shrunk = svd.u.unwrap() * DMatrix::from_diagonal(&values) * svd.v_t.unwrap();
        (shrunk, values.sum())
    }

    fn minimum(&self, steps: usize) -> f64 {
        let classes = self.labels.nrows();
        let largest = |numbers: &mut dyn Iterator<Item = f64>| numbers.fold(0.0, f64::max);
        let curvature =
            largest(&mut self.weights.iter().zip(&self.scales).map(|(w, s)| w / (s * s)));
        // Blocks of X and b together have at most the sum of their curvatures, ½Σw for b.
        let total: f64 = self.weights.iter().sum();
        let (step, bias_step) = (1.0 / curvature, 1.0 / (total + self.bias_decay()));
        let (mut x, mut b) = (DMatrix::zeros(classes, classes), DVector::zeros(classes));
        let (mut ahead_x, mut ahead_b) = (x.clone(), b.clone());
        let (mut momentum, mut best) = (1.0_f64, f64::INFINITY);
        for _ in 0..steps {
            let (_, slope, of_bias) = self.smooth(&ahead_x, &ahead_b);
            let (next_x, norm) = Self::shrunk(&ahead_x - slope * step, step * self.price);
            let next_b = match self.bias {
                Bias::None => b.clone(),
                _ => &ahead_b - of_bias * bias_step,
            };
            let value = self.smooth(&next_x, &next_b).0 + self.price * norm;
            if value > best {
                momentum = 1.0;
            }
            let next = f64::midpoint(1.0, (1.0 + 4.0 * momentum * momentum).sqrt());
            let share = (momentum - 1.0) / next;
            ahead_x = &next_x + (&next_x - &x) * share;
            ahead_b = &next_b + (&next_b - &b) * share;
            (x, b, momentum, best) = (next_x, next_b, next, value.min(best));
        }
        best
    }
}

#[test]
fn a_first_order_method_comes_to_the_same_minimum() {
    let mut rng = SmallRng::seed_from_u64(53);
    for _ in 0..20 {
        let case = Case::random(&mut rng);
        let minimum = solved(&case.ufm());
        let found = FirstOrder::new(&case).minimum(4000);
        let bound = minimum.lower_bound().unwrap();
        assert!(found >= bound * (1.0 - 1e-14), "{found:e} < {bound:e}: {case:?}");
        let excess = found / minimum.loss() - 1.0;
        assert!(excess < 1e-7, "{excess:e}: {case:?}");
    }
}

/// Copies of all samples at a feature decay that is as many times smaller change nothing.
#[test]
fn copies_and_weights_of_samples() {
    let mut rng = SmallRng::seed_from_u64(59);
    for _ in 0..12 {
        let case = Case::random(&mut rng);
        let minimum = solved(&case.ufm());
        let copied = Case {
            counts: case.counts.iter().map(|n| 7 * n).collect(),
            decays: (case.decays.0, case.decays.1 / 7.0),
            ..case.clone()
        };
        let copied = solved(&copied.ufm());
        assert!((copied.loss() / minimum.loss() - 1.0).abs() < 1e-12, "{case:?}");
        assert!(
            (copied.outputs() - minimum.outputs()).amax()
                < 1e-7 * minimum.outputs().amax().max(1e-3)
        );
    }
    // One weight for all is a factor of loss and decays.
    let equal = Case {
        counts: vec![6, 6, 6],
        weights: vec![2.0; 3],
        smoothing: 0.1,
        decays: (2e-2, 4e-2),
        bias: Bias::Unregularized,
    };
    let halved = Case { weights: vec![1.0; 3], decays: (1e-2, 2e-2), ..equal.clone() };
    let (equal, halved) = (solved(&equal.ufm()), solved(&halved.ufm()));
    assert!((equal.loss() / (2.0 * halved.loss()) - 1.0).abs() < 1e-13);
    assert!((equal.outputs() - halved.outputs()).amax() < 1e-9);
}

/// With δ → 0 the minimum becomes that of one-hot labels, as fast as δ.
#[test]
fn smoothing_fades_away() {
    for bias in [Bias::None, Bias::Unregularized, Bias::Regularized(0.05)] {
        let case = Case {
            counts: vec![30, 12, 12, 5],
            weights: vec![1.0, 1.0, 2.0, 1.0],
            smoothing: 0.0,
            decays: (8e-3, 6e-3),
            bias,
        };
        let plain = solved(&case.ufm()).loss();
        let slope = |smoothing: f64| {
            let smoothed = Case { smoothing, ..case.clone() };
            (solved(&smoothed.ufm()).loss() - plain) / smoothing
        };
        let (near, far) = (slope(1e-5), slope(1e-3));
        assert!(near > 0.0 && (near / far - 1.0).abs() < 0.05, "{near}, {far}");
        let limit = Case { smoothing: 1e-15, ..case.clone() };
        assert!((solved(&limit.ufm()).loss() / plain - 1.0).abs() < 1e-12);
    }
}
