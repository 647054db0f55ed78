//! The matrices of predictions written out, and laid into the coordinates of a network.

use nalgebra::DMatrix;
use neural_collapse::models::cross_entropy::CrossEntropyUfm;
use neural_collapse::prediction::Matrices;
use neural_collapse::{
    Basis, Bias, ClassCounts, Features, LayerPeeled, LinearHead, Prediction, Regularization, Seli,
    Ufm, audit,
};
use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};

use crate::support::bases::random_basis;

fn ufm(counts: &[u64], widths: &[usize], bias: Bias) -> Ufm {
    let regularization = Regularization::uniform(widths.len(), 2e-3, 1e-3).unwrap();
    let ufm = Ufm::new(ClassCounts::new(counts).unwrap(), regularization.with_bias(bias).unwrap())
        .unwrap();
    ufm.with_widths(widths).unwrap()
}

fn distance(found: &Matrices, head: &LinearHead, class_means: &DMatrix<f64>) -> f64 {
    let layers = found.head.as_ref().unwrap().weights().iter().zip(head.weights());
    let layers = layers.map(|(found, expected)| (found - expected).norm_squared()).sum::<f64>();
    (layers + (found.class_means.as_ref().unwrap() - class_means).norm_squared()).sqrt()
}

/// A minimizer that is turned at random is found again, number by number.
#[test]
fn a_minimizer_is_its_own_nearest_one() {
    let predictions: Vec<Box<dyn Prediction>> = vec![
        Box::new(ufm(&[9, 9, 9], &[5], Bias::None).global_minimum().unwrap()),
        Box::new(ufm(&[9, 9, 9], &[5, 4, 6], Bias::Unregularized).global_minimum().unwrap()),
        Box::new(ufm(&[30, 9, 9, 4], &[5, 7], Bias::Unregularized).global_minimum().unwrap()),
        Box::new(ufm(&[30, 9, 9, 4], &[4, 9, 6, 5], Bias::None).global_minimum().unwrap()),
        Box::new(
            LayerPeeled::new(ClassCounts::new(&[8, 8, 3, 3]).unwrap(), 2.0, 1.0)
                .unwrap()
                .global_minimum()
                .unwrap(),
        ),
        Box::new(Seli::new(ClassCounts::new(&[8, 8, 3]).unwrap()).unwrap()),
    ];
    for prediction in &predictions {
        let basis = random_basis(prediction.as_ref(), 5);
        let point = prediction.explicit(&basis).unwrap();
        let means = point.class_means().unwrap();
        let aligned = Matrices::aligned(means, point.head(), prediction.as_ref()).unwrap();
        let found = distance(&aligned, point.head(), means);
        assert!(found < 1e-12, "{:?}: {found:e}", prediction.geometry());
        assert_eq!(aligned.bias(), point.head().bias());
        let own = Matrices::of_prediction(prediction.as_ref(), &basis).unwrap();
        assert_eq!(own.class_means.as_ref(), point.class_means());
        let grams = own.trailing_grams.iter().chain([&own.class_means_gram, &own.class_outputs]);
        let aligned_grams = aligned.trailing_grams.iter();
        let others = aligned_grams.chain([&aligned.class_means_gram, &aligned.class_outputs]);
        for (gram, other) in grams.zip(others) {
            assert_eq!(gram.as_ref().unwrap(), other.as_ref().unwrap());
        }
    }
}

