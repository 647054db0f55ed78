//! The extended model with ReLUs: where the linear minimum is reached, where it is the minimum, and
//! where it is not.

use nalgebra::DMatrix;
use neural_collapse::{Bias, ClassCounts, GlobalMinimum, Prediction, Regularization, Ufm};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::support::lbfgs::{Smooth, minimize};
use crate::support::objective::one_hot;

fn minimum(counts: &[u64], weight_decays: &[f64], feature_decay: f64) -> GlobalMinimum {
    let regularization = Regularization::new(weight_decays, feature_decay).unwrap();
    Ufm::new(ClassCounts::new(counts).unwrap(), regularization).unwrap().global_minimum().unwrap()
}

fn relu(matrix: DMatrix<f64>) -> DMatrix<f64> {
    matrix.map(|entry| entry.max(0.0))
}

/// 1/(2N) ‖W₂ σ(W₁ H) − Y‖² + λ₂/2 ‖W₂‖² + λ₁/2 ‖W₁‖² + λ_H/2 ‖H‖², with d₁ = d₂.
struct TwoLayers {
    target: DMatrix<f64>,
    width: usize,
    /// λ₁, λ₂, λ_H.
    decays: [f64; 3],
}

impl TwoLayers {
    /// W₁, W₂, H from a point that holds them column by column.
    fn unpack(&self, point: &[f64]) -> [DMatrix<f64>; 3] {
        let (classes, samples) = self.target.shape();
        let (first, rest) = point.split_at(self.width * self.width);
        let (second, features) = rest.split_at(classes * self.width);
        [
            DMatrix::from_column_slice(self.width, self.width, first),
            DMatrix::from_column_slice(classes, self.width, second),
            DMatrix::from_column_slice(self.width, samples, features),
        ]
    }

    fn dimension(&self) -> usize {
        self.width * (self.width + self.target.nrows() + self.target.ncols())
    }
}

/// The objective, without its gradient, for any widths.
fn objective(
    target: &DMatrix<f64>,
    [first, second, features]: [&DMatrix<f64>; 3],
    decays: [f64; 3],
) -> f64 {
    let residual = second * relu(first * features) - target;
    let penalties = decays[0] * first.norm_squared()
        + decays[1] * second.norm_squared()
        + decays[2] * features.norm_squared();
    (residual.norm_squared() / target.ncols() as f64 + penalties) / 2.0
}

impl Smooth for TwoLayers {
    type Workspace = Vec<f64>;

    fn scales(&self) -> Vec<f64> {
        let [first, second, features] = self.unpack(&vec![0.0; self.dimension()]);
        let sizes = [(first.len(), 0), (second.len(), 1), (features.len(), 2)];
        let scale = |(size, factor)| vec![f64::sqrt(self.decays[factor]); size];
        sizes.into_iter().flat_map(scale).collect()
    }

    fn workspace(&self) -> Vec<f64> {
        vec![0.0; self.dimension()]
    }

    fn evaluate(&self, point: &[f64], gradient: &mut Vec<f64>) -> f64 {
        let [first, second, features] = self.unpack(point);
        let hidden = relu(&first * &features);
        let residual = &second * &hidden - &self.target;
        let upstream = &residual / self.target.ncols() as f64;
        let mut below = second.transpose() * &upstream;
        below.zip_apply(&hidden, |entry, hidden| {
            if hidden <= 0.0 {
                *entry = 0.0;
            }
        });
        let of_first = &below * features.transpose() + &first * self.decays[0];
        let of_second = upstream * hidden.transpose() + &second * self.decays[1];
        let of_features = first.transpose() * below + &features * self.decays[2];
        gradient.clear();
        gradient.extend(of_first.iter().chain(&of_second).chain(&of_features));
        objective(&self.target, [&first, &second, &features], self.decays)
    }

    fn gradient_in(gradient: &Vec<f64>) -> &[f64] {
        gradient
    }
}

