//! Features of fewer dimensions than classes: the convex program bounds what a search finds.

use neural_collapse::Error;
use neural_collapse::models::AnyModel;
use neural_collapse::models::low_rank::{LowRankProblem, Search};
use neural_collapse::problem::{LossFunction, TrainingObjective};

use super::*;

/// Where the minimum of the program has too large a rank a search stays above its bound; where it fits it is the answer.
#[test]
fn narrow_features_keep_the_bound() {
    let counts = ClassCounts::new(&[60, 20, 20, 20, 20]).unwrap();
    let search = Search::default().with_starts(5);
    // Between the two largest critical products only one direction is left.
    for (decay, width, proof) in [(1e-3, 2, "best_known"), (0.045, 1, "proved_within_gap")] {
        let regularization = Regularization::new(&[decay], decay).unwrap();
        let wide = ConvexUfm::cross_entropy(counts.clone(), regularization.clone()).unwrap();
        let wide = wide.global_minimum().unwrap();
        let objective = TrainingObjective::penalized(LossFunction::CrossEntropy, regularization);
        let widths = [width];
        let widths = Some(widths.as_slice());
        let model =
            AnyModel::new_with(&objective, counts.clone(), widths, Some(&search), &()).unwrap();
        let narrow = model.prediction();
        assert_eq!(narrow.verdict().keyword(), proof);
        assert_eq!(narrow.lower_bound(), wide.lower_bound());
        assert_eq!(narrow.widths(), widths);
        let excess = narrow.loss() / wide.loss() - 1.0;
        let alone = AnyModel::new(&objective, counts.clone(), widths);
        match proof {
            "best_known" => {
                assert!(excess > 1e-3, "{excess}");
                assert!(matches!(alone, Err(Error::NoClosedForm { .. })));
            }
            _ => assert_eq!((excess, alone.unwrap().prediction().loss()), (0.0, narrow.loss())),
        }
    }
}

/// With room for every rank the search ends at the bound: two methods, one minimum.
#[test]
fn a_search_of_one_layer_reaches_the_bound() {
    let (search, weights) = (Search::default().with_starts(5), [1.0, 0.5, 2.0, 1.5]);
    for bias in [Bias::None, Bias::Unregularized, Bias::Regularized(0.02)] {
        let regularization = Regularization::new(&[2e-3], 1e-3).unwrap().with_bias(bias).unwrap();
        for problem in [LowRankProblem::cross_entropy, LowRankProblem::squared] {
            let counts = ClassCounts::new(&[40, 20, 10, 5]).unwrap();
            let problem = problem(counts, regularization.clone()).unwrap();
            let problem = problem.with_class_weights(&weights).unwrap();
            let problem = problem.with_label_smoothing(0.1).unwrap();
            let found = problem.minimize(&search, &()).unwrap();
            let gap = found.loss() - found.lower_bound().unwrap();
            assert!((0.0..GAP * found.loss()).contains(&gap), "{bias:?}: {gap:e}");
        }
    }
}
