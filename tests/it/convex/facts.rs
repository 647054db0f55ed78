//! Facts with a closed form: merging, total collapse, limits; and how the solver is watched and refuses problems.

use super::*;

/// As the decay vanishes, the geometry becomes that of the support vector machine, as slowly as 1/ln(1/λ).
#[test]
fn without_decay_it_is_the_support_vector_machine() {
    let counts = ClassCounts::new(&[40, 20, 20, 5]).unwrap();
    let svm = Seli::new(counts.clone()).unwrap().trailing_gram(1).unwrap().to_dense().unwrap();
    let mut last = f64::INFINITY;
    for decay in [1e-3, 1e-6, 1e-12, 1e-24, 1e-48] {
        let regularization = Regularization::new(&[decay], decay).unwrap();
        let minimum = solved(&ConvexUfm::cross_entropy(counts.clone(), regularization).unwrap());
        let distance = minimum.trailing_gram(1).unwrap().distance(&svm).unwrap();
        assert!(distance < 0.7 * last, "{decay}: {distance}");
        last = distance;
    }
    assert!(last < 0.02, "{last}");
}

/// p_own − p_sibling and the merging of siblings, on both sides of the threshold, for every bias.
#[test]
fn siblings_merge_where_the_closed_form_says() {
    let counts = [60, 60, 20, 20, 20, 7, 7];
    for bias in [Bias::None, Bias::Unregularized, Bias::Regularized(0.03)] {
        for smoothing in [0.0, 0.1] {
            let case = Case {
                counts: counts.to_vec(),
                weights: vec![1.0, 1.0, 1.5, 1.5, 1.5, 1.0, 1.0],
                smoothing,
                decays: (1.1e-2, 1.3e-2),
                bias,
            };
            let ufm = case.ufm();
            let minimum = solved(&ufm);
            let probabilities = probabilities(&minimum);
            for (own, sibling) in [(0, 1), (2, 3), (5, 6)] {
                let gap = probabilities[(own, own)] - probabilities[(sibling, own)];
                let expected = ufm.probability_gap(own).unwrap();
                assert!((gap - expected).abs() < 1e-13, "{gap}, {expected}: {case:?}");
                let threshold = ufm.merging_count(case.weights[own]).unwrap();
                assert_eq!(expected > 0.0, counts[own] as f64 > threshold);
            }
            // Scale the decays so that n* is just below and just above the size of a class.
            let threshold = ufm.merging_count(1.5).unwrap();
            for (factor, merged) in [(1.0 - 1e-9, false), (1.0 + 1e-9, true)] {
                let decays = (1.1e-2 * (20.0 / threshold * factor), 1.3e-2);
                let minimum = solved(&Case { decays, ..case.clone() }.ufm());
                let outputs = minimum.class_outputs().unwrap();
                assert_eq!(outputs.get(2, 2) == outputs.get(3, 2), merged, "{bias:?}, {factor}");
            }
        }
    }
}

/// Probabilities by the outputs and the bias, a column a class.
fn probabilities(minimum: &ConvexMinimum) -> DMatrix<f64> {
    let mut outputs = minimum.outputs();
    let bias = minimum.bias().map(DVector::from_vec);
    for mut column in outputs.column_iter_mut() {
        if let Some(bias) = &bias {
            column += bias;
        }
        let largest = column.max();
        column.apply(|entry| *entry = (*entry - largest).exp());
        let sum = column.sum();
        column /= sum;
    }
    outputs
}

/// Everything is zero from the critical decays on, and not before.
#[test]
fn total_collapse_where_the_closed_form_says() {
    let mut rng = SmallRng::seed_from_u64(23);
    for _ in 0..40 {
        let mut case = Case::random(&mut rng);
        if matches!(case.bias, Bias::Regularized(_)) {
            case.bias = Bias::Unregularized;
        }
        let critical = case.ufm().critical_decay_product().unwrap().sqrt();
        for (factor, collapsed) in [(1.0 - 1e-5, false), (1.0 + 1e-9, true)] {
            let decay = critical * factor;
            let minimum = solved(&Case { decays: (decay, decay), ..case.clone() }.ufm());
            let found = minimum.geometry() == Geometry::Collapsed;
            assert_eq!(found, collapsed, "{factor}: {case:?}\n{minimum:?}");
        }
        // The factor that takes the decays there.
        let ufm = case.ufm();
        let scaled = case.decays.0.sqrt() * case.decays.1.sqrt() * ufm.collapse_factor().unwrap();
        assert!((scaled / critical - 1.0).abs() < 1e-14, "{case:?}");
    }
}

