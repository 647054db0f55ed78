//! One linear layer under cross-entropy or the squared loss with any probabilities as labels, any weights of the
//! samples, constants added to the logits, and features that may be constrained to be non-negative.

use nalgebra::{DMatrix, DVector};
use neural_collapse::Bias;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, StandardNormal};

use super::lbfgs::{Outcome, Smooth, minimize};

/// Σ_j w_j ℓ(W h_j + b + ι, y_j) + λ_W/2 ‖W‖² + λ_H/2 Σ_j c_j ‖h_j‖² + λ_b/2 ‖b‖².
///
/// The parameters are W, b (if there is one) and the h_j, or numbers whose squares they are.
#[derive(Debug, Clone)]
pub struct SoftObjective {
    /// y_j, a column each.
    pub labels: DMatrix<f64>,
    /// w_j.
    pub weights: Vec<f64>,
    /// c_j, the samples that column j stands for.
    pub copies: Vec<f64>,
    pub weight_decay: f64,
    pub feature_decay: f64,
    pub bias: Bias,
    pub dimension: usize,
    /// Whether features are squares.
    pub nonnegative: bool,
    /// Whether ℓ is ½‖z − y‖² instead of the cross-entropy.
    pub squared_error: bool,
    /// ι.
    pub offsets: DVector<f64>,
}

impl SoftObjective {
    /// The columns of classes with these sizes, each sample on its own, with class weights and label smoothing.
    pub fn of_classes(
        counts: &[usize],
        class_weights: &[f64],
        smoothing: f64,
        (weight_decay, feature_decay, bias): (f64, f64, Bias),
        (dimension, nonnegative): (usize, bool),
    ) -> Self {
        let classes = counts.len();
        let of_samples: Vec<usize> =
            counts.iter().enumerate().flat_map(|(k, &n)| std::iter::repeat_n(k, n)).collect();
        let samples = of_samples.len();
        let labels = DMatrix::from_fn(classes, samples, |k, i| {
            let own = if of_samples[i] == k { 1.0 - smoothing } else { 0.0 };
            own + smoothing / classes as f64
        });
        let weights = of_samples.iter().map(|&k| class_weights[k] / samples as f64).collect();
        Self {
            labels,
            weights,
            copies: vec![1.0; samples],
            weight_decay,
            feature_decay,
            bias,
            dimension,
            nonnegative,
            squared_error: false,
            offsets: DVector::zeros(classes),
        }
    }

    fn outputs(&self) -> usize {
        self.labels.nrows()
    }

    fn shapes(&self) -> (usize, usize) {
        let biases = if self.bias == Bias::None { 0 } else { self.outputs() };
        (self.outputs() * self.dimension, biases)
    }

    /// The layer, the bias and the features of a point.
    pub fn unpack(&self, point: &[f64]) -> (DMatrix<f64>, DVector<f64>, DMatrix<f64>) {
        let (weights, biases) = self.shapes();
        let layer = DMatrix::from_column_slice(self.outputs(), self.dimension, &point[..weights]);
        let bias = match biases {
            0 => DVector::zeros(self.outputs()),
            _ => DVector::from_column_slice(&point[weights..weights + biases]),
        };
        let rest = &point[weights + biases..];
        let mut features = DMatrix::from_column_slice(self.dimension, self.labels.ncols(), rest);
        if self.nonnegative {
            features.apply(|entry| *entry *= *entry);
        }
        (layer, bias, features)
    }

    /// Independent normal parameters with logits of about this size.
    pub fn random_start(&self, size: f64, rng: &mut SmallRng) -> Vec<f64> {
        let (weights, biases) = self.shapes();
        let rest = self.labels.ncols() * self.dimension;
        // ‖W‖² λ_W = ‖H‖² λ_H on the average, and entries of W H of the wanted size.
        let ratio = self.feature_decay * self.copies.iter().sum::<f64>()
            / (self.weight_decay * self.outputs() as f64);
        let root = (size / (self.dimension as f64).sqrt()).sqrt();
        let scales = [root * ratio.powf(0.25), 0.3, root / ratio.powf(0.25)];
        let mut point = Vec::with_capacity(weights + biases + rest);
        for (count, scale) in [weights, biases, rest].into_iter().zip(scales) {
            point.extend((0..count).map(|_| {
                let normal: f64 = StandardNormal.sample(&mut *rng);
                normal * scale
            }));
        }
        if self.nonnegative {
            point[weights + biases..].iter_mut().for_each(|entry| *entry = entry.abs().sqrt());
        }
        point
    }