/// The classes of an octahedron come in pairs: those of a network are matched with them first.
#[test]
fn classes_are_in_the_order_of_the_network() {
    let regularization = Regularization::new(&[1e-3, 1e-3], 1e-4).unwrap();
    let ufm = CrossEntropyUfm::new(6, 10, regularization).unwrap().with_widths(&[7, 7]).unwrap();
    let landscape = ufm.landscape().unwrap();
    assert_eq!(landscape.geometry().to_string(), "3 × pair");
    let point = landscape.explicit(&random_basis(&landscape, 2)).unwrap();
    let order = [3, 0, 5, 1, 4, 2];
    let head = point.head().with_order(&order).unwrap();
    let means = point.class_means().unwrap().select_columns(&order);
    let labels: Vec<usize> = (0..60).map(|sample| sample % 6).collect();
    let features = means.select_columns(&labels);
    let data = Features::from_sample_columns(&features).unwrap();
    let audit = audit(&data.with_labels(&labels, 6).unwrap(), &head, &landscape).unwrap();
    let aligned = audit.aligned(&landscape).unwrap();
    let measured = audit.measurement.matrices().unwrap();
    let pairs = [
        (&aligned.class_outputs, &measured.class_outputs),
        (&aligned.class_means_gram, &measured.class_means_gram),
        (&aligned.trailing_grams[0], &measured.trailing_grams[0]),
        (&aligned.trailing_grams[1], &measured.trailing_grams[1]),
        (&aligned.class_means, &measured.class_means),
    ];
    for (found, expected) in pairs {
        let (found, expected) = (found.as_ref().unwrap(), expected.as_ref().unwrap());
        assert!((found - expected).norm() < 1e-10 * expected.norm(), "{found} {expected}");
    }
    assert!(distance(&aligned, &head, &means) < 1e-10);
}

fn noisy(matrix: &DMatrix<f64>, noise: f64, rng: &mut Xoshiro256PlusPlus) -> DMatrix<f64> {
    matrix.map(|entry| entry + noise * (rng.random::<f64>() - 0.5))
}

/// The weighted squared distance that the alignment makes small.
fn objective(
    regularization: &Regularization,
    counts: &[u64],
    (head, means): (&LinearHead, &DMatrix<f64>),
    (other, other_means): (&LinearHead, &DMatrix<f64>),
) -> f64 {
    let layers = head.weights().iter().zip(other.weights()).zip(regularization.weight_decays());
    let layers: f64 = layers.map(|((a, b), decay)| decay * (a - b).norm_squared()).sum();
    let class =
        |k: usize| counts[k] as f64 * (means.column(k) - other_means.column(k)).norm_squared();
    layers + regularization.feature_decay() * (0..counts.len()).map(class).sum::<f64>()
}

/// A turn of the classes that leaves the outputs of a family as good: orthogonal, and the vector of ones stays.
fn random_turn(classes: usize, rng: &mut Xoshiro256PlusPlus) -> DMatrix<f64> {
    let random = DMatrix::from_fn(classes, classes, |_, _| rng.random::<f64>() - 0.5);
    let centering = DMatrix::identity(classes, classes).add_scalar(-1.0 / classes as f64);
    let random = &centering * random * &centering;
    let skew = (&random - random.transpose()) * 4.0;
    let one = DMatrix::identity(classes, classes);
    (&one - &skew).try_inverse().unwrap() * (&one + &skew)
}

fn turned(
    (head, means): (&LinearHead, &DMatrix<f64>),
    turn: &DMatrix<f64>,
) -> (LinearHead, DMatrix<f64>) {
    let mut layers = head.weights().to_vec();
    let last = layers.pop().unwrap();
    layers.push(turn * last);
    (LinearHead::new(layers, head.bias().cloned()).unwrap(), means * turn.transpose())
}