/// With ReLUs after the features and after every layer but the last, for any depth and class sizes, at
/// full and at low rank.
#[test]
fn the_nonnegative_minimizer_reaches_the_linear_minimum() {
    for (counts, decays, width) in [
        (&[10, 10, 10][..], &[1e-3][..], 5),
        (&[10, 10, 10, 10], &[1e-3, 2e-3], 4),
        (&[20, 10, 5, 1], &[5e-3, 1e-3, 2e-3], 6),
        (&[20, 10, 10, 10], &[1e-3, 1e-3], 2),
        (&[3, 3], &[1.0, 1.0], 2),
    ] {
        let regularization = Regularization::new(decays, 7e-4).unwrap();
        let ufm = Ufm::new(ClassCounts::new(counts).unwrap(), regularization).unwrap();
        let ufm = ufm.with_widths(&vec![width; decays.len()]).unwrap();
        let minimum = ufm.global_minimum().unwrap();
        let minimizer = minimum.nonnegative_minimizer().unwrap();
        let features = minimizer.features().unwrap();
        let weights = minimizer.head().weights();
        assert!(weights.iter().chain([&features]).all(|matrix| matrix.min() >= 0.0));

        let output = weights.iter().fold(features.clone(), |input, weight| weight * relu(input));
        let sizes: Vec<usize> = counts.iter().map(|&count| count as usize).collect();
        let target = one_hot(&sizes);
        let penalty: f64 = std::iter::zip(weights, decays)
            .map(|(weight, decay)| decay * weight.norm_squared())
            .sum::<f64>()
            + 7e-4 * features.norm_squared();
        let loss = ((output - &target).norm_squared() / target.ncols() as f64 + penalty) / 2.0;
        assert!((loss / minimum.loss() - 1.0).abs() < 1e-13, "{loss:e}, {:e}", minimum.loss());
    }
}

#[test]
fn what_has_no_nonnegative_minimizer_is_refused() {
    let biased =
        Regularization::new(&[1e-3], 1e-3).unwrap().with_bias(Bias::Unregularized).unwrap();
    let counts = ClassCounts::balanced(3, 5).unwrap();
    let error =
        |ufm: Ufm| ufm.global_minimum().unwrap().nonnegative_minimizer().unwrap_err().to_string();
    assert!(error(Ufm::new(counts, biased).unwrap()).contains("beside a bias"));
    let plain = Regularization::new(&[1e-3], 1e-3).unwrap();
    let target = DMatrix::identity(3, 3);
    assert!(error(Ufm::from_target(target, plain).unwrap()).contains("arbitrary target"));
}

/// Few classes: multi-start descents of the two-layer objective with ReLU end at f* or above.
#[test]
fn no_descent_with_few_classes_ends_below() {
    let mut rng = SmallRng::seed_from_u64(11);
    for (counts, decays, width) in [
        (&[2_usize, 2][..], [2e-3, 1e-3, 1e-3], 4),
        (&[3, 3, 3], [5e-3, 5e-3, 2e-3], 5),
        (&[1, 1, 1, 1], [5e-3, 5e-3, 5e-3], 12),
        (&[2, 2, 2, 2, 2], [1e-3, 2e-3, 1e-3], 8),
        (&[6, 3, 3, 1], [4e-3, 4e-3, 4e-3], 8),
        (&[1; 8], [4e-3, 4e-3, 4e-3], 16),
    ] {
        let sizes: Vec<u64> = counts.iter().map(|&count| count as u64).collect();
        let predicted = minimum(&sizes, &decays[..2], decays[2]).loss();
        let problem = TwoLayers { target: one_hot(counts), width, decays };
        let mut best = f64::INFINITY;
        for start in 0..12 {
            let scale = [0.5, 1.0, 2.0][start % 3] / (width as f64).sqrt();
            let mut entry = || scale * rng.random_range(-1.7..1.7);
            let point: Vec<f64> = (0..problem.dimension()).map(|_| entry()).collect();
            best = best.min(minimize(&problem, &point).loss);
        }
        let excess = best / predicted - 1.0;
        assert!(excess > -1e-9, "{counts:?}: {excess:e}");
        assert!(excess < 1e-5, "{counts:?}: no start came near, {excess:e}");
    }
}

/// The minimizer before the ReLU is not unique: a simplex ETF, of rank K − 1, reaches f* as well, because
/// its ReLU is an orthogonal frame and their nuclear norms are equal.
#[test]
fn simplex_features_before_the_relu_reach_the_linear_minimum() {
    let (classes, decays) = (4, [3e-3, 2e-3, 1e-3]);
    let minimum = minimum(&[1; 4], &decays[..2], decays[2]);
    let minimizer = minimum.nonnegative_minimizer().unwrap();
    let second = &minimizer.head().weights()[1];
    let hidden = &minimizer.head().weights()[0] * minimizer.class_means().unwrap();
    // hidden = z I = σ(W₁H) for W₁H = z (1 + β)(I − 11ᵀ/K), β = 1/(K−1).
    let simplex =
        DMatrix::identity(classes, classes).add_scalar(-0.25) * hidden[(0, 0)] * (4.0 / 3.0);
    let balance = (decays[2] / decays[0]).powf(0.25);
    let svd = simplex.svd(true, true);
    let root = DMatrix::from_diagonal(&svd.singular_values.map(f64::sqrt));
    let first = svd.u.unwrap() * &root * balance;
    let features = root * svd.v_t.unwrap() / balance;
    let target = DMatrix::identity(classes, classes);
    let loss = objective(&target, [&first, second, &features], decays);
    assert!((loss / minimum.loss() - 1.0).abs() < 1e-13, "{loss:e}, {:e}", minimum.loss());
}

