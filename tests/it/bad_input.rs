//! Bad input: an error that names the argument, never a panic.

use nalgebra::{DMatrix, dmatrix};
use neural_collapse::geometry::Frame;
use neural_collapse::models::squared::critical_imbalance_ratio;
use neural_collapse::{
    Basis, Bias, ClassCounts, ClassMatrix, Error, GlobalMinimum, Prediction, Regularization,
    Result, Ufm,
};

/// Numbers that are no penalty.
const NO_DECAYS: [f64; 6] =
    [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, -f64::MIN_POSITIVE];

/// Penalties of all magnitudes.
const DECAYS: [f64; 11] =
    [5e-324, 1e-320, 1e-300, 1e-150, 1e-20, 1e-3, 1.0, 1e20, 1e150, 1e300, f64::MAX];

/// Numbers that are not finite.
const NOT_FINITE: [f64; 3] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];

/// The error of a call says what is wrong with `argument`.
fn assert_names<T: std::fmt::Debug>(result: Result<T>, argument: &str) {
    let error = result.expect_err(argument).to_string();
    assert!(error.contains(&format!("`{argument}`")), "{error:?} does not name `{argument}`");
}

/// The same, and what is asked for instead.
fn assert_asks<T: std::fmt::Debug>(result: Result<T>, argument: &str, expected: &str) {
    let error = result.expect_err(argument).to_string();
    let (named, asked) = (error.contains(&format!("`{argument}`")), error.contains(expected));
    assert!(named && asked, "{error:?} does not name `{argument}` and {expected}");
}

fn plain(weight_decays: &[f64], feature_decay: f64) -> Regularization {
    Regularization::new(weight_decays, feature_decay).unwrap()
}

fn ufm(counts: &[u64], weight_decays: &[f64], bias: Bias) -> Ufm {
    let regularization = plain(weight_decays, 1e-3).with_bias(bias).unwrap();
    Ufm::new(ClassCounts::new(counts).unwrap(), regularization).unwrap()
}

fn minimum(counts: &[u64], weight_decays: &[f64], bias: Bias) -> GlobalMinimum {
    ufm(counts, weight_decays, bias).global_minimum().unwrap()
}

#[test]
fn class_counts() {
    assert_asks(ClassCounts::new(&[]), "counts", "is empty");
    assert_asks(ClassCounts::new(&[3, 0, 2]), "counts", "class 1");
    assert_asks(ClassCounts::new(&[1, (1 << 53) + 1]), "counts[1]", "at most 2⁵³");
    assert_asks(ClassCounts::new(&[1, 2, u64::MAX]), "counts[2]", "at most 2⁵³");
    assert_asks(ClassCounts::balanced(0, 3), "counts", "is empty");
    assert_asks(ClassCounts::balanced(3, 0), "counts", "class 0");
    let too_many = [
        (ClassCounts::balanced(usize::MAX, 1 << 53), 2.0_f64.powi(117)),
        (ClassCounts::balanced(1 << 12, 1 << 53), 2.0_f64.powi(65)),
        (ClassCounts::from_runs([(1, usize::MAX), (1, usize::MAX)]), 2.0_f64.powi(65)),
    ];
    for (result, sum) in too_many {
        assert_asks(
            result,
            "counts",
            &format!("`counts` is {sum:e}, but must be at most 2⁶⁴ − 1 in all"),
        );
    }
    assert_asks(ClassCounts::from_runs([]), "counts", "is empty");
    assert_asks(ClassCounts::from_runs([(5, 0)]), "counts", "is empty");
    let counts = ClassCounts::new(&[1 << 53, 1]).unwrap();
    assert_eq!((counts.count(0), counts.count(1), counts.count(2)), (Some(1 << 53), Some(1), None));
    assert_eq!(counts.count(usize::MAX), None);
}

#[test]
fn regularizations() {
    assert_names(Regularization::new(&[], 1e-3), "weight_decays");
    for bad in NO_DECAYS {
        assert_names(Regularization::new(&[bad], 1e-3), "weight_decays[0]");
        assert_names(Regularization::new(&[1e-3, 1e-3, bad], 1e-3), "weight_decays[2]");
        assert_names(Regularization::new(&[1e-3], bad), "feature_decay");
        assert_names(plain(&[1e-3], 1e-3).with_bias(Bias::Regularized(bad)), "bias_decay");
    }
    for decay in DECAYS {
        assert!(plain(&[decay], decay).with_bias(Bias::Regularized(decay)).is_ok(), "{decay:e}");
    }
}

