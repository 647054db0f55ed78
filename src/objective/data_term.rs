//! How outputs are held against labels.

use crate::error::{Argument, Error, Result};
use crate::problem::probabilities::{ROUNDING, sum_of_probabilities};
use crate::problem::training_objective::{LossFunction, TrainingObjective};

/// A loss function whose values over samples can be summed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct DataTerm {
    kind: Kind,
    /// ω, one number per class; empty if all are 1.
    class_weights: Vec<f64>,
    /// δ.
    label_smoothing: f64,
    /// ι, added to the outputs; empty if all are 0.
    logit_offsets: Vec<f64>,
    /// The soft labels that labels are the numbers of; empty if labels are classes.
    soft_labels: Vec<Vec<f64>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    SquaredError,
    CrossEntropy,
    /// Where weights are those of the entries of labels.
    WeightedEntries,
    SoftLabels,
}

impl DataTerm {
    /// The data term of an objective for K = `classes`.
    ///
    /// [`Error::NotAnswered`] for a margin, which is a constraint and has no value, and for samples with more than
    /// one label.
    pub(super) fn new(objective: &TrainingObjective, classes: usize) -> Result<Self> {
        let labels = objective.labels(classes);
        let (class_weights, label_smoothing) = match objective {
            TrainingObjective::WeightedCrossEntropy { class_weights, label_smoothing, .. }
            | TrainingObjective::WeightedSquaredError { class_weights, label_smoothing, .. } => {
                (class_weights.clone(), *label_smoothing)
            }
            TrainingObjective::WeightedEntries { entry_weights, label_smoothing, .. } => {
                (entry_weights.clone(), *label_smoothing)
            }
            TrainingObjective::SoftLabels { weights, .. } => (weights.clone(), 0.0),
            TrainingObjective::FixedSimplexHead { label_smoothing, .. } => {
                (Vec::new(), *label_smoothing)
            }
            _ => (Vec::new(), 0.0),
        };
        check_length("class_weights", &class_weights, labels)?;
        if matches!(objective, TrainingObjective::WeightedEntries { .. })
            && class_weights.is_empty()
        {
            return Err(Error::length("entry_weights", 0, classes, "one for each class"));
        }
        let logit_offsets = match objective {
            TrainingObjective::WeightedCrossEntropy { logit_offsets, .. } => logit_offsets.clone(),
            _ => Vec::new(),
        };
        check_length("logit_offsets", &logit_offsets, classes)?;
        let soft_labels = match objective {
            TrainingObjective::SoftLabels { labels, .. } => labels.clone(),
            _ => Vec::new(),
        };
        for (index, label) in soft_labels.iter().enumerate() {
            if label.len() != classes {
                let reason = "one probability for each class";
                return Err(Error::length("labels", label.len(), classes, reason));
            }
            let (place, whole) =
                (|class| Argument::entry("labels", class, index), Argument::at("labels", index));
            sum_of_probabilities(label, ROUNDING, place, whole)?;
        }
        let question = "the objective of a measured network";
        let kind = match objective.loss_function() {
            LossFunction::SquaredError => Kind::SquaredError,
            LossFunction::CrossEntropy => match objective {
                TrainingObjective::WeightedEntries { .. } => Kind::WeightedEntries,
                _ => Kind::CrossEntropy,
            },
            LossFunction::SupervisedContrastive => {
                let reason = "it is a loss of pairs of samples";
                return Err(Error::NotAnswered { question, reason });
            }
            LossFunction::SoftLabels if !soft_labels.is_empty() => Kind::SoftLabels,
            LossFunction::PickAllLabels | LossFunction::SoftLabels => {
                let reason = "its samples have no single label";
                return Err(Error::NotAnswered { question, reason });
            }
            LossFunction::Margin | LossFunction::ScaledMargin | LossFunction::SupportMargin => {
                let reason = "a margin is a constraint, which a network meets or not";
                return Err(Error::NotAnswered { question, reason });
            }
        };
        Ok(Self { kind, class_weights, label_smoothing, logit_offsets, soft_labels })
    }

    /// Numbers that tell it from others.
    pub(super) fn words(&self) -> Vec<u64> {
        let lists = [&self.class_weights, &self.logit_offsets];
        let lists = lists.into_iter().chain(&self.soft_labels);
        // The length of each list tells where it ends.
        let words = lists.flat_map(|list| {
            core::iter::once(list.len() as u64).chain(list.iter().map(|number| number.to_bits()))
        });
        [self.kind as u64, self.label_smoothing.to_bits()].into_iter().chain(words).collect()
    }