/// Where ‖σ(W₁H)‖_* = ‖W₁H‖_* fails: K = 15 classes, the pairs of six points, with features of rank 5,
/// and d₂ = 20 hidden units, the signed splits of the six points into three and three. W₁H is then the
/// split's sum over the pair (2, 0 or −2), and its ReLU tells all pairs apart.
///
/// As the decay λ of all three falls, the loss relative to f* tends to (26/27)^(1/3) = 0.98750.
#[test]
fn fifteen_classes_are_fitted_at_less_than_the_linear_minimum() {
    let pairs: Vec<(usize, usize)> = (0..6).flat_map(|a| (0..a).map(move |b| (a, b))).collect();
    let splits: Vec<u32> = (0..64_u32).filter(|split| split.count_ones() == 3).collect();
    let first = DMatrix::from_fn(
        20,
        6,
        |split, point| {
            if splits[split] >> point & 1 == 1 { 1.0 } else { -1.0 }
        },
    );
    let features = DMatrix::from_fn(6, 15, |point, pair| {
        let (a, b) = pairs[pair];
        f64::from(u8::from(point == a || point == b)) - 1.0 / 3.0
    });
    // Where W₁H has the nuclear norm z and its ReLU the singular values f, small decay asks for the
    // smallest z² Σ f⁻², which is K³ for an orthogonal frame.
    let before = &first * &features;
    let nuclear = before.singular_values().sum();
    let after = relu(before).singular_values();
    let figure = nuclear.powi(2) * after.iter().map(|f| f.powi(-2)).sum::<f64>() / 3375.0;
    assert!((figure - 26.0 / 27.0).abs() < 1e-12, "{figure}");
    let target = DMatrix::identity(15, 15);
    for (decay, largest) in [(1e-3, 0.9865), (1e-6, 0.98751)] {
        let best = (0..2000).map(|step| {
            // Both factors with the same norm, times a common size.
            let size = 0.5 + 0.001 * f64::from(step);
            let (first, features) =
                (&first * (size / first.norm()), &features * (size / features.norm()));
            let (first, features) = (first * 4.0, features * 4.0);
            let hidden = relu(&first * &features);
            let ridge = hidden.transpose() * &hidden + DMatrix::identity(15, 15) * (15.0 * decay);
            let second = ridge.try_inverse().unwrap() * hidden.transpose();
            objective(&target, [&first, &second, &features], [decay; 3])
        });
        let ratio =
            best.fold(f64::INFINITY, f64::min) / minimum(&[1; 15], &[decay; 2], decay).loss();
        assert!(ratio < largest && ratio > 0.986, "λ = {decay}: {ratio}");
    }
}

/// The objective with ReLUs between the layers, and the largest entry of its gradient in the last layer.
fn with_relus(
    point: &neural_collapse::ExplicitPoint,
    regularization: &Regularization,
) -> (f64, f64) {
    let features = point.features().unwrap();
    let classes = point.class_means().unwrap().ncols();
    let counts = vec![features.ncols() / classes; classes];
    let (target, samples) = (one_hot(&counts), features.ncols() as f64);
    let (last, below) = point.head().weights().split_last().unwrap();
    let hidden = below.iter().fold(features.clone(), |hidden, layer| relu(layer * hidden));
    let residual = last * &hidden - target;
    let weights = point.head().weights().iter().zip(regularization.weight_decays());
    let weights: f64 = weights.map(|(layer, decay)| decay * layer.norm_squared()).sum();
    let features = regularization.feature_decay() * features.norm_squared();
    let decay = regularization.weight_decays().last().unwrap();
    let gradient = &residual * hidden.transpose() / samples + last * *decay;
    ((residual.norm_squared() / samples + weights + features) / 2.0, gradient.amax())
}