/// The closed facts to a few ulp of a table made with mpmath, a difference to some of its larger term.
#[test]
fn closed_facts_are_exact() {
    for row in table("convex.csv") {
        let counts = ClassCounts::new(&list::<u64>(&row["sizes"])).unwrap();
        let weights: Vec<f64> = list(&row["weights"]);
        let number = |name: &str| row[name].parse::<f64>().unwrap();
        let regularization =
            Regularization::new(&[number("weight_decay")], number("feature_decay"));
        let regularization = regularization.unwrap();
        let ufm = |regularization: Regularization| {
            ConvexUfm::cross_entropy(counts.clone(), regularization)
                .and_then(|ufm| ufm.with_class_weights(&weights))
                .and_then(|ufm| ufm.with_label_smoothing(number("smoothing")))
                .unwrap()
        };
        let plain = ufm(regularization.clone());
        let merging = row["merging_counts"].split(' ').zip(row["gaps"].split(' '));
        for (class, (merging, gap)) in merging.enumerate() {
            let found = plain.merging_count(weights[class]).unwrap();
            assert!(ulps(found, merging) <= 4.0, "{found:e}, {merging}");
            let error = plain.probability_gap(class).unwrap() - gap.parse::<f64>().unwrap();
            assert!(error.abs() <= 4.0 * f64::EPSILON, "{error:e}, {gap}");
        }
        let found = plain.critical_decay_product().unwrap();
        assert!(ulps(found, &row["critical"]) <= 4.0, "{found:e}, {row:?}");
        let free = ufm(regularization.with_bias(Bias::Unregularized).unwrap());
        let found = free.critical_decay_product().unwrap();
        assert!(ulps(found, &row["critical_free_bias"]) <= 8.0, "{found:e}, {row:?}");
    }
}

#[test]
fn many_classes_cost_no_more_than_their_kinds() {
    let counts = ClassCounts::from_runs([(500, 300_000), (50, 300_000), (5, 400_000)]).unwrap();
    let regularization = Regularization::new(&[1e-8], 1e-8).unwrap();
    let regularization = regularization.with_bias(Bias::Unregularized).unwrap();
    let minimum = solved(&ConvexUfm::cross_entropy(counts, regularization).unwrap());
    assert_eq!(minimum.class_runs().unwrap().len(), 3);
    assert!(minimum.rank() >= 299_999 && minimum.geometry() == Geometry::Convex);
}

