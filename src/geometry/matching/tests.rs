use super::*;

/// Whole numbers from −3 to 3 without an order.
fn entries(size: usize, seed: usize) -> DMatrix<f64> {
    DMatrix::from_fn(size, size, |i, j| {
        (((seed * 31 + i * 7 + j * 13 + 3 * i * i * j) as f64 * 12.9898).sin() * 3.0).round()
    })
}

fn assignment(size: usize, seed: usize, kinds: &[usize]) -> Assignment<'_> {
    let (structure, measured) = (entries(size, seed), entries(size, 7 * seed + 41));
    Assignment { structure, measured, kinds, negligible: 1e-9 }
}

fn permutations(items: &[usize]) -> Vec<Vec<usize>> {
    if items.is_empty() {
        return vec![vec![]];
    }
    let with_first = |&first: &usize| {
        let rest: Vec<usize> = items.iter().copied().filter(|&item| item != first).collect();
        let rests = permutations(&rest).into_iter();
        rests.map(move |rest| [vec![first], rest].concat()).collect::<Vec<_>>()
    };
    items.iter().flat_map(with_first).collect()
}

fn reordered(matrix: &DMatrix<f64>, order: &[usize]) -> DMatrix<f64> {
    DMatrix::from_fn(order.len(), order.len(), |i, j| matrix[(order[i], order[j])])
}

/// Without the exchanges before it the complete search finds the best order of all, whichever one it starts beside.
#[test]
fn the_complete_search_needs_no_help() {
    for seed in 0..12 {
        let kinds = if seed % 3 == 0 { [0, 1, 0, 1, 0] } else { [0; 5] };
        let assignment = assignment(5, seed, &kinds);
        let all = permutations(&[0, 1, 2, 3, 4]).into_iter();
        let allowed = all.filter(|order| (0..5).all(|place| kinds[order[place]] == kinds[place]));
        let best = allowed.map(|order| assignment.value(&order)).fold(f64::NEG_INFINITY, f64::max);
        let mut search = Search::new(&assignment, vec![0; 5], f64::NEG_INFINITY);
        search.descend(0, &assignment.diagonal_gains());
        assert!((assignment.value(&search.best) - best).abs() < 1e-9, "{seed}");
        assert!(assignment.bound() >= best - 1e-9);
    }
}

#[test]
fn an_exchange_gains_the_difference_of_values() {
    let assignment = assignment(5, 3, &[0; 5]);
    let value = |order: &[usize]| assignment.structure.dot(&reordered(&assignment.measured, order));
    for order in [[0, 1, 2, 3, 4], [3, 0, 4, 2, 1]] {
        assert_eq!(assignment.value(&order), value(&order));
        for (i, j) in (0..5).flat_map(|j| (0..j).map(move |i| (i, j))) {
            let mut exchanged = order;
            exchanged.swap(i, j);
            assert_eq!(assignment.gain(&order, i, j), value(&exchanged) - value(&order));
        }
    }
}

/// 1·1 + 3·2 + 4·5 on the diagonal, −2·(−3) + 0·(−1) + 1·0 + 2·1 + 5·2 + 6·4 beside it.
#[test]
fn no_value_exceeds_that_of_sorted_entries() {
    let structure = DMatrix::from_row_slice(3, 3, &[3., -2., 6., 0., 4., 1., 2., 5., 1.]);
    let measured = DMatrix::from_row_slice(3, 3, &[5., 1., -1., 4., 2., 2., 0., -3., 1.]);
    let assignment = Assignment { structure, measured, kinds: &[0; 3], negligible: 0.0 };
    assert_eq!(assignment.bound(), 27.0 + 42.0);
}

/// Numbers that are added to all entries change the sign of the bound: other starts are better than the first one still.
#[test]
fn bounds_may_be_negative() {
    let mut better = 0;
    for seed in 0..12 {
        let plain = assignment(9, seed, &[0; 9]);
        let structure = plain.structure.add_scalar(4.0);
        let measured = plain.measured.add_scalar(-4.0);
        let shifted = Assignment { structure, measured, ..plain };
        assert!(shifted.bound() < 0.0);
        let first = shifted.value(&shifted.improved((0..9).collect()));
        better += usize::from(shifted.value(&shifted.best((0..9).collect())) > first);
    }
    assert!(better > 0);
}

