//! The training objective with analytic gradient, for any target matrix.

use std::ops::Range;

use nalgebra::{DMatrix, DVector};
use neural_collapse::Bias;

use super::kernels::{add_product, add_product_transposed, add_scaled, dot, transposed_product};
use super::lbfgs::Smooth;

/// The full objective, in W₁, …, W_M, H and b:
///
/// f = 1/(2N) ‖W_M ⋯ W₁ H + b 1ᵀ − Y‖² + Σ λₘ/2 ‖Wₘ‖² + λ_H/2 ‖H‖² + λ_b/2 ‖b‖².
///
/// A point is one slice: W₁, …, W_M, H, each column by column, then b if there is one.
#[derive(Debug, Clone)]
pub struct MseObjective {
    target: DMatrix<f64>,
    bias: Bias,
    /// W₁, …, W_M, H and b, the last without a column where there is no bias.
    blocks: Vec<Block>,
}

/// A matrix inside a point.
#[derive(Debug, Clone)]
struct Block {
    range: Range<usize>,
    rows: usize,
    columns: usize,
    decay: f64,
}

/// A point of [`MseObjective`], unpacked.
#[derive(Debug, Clone)]
pub struct Unpacked {
    /// W₁, …, W_M.
    pub weights: Vec<DMatrix<f64>>,
    /// H, one sample per column.
    pub features: DMatrix<f64>,
    /// b, which is zero where the objective has none.
    pub bias: DVector<f64>,
}

/// Buffers of an evaluation, and the gradient it found.
#[derive(Debug, Clone)]
pub struct Workspace {
    /// H, W₁H, …, and last the residual W_M⋯W₁H + b1ᵀ − Y.
    pub(super) activations: Vec<Vec<f64>>,
    /// Derivatives with respect to the output and the input of the layer at work.
    upstream: Vec<f64>,
    downstream: Vec<f64>,
    /// ∇f, packed as the point is.
    pub gradient: Vec<f64>,
}

/// The K×N matrix of class indicators, with `counts[k]` samples of class k, sorted by class.
pub fn one_hot(counts: &[usize]) -> DMatrix<f64> {
    let labels: Vec<usize> = counts
        .iter()
        .enumerate()
        .flat_map(|(class, &count)| std::iter::repeat_n(class, count))
        .collect();
    DMatrix::from_fn(counts.len(), labels.len(), |class, sample| {
        f64::from(u8::from(labels[sample] == class))
    })
}

impl MseObjective {
    /// The objective for a target Y (K×N), decays λ₁, …, λ_M and widths d₁, …, d_M.
    ///
    /// # Panics
    /// If there is no layer, or if the decays and the widths differ in number.
    pub fn new(
        target: DMatrix<f64>,
        weight_decays: &[f64],
        feature_decay: f64,
        bias: Bias,
        widths: &[usize],
    ) -> Self {
        assert!(!widths.is_empty() && widths.len() == weight_decays.len());
        let (classes, samples) = target.shape();
        let outputs = widths.iter().skip(1).chain([&classes]);
        let (bias_columns, bias_decay) = match bias {
            Bias::None => (0, 0.0),
            Bias::Unregularized => (1, 0.0),
            Bias::Regularized(decay) => (1, decay),
        };
        let mut blocks = Vec::with_capacity(widths.len() + 2);
        let mut end = 0;
        let mut push = |rows, columns, decay| {
            let range = end..end + rows * columns;
            end = range.end;
            blocks.push(Block { range, rows, columns, decay });
        };
        for ((&rows, &columns), &decay) in outputs.zip(widths).zip(weight_decays) {
            push(rows, columns, decay);
        }
        push(widths[0], samples, feature_decay);
        push(classes, bias_columns, bias_decay);
        Self { target, bias, blocks }
    }

    /// The objective of a classifier: one-hot targets, `counts[k]` samples of class k, sorted by
    /// class.
    pub fn from_counts(
        counts: &[usize],
        weight_decays: &[f64],
        feature_decay: f64,
        bias: Bias,
        widths: &[usize],
    ) -> Self {
        Self::new(one_hot(counts), weight_decays, feature_decay, bias, widths)
    }

    /// Y.
    pub fn target(&self) -> &DMatrix<f64> {
        &self.target
    }

    /// Treatment of the bias.
    pub fn bias(&self) -> Bias {
        self.bias
    }

    /// Number of linear layers M.
    pub fn depth(&self) -> usize {
        self.blocks.len() - 2
    }

    /// Number of samples N.
    pub fn samples(&self) -> usize {
        self.target.ncols()
    }

    /// The largest possible rank of W_M⋯W₁H: min(K, d₁, …, d_M).
    pub fn rank_limit(&self) -> usize {
        self.weights().iter().map(|w| w.columns.min(w.rows)).min().expect("there is a layer")
    }

    /// P = λ_H λ₁ ⋯ λ_M.
    pub fn decay_product(&self) -> f64 {
        self.factor_decays().product()
    }

    /// The decays of W₁, …, W_M, H.
    pub fn factor_decays(&self) -> impl Iterator<Item = f64> {
        self.factors().iter().map(|block| block.decay)
    }

    /// Rows and columns of W₁, …, W_M, H.
    pub fn factor_shapes(&self) -> impl Iterator<Item = (usize, usize)> {
        self.factors().iter().map(|block| (block.rows, block.columns))
    }

    /// Length of a point.
    pub fn dimension(&self) -> usize {
        self.bias_block().range.end
    }

    /// The square root of a natural curvature for each parameter: √λ for weights and features,
    /// √(1 + λ_b) for the bias.
    ///
    /// Multiplied by it, parameters of layers with decays of different sizes become comparable.
    pub fn scales(&self) -> Vec<f64> {
        let mut scales = vec![(1.0 + self.bias_block().decay).sqrt(); self.dimension()];
        for block in self.factors() {
            scales[block.range.clone()].fill(block.decay.sqrt());
        }
        scales
    }