#[test]
fn long_work_can_be_watched_and_ended() {
    use core::ops::ControlFlow;
    use neural_collapse::{Error, Progress};
    let counts = ClassCounts::new(&[90, 70, 50, 30, 20, 10]).unwrap();
    let regularization = Regularization::new(&[1e-3], 1e-3).unwrap();
    let ufm = ConvexUfm::cross_entropy(counts, regularization).unwrap();
    let impatient = |progress: Progress| {
        if progress.done < 2 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    assert_eq!(ufm.global_minimum_with(&impatient), Err(Error::Cancelled));
    assert!(ufm.global_minimum_with(&()).is_ok());
}

#[test]
fn bad_problems_are_named() {
    let counts = |sizes: &[u64]| ClassCounts::new(sizes).unwrap();
    let one = || Regularization::new(&[1e-3], 1e-3).unwrap();
    let free = || one().with_bias(Bias::Unregularized).unwrap();
    let error = |ufm: Result<ConvexUfm, neural_collapse::Error>| ufm.unwrap_err().to_string();
    let two = Regularization::new(&[1e-3; 2], 1e-3).unwrap();
    assert!(error(ConvexUfm::cross_entropy(counts(&[3, 2]), two)).contains("more than one layer"));
    assert_eq!(
        error(ConvexUfm::cross_entropy(counts(&[3]), one())),
        "`classes` is 1, but must be at least 2"
    );
    let ufm = || ConvexUfm::cross_entropy(counts(&[3, 2]), one()).unwrap();
    for (weights, place) in [
        (vec![1.0, 0.0], "`class_weights[1]` is 0"),
        (vec![f64::NAN, 1.0], "`class_weights[0]` is NaN"),
        (vec![1.0, -2.0], "`class_weights[1]` is -2"),
        (vec![1.0], "class_weights"),
    ] {
        let message = error(ufm().with_class_weights(&weights));
        assert!(message.contains(place), "{message}");
        let torch = ConvexUfm::pytorch(counts(&[3, 2]), &weights, 0.0, one());
        assert!(error(torch).contains("weight"));
    }
    for smoothing in [1.0, -0.1, f64::NAN, f64::INFINITY] {
        assert!(error(ufm().with_label_smoothing(smoothing)).contains("label_smoothing"));
    }
    assert!(error(ufm().with_widths(&[0])).contains("widths[0]"));
    assert!(error(ufm().with_widths(&[3, 3])).contains("one width"));
    let labels = |matrix, samples: &[u64], regularization| {
        error(ConvexUfm::soft_labels(matrix, samples, regularization))
    };
    let message = labels(dmatrix![0.5, 0.1; 0.5, 0.8], &[3, 2], one());
    assert!(message.contains("labels[1]") && message.contains("the sum 1"), "{message}");
    let message = labels(dmatrix![1.5, 0.0; -0.5, 1.0], &[3, 2], one());
    assert!(message.contains("labels[(1, 0)]"), "{message}");
    assert!(labels(dmatrix![f64::NAN, 0.0; 0.5, 1.0], &[3, 2], one()).contains("labels[(0, 0)]"));
    assert!(labels(dmatrix![1.0, 0.0; 0.0, 1.0], &[3], one()).contains("samples"));
    assert!(labels(dmatrix![1.0, 0.0; 0.0, 1.0], &[3, 0], one()).contains("class 1"));
    assert!(labels(dmatrix![1.0, 1.0; 0.0, 0.0], &[3, 1], free()).contains("labels[(1, 0)]"));
    let squared = ConvexUfm::squared_error(counts(&[3, 2]), one()).unwrap();
    assert!(squared.critical_decay_product().is_err());
    let soft = ConvexUfm::soft_labels(DMatrix::identity(2, 2), &[3, 2], one()).unwrap();
    assert!(soft.clone().with_class_weights(&[1.0, 1.0]).is_err());
    assert!(soft.clone().with_label_smoothing(0.1).is_err());
    let weighted = |weights: &[f64]| error(soft.clone().with_label_weights(weights));
    assert!(weighted(&[1.0]).contains("label_weights"));
    assert!(weighted(&[1.0, 0.0]).contains("label_weights[1]"));
    assert!(weighted(&[f64::NAN, 1.0]).contains("label_weights[0]"));
    assert!(ufm().with_label_weights(&[1.0, 1.0]).is_err());
    assert!(ufm().merging_count(0.0).is_err());
    // N λ_W is out of range, and N² λ_W λ_H = N² is not.
    let far = Regularization::new(&[1e300], 1e-300).unwrap();
    let far = ConvexUfm::cross_entropy(counts(&[1 << 40, 1 << 40]), far).unwrap();
    assert!((far.merging_count(1.0).unwrap() / 2.0_f64.powi(82) - 1.0).abs() < 1e-15);
    let narrow = ConvexUfm::cross_entropy(counts(&[30, 20, 10]), one()).unwrap();
    let narrow = narrow.with_widths(&[1]).unwrap();
    assert!(narrow.global_minimum().unwrap_err().to_string().contains("dimensions"));
    assert!(narrow.with_widths(&[2]).unwrap().global_minimum().is_ok());
}

/// PyTorch's smoothing has no closed form of the total collapse; its weights alone have.
#[test]
fn total_collapse_of_pytorch_has_a_closed_form_without_smoothing() {
    let torch = |smoothing| {
        let counts = ClassCounts::new(&[3, 2]).unwrap();
        ConvexUfm::pytorch(
            counts,
            &[1.0, 2.0],
            smoothing,
            Regularization::new(&[0.01], 0.01).unwrap(),
        )
    };
    assert!(torch(0.0).unwrap().critical_decay_product().is_ok());
    assert!(matches!(
        torch(0.1).unwrap().critical_decay_product(),
        Err(neural_collapse::Error::NoClosedForm { .. })
    ));
}