/// The matrices of every competitor have the loss that is said, which is below the linear minimum, with the best
/// last layer; scaling a layer up and another one down does not make it lower.
#[test]
fn competitors_have_their_loss_with_relus() {
    for (classes, samples, decays, feature_decay, widths) in [
        (10, 2, vec![1e-4; 3], 1e-4, None),
        (6, 3, vec![1e-4, 3e-5, 2e-4, 1e-4], 5e-5, None),
        (15, 1, vec![1e-3; 2], 1e-3, None),
        (17, 2, vec![1e-4; 3], 2e-4, None),
        (21, 1, vec![1e-5; 4], 1e-5, None),
        (10, 2, vec![1e-4; 3], 1e-4, Some(vec![12, 13, 40])),
    ] {
        let regularization = Regularization::new(&decays, feature_decay).unwrap();
        let counts = ClassCounts::balanced(classes, samples).unwrap();
        let mut ufm = Ufm::new(counts, regularization.clone()).unwrap();
        if let Some(widths) = &widths {
            ufm = ufm.with_widths(widths).unwrap();
        }
        let minimum = ufm.global_minimum().unwrap();
        let competitor = minimum.relu_competitor().unwrap();
        assert_eq!(minimum.relu_verdict().keyword(), "proved_not_global");
        assert!(competitor.loss() < minimum.loss() && competitor.linear_loss() == minimum.loss());
        let point = competitor.explicit().unwrap();
        let (loss, gradient) = with_relus(&point, &regularization);
        let input = format!("K = {classes}, M = {}", decays.len());
        assert!((loss / competitor.loss() - 1.0).abs() < 1e-12, "{input}: {loss}");
        assert!(gradient < 1e-14, "{input}: {gradient:e}");
        let dimensions: Vec<usize> = point.head().weights().iter().map(DMatrix::ncols).collect();
        assert_eq!(dimensions, competitor.widths(), "{input}");
        assert!(widths.is_none_or(|widths| widths == dimensions), "{input}");
        // All factors have the same energy but the last layer, and the same size is best.
        for factor in [0.99, 1.01] {
            let scaled = point.head().weights().iter().enumerate();
            let scaled = scaled.map(|(layer, w)| if layer == 0 { w * factor } else { w.clone() });
            let head = neural_collapse::LinearHead::new(scaled.collect(), None).unwrap();
            let (target, hidden) =
                (one_hot(&vec![samples as usize; classes]), point.features().unwrap());
            let (last, below) = head.weights().split_last().unwrap();
            let hidden = below.iter().fold(hidden, |hidden, layer| relu(layer * hidden));
            let decay = hidden.ncols() as f64 * regularization.weight_decays().last().unwrap();
            let ridge = &hidden * hidden.transpose()
                + DMatrix::identity(hidden.nrows(), hidden.nrows()) * decay;
            let best = target * hidden.transpose() * ridge.try_inverse().unwrap();
            assert_ne!(&best, last);
            let weights = below.iter().chain([&best]).zip(regularization.weight_decays());
            let weights: f64 = weights.map(|(layer, decay)| decay * layer.norm_squared()).sum();
            let features =
                regularization.feature_decay() * point.features().unwrap().norm_squared();
            let residual = &best * &hidden - one_hot(&vec![samples as usize; classes]);
            let other =
                (residual.norm_squared() / hidden.ncols() as f64 + weights + features) / 2.0;
            assert!(other > loss, "{input}: {other} {loss}");
        }
    }
}

/// The ratios to the linear minimum for vanishing decays.
#[test]
fn competitors_have_the_ratios_of_small_decay() {
    for (classes, depth, ratio, unit_size) in
        [(6, 4, 0.963, 2), (10, 3, 0.923, 3), (15, 3, 0.864, 3), (15, 2, 0.98750, 3)]
    {
        let minimum = minimum(&vec![1; classes], &vec![1e-9; depth], 1e-9);
        let competitor = minimum.relu_competitor().unwrap();
        let found = competitor.loss() / minimum.loss();
        assert!((found - ratio).abs() < 6e-4, "K = {classes}, M = {depth}: {found}");
        assert_eq!(competitor.unit_size(), unit_size, "K = {classes}, M = {depth}");
        let r = competitor.vertices();
        assert_eq!((r * (r - 1) / 2, competitor.graphs()), (classes, 1));
    }
    // Where none is lower nothing is refuted.
    for (classes, depth, keyword) in [(6, 1, "proved"), (14, 2, "assumed"), (6, 3, "best_known")] {
        let minimum = minimum(&vec![1; classes], &vec![1e-9; depth], 1e-9);
        assert!(minimum.relu_competitor().is_none());
        assert_eq!(minimum.relu_verdict().keyword(), keyword);
    }
    // Large decays, classes of different sizes and narrow layers leave no competitor.
    assert!(self::minimum(&[1; 10], &[0.2; 3], 0.2).relu_competitor().is_none());
    assert!(self::minimum(&[2, 1, 1, 1, 1, 1], &[1e-6; 4], 1e-6).relu_competitor().is_none());
    // With a bias, of which nothing is known, neither.
    let regularization = Regularization::new(&[1e-9; 4], 1e-9).unwrap();
    let free = regularization.with_bias(Bias::Unregularized).unwrap();
    let ufm = Ufm::new(ClassCounts::balanced(6, 1).unwrap(), free).unwrap();
    assert!(ufm.global_minimum().unwrap().relu_competitor().is_none());
}
