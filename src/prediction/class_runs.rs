//! The norms of all classes, from the Gram matrices of a point.

use crate::geometry::class_matrix::ClassMatrix;
use crate::prediction::geometry::ClassGeometry;
use crate::problem::counts::{ClassCounts, Run};

/// Relative size below which squared norms, and differences between them, are rounding errors.
const NEGLIGIBLE: f64 = 1e-12;

/// Runs of equal entries, written out; `None` if there is no room for so many.
pub(crate) fn written_out(runs: &[(usize, f64)]) -> Option<Vec<f64>> {
    let length = runs.iter().try_fold(0_usize, |sum, (length, _)| sum.checked_add(*length))?;
    let mut entries = Vec::new();
    entries.try_reserve_exact(length).ok()?;
    for &(length, entry) in runs {
        entries.extend(core::iter::repeat_n(entry, length));
    }
    Some(entries)
}

/// The squared norms of a class: of its classifier and of its mean.
type Norms = [f64; 2];

impl ClassGeometry {
    /// The runs of neighbors with the same norms. Numbers as small as rounding errors become zero, and neighbors
    /// that differ by no more become equal.
    pub(crate) fn runs(
        counts: &ClassCounts,
        symmetric: bool,
        grams: &[ClassMatrix; 2],
    ) -> Vec<(Run, Self)> {
        let norms = |class: usize| grams.each_ref().map(|gram| gram.base_entry(class, class));
        if symmetric {
            return counts.runs().map(|run| (run, geometry(run, norms(run.first_class)))).collect();
        }
        let all: Vec<Norms> = (0..counts.classes()).map(norms).collect();
        let least =
            [0, 1].map(|side| NEGLIGIBLE * all.iter().map(|norms| norms[side]).fold(0.0, f64::max));
        let mut runs: Vec<(Run, Norms)> = Vec::new();
        let classes = counts.runs().flat_map(|run| run.classes().map(move |class| (run, class)));
        for ((run, class), found) in classes.zip(all) {
            let cleaned =
                [0, 1].map(|side| if found[side] > least[side] { found[side] } else { 0.0 });
            let alike = |(last, norms): &(Run, Norms)| {
                last.size == run.size
                    && (0..2).all(|side| (norms[side] - cleaned[side]).abs() <= least[side])
            };
            match runs.last_mut() {
                Some(last) if alike(last) => last.0.class_count += 1,
                _ => runs.push((Run { first_class: class, class_count: 1, ..run }, cleaned)),
            }
        }
        runs.into_iter().map(|(run, norms)| (run, geometry(run, norms))).collect()
    }
}

fn geometry(run: Run, [classifier, feature]: Norms) -> ClassGeometry {
    ClassGeometry {
        count: run.size,
        collapsed: Some([classifier, feature] == [0.0, 0.0]),
        classifier_norm_squared: Some(classifier),
        feature_norm_squared: Some(feature),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbors_that_differ_by_rounding_errors_are_one_run() {
        let counts = ClassCounts::new(&[5, 5, 5, 5, 3, 3]).unwrap();
        let diagonal = |entries: [f64; 6]| ClassMatrix::diagonal(&entries).unwrap();
        let grams = [
            diagonal([4.0, 4.0 + 2e-12, 4.0, 4.0 + 1e-11, 4.0, (4.0 + 1e-11) * NEGLIGIBLE]),
            diagonal([1.0, 1.0, 1e-13, 1.0, 1.0, 1e-13]),
        ];
        let found = ClassGeometry::runs(&counts, false, &grams);
        let runs: Vec<_> =
            found.iter().map(|(run, _)| (run.first_class, run.class_count, run.size)).collect();
        assert_eq!(runs, [(0, 2, 5), (2, 1, 5), (3, 1, 5), (4, 1, 3), (5, 1, 3)]);
        let features: Vec<_> =
            found.iter().map(|(_, class)| class.feature_norm_squared.unwrap()).collect();
        assert_eq!(features, [1.0, 0.0, 1.0, 1.0, 0.0]);
        assert!(found.iter().all(|(run, class)| class.collapsed == Some(run.first_class == 5)));
        let symmetric = ClassGeometry::runs(&counts, true, &grams);
        let runs: Vec<_> =
            symmetric.iter().map(|(run, _)| (run.first_class, run.class_count)).collect();
        assert_eq!(runs, [(0, 4), (4, 2)]);
    }
}