    /// What the sum of [`residuals`](Self::residuals) over N samples is divided by.
    pub(super) fn divisor(&self, samples: f64) -> f64 {
        match self.kind {
            Kind::SquaredError => 2.0 * samples,
            Kind::CrossEntropy | Kind::WeightedEntries | Kind::SoftLabels => samples,
        }
    }

    /// Turns the outputs for a block of samples into R, N times the derivative of the data term by
    /// them, and returns their losses.
    pub(super) fn residuals(&self, outputs: &mut [f64], labels: &[usize]) -> Vec<f64> {
        let columns = outputs.chunks_mut(outputs.len() / labels.len()).zip(labels);
        columns.map(|(column, &label)| self.residual(column, label)).collect()
    }

    /// The same for one sample.
    fn residual(&self, outputs: &mut [f64], label: usize) -> f64 {
        let weight = match self.class_weights.as_slice() {
            [] => 1.0,
            weights => weights[label],
        };
        outputs.iter_mut().zip(&self.logit_offsets).for_each(|(output, offset)| *output += offset);
        match self.kind {
            Kind::SquaredError => squared_error(outputs, label, weight, self.label_smoothing),
            Kind::CrossEntropy => cross_entropy(outputs, label, weight, self.label_smoothing),
            Kind::WeightedEntries => {
                weighted_entries(outputs, label, &self.class_weights, self.label_smoothing)
            }
            Kind::SoftLabels => soft_cross_entropy(outputs, &self.soft_labels[label], weight),
        }
    }
}

/// Turns outputs z into ω(z − y), y = (1−δ)e_y + δ1/K, and returns ω‖z − y‖².
fn squared_error(outputs: &mut [f64], label: usize, weight: f64, smoothing: f64) -> f64 {
    let classes = outputs.len() as f64;
    outputs[label] -= 1.0 - smoothing;
    if smoothing > 0.0 {
        outputs.iter_mut().for_each(|output| *output -= smoothing / classes);
    }
    let square: f64 = outputs.iter().map(|output| output * output).sum();
    if weight != 1.0 {
        outputs.iter_mut().for_each(|output| *output *= weight);
    }
    weight * square
}

/// Turns outputs z into ω(p − (1−δ)e_y − δ1/K), p the probabilities, and returns
/// ω CE(z, (1−δ)e_y + δ1/K) = ω(−ln p_y + δ(z_y − mean z)).
fn cross_entropy(outputs: &mut [f64], label: usize, weight: f64, smoothing: f64) -> f64 {
    let classes = outputs.len() as f64;
    let excess = match smoothing > 0.0 {
        true => outputs.iter().map(|output| (outputs[label] - output) / classes).sum::<f64>(),
        false => 0.0,
    };
    let loss = softmax(outputs, label) + smoothing * excess;
    outputs[label] -= 1.0 - smoothing;
    if smoothing > 0.0 || weight != 1.0 {
        outputs.iter_mut().for_each(|output| *output = weight * (*output - smoothing / classes));
    }
    weight * loss
}

/// Turns outputs z into W p − Ωy′, y′ = (1−δ)e_y + δ1/K, Ω = diag(ω), W = 1ᵀΩy′, and returns −(Ωy′)ᵀ ln p =
/// −W ln p_y + (δ/K) Σ_k ω_k (z_y − z_k).
fn weighted_entries(outputs: &mut [f64], label: usize, weights: &[f64], smoothing: f64) -> f64 {
    let share = smoothing / outputs.len() as f64;
    let own = outputs[label];
    let entries = outputs.iter().zip(weights);
    let excess = match smoothing > 0.0 {
        true => entries.map(|(output, weight)| share * weight * (own - output)).sum(),
        // Differences may be out of range, and do not count.
        false => 0.0,
    };
    let total = (1.0 - smoothing) * weights[label] + share * weights.iter().sum::<f64>();
    let loss = total * softmax(outputs, label) + excess;
    for (output, weight) in outputs.iter_mut().zip(weights) {
        *output = total * *output - share * weight;
    }
    outputs[label] -= (1.0 - smoothing) * weights[label];
    loss
}