/// Widths that leave fewer directions than there are classes make minimizers a family: the nearest member has the
/// lowest loss too, is the network itself where that is one, and none of many others is nearer to a network.
#[test]
fn of_a_family_the_nearest_member_is_found() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(12);
    let counts = [6; 5];
    for (widths, bias) in [
        (vec![3], Bias::Unregularized),
        (vec![2, 4], Bias::Unregularized),
        (vec![6, 3, 4], Bias::None),
        (vec![4], Bias::None),
    ] {
        let ufm = ufm(&counts, &widths, bias);
        let minimum = ufm.global_minimum().unwrap();
        assert!(!minimum.is_unique());
        let regularization = ufm.regularization();
        for noise in [0.0, 0.05, 0.3] {
            let point = minimum.explicit(&random_basis(&minimum, rng.random())).unwrap();
            let member = (point.head(), point.class_means().unwrap());
            let (head, means) = turned(member, &random_turn(5, &mut rng));
            let weights = head.weights().iter().map(|w| noisy(w, noise, &mut rng)).collect();
            let head = LinearHead::new(weights, head.bias().cloned()).unwrap();
            let means = noisy(&means, noise, &mut rng);
            let aligned = Matrices::aligned(&means, &head, &minimum).unwrap();
            if noise == 0.0 {
                assert!(distance(&aligned, &head, &means) < 1e-10, "{widths:?}");
            }
            let (found, found_means) = (aligned.head.unwrap(), aligned.class_means.unwrap());
            let labels: Vec<usize> = (0..30).map(|sample| sample % 5).collect();
            let features = found_means.select_columns(&labels);
            let data = Features::from_sample_columns(&features).unwrap();
            let data = data.with_labels(&labels, 5).unwrap();
            let loss = audit(&data, &found, &minimum).unwrap().measurement.objective().unwrap();
            assert!((loss.loss() - minimum.loss()).abs() < 1e-13, "{widths:?}");
            let network = (&head, &means);
            let least = objective(regularization, &counts, network, (&found, &found_means));
            for size in [1e-3, 0.03, 1.0] {
                for _ in 0..40 {
                    // Another member, with the hidden spaces that are best for it.
                    let skew = random_turn(5, &mut rng);
                    let mix = DMatrix::identity(5, 5) * (1.0 - size) + skew * size;
                    let svd = mix.svd(true, true);
                    let turn = svd.u.unwrap() * svd.v_t.unwrap();
                    let other = turned((&found, &found_means), &turn);
                    let distance =
                        objective(regularization, &counts, network, (&other.0, &other.1));
                    assert!(distance > least - 1e-12, "{widths:?}: {distance} {least}");
                }
            }
        }
    }
}

/// No rotation brings the minimizer nearer to a network that is not one: for one layer no other minimizer at all.
#[test]
fn no_rotation_brings_it_nearer() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(7);
    let counts = [12, 6, 6, 2];
    for widths in [vec![6], vec![6, 5, 7]] {
        let ufm = ufm(&counts, &widths, Bias::None);
        let minimum = ufm.global_minimum().unwrap();
        let regularization = ufm.regularization();
        let point = minimum.explicit(&random_basis(&minimum, 9)).unwrap();
        let weights = point.head().weights().iter().map(|w| noisy(w, 0.3, &mut rng)).collect();
        let head = LinearHead::new(weights, None).unwrap();
        let means = noisy(point.class_means().unwrap(), 0.1, &mut rng);
        let aligned = Matrices::aligned(&means, &head, &minimum).unwrap();
        let (found, found_means) = (aligned.head.unwrap(), aligned.class_means.unwrap());
        let least = objective(regularization, &counts, (&head, &means), (&found, &found_means));
        if widths.len() == 1 {
            let basis = minimum.nearest_basis(&means, &head).unwrap();
            let nearest = minimum.explicit(&basis).unwrap();
            let nearest = (nearest.head(), nearest.class_means().unwrap());
            let other = objective(regularization, &counts, (&head, &means), nearest);
            assert!((least - other).abs() < 1e-12 * other, "{least} {other}");
        }
        for (space, &width) in widths.iter().enumerate() {
            for size in [1e-3, 1e-1, 1.0] {
                // A rotation from a random skew matrix (Cayley).
                let random =
                    DMatrix::from_fn(width, width, |_, _| size * (rng.random::<f64>() - 0.5));
                let skew = &random - random.transpose();
                let one = DMatrix::identity(width, width);
                let rotation = (&one - &skew).try_inverse().unwrap() * (&one + &skew);
                let mut layers = found.weights().to_vec();
                layers[space] = &layers[space] * rotation.transpose();
                let mut turned_means = found_means.clone();
                match space.checked_sub(1) {
                    None => turned_means = &rotation * turned_means,
                    Some(below) => layers[below] = &rotation * &layers[below],
                }
                let turned = LinearHead::new(layers, None).unwrap();
                let other =
                    objective(regularization, &counts, (&head, &means), (&turned, &turned_means));
                assert!(least < other, "{widths:?} {space} {size}: {least} {other}");
            }
        }
    }
}

