use super::*;
use crate::measure::center::Center;
use crate::measure::features::Features;

fn scatter(numbers: &[f64], directions: Directions) -> ProjectedScatter<f64> {
    let rows = DMatrix::from_column_slice(numbers.len(), 1, numbers);
    let labels: Vec<usize> = (0..numbers.len()).map(|sample| sample / 2).collect();
    let features = Features::from_sample_rows(&rows).unwrap();
    let data = features.with_labels(&labels, 2).unwrap();
    let statistics = ClassStatistics::new(&data).unwrap();
    let mut scatter = ProjectedScatter::new(&statistics, directions).unwrap();
    for sample in [0..1, 1..2, 2..4] {
        scatter.accumulate(&data.part(sample)).unwrap();
    }
    scatter
}

fn all() -> Directions {
    Directions { center: Center::Samples, rank_cutoff: 0.0, largest_rank: None }
}

#[test]
fn deviations_are_squared_beside_what_means_differ_by() {
    // Means 2 and 6, so that B = [−2, 2]/√2 has σ = 2, and deviations ±1 and ±2: (1 + 1 + 4 + 4)/4/σ².
    let found = scatter(&[1.0, 3.0, 4.0, 8.0], all());
    assert_eq!(found.counts(), [2, 2]);
    let (trace, rank) = found.trace().unwrap();
    assert!((trace - 0.625).abs() < 1e-15 && rank == 1, "{trace}");
    let equal = scatter(&[1.0, 3.0, 0.0, 4.0], all());
    assert_eq!(equal.counts(), [2, 2]);
    assert!(matches!(equal.trace(), Err(Error::ZeroNorm { .. })));
}

/// Three classes of which the means differ in one direction much, in another by a hundredth: what they find in a batch is
/// shared where the directions are the same, and what each of them has in the end is what it would have found alone.
#[test]
fn sums_beside_others_are_those_alone() {
    for (labels, is_balanced) in [([0, 1, 2, 0, 1, 2], true), ([0, 1, 2, 0, 1, 1], false)] {
        let rows = DMatrix::from_fn(6, 3, |i, j| {
            let means = [[4.0, 0.01, 0.0], [-4.0, 0.01, 0.0], [0.0, -0.02, 0.0]];
            means[labels[i]][j] + ((i * 5 + j * j) as f64).sin() * 1e-3
        });
        let features = Features::from_sample_rows(&rows).unwrap();
        let data = features.with_labels(&labels, 3).unwrap();
        let statistics = ClassStatistics::new(&data).unwrap();
        let own = ProjectedScatter::<f64>::new(&statistics, all()).unwrap();
        let (found, _) = own.find(&data, &[], None::<&Nobody>).unwrap();
        for (directions, is_same) in [
            (all(), true),
            (Directions { center: Center::Classes, ..all() }, is_balanced),
            (Directions { rank_cutoff: 1e-4, ..all() }, true),
            (Directions { rank_cutoff: 0.1, ..all() }, false),
            (Directions { largest_rank: Some(1), ..all() }, false),
            (Directions { largest_rank: Some(2), ..all() }, true),
        ] {
            let mut beside = own.beside(&statistics, directions).unwrap();
            let mut alone = ProjectedScatter::new(&statistics, directions).unwrap();
            alone.accumulate(&data).unwrap();
            assert_eq!(beside.add(&found), is_same, "{directions:?}");
            if !is_same {
                beside.accumulate(&data).unwrap();
            }
            assert_eq!(alone.fingerprint(), beside.fingerprint());
            let ((found, rank), (expected, other)) =
                (beside.trace().unwrap(), alone.trace().unwrap());
            assert!((found / expected - 1.0).abs() < 1e-12, "{directions:?} {found}");
            assert_eq!((rank, beside.counts()), (other, alone.counts()));
        }
    }
}

/// Class means that differ in 59, 149 or 140 directions by less and less: of these some are found along with all.
#[test]
fn many_directions_are_found_together() {
    for (dimension, classes, share) in [(200, 60, 0.98), (200, 150, 0.98), (140, 400, 0.99)] {
        let labels: Vec<usize> = (0..2 * classes).map(|sample| sample / 2).collect();
        let columns = DMatrix::from_fn(dimension, labels.len(), |i, j| {
            let mean = ((i * i * 7 + labels[j] * (i + 3) * 13) as f64).sin();
            // Deviations are as large in all directions.
            f64::powi(share, i as i32) * mean + 1e-2 * ((i * 5 + j * j) as f64).cos()
        });
        let features = Features::from_sample_columns(&columns).unwrap();
        let data = features.with_labels(&labels, classes).unwrap();
        let statistics = ClassStatistics::new(&data).unwrap();
        let fewer = [
            Directions { rank_cutoff: 0.2, ..all() },
            Directions { largest_rank: Some(5), ..all() },
            Directions { largest_rank: Some(40), ..all() },
        ];
        let mut together =
            vec![ProjectedScatter::<f64>::for_others(&statistics, all(), &fewer).unwrap()];
        for directions in fewer {
            together.push(together[0].beside(&statistics, directions).unwrap());
        }
        let others: Vec<_> = together.iter().collect();
        let (found, _) = together[0].find(&data, &others, None::<&Nobody>).unwrap();
        assert_eq!(found.projected.len(), 4);
        for sums in &mut together {
            let mut alone = ProjectedScatter::new(&statistics, sums.directions).unwrap();
            alone.accumulate(&data).unwrap();
            let mut by_itself = sums.clone();
            by_itself.accumulate(&data).unwrap();
            assert!(sums.add(&found));
            let [(own, rank), (other, expected), (again, _)] =
                [&*sums, &alone, &by_itself].map(|sums| sums.trace().unwrap());
            assert_eq!(rank, expected);
            assert!((own / other - 1.0).abs() < 1e-10, "{rank}: {own} {other}");
            assert!((again / own - 1.0).abs() < 1e-13);
        }
        let bad = Directions { rank_cutoff: f64::NAN, ..all() };
        let refused = ProjectedScatter::<f64>::for_others(&statistics, bad, &fewer);
        assert!(matches!(refused, Err(Error::OutOfRange { .. })));
        // One that is certain to keep all of them is found alone, and so are few of few.
        let same = Directions { rank_cutoff: 1e-9, ..all() };
        for (others, is_in_order) in [(&fewer[..1], true), (&[same], false), (&[], false)] {
            let found = ProjectedScatter::<f64>::for_others(&statistics, all(), others).unwrap();
            assert_eq!(found.projection.unwrap().order.is_some(), is_in_order);
        }
    }
}

/// Parts with other options, of another first pass or of another length.
#[test]
fn other_parts_are_refused() {
    let numbers = [1.0, 3.0, 4.0, 8.0];
    let mut own = scatter(&numbers, all());
    for other in [
        scatter(&numbers, Directions { center: Center::Classes, ..all() }),
        scatter(&numbers, Directions { rank_cutoff: 0.1, ..all() }),
        scatter(&numbers, Directions { largest_rank: Some(1), ..all() }),
        scatter(&[1.0, 3.0, 4.0, 9.0], all()),
    ] {
        assert_eq!(own.merge_part(&other.part()), Err(Error::DifferentFirstPass));
    }
    let mut long = own.part();
    long.counts.push(0);
    assert_eq!(own.merge_part(&long), Err(Error::DifferentFirstPass));
    own.merge_part(&own.part()).unwrap();
    assert_eq!(own.counts(), [4, 4]);
    assert_eq!(own.sums.projected.value(), 2.0 * scatter(&numbers, all()).sums.projected.value());
}
