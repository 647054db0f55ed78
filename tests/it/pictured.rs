//! What pictures show: aligned vectors, projections, groups of classes.

use nalgebra::DMatrix;
use neural_collapse::geometry::{ClassGroups, Frame, Projection, class_pairs, cosines};
use neural_collapse::{ClassCounts, ClassMatrix, Error};

use crate::support::scrambled::scrambled;

#[test]
fn no_rotation_is_nearer_than_the_aligned_one() {
    let etf = ClassMatrix::simplex_etf(5).unwrap();
    let frame = ClassMatrix::diagonal(&[4.0, 2.0, 2.0, 0.5, 0.0]).unwrap();
    for (target, seed) in [(&etf, 0.1), (&frame, 0.2)] {
        let measured = scrambled(7, 5, seed);
        let aligned = target.aligned_with(&measured).unwrap();
        let gram = target.to_dense().unwrap();
        assert!((aligned.transpose() * &aligned - gram).norm() < 1e-13);
        let nearest = (&aligned - &measured).norm();
        for trial in 0..200 {
            // From far away and from close by.
            let size = if trial % 2 == 0 { 1.0 } else { 0.01 };
            let noise = scrambled(7, 7, f64::from(trial)) * size;
            let turn = (DMatrix::identity(7, 7) + &noise - noise.transpose()).qr();
            let other = (turn.q() * &aligned - &measured).norm();
            assert!(other > nearest - 1e-12, "{other} is below {nearest}");
        }
    }
    let narrow = scrambled(3, 5, 0.3);
    assert!(matches!(etf.aligned_with(&narrow), Err(Error::Shape { .. })));
    assert!(matches!(etf.aligned_with(&scrambled(7, 4, 0.3)), Err(Error::Shape { .. })));
    let indefinite = ClassMatrix::from_dense(nalgebra::dmatrix![0.0, 1.0; 1.0, 0.0]).unwrap();
    assert!(matches!(
        indefinite.aligned_with(&scrambled(2, 2, 0.4)),
        Err(Error::OutOfRange { .. })
    ));
}

#[test]
fn a_member_of_a_family_is_aligned() {
    let family = ClassMatrix::low_rank_orthogonal_frame(4, 2).unwrap();
    let measured = scrambled(6, 2, 0.5) * scrambled(2, 4, 0.6);
    let aligned = family.aligned_with(&measured).unwrap();
    assert!(family.distance(&(aligned.transpose() * &aligned)).unwrap() < 1e-12);
}

#[test]
fn leading_directions_keep_the_most() {
    let vectors = scrambled(6, 9, 0.7);
    let leading = Projection::leading(&vectors, 2).unwrap();
    let kept = leading.coordinates(&vectors).unwrap().norm_squared();
    assert!((leading.share() - kept / vectors.norm_squared()).abs() < 1e-14);
    for seed in 0..100 {
        let plane = scrambled(6, 2, f64::from(seed)).qr().q();
        assert!((plane.transpose() * &vectors).norm_squared() <= kept + 1e-12);
    }
    let one = leading.coordinates_of(vectors.column(3).as_slice()).unwrap();
    let column = leading.coordinates(&vectors).unwrap().column(3).into_owned();
    assert!((one[0] - column[0]).abs() + (one[1] - column[1]).abs() < 1e-14);
    assert!(leading.coordinates(&scrambled(5, 1, 0.1)).is_err());
    assert_eq!(Projection::leading(&vectors, 20).unwrap().dimensions(), 6);
}