#[test]
fn problems() {
    let regularized = plain(&[1e-3], 1e-3).with_bias(Bias::Regularized(0.1)).unwrap();
    let imbalanced = ClassCounts::new(&[3, 2]).unwrap();
    let error = Ufm::new(imbalanced, regularized.clone()).unwrap_err();
    assert!(matches!(error, Error::NoClosedForm { .. }), "{error}");
    let error = Ufm::from_target(dmatrix![1.0, 0.0], regularized).unwrap_err();
    assert!(matches!(error, Error::NoClosedForm { .. }), "{error}");

    for (rows, columns) in [(0, 0), (0, 3), (3, 0)] {
        let target = DMatrix::zeros(rows, columns);
        assert_names(Ufm::from_target(target, plain(&[1e-3], 1e-3)), "target");
    }
    for bad in NOT_FINITE {
        let mut target = DMatrix::zeros(3, 4);
        target[(1, 2)] = bad;
        assert_names(Ufm::from_target(target, plain(&[1e-3], 1e-3)), "target[(1, 2)]");
    }

    let problem = || ufm(&[3, 2, 1], &[1e-3; 3], Bias::None);
    for widths in [&[][..], &[4, 4], &[4; 4]] {
        assert_names(problem().with_widths(widths), "widths");
    }
    assert_names(problem().with_widths(&[4, 4, 0]), "widths[2]");
}

#[test]
fn layers_of_a_minimum() {
    let minimum = minimum(&[30, 20], &[1e-3; 3], Bias::None);
    for layers in [0..=1, 0..=0, 4..=4, usize::MAX..=usize::MAX] {
        assert_asks(minimum.direction_singular_values(layers), "layers", "a first layer between");
    }
    #[expect(clippy::reversed_empty_ranges, reason = "the input that is tested")]
    for layers in [1..=4, 3..=2, 2..=0, 1..=usize::MAX] {
        assert_asks(minimum.direction_singular_values(layers), "layers", "a last layer between");
    }
    for layers in [0, 4, usize::MAX] {
        assert_asks(minimum.trailing_gram(layers), "layers", "between 1 and the depth");
    }
    assert_eq!(minimum.class(2), None);
    assert_eq!(minimum.class(usize::MAX), None);
    assert_eq!(minimum.classifier_norm_ratio(0, 2), None);
    assert_eq!(minimum.feature_norm_ratio(usize::MAX, 0), None);
    let gram = minimum.trailing_gram(1).unwrap();
    assert_eq!((gram.get(0, 2), gram.get(2, 0), gram.get(usize::MAX, 0)), (None, None, None));
}

#[test]
fn given_bases() {
    let problem = ufm(&[30, 20], &[1e-3; 2], Bias::None).with_widths(&[4, 3]).unwrap();
    let minimum = problem.global_minimum().unwrap();
    let good = || vec![DMatrix::identity(4, 2), DMatrix::identity(3, 2)];
    assert!(minimum.explicit(&Basis::Given(good())).is_ok());
    let with = |layer: usize, matrix: DMatrix<f64>| {
        let mut matrices = good();
        matrices[layer] = matrix;
        minimum.explicit(&Basis::Given(matrices))
    };
    assert_names(minimum.explicit(&Basis::Given(vec![])), "basis");
    assert_names(minimum.explicit(&Basis::Given(vec![DMatrix::identity(4, 2)])), "basis");
    for shape in [(0, 0), (2, 3), (3, 1), (4, 2), (3, 0)] {
        assert_names(with(1, DMatrix::identity(shape.0, shape.1)), "basis[1]");
    }
    // More columns than rows cannot be orthonormal.
    assert_names(with(0, DMatrix::identity(4, 5)), "basis[0]");
    for size in [2.0, 1.0 + 1e-9, 0.0, 1e200, 1e300, f64::MAX] {
        assert_names(with(0, DMatrix::identity(4, 2) * size), "(basisᵀbasis − I)[0]");
    }
    for bad in NOT_FINITE {
        let mut matrix = DMatrix::identity(3, 2);
        matrix[(2, 1)] = bad;
        assert_names(with(1, matrix), "basis[1][(2, 1)]");
    }
}

