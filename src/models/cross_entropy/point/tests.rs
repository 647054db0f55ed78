//! What a point says of itself beside its matrix of logits.

use super::*;
use crate::models::cross_entropy::problem::LossMean;
use crate::problem::regularization::Regularization;

#[test]
fn the_smallest_margin_is_that_of_any_class_to_any_other() {
    let logits = DMatrix::from_row_slice(3, 3, &[5.0, 1.0, 0.0, 2.0, 4.0, 1.0, 0.0, -1.0, 3.5]);
    assert_eq!(smallest_margin(&logits, &[0.0; 3]), 2.5);
    assert_eq!(smallest_margin(&logits, &[0.0, 1.0, -0.5]), 1.0);
    assert_eq!(smallest_margin(&logits, &[0.0, 0.0, -4.0]), -1.5);
}

/// Margin, rank, singular values and energies of every point are those of its logits, and the energies pay for it.
#[test]
fn the_numbers_of_a_point_are_those_of_its_logits() {
    for (classes, bias) in [(4, Bias::Unregularized), (7, Bias::Regularized(0.05)), (5, Bias::None)]
    {
        let regularization =
            Regularization::new(&[0.01, 0.03], 0.02).unwrap().with_bias(bias).unwrap();
        let ufm = CrossEntropyUfm::new(classes, 3, regularization).unwrap();
        let ufm = ufm.with_loss_mean(LossMean::TwiceSamples);
        // c·u is the geometric mean of the decays, n times λ_H among them.
        let mean = (0.01 * 0.03 * 3.0 * 0.02_f64).cbrt();
        for point in ufm.landscape().unwrap().points() {
            let logits = point.class_outputs().unwrap().to_dense().unwrap();
            let biases = point.bias().unwrap_or_else(|| vec![0.0; classes]);
            let margin = smallest_margin(&logits, &biases);
            assert!((point.margin() - margin).abs() < 1e-12, "{}: {margin}", point.structure());
            let values = logits.singular_values();
            let mut of_logits: Vec<f64> = values.iter().copied().filter(|s| *s > 1e-9).collect();
            of_logits.sort_by(|a, b| b.total_cmp(a));
            let listed = point.logit_singular_values().into_iter().zip(point.energies());
            let listed: Vec<(f64, f64)> = listed
                .flat_map(|(logit, (energy, of_energy))| {
                    assert_eq!(logit.multiplicity, of_energy);
                    core::iter::repeat_n((logit.value, energy), of_energy)
                })
                .collect();
            assert_eq!((point.rank(), listed.len()), (of_logits.len(), of_logits.len()));
            for (&(value, energy), s) in listed.iter().zip(of_logits) {
                assert!((value / s - 1.0).abs() < 1e-11, "{}: {value} {s}", point.structure());
                assert!((energy / (mean * s.powf(2.0 / 3.0)) - 1.0).abs() < 1e-11);
            }
        }
    }
}

/// λ = 1e-320 asks for squared weights of t/λ = 10^313.7 with t = u ln(1/u − 1) and u = 10^−7.5, whichever matrix has it.
#[test]
fn squared_weights_out_of_range_are_refused() {
    for (weight_decay, feature_decay) in [(1e-320, 1e305), (1e305, 1e-320)] {
        let regularization = Regularization::new(&[weight_decay], feature_decay).unwrap();
        let error = CrossEntropyUfm::new(2, 1, regularization).unwrap().simplex_etf().unwrap_err();
        let Error::Unrepresentable { quantity, log10 } = error else { panic!("{error}") };
        assert_eq!(quantity, "a squared singular value of the weights or features");
        assert!((log10 - 313.737).abs() < 1e-3, "{log10}");
    }
}

/// Symmetric logits are no table of K² numbers.
#[test]
fn simplices_of_a_million_classes_have_logits() {
    for strength in [1e-8, 1.0] {
        let regularization = Regularization::new(&[strength], strength).unwrap();
        let point =
            CrossEntropyUfm::new(1_000_000, 1, regularization).unwrap().simplex_etf().unwrap();
        assert_eq!(point.class_outputs().unwrap().classes(), 1_000_000);
        assert!(point.is_symmetric() && point.is_unique());
        assert_eq!(
            (point.rank(), point.margin() > 0.0),
            if strength < 1.0 { (999_999, true) } else { (0, false) }
        );
    }
}

/// Smoothed labels and half the mean loss are class weights.
#[test]
fn the_objective_has_the_mean_and_the_labels_of_the_problem() {
    let regularization = Regularization::new(&[0.01], 0.01).unwrap();
    let ufm = CrossEntropyUfm::new(3, 1, regularization).unwrap();
    let objective = |ufm: &CrossEntropyUfm| ufm.simplex_etf().unwrap().training_objective();
    let half = ufm.clone().with_loss_mean(LossMean::TwiceSamples);
    let is_plain = |objective, expected| matches!(objective, TrainingObjective::Penalized { factor, .. } if factor == expected);
    assert!(is_plain(objective(&ufm), 1.0) && is_plain(objective(&half), 0.5));
    for (ufm, weights) in [(ufm, vec![]), (half, vec![0.5; 3])] {
        let smoothed = objective(&ufm.with_label_smoothing(0.1).unwrap());
        let TrainingObjective::WeightedCrossEntropy { class_weights, label_smoothing, .. } =
            smoothed
        else {
            panic!("{smoothed:?}")
        };
        assert_eq!((class_weights, label_smoothing), (weights, 0.1));
    }
}