#[test]
fn a_star_shows_all_classes_at_equal_angles_with_their_lengths() {
    let lengths = [3.0, 2.0, 1.0, 1.0, 0.5];
    let frame = Frame::general_orthogonal(&lengths).unwrap();
    let turn = scrambled(8, 5, 0.8).qr().q();
    let etf = Frame::simplex(5).unwrap();
    for (vectors, is_orthogonal) in
        [(&turn * frame.vectors(), true), (&turn * etf.vectors(), false)]
    {
        let star = Projection::star(&vectors).unwrap();
        let seen = star.coordinates(&vectors).unwrap();
        let angle = |k: usize| seen[(1, k)].atan2(seen[(0, k)]);
        for k in 0..5 {
            let step = (angle((k + 1) % 5) - angle(k)).rem_euclid(core::f64::consts::TAU);
            assert!((step - core::f64::consts::TAU / 5.0).abs() < 1e-12, "{step}");
            let ratio = seen.column(k).norm() / vectors.column(k).norm();
            let expected = if is_orthogonal { 0.4_f64 } else { 0.5 };
            assert!((ratio - expected.sqrt()).abs() < 1e-12, "{ratio}");
        }
    }
    // Three classes have one, too.
    let vectors = Frame::general_orthogonal(&[3.0, 2.0, 1.0]).unwrap().vectors().clone();
    let seen = Projection::star(&vectors).unwrap().coordinates(&vectors).unwrap();
    let cosine =
        seen.column(0).dot(&seen.column(1)) / (seen.column(0).norm() * seen.column(1).norm());
    assert!((cosine + 0.5).abs() < 1e-12, "{cosine}");
    for (rows, columns) in [(3, 1), (1, 4), (2, 2)] {
        let vectors = scrambled(rows, columns, 0.9);
        let seen = Projection::star(&vectors).unwrap().coordinates(&vectors).unwrap();
        assert!(seen.iter().all(|number| number.is_finite()));
    }
    let zeros = Projection::star(&DMatrix::zeros(4, 5)).unwrap();
    assert!(zeros.share() == 0.0 && zeros.coordinates(&DMatrix::zeros(4, 5)).is_ok());
}

#[test]
fn groups_average_over_pairs_of_classes() {
    let counts = ClassCounts::new(&[2, 9, 9, 2, 5, 5, 1]).unwrap();
    let groups = ClassGroups::by_size(&counts, 3);
    assert_eq!(groups.groups(), [vec![1, 2], vec![4, 5], vec![0, 3, 6]]);
    assert_eq!(groups.boundaries(), [1, 2]);
    let (left, right) = (scrambled(7, 4, 0.1), scrambled(4, 7, 0.2));
    let product = &left * &right;
    let direct = groups.means_of_dense(&product).unwrap();
    assert!((groups.means_of_product(&left, &right).unwrap() - &direct).norm() < 1e-14);
    let matrix = ClassMatrix::from_dense(&product + product.transpose()).unwrap();
    let expected = &direct + direct.transpose();
    assert!((groups.means_of_matrix(&matrix).unwrap() - expected).norm() < 1e-14);
    assert!(!groups.are_single() && ClassGroups::by_size(&counts, 7).are_single());
    assert!(groups.means_of_product(&right, &left).is_err());
    assert!(groups.means_of_dense(&left).is_err());
}

#[test]
fn pairs_and_cosines() {
    assert_eq!(class_pairs(4, 100).len(), 6);
    assert_eq!(class_pairs(0, 3), []);
    let vectors = DMatrix::from_row_slice(2, 3, &[2.0, 0.0, 3.0, 0.0, 0.0, 3.0]);
    let found = cosines(&vectors, &[(0, 1), (1, 0), (0, 2), (0, 3), (3, 0)]);
    assert_eq!((found[0], found[1], found[3], found[4]), (None, None, None, None));
    assert!((found[2].unwrap() - 0.5_f64.sqrt()).abs() < 1e-15);
    assert_eq!(class_pairs(5, 0), []);
    assert!(class_pairs(5000, 1000).len() <= 1000);
    let etf = Frame::simplex(4).unwrap();
    let scaled = etf.vectors() * 1e-200;
    let found = cosines(&scaled, &class_pairs(4, 6));
    assert!(found.iter().all(|cosine| (cosine.unwrap() + 1.0 / 3.0).abs() < 1e-14));
    assert_eq!(cosines(&DMatrix::zeros(3, 2), &[(0, 1), (0, 7)]), [None, None]);
}