#[test]
fn explicit_minimizers_that_do_not_fit_into_memory() {
    let balanced = |classes, size| {
        let counts = ClassCounts::balanced(classes, size).unwrap();
        Ufm::new(counts, plain(&[1e-12], 1e-12)).unwrap()
    };
    for problem in [
        balanced(10_000_000, 1),
        balanced(usize::MAX, 1),
        balanced(2, 5).with_widths(&[usize::MAX]).unwrap(),
        balanced(2, 5).with_widths(&[1 << 60]).unwrap(),
    ] {
        let minimum = problem.global_minimum().unwrap();
        assert!(minimum.explicit(&Basis::Standard).is_err(), "{problem:?}");
        #[cfg(feature = "random")]
        assert!(minimum.explicit(&Basis::Random(1)).is_err(), "{problem:?}");
    }
    let minimum = balanced(2, 1 << 53).global_minimum().unwrap();
    assert_names(minimum.explicit(&Basis::Standard).unwrap().features(), "samples");
}

#[test]
fn frames() {
    assert_names(Frame::orthogonal(0), "classes");
    assert_names(Frame::simplex(0), "classes");
    assert_names(Frame::simplex(1), "classes");
    for classes in [10_000_000, 1 << 32, usize::MAX] {
        assert_names(Frame::orthogonal(classes), "classes");
        assert_names(Frame::simplex(classes), "classes");
    }
    assert_names(Frame::general_orthogonal(&[]), "lengths");
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -1.0] {
        assert_names(Frame::general_orthogonal(&[1.0, bad]), "lengths[1]");
    }
    for size in [5e-324, 1e-320, 1e-300, 1e300, f64::MAX] {
        let frame = Frame::general_orthogonal(&[size, size]).unwrap().into_vectors();
        let half = 0.5_f64.sqrt();
        assert!((frame - dmatrix![half, 0.0; 0.0, half]).amax() < 1e-15, "{size:e}");
    }
    let frame = Frame::general_orthogonal(&[1e-320, 1e300]).unwrap();
    assert_eq!(*frame.vectors(), dmatrix![0.0, 0.0; 0.0, 1.0]);

    let frame = Frame::orthogonal(2).unwrap();
    for shape in [(3, 3), (2, 1), (0, 0), (0, 2)] {
        assert_names(frame.embedded(&DMatrix::identity(shape.0, shape.1)), "basis");
    }
    assert_names(frame.embedded(&DMatrix::identity(1, 2)), "basis");
    assert_names(frame.embedded(&DMatrix::from_element(3, 2, 1.0)), "(basisᵀbasis − I)");
    for bad in NOT_FINITE {
        let mut basis = DMatrix::identity(3, 2);
        basis[(2, 0)] = bad;
        assert_names(frame.embedded(&basis), "basis[(2, 0)]");
    }
}

#[test]
fn class_matrices() {
    assert_names(ClassMatrix::orthogonal_frame(0), "classes");
    assert_names(ClassMatrix::simplex_etf(0), "classes");
    assert_names(ClassMatrix::diagonal(&[]), "squared_lengths");
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0] {
        let frame = ClassMatrix::diagonal(&[1.0, bad]);
        assert_names(frame, "squared_lengths[1]");
    }
    assert_names(ClassMatrix::low_rank_orthogonal_frame(0, 1), "classes");
    assert_names(ClassMatrix::low_rank_simplex_etf(1, 1), "classes");
    for rank in [0, 5, usize::MAX] {
        assert_names(ClassMatrix::low_rank_orthogonal_frame(4, rank), "rank");
        assert_names(ClassMatrix::low_rank_simplex_etf(4, rank), "rank");
    }
    assert_names(ClassMatrix::low_rank_simplex_etf(4, 4), "rank");
    // Millions of classes need no more room than four.
    let huge = ClassMatrix::simplex_etf(usize::MAX).unwrap();
    assert!(huge.get(0, usize::MAX - 1).unwrap() < 0.0);
    for classes in [1 << 60, usize::MAX] {
        for family in [
            ClassMatrix::low_rank_orthogonal_frame(classes, 2).unwrap(),
            ClassMatrix::low_rank_simplex_etf(classes, 2).unwrap(),
        ] {
            assert!(!family.is_unique() && family.get(0, classes - 1).is_none());
        }
    }
}

