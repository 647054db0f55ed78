//! The training objective with the cross-entropy loss, and starts for its minimization.

use nalgebra::{DMatrix, DVector};
use neural_collapse::Bias;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, StandardNormal};

use super::lbfgs::Smooth;
use super::lbfgs::{Outcome, minimize};
use super::objective::{MseObjective, Unpacked, Workspace};

/// The full objective 1/N Σ CE(W_M⋯W₁h + b, y) + Σ λₘ/2 ‖Wₘ‖² + λ_H/2 ‖H‖² + λ_b/2 ‖b‖².
///
/// The network is that of the squared loss; only the fit of the outputs differs.
#[derive(Debug, Clone)]
pub struct CrossEntropyObjective {
    network: MseObjective,
}

impl CrossEntropyObjective {
    /// `counts[k]` samples of class k, sorted by class.
    pub fn new(
        counts: &[usize],
        weight_decays: &[f64],
        feature_decay: f64,
        bias: Bias,
        widths: &[usize],
    ) -> Self {
        let network = MseObjective::from_counts(counts, weight_decays, feature_decay, bias, widths);
        Self { network }
    }

    /// The network with its packing of parameters.
    pub fn network(&self) -> &MseObjective {
        &self.network
    }

    /// A random point with logits of a random rank and size: a random projector times their size, with
    /// right singular vectors that differ from the left ones by none, some or much noise.
    pub fn random_start(&self, rng: &mut SmallRng) -> Vec<f64> {
        let target = self.network.target();
        let (classes, samples) = target.shape();
        let rank = rng.random_range(1..=self.network.rank_limit().min(classes - 1));
        let size = rng.random_range(2.0..12.0) * (classes as f64 / rank as f64).sqrt();
        let noise = [0.0, 0.3, 1.0][rng.random_range(0..3)];
        let mut normal =
            |rows, columns| DMatrix::from_fn(rows, columns, |_, _| StandardNormal.sample(rng));
        let left = normal(classes, rank).qr().q();
        let right = left.tr_mul(target) + normal(rank, samples) * noise / (classes as f64).sqrt();
        let depth = self.network.depth() as f64;
        // Balanced layers: λₘ‖Wₘ‖² equal.
        let energy = (size * size * self.network.decay_product()).powf(1.0 / (depth + 1.0));
        let mut factors: Vec<DMatrix<f64>> = Vec::new();
        let decays: Vec<f64> = self.network.factor_decays().collect();
        let shapes: Vec<_> = self.network.factor_shapes().collect();
        for (layer, (&decay, &(rows, columns))) in decays.iter().zip(&shapes).enumerate() {
            let mut factor = normal(rows, columns) * 1e-3;
            let scale = (energy / decay).sqrt();
            let signal = match layer {
                _ if layer + 1 == shapes.len() => right.clone(),
                _ if layer + 2 == shapes.len() => left.clone(),
                _ => DMatrix::identity(rank, rank),
            };
            let mut corner = factor.view_mut((0, 0), signal.shape());
            corner += signal * scale;
            factors.push(factor);
        }
        let features = factors.pop().expect("H is a factor");
        let bias = DVector::zeros(classes);
        self.network.pack(&Unpacked { weights: factors, features, bias })
    }

    /// The best of the minimizations from `starts` random points.
    pub fn multi_start(&self, starts: usize, seed: u64) -> Outcome {
        let mut rng = SmallRng::seed_from_u64(seed);
        let outcomes = (0..starts).map(|_| minimize(self, &self.random_start(&mut rng)));
        outcomes.min_by(|a, b| a.loss.total_cmp(&b.loss)).expect("at least one start")
    }
}

impl Smooth for CrossEntropyObjective {
    type Workspace = Workspace;

    fn gradient_in(workspace: &Workspace) -> &[f64] {
        &workspace.gradient
    }

    fn scales(&self) -> Vec<f64> {
        self.network.scales()
    }

    fn workspace(&self) -> Workspace {
        self.network.workspace()
    }

    fn evaluate(&self, point: &[f64], workspace: &mut Workspace) -> f64 {
        self.network.forward(point, workspace);
        let target = self.network.target();
        let outputs = &mut workspace.activations[self.network.depth()];
        let mut sum = 0.0;
        for (column, labels) in outputs.chunks_exact_mut(target.nrows()).zip(target.column_iter()) {
            // The network leaves the outputs less the labels; the fit wants the probabilities less them.
            let label = labels.iter().position(|&entry| entry == 1.0).expect("one-hot labels");
            column[label] += 1.0;
            let right = column[label];
            let largest = column.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let total: f64 = column.iter().map(|output| (output - largest).exp()).sum();
            sum += total.ln() + largest - right;
            for output in column.iter_mut() {
                *output = (*output - largest).exp() / total;
            }
            column[label] -= 1.0;
        }
        self.network.backward(point, workspace);
        sum / target.ncols() as f64 + self.network.penalties(point, &mut workspace.gradient)
    }
}