    /// Where the minimizations from `starts` random points end.
    pub fn minima(&self, starts: usize, seed: u64) -> Vec<Outcome> {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut outcome = |_| {
            let size = [1.0, 3.0, 8.0][rng.random_range(0..3)];
            minimize(self, &self.random_start(size, &mut rng))
        };
        (0..starts).map(&mut outcome).collect()
    }

    /// The lowest of [`minima`](Self::minima).
    pub fn lowest(&self, starts: usize, seed: u64) -> f64 {
        self.minima(starts, seed).iter().map(|found| found.loss).fold(f64::INFINITY, f64::min)
    }

    /// The objective at matrices.
    pub fn value(&self, layer: &DMatrix<f64>, bias: &DVector<f64>, features: &DMatrix<f64>) -> f64 {
        let mut logits = layer * features;
        logits.column_iter_mut().for_each(|mut column| column += bias);
        self.fit(&mut logits) + self.penalties(layer, bias, features)
    }

    /// The data term; leaves its gradient in the logits.
    fn fit(&self, logits: &mut DMatrix<f64>) -> f64 {
        let mut sum = 0.0;
        let columns = logits.column_iter_mut().zip(self.labels.column_iter());
        for ((mut column, label), weight) in columns.zip(&self.weights) {
            column += &self.offsets;
            if self.squared_error {
                column -= label;
                sum += 0.5 * weight * column.norm_squared();
                column *= *weight;
                continue;
            }
            let largest = column.max();
            let total: f64 = column.iter().map(|logit| (logit - largest).exp()).sum();
            // Σ y (ln Σ e^z − z)
            let log = total.ln() + largest;
            sum +=
                weight * column.iter().zip(label.iter()).map(|(z, y)| y * (log - z)).sum::<f64>();
            let mass = label.sum();
            for (entry, y) in column.iter_mut().zip(label.iter()) {
                *entry = weight * (mass * (*entry - log).exp() - y);
            }
        }
        sum
    }

    fn penalties(&self, layer: &DMatrix<f64>, bias: &DVector<f64>, features: &DMatrix<f64>) -> f64 {
        let columns = features.column_iter().zip(&self.copies);
        let squares: f64 = columns.map(|(column, copies)| copies * column.norm_squared()).sum();
        let bias_decay = if let Bias::Regularized(decay) = self.bias { decay } else { 0.0 };
        self.weight_decay / 2.0 * layer.norm_squared()
            + self.feature_decay / 2.0 * squares
            + bias_decay / 2.0 * bias.norm_squared()
    }
}

impl Smooth for SoftObjective {
    type Workspace = Vec<f64>;

    fn gradient_in(workspace: &Vec<f64>) -> &[f64] {
        workspace
    }

    fn scales(&self) -> Vec<f64> {
        let (weights, biases) = self.shapes();
        let mut scales = vec![self.weight_decay.sqrt(); weights];
        scales.extend(std::iter::repeat_n(0.3, biases));
        for copies in &self.copies {
            let scale = (self.feature_decay * copies).sqrt();
            scales.extend(std::iter::repeat_n(scale, self.dimension));
        }
        scales
    }

    fn workspace(&self) -> Vec<f64> {
        Vec::new()
    }

    fn evaluate(&self, point: &[f64], gradient: &mut Vec<f64>) -> f64 {
        let (layer, bias, features) = self.unpack(point);
        let mut logits = &layer * &features;
        logits.column_iter_mut().for_each(|mut column| column += &bias);
        let value = self.fit(&mut logits) + self.penalties(&layer, &bias, &features);
        let slopes = logits;
        let of_layer = &slopes * features.transpose() + &layer * self.weight_decay;
        let mut of_features = layer.transpose() * &slopes;
        for ((mut slope, feature), copies) in
            of_features.column_iter_mut().zip(features.column_iter()).zip(&self.copies)
        {
            slope += feature * (self.feature_decay * copies);
        }
        gradient.clear();
        gradient.extend_from_slice(of_layer.as_slice());
        let (weights, biases) = self.shapes();
        if biases > 0 {
            let bias_decay = if let Bias::Regularized(decay) = self.bias { decay } else { 0.0 };
            gradient.extend((slopes.column_sum() + bias * bias_decay).iter());
        }
        let roots = &point[weights + biases..];
        let chain = of_features.iter().zip(roots);
        gradient.extend(chain.map(
            |(slope, root)| {
                if self.nonnegative { 2.0 * root * slope } else { *slope }
            },
        ));
        value
    }
}