/// Families had a list of their classes, which was a panic where it did not fit into memory.
#[test]
fn families_of_huge_problems() {
    for bias in [Bias::None, Bias::Unregularized, Bias::Regularized(0.1)] {
        let counts = ClassCounts::from_runs([(7, 1 << 56), (3, 5), (7, 1 << 56)]).unwrap();
        let counts = match bias {
            Bias::Regularized(_) => ClassCounts::balanced(usize::MAX, 1).unwrap(),
            _ => counts,
        };
        let regularization = plain(&[1e-20], 1e-20).with_bias(bias).unwrap();
        let ufm = Ufm::new(counts, regularization).unwrap().with_widths(&[2]).unwrap();
        let minimum = ufm.global_minimum().unwrap();
        let last = minimum.problem().classes() - 1;
        assert_eq!(minimum.class(last).unwrap().classifier_norm_squared, None, "{bias:?}");
        let gram = minimum.trailing_gram(1).unwrap();
        assert!(!gram.is_unique(), "{bias:?}");
        // Both ends are in the same run or in runs of equal sizes, the middle may be between them.
        assert_eq!((gram.get(0, last), gram.get(last, last)), (None, None), "{bias:?}");
        if minimum.problem().counts().unwrap().runs().len() == 3 {
            assert_eq!(gram.get(0, 1 << 56), Some(0.0), "{bias:?}");
        }
    }
}

#[test]
fn distances() {
    let lengths: Vec<f64> = (1..=4).map(f64::from).collect();
    for target in [
        ClassMatrix::orthogonal_frame(4).unwrap(),
        ClassMatrix::simplex_etf(4).unwrap(),
        ClassMatrix::diagonal(&lengths).unwrap(),
        ClassMatrix::low_rank_orthogonal_frame(4, 2).unwrap(),
        ClassMatrix::low_rank_simplex_etf(4, 2).unwrap(),
    ] {
        for (rows, columns) in [(0, 0), (3, 3), (4, 3), (5, 5)] {
            let measured = DMatrix::identity(rows, columns);
            assert_names(target.distance(&measured), "measured");
            assert_names(target.nearest_member(&measured), "measured");
        }
        assert_names(target.distance(&DMatrix::zeros(4, 4)), "measured");
        assert_names(target.distance_to_gram(&DMatrix::zeros(4, 2)), "measured");
        assert_names(target.distance_to_gram(&DMatrix::zeros(4, 0)), "measured");
        for shape in [(0, 0), (3, 4), (5, 4)] {
            assert_names(target.distance_to_gram(&DMatrix::identity(shape.0, shape.1)), "left");
        }
        let left = DMatrix::identity(4, 6);
        for shape in [(6, 3), (5, 4), (4, 6), (0, 0)] {
            let right = DMatrix::identity(shape.0, shape.1);
            assert_names(target.distance_to_product(&left, &right), "right");
        }
        for bad in NOT_FINITE {
            let mut measured = DMatrix::identity(4, 4);
            measured[(3, 1)] = bad;
            assert_names(target.distance(&measured), "measured[(3, 1)]");
            assert_names(target.distance_to_gram(&measured), "left[(3, 1)]");
            let right = measured.clone();
            let left = DMatrix::identity(4, 4);
            assert_names(target.distance_to_product(&left, &right), "right[(3, 1)]");
        }
        let shape = dmatrix![4.0, 1.0, 0.0, 0.0; 1.0, 3.0, 1.0, 0.0; 0.0, 1.0, 2.0, -1.0; 0.0, 0.0, -1.0, 1.0];
        let wanted = target.distance(&shape).unwrap();
        for size in [1e-307, 1e-200, 1e200, 1e307] {
            let got = target.distance(&(&shape * size)).unwrap();
            assert!((got - wanted).abs() <= 1e-14, "{size:e}: {got:e}, {wanted:e}");
        }
        let wanted = target.distance_to_gram(&shape).unwrap();
        for size in [1e-307, 1e-200, 1e200, 1e307] {
            let got = target.distance_to_gram(&(&shape * size)).unwrap();
            assert!((got - wanted).abs() <= 1e-14, "{size:e}: {got:e}, {wanted:e}");
        }
        // Subnormal entries have few digits, but a distance all the same.
        for size in [5e-324, 1e-320, 1e-310] {
            let got = target.distance(&(&shape * size)).unwrap();
            assert!((0.0..=2.0).contains(&got), "{size:e}: {got}");
            let got = target.distance_to_gram(&(&shape * size)).unwrap();
            assert!((0.0..=2.0).contains(&got), "{size:e}: {got}");
        }
    }
    // A simplex of one class is a point at the origin; all classes may have collapsed.
    let one = ClassMatrix::simplex_etf(1).unwrap();
    assert_names(one.distance(&dmatrix![1.0]), "target");
    assert_names(one.distance_to_gram(&dmatrix![1.0, 2.0]), "target");
    let collapsed = ClassMatrix::diagonal(&[0.0, 0.0]).unwrap();
    assert_names(collapsed.distance(&DMatrix::identity(2, 2)), "target");
    // Left and right are nonzero, but their product is zero.
    let zero = ClassMatrix::orthogonal_frame(2)
        .unwrap()
        .distance_to_product(&dmatrix![1.0, 0.0; 1.0, 0.0], &dmatrix![0.0, 0.0; 1.0, 1.0]);
    assert_names(zero, "measured");
}