/// Turns outputs z into ω(p − y) and returns ω CE(z, y) = ω(−ln p_a + Σ_k y_k (z_a − z_k)), a the class of the largest
/// probability in y.
fn soft_cross_entropy(outputs: &mut [f64], label: &[f64], weight: f64) -> f64 {
    let largest = label.iter().enumerate().max_by(|one, other| one.1.total_cmp(other.1));
    let anchor = largest.map_or(0, |(class, _)| class);
    let own = outputs[anchor];
    let terms = outputs.iter().zip(label).filter(|(_, share)| **share > 0.0);
    let excess: f64 = terms.map(|(output, share)| share * (own - output)).sum();
    let loss = softmax(outputs, anchor) + excess;
    for (output, share) in outputs.iter_mut().zip(label) {
        *output = weight * (*output - share);
    }
    weight * loss
}

/// Refuses a list that is neither empty nor of this length.
fn check_length(name: &'static str, list: &[f64], expected: usize) -> Result<()> {
    if list.is_empty() || list.len() == expected {
        return Ok(());
    }
    Err(Error::length(name, list.len(), expected, "one for each class"))
}

/// Turns outputs into probabilities and returns −ln of that of the label.
fn softmax(outputs: &mut [f64], label: usize) -> f64 {
    let largest = outputs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let gap = largest - outputs[label];
    outputs.iter_mut().for_each(|output| *output = (*output - largest).exp());
    let total: f64 = outputs.iter().sum();
    // Summed without the label where that is the largest: its loss may be far below ε.
    let wrong = outputs.iter().enumerate().filter(|&(class, _)| class != label);
    let loss = match gap > 0.0 {
        true => gap + total.ln(),
        false => wrong.map(|(_, weight)| weight).sum::<f64>().ln_1p(),
    };
    outputs.iter_mut().for_each(|output| *output /= total);
    loss
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::regularization::Regularization;

    /// Lists are for the classes, or for the soft labels, or empty where that means that nothing is weighted.
    #[test]
    fn lists_have_the_length_of_what_they_are_for() {
        let regularization = Regularization::new(&[0.1], 0.1).unwrap();
        let objectives = |class_weights: Vec<f64>, logit_offsets: Vec<f64>| {
            [
                TrainingObjective::WeightedCrossEntropy {
                    regularization: regularization.clone(),
                    class_weights: class_weights.clone(),
                    label_smoothing: 0.1,
                    logit_offsets,
                    nonnegative_features: false,
                },
                TrainingObjective::WeightedSquaredError {
                    regularization: regularization.clone(),
                    class_weights: class_weights.clone(),
                    label_smoothing: 0.1,
                },
                TrainingObjective::WeightedEntries {
                    regularization: regularization.clone(),
                    entry_weights: class_weights.clone(),
                    label_smoothing: 0.1,
                },
                TrainingObjective::SoftLabels {
                    regularization: regularization.clone(),
                    labels: vec![vec![0.3, 0.7]; 3],
                    weights: class_weights,
                },
            ]
        };
        let fit = |weights: &[f64], offsets: &[f64], classes: usize| {
            objectives(weights.to_vec(), offsets.to_vec())
                .map(|objective| DataTerm::new(&objective, classes).is_ok())
        };
        assert_eq!(fit(&[1.0, 2.0], &[], 2), [true, true, true, false]);
        assert_eq!(fit(&[1.0, 2.0, 3.0], &[], 2), [false, false, false, true]);
        assert_eq!(fit(&[1.0, 2.0, 3.0], &[], 3), [true, true, true, false]);
        assert_eq!(fit(&[], &[], 2), [true, true, false, true]);
        assert!(fit(&[], &[0.1, 0.2], 2)[0] && !fit(&[], &[0.1], 2)[0]);
        assert!(!fit(&[1.0], &[], 2).contains(&true));
    }

    /// Losses by their definitions, and residuals by differences of these.
    #[test]
    fn residuals_are_derivatives_of_the_losses() {
        let (outputs, weights) = ([0.3, -1.1, 0.8, 0.1], vec![0.5, 2.0, 1.5, 0.7]);
        let probability = |z: &[f64], k: usize| z[k].exp() / z.iter().map(|z| z.exp()).sum::<f64>();
        let cross_entropy = |z: &[f64], label: &[f64]| -> f64 {
            (0..4).map(|k| -label[k] * probability(z, k).ln()).sum()
        };
        let offsets = [0.2, -0.3, 0.5, 0.0];
        let soft = vec![vec![0.1, 0.2, 0.3, 0.4], vec![0.0, 0.6, 0.4, 0.0]];
        for kind in
            [Kind::SquaredError, Kind::CrossEntropy, Kind::WeightedEntries, Kind::SoftLabels]
        {
            for (smoothing, is_weighted, label) in
                [(0.0, false, 0), (0.0, true, 1), (0.2, false, 1), (0.2, true, 0)]
            {
                let has_offsets = is_weighted && kind == Kind::CrossEntropy;
                let term = DataTerm {
                    kind,
                    class_weights: match is_weighted || kind == Kind::WeightedEntries {
                        true => weights.clone(),
                        false => Vec::new(),
                    },
                    label_smoothing: smoothing,
                    logit_offsets: if has_offsets { offsets.to_vec() } else { Vec::new() },
                    soft_labels: if kind == Kind::SoftLabels { soft.clone() } else { Vec::new() },
                };
                let weight = if is_weighted { weights[label] } else { 1.0 };
                let smooth: Vec<f64> = (0..4)
                    .map(|k| smoothing / 4.0 + if k == label { 1.0 - smoothing } else { 0.0 })
                    .collect();
                let loss = |z: &[f64]| -> f64 {
                    let shift = |k: usize| if has_offsets { z[k] + offsets[k] } else { z[k] };
                    let z: Vec<f64> = (0..4).map(shift).collect();
                    match kind {
                        Kind::SquaredError => {
                            weight * (0..4).map(|k| (z[k] - smooth[k]).powi(2)).sum::<f64>()
                        }
                        Kind::CrossEntropy => weight * cross_entropy(&z, &smooth),
                        Kind::WeightedEntries => {
                            let entries: Vec<f64> =
                                (0..4).map(|k| weights[k] * smooth[k]).collect();
                            cross_entropy(&z, &entries)
                        }
                        Kind::SoftLabels => weight * cross_entropy(&z, &soft[label]),
                    }
                };
                // Two equal samples, of which the first counts here.
                let mut both = [outputs, outputs].concat();
                let found = term.residuals(&mut both, &[label, label]);
                assert!(
                    found.iter().all(|found| (found - loss(&outputs)).abs() < 1e-14),
                    "{kind:?}"
                );
                assert_eq!(both[..4], both[4..]);
                for k in 0..4 {
                    let at = |step: f64| {
                        let mut z = outputs;
                        z[k] += step;
                        loss(&z) / term.divisor(1.0)
                    };
                    let slope = (at(1e-5) - at(-1e-5)) / 2e-5;
                    assert!((both[k] - slope).abs() < 1e-9, "{kind:?}: {} {slope}", both[k]);
                }
            }
        }
    }

    /// Without smoothing, differences of outputs that overflow do not count beside the largest.
    #[test]
    fn outputs_as_far_apart_as_numbers_can_be() {
        let losses: [fn(&mut [f64]) -> f64; 3] = [
            |outputs| cross_entropy(outputs, 0, 1.0, 0.0),
            |outputs| weighted_entries(outputs, 0, &[1.0, 2.0, 3.0], 0.0),
            |outputs| soft_cross_entropy(outputs, &[1.0, 0.0, 0.0], 1.0),
        ];
        for loss in losses {
            let mut outputs = [1e308, -1e308, 0.0];
            assert_eq!(loss(&mut outputs), 0.0);
            assert_eq!(outputs, [0.0; 3]);
        }
    }

    /// Terms that differ in one thing, or in where a list ends.
    #[test]
    fn words_tell_terms_apart() {
        let term = |kind, class_weights: &[f64], label_smoothing, logit_offsets: &[f64]| DataTerm {
            kind,
            class_weights: class_weights.to_vec(),
            label_smoothing,
            logit_offsets: logit_offsets.to_vec(),
            soft_labels: Vec::new(),
        };
        let soft_labels = vec![vec![0.5, 0.5], vec![0.3, 0.7]];
        let terms = [
            term(Kind::CrossEntropy, &[], 0.0, &[]),
            term(Kind::SquaredError, &[], 0.0, &[]),
            term(Kind::CrossEntropy, &[], 0.1, &[]),
            term(Kind::CrossEntropy, &[1.0, 2.0], 0.0, &[]),
            term(Kind::CrossEntropy, &[], 0.0, &[1.0, 2.0]),
            term(Kind::CrossEntropy, &[1.0], 0.0, &[2.0]),
            DataTerm { soft_labels, ..term(Kind::CrossEntropy, &[], 0.0, &[]) },
        ];
        for (index, term) in terms.iter().enumerate() {
            assert!(terms[..index].iter().all(|other| other.words() != term.words()), "{term:?}");
        }
    }
}