/// A minimizer without a scale of its own takes that of each matrix of the network.
#[test]
fn margins_take_the_scale_of_the_network() {
    let seli = Seli::new(ClassCounts::new(&[8, 8, 3]).unwrap()).unwrap();
    let point = seli.explicit(&random_basis(&seli, 5)).unwrap();
    let head = LinearHead::new(vec![&point.head().weights()[0] * 3.0], None).unwrap();
    let means = point.class_means().unwrap() * 0.5;
    let aligned = Matrices::aligned(&means, &head, &seli).unwrap();
    assert!(distance(&aligned, &head, &means) < 1e-12);
}

#[test]
fn the_matrices_of_a_family_are_of_one_member() {
    let minimum = ufm(&[6; 5], &[6, 3, 4], Bias::None).global_minimum().unwrap();
    let matrices = Matrices::of_prediction(&minimum, &Basis::Standard).unwrap();
    let head = matrices.head.as_ref().unwrap();
    assert_eq!(matrices.trailing_grams.len(), 3);
    for (gram, layers) in matrices.trailing_grams.iter().zip(1..) {
        let trailing = head.trailing_product(layers).unwrap();
        assert!((gram.as_ref().unwrap() - &trailing * trailing.transpose()).norm() < 1e-13);
    }
}

/// Singular vectors are those of the outputs of all samples.
#[test]
fn singular_vectors_are_those_of_all_samples() {
    let minimum = ufm(&[5, 2, 1], &[4, 4], Bias::None).global_minimum().unwrap();
    let matrices = Matrices::of_prediction(&minimum, &Basis::Standard).unwrap();
    let point = minimum.explicit(&Basis::Standard).unwrap();
    let outputs = point.head().product().unwrap() * point.features().unwrap();
    let directions = matrices.outputs.unwrap();
    let labels: Vec<usize> = minimum.counts().unwrap().labels().unwrap();
    let sizes = [5.0_f64, 2.0, 1.0];
    let right = DMatrix::from_fn(labels.len(), 3, |sample, direction| {
        directions.right[(labels[sample], direction)] / sizes[labels[sample]].sqrt()
    });
    let sigma = DMatrix::from_diagonal(&directions.singular_values.into());
    let product = &directions.left * sigma * right.transpose();
    assert!((product - outputs).norm() < 1e-14);
    assert!((right.tr_mul(&right) - DMatrix::identity(3, 3)).norm() < 1e-14);
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let minimum = ufm(&[5, 2, 1], &[4, 4], Bias::None).global_minimum().unwrap();
    let other = ufm(&[5, 2, 1], &[4], Bias::None).global_minimum().unwrap();
    let point = other.explicit(&Basis::Standard).unwrap();
    let means = point.class_means().unwrap();
    assert!(Matrices::aligned(means, point.head(), &minimum).is_err());
    assert!(Matrices::aligned(&DMatrix::zeros(3, 3), point.head(), &other).is_err());
    for sizes in [&[5, 2][..], &[5, 2, 1, 1]] {
        let prediction = ufm(sizes, &[4], Bias::None).global_minimum().unwrap();
        let aligned = Matrices::aligned(means, point.head(), &prediction).unwrap_err();
        assert!(aligned.to_string().contains("number of classes of the prediction"), "{aligned}");
        let counts = ClassCounts::new(sizes).unwrap();
        let written = Matrices::of_network(Some(&counts), means, point.head()).unwrap_err();
        assert!(written.to_string().contains("counts"), "{written}");
    }
    let many = ClassCounts::balanced(3_000_000_000, 1).unwrap();
    let regularization = Regularization::new(&[1e-3], 1e-3).unwrap();
    let huge = Ufm::new(many, regularization).unwrap().global_minimum().unwrap();
    assert!(Matrices::of_prediction(&huge, &Basis::Standard).is_err());
}