#[test]
fn distances_for_many_classes() {
    // Beyond 1024 classes the K×K matrices are not formed.
    let classes = 1500;
    let rows = DMatrix::from_fn(classes, 3, |i, j| ((i * 3 + j) as f64).sin());
    let lengths = |size: f64| -> ClassMatrix {
        let lengths: Vec<f64> = (0..classes).map(|k| size * (1.0 + (k % 5) as f64)).collect();
        ClassMatrix::diagonal(&lengths).unwrap()
    };
    let wanted = lengths(1.0).distance_to_gram(&rows).unwrap();
    for size in [1e-300, 1e-200, 1e-150, 1e150, 1e200, 1e300] {
        let got = lengths(size).distance_to_gram(&rows).unwrap();
        assert!((got - wanted).abs() <= 1e-13, "{size:e}: {got:e}, {wanted:e}");
        let got = lengths(1.0).distance_to_gram(&(&rows * size)).unwrap();
        assert!((got - wanted).abs() <= 1e-13, "{size:e}: {got:e}, {wanted:e}");
    }
    let target = lengths(1.0);
    assert_names(target.distance_to_gram(&DMatrix::zeros(classes, 3)), "measured");
    assert_names(target.distance_to_gram(&DMatrix::zeros(classes, 0)), "measured");
    assert_names(lengths(0.0).distance_to_gram(&rows), "target");
    for bad in NOT_FINITE {
        let mut rows = rows.clone();
        rows[(1400, 2)] = bad;
        assert_names(target.distance_to_gram(&rows), "left[(1400, 2)]");
    }
}

#[test]
fn critical_ratios() {
    let regularization = plain(&[1e-3], 1e-3);
    for bad in [0, (1 << 53) + 1, u64::MAX] {
        assert_names(critical_imbalance_ratio(bad, 5, 100, &regularization), "majority_classes");
        assert_names(critical_imbalance_ratio(5, bad, 100, &regularization), "minority_classes");
        assert_names(critical_imbalance_ratio(5, 5, bad, &regularization), "minority_size");
    }
    for bias in [Bias::Unregularized, Bias::Regularized(0.1)] {
        let regularization = regularization.clone().with_bias(bias).unwrap();
        let error = critical_imbalance_ratio(5, 5, 100, &regularization).unwrap_err();
        assert!(matches!(error, Error::NoClosedForm { .. }), "{error}");
    }
    for size in [1, 100, 1 << 53] {
        for depth in [1, 2, 3, 40] {
            for weight in DECAYS {
                for feature in DECAYS {
                    let regularization = plain(&vec![weight; depth], feature);
                    match critical_imbalance_ratio(5, 5, size, &regularization) {
                        Ok(ratio) => assert!(
                            ratio.is_finite(),
                            "n = {size}, M = {depth}, λ = {weight:e}, {feature:e}: {ratio}"
                        ),
                        Err(error) => {
                            assert!(matches!(error, Error::Unrepresentable { .. }), "{error}");
                        }
                    }
                }
            }
        }
    }
}