/// Of nine classes there is often a better start than the first one.
#[test]
fn the_best_start_is_improved() {
    let mut better = 0;
    for seed in 0..12 {
        let kinds = if seed % 2 == 0 { [0; 9] } else { [0, 0, 1, 1, 0, 1, 0, 0, 1] };
        let assignment = assignment(9, seed, &kinds);
        let best = assignment.best((0..9).collect());
        let value = assignment.value(&best);
        let first = assignment.value(&assignment.improved((0..9).collect()));
        better += usize::from(value > first);
        assert!((0..9).all(|place| kinds[best[place]] == kinds[place]), "{best:?}");
        for start in 0..MAX_STARTS {
            let start = assignment.start(start);
            let improved = assignment.improved(start.clone());
            assert!(value >= assignment.value(&improved));
            assert!(assignment.value(&improved) >= assignment.value(&start));
            for (i, j) in (0..9).flat_map(|j| (0..j).map(move |i| (i, j))) {
                assert!(kinds[i] != kinds[j] || assignment.gain(&improved, i, j) <= 0.0);
            }
        }
    }
    assert!(better >= 3, "{better}");
}

/// Twins are places whose exchange leaves the structure and the kinds as they are.
#[test]
fn twins_can_be_exchanged() {
    let mut found = [0, 0];
    for code in 0..1 << 9 {
        let structure = DMatrix::from_fn(3, 3, |i, j| f64::from((code >> (3 * i + j)) & 1));
        for kinds in [[0, 0, 0], [0, 1, 0]] {
            let (measured, structure) = (structure.clone(), structure.clone());
            let assignment = Assignment { structure, measured, kinds: &kinds, negligible: 0.0 };
            for (i, j, exchanged) in [(0, 1, [1, 0, 2]), (0, 2, [2, 1, 0]), (1, 2, [0, 2, 1])] {
                let same = reordered(&assignment.structure, &exchanged) == assignment.structure;
                let twins = same && kinds[i] == kinds[j];
                assert_eq!(assignment.are_twins(i, j), twins, "{code:b} {kinds:?} {i} {j}");
                found[usize::from(twins)] += 1;
            }
        }
    }
    assert!(found.iter().all(|&times| times > 100), "{found:?}");
}

/// The places 0, 2 and 3 are twins of one kind, and class 2 stands in the first of them.
#[test]
fn classes_of_twins_rise() {
    let structure = DMatrix::identity(5, 5);
    let (measured, kinds) = (structure.clone(), [0, 1, 0, 0, 1]);
    let assignment = Assignment { structure, measured, kinds: &kinds, negligible: 0.0 };
    let mut search = Search::new(&assignment, vec![], 0.0);
    assert_eq!(search.twins, [None, None, Some(0), Some(2), Some(1)]);
    assert_eq!(search.candidates(0), [0, 2, 3]);
    search.order = vec![0, 1];
    assert_eq!(search.candidates(2), [2, 3]);
    search.order = vec![2, 1];
    assert_eq!(search.candidates(2), [3]);
}

/// For every place the class, and for every class the place, that gains most if the others could be in any order for it.
#[test]
fn open_places_gain_what_gilmore_and_lawler_say() {
    for seed in 0..10 {
        let assignment = assignment(4, seed, &[0; 4]);
        let (t, m) = (&assignment.structure, &assignment.measured);
        let mut search = Search::new(&assignment, vec![], f64::NEG_INFINITY);
        let mut gains = assignment.diagonal_gains();
        for depth in 0..4 {
            let free: Vec<usize> = (0..4).filter(|class| !search.order.contains(class)).collect();
            let without = |items: &[usize], item| -> Vec<usize> {
                items.iter().copied().filter(|&other| other != item).collect()
            };
            let open: Vec<usize> = (depth..4).collect();
            let most = |place: usize, class: usize| {
                let places = without(&open, place);
                let beside = |classes: Vec<usize>| -> f64 {
                    places.iter().zip(classes).map(|(&p, c)| t[(place, p)] * m[(class, c)]).sum()
                };
                let orders = permutations(&without(&free, class)).into_iter();
                let before =
                    search.order.iter().enumerate().map(|(p, &c)| {
                        t[(p, place)] * m[(c, class)] + t[(place, p)] * m[(class, c)]
                    });
                let fixed = t[(place, place)] * m[(class, class)] + before.sum::<f64>();
                fixed + orders.map(beside).fold(f64::NEG_INFINITY, f64::max)
            };
            let largest =
                |numbers: &mut dyn Iterator<Item = f64>| numbers.fold(f64::NEG_INFINITY, f64::max);
            let of_places = open.iter().map(|&p| largest(&mut free.iter().map(|&c| most(p, c))));
            let of_classes = free.iter().map(|&c| largest(&mut open.iter().map(|&p| most(p, c))));
            let expected = of_places.sum::<f64>().min(of_classes.sum());
            assert_eq!(search.bound(depth, &gains), expected, "{seed} {depth}");
            let class = free[seed % free.len()];
            gains = search.gains_beside(depth, class, &gains);
            search.order.push(class);
        }
    }
}
