//! The data term of a training objective, written out from its formula.

use nalgebra::{DMatrix, DVector};
use neural_collapse::LinearHead;
use neural_collapse::problem::{LossFunction, TrainingObjective};

/// What each sample is held against.
#[derive(Debug, Clone)]
pub enum Held {
    /// The number of its class, or of its soft label.
    Labels(Vec<usize>),
    /// A column of a target.
    Target(DMatrix<f64>),
    /// A set of tags or a support.
    Sets(Vec<Vec<usize>>),
}

/// Σ_i w_i ℓ(z_i/τ + ι, y_i) with the cross-entropy ℓ(z, y) = Σ_k y_k (ln Σ_c exp z_c − z_k) or ½‖z − y‖².
#[derive(Debug)]
pub struct DataTerm {
    is_squared: bool,
    /// y, a column for each sample.
    targets: DMatrix<f64>,
    weights: Vec<f64>,
    offsets: DVector<f64>,
    temperature: f64,
}

/// The derivatives of a data term.
#[derive(Debug)]
pub struct Slopes {
    pub value: f64,
    pub layers: Vec<DMatrix<f64>>,
    pub bias: DVector<f64>,
    pub features: DMatrix<f64>,
}

impl DataTerm {
    /// That of an objective for K = `classes`; `None` for constraints.
    pub fn new(objective: &TrainingObjective, classes: usize, held: &Held) -> Option<Self> {
        let is_squared = objective.loss_function() == LossFunction::SquaredError;
        let (mut factor, mut smoothing, mut temperature) = (1.0, 0.0, 1.0);
        let (mut weights, mut entry_weights, mut offsets): (&[f64], &[f64], &[f64]) =
            (&[], &[], &[]);
        let mut soft_labels = None;
        match objective {
            TrainingObjective::Penalized { factor: own, .. } => factor = *own,
            TrainingObjective::WeightedCrossEntropy {
                class_weights,
                label_smoothing,
                logit_offsets,
                ..
            } => (weights, smoothing, offsets) = (class_weights, *label_smoothing, logit_offsets),
            TrainingObjective::WeightedSquaredError { class_weights, label_smoothing, .. } => {
                (weights, smoothing) = (class_weights, *label_smoothing);
            }
            TrainingObjective::WeightedEntries { entry_weights: own, label_smoothing, .. } => {
                (entry_weights, smoothing) = (own, *label_smoothing);
            }
            TrainingObjective::SoftLabels { labels, weights: own, .. } => {
                (soft_labels, weights) = (Some(labels), own);
            }
            TrainingObjective::FixedSimplexHead { label_smoothing, .. } => {
                smoothing = *label_smoothing;
            }
            TrainingObjective::UnitVectors { temperature: own, .. } => temperature = *own,
            TrainingObjective::Budgeted { .. } => {}
            _ => return None,
        }
        let entry = |list: &[f64], index: usize, otherwise| match list {
            [] => otherwise,
            list => list[index],
        };
        let one_hot = |k: usize, label: usize| {
            let own = if k == label { 1.0 - smoothing } else { 0.0 };
            entry(entry_weights, k, 1.0) * (own + smoothing / classes as f64)
        };
        let targets = match (held, soft_labels) {
            (Held::Target(target), _) => target.clone(),
            (Held::Sets(sets), _) => DMatrix::from_fn(classes, sets.len(), |k, i| {
                f64::from(u8::from(sets[i].contains(&k)))
            }),
            (Held::Labels(labels), Some(soft)) => {
                DMatrix::from_fn(classes, labels.len(), |k, i| soft[labels[i]][k])
            }
            (Held::Labels(labels), None) => {
                DMatrix::from_fn(classes, labels.len(), |k, i| one_hot(k, labels[i]))
            }
        };
        let samples = targets.ncols();
        let weights = match held {
            Held::Labels(labels) => labels.iter().map(|&y| entry(weights, y, 1.0)).collect(),
            _ => vec![1.0; samples],
        };
        let weights = weights.into_iter().map(|own| factor * own / samples as f64).collect();
        let offsets = DVector::from_fn(classes, |k, _| entry(offsets, k, 0.0));
        Some(Self { is_squared, targets, weights, offsets, temperature })
    }

    /// The value, and the derivatives by the layers, the bias and the features.
    pub fn slopes(&self, head: &LinearHead, features: &DMatrix<f64>) -> Slopes {
        let mut inputs = vec![features.clone()];
        for weight in head.weights() {
            inputs.push(weight * &inputs[inputs.len() - 1]);
        }
        let mut outputs = inputs.pop().unwrap();
        if let Some(bias) = head.bias() {
            outputs.column_iter_mut().for_each(|mut column| column += bias);
        }
        let (value, mut upstream) = self.evaluate(outputs);
        let bias = upstream.column_sum();
        let mut layers = Vec::new();
        for (weight, input) in head.weights().iter().zip(&inputs).rev() {
            layers.push(&upstream * input.transpose());
            upstream = weight.transpose() * upstream;
        }
        layers.reverse();
        Slopes { value, layers, bias, features: upstream }
    }

    /// The value at outputs, and its derivatives by them.
    fn evaluate(&self, mut outputs: DMatrix<f64>) -> (f64, DMatrix<f64>) {
        let mut value = 0.0;
        let columns = outputs.column_iter_mut().zip(self.targets.column_iter());
        for ((mut column, target), weight) in columns.zip(&self.weights) {
            column /= self.temperature;
            column += &self.offsets;
            if self.is_squared {
                column -= target;
                value += weight / 2.0 * column.norm_squared();
            } else {
                // Without the logit itself among the exponentials small losses keep their digits.
                let others = |k: usize| {
                    let ratios = column.iter().map(|z| (z - column[k]).exp()).enumerate();
                    ratios.filter(|&(c, _)| c != k).map(|(_, ratio)| ratio).sum::<f64>()
                };
                let others: Vec<f64> = (0..column.len()).map(others).collect();
                // Logits may lie so far apart that the sum is infinite; where y is zero it is no matter.
                let losses = target.iter().zip(&others).filter(|&(&y, _)| y != 0.0);
                let losses = losses.map(|(y, others)| y * others.ln_1p());
                value += weight * losses.sum::<f64>();
                let mass = target.sum();
                let shares = others.iter().map(|others| mass / (1.0 + others));
                let slopes = shares.zip(target.iter()).map(|(share, y)| share - y);
                column.copy_from_slice(&slopes.collect::<Vec<f64>>());
            }
            column *= weight / self.temperature;
        }
        (value, outputs)
    }
}
