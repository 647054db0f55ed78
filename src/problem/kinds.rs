//! Classes that agree in their size and in further numbers, such as a class weight.

use core::ops::Range;
use std::collections::HashMap;

use crate::error::{Argument, Error, Result, check_positive};
use crate::problem::counts::{ClassCounts, Run};

/// The classes divided into kinds: those of one kind have the same size and the same P further numbers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Kinds<const P: usize> {
    kinds: Vec<Kind<P>>,
    runs: Vec<KindRun>,
    classes: usize,
}

/// All classes of one kind.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Kind<const P: usize> {
    /// Number of samples in each of these classes.
    pub(crate) size: u64,
    /// The further numbers.
    pub(crate) numbers: [f64; P],
    /// Number of these classes.
    pub(crate) classes: usize,
}

/// Neighboring classes of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct KindRun {
    first_class: usize,
    classes: usize,
    kind: usize,
}

impl<const P: usize> Kinds<P> {
    /// The kinds of classes with these sizes and numbers: each list has a number for each class, or is missing,
    /// which stands for ones.
    pub(crate) fn new(counts: &ClassCounts, lists: [Option<&[f64]>; P]) -> Self {
        let mut kinds = Self { kinds: Vec::new(), runs: Vec::new(), classes: counts.classes() };
        let mut known = HashMap::new();
        let uniform = lists.iter().all(Option::is_none);
        for run in counts.runs() {
            let end = run.first_class + run.class_count;
            let mut first_class = run.first_class;
            while first_class < end {
                let numbers = numbers_of(&lists, first_class);
                let candidates = if uniform { end..end } else { first_class + 1..end };
                let mut other =
                    candidates.skip_while(|&class| numbers_of(&lists, class) == numbers);
                let next = other.next().unwrap_or(end);
                kinds.push(&mut known, (run.size, numbers), first_class..next);
                first_class = next;
            }
        }
        kinds
    }

    fn push(
        &mut self,
        known: &mut HashMap<(u64, [u64; P]), usize>,
        (size, numbers): (u64, [f64; P]),
        members: Range<usize>,
    ) {
        let kind = *known.entry((size, numbers.map(f64::to_bits))).or_insert_with(|| {
            self.kinds.push(Kind { size, numbers, classes: 0 });
            self.kinds.len() - 1
        });
        self.kinds[kind].classes += members.len();
        self.runs.push(KindRun { first_class: members.start, classes: members.len(), kind });
    }

    /// Number of classes K.
    pub(crate) fn classes(&self) -> usize {
        self.classes
    }

    /// The kinds.
    pub(crate) fn kinds(&self) -> &[Kind<P>] {
        &self.kinds
    }

    /// The runs of neighbors of one kind with that kind; `group` of a run is that of `counts`, which the kinds
    /// were made from.
    pub(crate) fn runs<'a>(
        &'a self,
        counts: &'a ClassCounts,
    ) -> impl Iterator<Item = (Run, usize)> + 'a {
        self.runs.iter().filter_map(|run| {
            let of_size = counts.run_of(run.first_class)?;
            let run_of_kind =
                Run { first_class: run.first_class, class_count: run.classes, ..of_size };
            Some((run_of_kind, run.kind))
        })
    }

    /// First class and kind of each run of neighbors.
    pub(crate) fn starts(&self) -> Vec<(usize, usize)> {
        self.runs.iter().map(|run| (run.first_class, run.kind)).collect()
    }

    /// The kind of a class, or `None` if there is no such class.
    pub(crate) fn kind_of(&self, class: usize) -> Option<usize> {
        if class >= self.classes {
            return None;
        }
        let next = self.runs.partition_point(|run| run.first_class <= class);
        self.runs.get(next.checked_sub(1)?).map(|run| run.kind)
    }

    /// The kind of every class.
    pub(crate) fn of_classes(&self) -> Vec<usize> {
        self.runs.iter().flat_map(|run| core::iter::repeat_n(run.kind, run.classes)).collect()
    }
}

fn numbers_of<const P: usize>(lists: &[Option<&[f64]>; P], class: usize) -> [f64; P] {
    lists.map(|list| list.map_or(1.0, |list| list[class]))
}

/// Refuses a list that does not have a positive finite number for each class.
pub(crate) fn check_list(name: &'static str, list: &[f64], classes: usize) -> Result<()> {
    check_positive_list(name, list, classes, "one number for each class")
}

/// A list with a positive finite number for each class, or `None` if all are 1, which is as good as no list: problems that
/// are equal compare so.
pub(crate) fn list_unless_ones(
    name: &'static str,
    list: &[f64],
    classes: usize,
) -> Result<Option<Vec<f64>>> {
    check_list(name, list, classes)?;
    Ok(list.iter().any(|&number| number != 1.0).then(|| list.to_vec()))
}

/// Refuses a list of another length, for the `reason`, or with a number that is not positive and finite.
pub(crate) fn check_positive_list(
    name: &'static str,
    list: &[f64],
    length: usize,
    reason: &'static str,
) -> Result<()> {
    if list.len() != length {
        return Err(Error::length(name, list.len(), length, reason));
    }
    let mut numbers = list.iter().enumerate();
    numbers.try_for_each(|(class, &number)| check_positive(Argument::at(name, class), number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_differ_in_size_or_numbers() {
        let counts = ClassCounts::new(&[5, 5, 5, 7, 5]).unwrap();
        let kinds = Kinds::new(&counts, [Some(&[1.0, 1.0, 2.0, 1.0, 1.0])]);
        let found: Vec<_> = kinds.kinds().iter().map(|k| (k.size, k.numbers, k.classes)).collect();
        assert_eq!(found, [(5, [1.0], 3), (5, [2.0], 1), (7, [1.0], 1)]);
        assert_eq!(kinds.of_classes(), [0, 0, 1, 2, 0]);
        assert_eq!(kinds.starts(), [(0, 0), (2, 1), (3, 2), (4, 0)]);
        assert_eq!((kinds.classes(), numbers_of(&[Some(&[2.0, 3.0]), None], 1)), (5, [3.0, 1.0]));
        assert_eq!((kinds.kind_of(2), kinds.kind_of(5)), (Some(1), None));
        let runs: Vec<_> = kinds
            .runs(&counts)
            .map(|(run, k)| (run.first_class, run.class_count, run.group, k))
            .collect();
        assert_eq!(runs, [(0, 2, 1, 0), (2, 1, 1, 1), (3, 1, 0, 2), (4, 1, 1, 0)]);
    }

    #[test]
    fn many_equal_classes_are_one_run() {
        let counts = ClassCounts::balanced(10_000_000, 3).unwrap();
        assert_eq!(Kinds::new(&counts, [None, None]).starts(), [(0, 0)]);
    }

    #[test]
    fn lists_are_checked() {
        assert!(check_list("weights", &[1.0, 2.0], 2).is_ok());
        assert!(check_list("weights", &[1.0], 2).is_err());
        let error = check_list("weights", &[1.0, f64::NAN], 2).unwrap_err().to_string();
        assert!(error.contains("weights[1]"), "{error}");
    }
}