    /// Packs W₁, …, W_M, H and b into a point; b is ignored where the objective has none.
    ///
    /// # Panics
    /// If a matrix has the wrong shape.
    pub fn pack(&self, point: &Unpacked) -> Vec<f64> {
        let mut packed = Vec::with_capacity(self.dimension());
        let factors = point.weights.iter().chain([&point.features]);
        for (factor, shape) in factors.zip(self.factor_shapes()) {
            assert_eq!(factor.shape(), shape);
            packed.extend_from_slice(factor.as_slice());
        }
        packed.extend_from_slice(&point.bias.as_slice()[..self.bias_block().range.len()]);
        assert_eq!(packed.len(), self.dimension());
        packed
    }

    /// The inverse of [`pack`](Self::pack).
    pub fn unpack(&self, point: &[f64]) -> Unpacked {
        let matrix = |block: &Block| {
            DMatrix::from_column_slice(block.rows, block.columns, &point[block.range.clone()])
        };
        let bias = matrix(self.bias_block()).column_sum();
        Unpacked {
            weights: self.weights().iter().map(matrix).collect(),
            features: matrix(self.features()),
            bias,
        }
    }

    /// f at a point.
    pub fn loss(&self, point: &[f64]) -> f64 {
        self.evaluate(point, &mut self.workspace())
    }

    /// ∇f at a point, packed as the point is.
    pub fn gradient(&self, point: &[f64]) -> Vec<f64> {
        let mut workspace = self.workspace();
        self.evaluate(point, &mut workspace);
        workspace.gradient
    }

    /// Buffers for [`evaluate`](Self::evaluate).
    pub fn workspace(&self) -> Workspace {
        let heights = self.weights().iter().map(|w| w.columns).chain([self.target.nrows()]);
        Workspace {
            activations: heights.map(|height| vec![0.0; height * self.samples()]).collect(),
            upstream: Vec::new(),
            downstream: Vec::new(),
            gradient: vec![0.0; self.dimension()],
        }
    }

    /// f at a point; leaves the gradient in `workspace.gradient`.
    pub fn evaluate(&self, point: &[f64], workspace: &mut Workspace) -> f64 {
        self.forward(point, workspace);
        self.backward(point, workspace);
        let residual = &workspace.activations[self.depth()];
        let fit = dot(residual, residual) / (2.0 * self.samples() as f64);
        fit + self.penalties(point, &mut workspace.gradient)
    }

    /// Fills the activations.
    pub(super) fn forward(&self, point: &[f64], workspace: &mut Workspace) {
        let activations = &mut workspace.activations;
        activations[0].copy_from_slice(&point[self.features().range.clone()]);
        for (layer, block) in self.weights().iter().enumerate() {
            let (inputs, outputs) = activations.split_at_mut(layer + 1);
            let (input, output) = (&inputs[layer], &mut outputs[0]);
            output.fill(0.0);
            add_product(block.rows, block.columns, &point[block.range.clone()], input, output);
        }
        let residual = &mut activations[self.depth()];
        add_scaled(-1.0, self.target.as_slice(), residual);
        for column in residual.chunks_exact_mut(self.target.nrows()) {
            // An empty slice where there is no bias, and then nothing is added.
            add_scaled(1.0, &point[self.bias_block().range.clone()], column);
        }
    }

    /// Sets the gradient to that of the fit, from the activations.
    pub(super) fn backward(&self, point: &[f64], workspace: &mut Workspace) {
        let Workspace { activations, upstream, downstream, gradient } = workspace;
        gradient.fill(0.0);
        upstream.clear();
        upstream.extend(activations[self.depth()].iter().map(|r| r / self.samples() as f64));
        for column in upstream.chunks_exact(self.target.nrows()) {
            add_scaled(1.0, column, &mut gradient[self.bias_block().range.clone()]);
        }
        for (block, input) in self.weights().iter().zip(&*activations).rev() {
            let of_block = &mut gradient[block.range.clone()];
            add_product_transposed(block.rows, block.columns, upstream, input, of_block);
            downstream.resize(input.len(), 0.0);
            transposed_product(block.rows, &point[block.range.clone()], upstream, downstream);
            std::mem::swap(upstream, downstream);
        }
        gradient[self.features().range.clone()].copy_from_slice(upstream);
    }

    /// The sum of the penalties, whose gradient is added.
    pub(super) fn penalties(&self, point: &[f64], gradient: &mut [f64]) -> f64 {
        let mut sum = 0.0;
        for Block { range, decay, .. } in &self.blocks {
            let block = &point[range.clone()];
            add_scaled(*decay, block, &mut gradient[range.clone()]);
            sum += decay / 2.0 * dot(block, block);
        }
        sum
    }

    fn weights(&self) -> &[Block] {
        &self.blocks[..self.depth()]
    }

    fn features(&self) -> &Block {
        &self.blocks[self.depth()]
    }

    fn factors(&self) -> &[Block] {
        &self.blocks[..=self.depth()]
    }

    fn bias_block(&self) -> &Block {
        &self.blocks[self.depth() + 1]
    }
}

impl Smooth for MseObjective {
    type Workspace = Workspace;

    fn scales(&self) -> Vec<f64> {
        self.scales()
    }

    fn workspace(&self) -> Workspace {
        self.workspace()
    }

    fn evaluate(&self, point: &[f64], workspace: &mut Workspace) -> f64 {
        self.evaluate(point, workspace)
    }

    fn gradient_in(workspace: &Workspace) -> &[f64] {
        &workspace.gradient
    }
}
