//! How many samples each class has.

use core::fmt;
use core::ops::Range;
use core::str::FromStr;
use std::sync::Arc;

use crate::error::{Argument, Error, Result};
use crate::numerics::linalg::check_memory;
use crate::numerics::secular::Repeated;
use crate::problem::labels::{Label, indices};

/// Counts above this are not exact as `f64`.
const LARGEST_COUNT: u64 = 1 << f64::MANTISSA_DIGITS;

/// Whether a count is exact as `f64`.
pub(crate) fn is_exact(count: u64) -> bool {
    count <= LARGEST_COUNT
}

/// What must be true of a number of classes or samples.
pub(crate) fn check_count(argument: impl Into<Argument>, count: u64) -> Result<()> {
    if count > 0 && is_exact(count) {
        return Ok(());
    }
    Err(Error::out_of_range(argument, count as f64, "between 1 and 2⁵³"))
}

/// The class sizes n_0, …, n_(K−1) of a data set.
///
/// The order of the classes is kept. Equal neighbors are stored as one run and equal sizes as one
/// group, so that ten million balanced classes take no more room than one.
///
/// ```
/// use neural_collapse::ClassCounts;
///
/// let counts = ClassCounts::new(&[50, 200, 100, 50])?;
/// assert_eq!((counts.classes(), counts.samples()), (4, 400));
/// assert_eq!(counts.count(3), Some(50));
/// assert_eq!(counts.sizes().map(|group| (group.size, group.class_count)).collect::<Vec<_>>(),
///            [(200, 1), (100, 1), (50, 2)]);
/// assert!(ClassCounts::balanced(10_000_000, 600)?.is_balanced());
/// # Ok::<(), neural_collapse::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "Vec<(u64, usize)>", into = "Vec<(u64, usize)>"))]
pub struct ClassCounts(Arc<Table>);

/// What all copies of the counts share: problems, minima and their parts each have one.
#[derive(Debug, PartialEq, Eq)]
struct Table {
    runs: Vec<Run>,
    groups: Vec<SizeGroup>,
    classes: usize,
    samples: u64,
}

/// Neighboring classes of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Run {
    /// Index of the first of these classes.
    pub first_class: usize,
    /// Number of these classes.
    pub class_count: usize,
    /// Number of samples in each of them.
    pub size: u64,
    /// Index of their [`SizeGroup`].
    pub group: usize,
}

/// All classes of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct SizeGroup {
    /// Number of samples in each of these classes.
    pub size: u64,
    /// Number of these classes.
    pub class_count: usize,
}

impl Run {
    /// These classes.
    ///
    /// ```
    /// use neural_collapse::ClassCounts;
    ///
    /// let counts = ClassCounts::new(&[200, 50, 50])?;
    /// let ranges: Vec<_> = counts.runs().map(|run| run.classes()).collect();
    /// assert_eq!(ranges, [0..1, 1..3]);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    #[must_use]
    pub fn classes(&self) -> Range<usize> {
        self.first_class..self.first_class + self.class_count
    }
}

impl Table {
    fn push(&mut self, size: u64, classes: usize) -> Result<()> {
        if classes == 0 {
            return Ok(());
        }
        let first_class = self.classes;
        let argument = || Argument::at("counts", first_class);
        if size == 0 {
            return Err(Error::EmptyClass { argument: "counts", class: first_class });
        }
        if !is_exact(size) {
            return Err(Error::out_of_range(argument(), size as f64, "at most 2⁵³"));
        }
        let total = size.checked_mul(classes as u64).and_then(|new| new.checked_add(self.samples));
        let all_classes = self.classes.checked_add(classes);
        let (Some(samples), Some(all_classes)) = (total, all_classes) else {
            let sum = self.samples as f64 + size as f64 * classes as f64;
            return Err(Error::out_of_range("counts", sum, "at most 2⁶⁴ − 1 in all"));
        };
        match self.runs.last_mut() {
            Some(run) if run.size == size => run.class_count += classes,
            _ => self.runs.push(Run { first_class, class_count: classes, size, group: 0 }),
        }
        (self.classes, self.samples) = (all_classes, samples);
        Ok(())
    }

    /// Fills `groups`, by falling size, and each run's index into it.
    fn group_equal_sizes(&mut self) {
        let mut order: Vec<usize> = (0..self.runs.len()).collect();
        order.sort_unstable_by_key(|&run| core::cmp::Reverse(self.runs[run].size));
        for index in order {
            let run = &mut self.runs[index];
            match self.groups.last_mut() {
                Some(group) if group.size == run.size => group.class_count += run.class_count,
                _ => self.groups.push(SizeGroup { size: run.size, class_count: run.class_count }),
            }
            run.group = self.groups.len() - 1;
        }
    }
}

impl ClassCounts {
    /// The sizes of the classes, in the order of their labels.
    ///
    /// # Errors
    /// [`Error::Empty`] without a class, [`Error::EmptyClass`] if a class has no sample,
    /// [`Error::OutOfRange`] if a count is above 2⁵³ or all of them together above 2⁶⁴ − 1.
    pub fn new(counts: &[u64]) -> Result<Self> {
        Self::from_runs(counts.iter().map(|&size| (size, 1)))
    }

    /// `classes` classes of `size` samples each.
    ///
    /// # Errors
    /// As [`ClassCounts::new`].
    pub fn balanced(classes: usize, size: u64) -> Result<Self> {
        Self::from_runs([(size, classes)])
    }

    /// Runs of (size, number of classes) in the order of the labels: `[(600, 5), (50, 20)]` are five
    /// classes of 600 samples and then twenty of 50.
    ///
    /// # Errors
    /// As [`ClassCounts::new`].
    pub fn from_runs(runs: impl IntoIterator<Item = (u64, usize)>) -> Result<Self> {
        let mut table = Table { runs: Vec::new(), groups: Vec::new(), classes: 0, samples: 0 };
        for (size, classes) in runs {
            table.push(size, classes)?;
        }
        if table.classes == 0 {
            return Err(Error::Empty { argument: "counts" });
        }
        table.group_equal_sizes();
        Ok(Self(Arc::new(table)))
    }

    /// The sizes of the classes that the labels of samples, integers of any type, are of: `counts[k]` of K = `classes` is
    /// how often k stands among them.
    ///
    /// # Errors
    /// [`Error::LabelOutOfRange`] if a label is not below K, and as [`ClassCounts::new`].
    ///
    /// ```
    /// use neural_collapse::ClassCounts;
    ///
    /// assert_eq!(ClassCounts::of_labels(&[0, 2, 2, 1], 3)?, ClassCounts::new(&[1, 1, 2])?);
    /// let error = ClassCounts::of_labels(&[0_i64, -1], 3).unwrap_err();
    /// assert_eq!(error.to_string(), "`labels[1]` is -1, but there are 3 classes, numbered from 0");
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn of_labels<L: Label>(labels: &[L], classes: usize) -> Result<Self> {
        check_memory("classes", classes as f64, Some(classes))?;
        let mut counts = vec![0; classes];
        for &class in indices(labels, classes)?.iter() {
            if let Some(count) = counts.get_mut(class) {
                *count += 1;
            }
        }
        Self::new(&counts)
    }

    /// The labels of a data set that is sorted by class: n_0 times 0, then n_1 times 1, and so on, as the samples
    /// of [`ExplicitPoint::features`](crate::ExplicitPoint::features) are.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if they do not fit into memory.
    ///
    /// ```
    /// use neural_collapse::ClassCounts;
    ///
    /// assert_eq!(ClassCounts::new(&[2, 1, 3])?.labels()?, [0, 0, 1, 2, 2, 2]);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn labels(&self) -> Result<Vec<usize>> {
        let samples = self.0.samples as f64;
        let fitting = usize::try_from(self.0.samples).ok();
        check_memory("samples", samples, fitting)?;
        let of_class = |class, size| core::iter::repeat_n(class, size as usize);
        let of_run = |run: &Run| {
            let size = run.size;
            run.classes().flat_map(move |class| of_class(class, size))
        };
        Ok(self.0.runs.iter().flat_map(of_run).collect())
    }

    /// Number of classes K.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.0.classes
    }

    /// Number of samples N.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.0.samples
    }

    /// Number of samples of a class, or `None` if there is no such class.
    #[must_use]
    pub fn count(&self, class: usize) -> Option<u64> {
        self.run_of(class).map(|run| run.size)
    }

    /// Refuses measured samples of other numbers than a prediction is for; both are for equally many classes.
    pub(crate) fn check_predicted(&self, expected: &Self) -> Result<()> {
        // Where sizes first differ, a run begins in one of both.
        let starts = self.runs().chain(expected.runs()).map(|run| run.first_class);
        let different = starts.filter_map(|class| {
            let (found, expected) = (self.count(class)?, expected.count(class)?);
            (found != expected).then_some((class, found, expected))
        });
        match different.min() {
            None => Ok(()),
            Some((class, found, expected)) => {
                Err(Error::DifferentCounts { class, found, expected })
            }
        }
    }

    /// Whether all classes have the same size.
    #[must_use]
    pub fn is_balanced(&self) -> bool {
        self.0.groups.len() == 1
    }

    /// The distinct sizes with the number of their classes, by falling size.
    #[must_use]
    pub fn sizes(&self) -> impl ExactSizeIterator<Item = SizeGroup> + '_ {
        self.0.groups.iter().copied()
    }

    /// The distinct sizes, by falling size.
    pub(crate) fn groups(&self) -> &[SizeGroup] {
        &self.0.groups
    }

    /// The largest size: that of all classes if they are balanced.
    pub(crate) fn largest(&self) -> u64 {
        self.0.groups[0].size
    }

    /// The runs of equal neighbors, in the order of the classes.
    #[must_use]
    pub fn runs(&self) -> impl ExactSizeIterator<Item = Run> + '_ {
        self.0.runs.iter().copied()
    }

    /// The distinct sizes as they repeat on the diagonal of diag(n), by falling size.
    pub(crate) fn repeated_sizes(&self) -> Vec<Repeated> {
        let repeated = |group: &SizeGroup| Repeated {
            value: group.size as f64,
            times: group.class_count as f64,
        };
        self.0.groups.iter().map(repeated).collect()
    }

    /// The classes of a group, as runs of neighbors in rising order.
    pub(crate) fn members(&self, group: usize) -> Vec<Range<usize>> {
        let own = self.0.runs.iter().filter(|run| run.group == group);
        own.map(Run::classes).collect()
    }

    /// The run that a class belongs to.
    pub(crate) fn run_of(&self, class: usize) -> Option<Run> {
        if class >= self.0.classes {
            return None;
        }
        let next = self.0.runs.partition_point(|run| run.first_class <= class);
        self.0.runs.get(next.checked_sub(1)?).copied()
    }
}

/// `200,100,50x2`: the sizes in the order of the labels, and how many classes of that size follow each other.
impl fmt::Display for ClassCounts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, run) in self.0.runs.iter().enumerate() {
            let separator = if index == 0 { "" } else { "," };
            write!(formatter, "{separator}{}", run.size)?;
            if run.class_count > 1 {
                write!(formatter, "x{}", run.class_count)?;
            }
        }
        Ok(())
    }
}

/// Reads `200,100,50x2`: sizes separated by commas or white space, `50x2` being two classes of 50 samples.
///
/// ```
/// use neural_collapse::ClassCounts;
///
/// let counts: ClassCounts = "200, 100, 50x2".parse()?;
/// assert_eq!(counts, ClassCounts::new(&[200, 100, 50, 50])?);
/// assert_eq!(counts.to_string(), "200,100,50x2");
/// # Ok::<(), neural_collapse::Error>(())
/// ```
impl FromStr for ClassCounts {
    type Err = Error;

    /// [`Error::Syntax`] names the entry that is no class size; otherwise as [`ClassCounts::from_runs`].
    fn from_str(text: &str) -> Result<Self> {
        let separators = |character: char| character == ',' || character.is_whitespace();
        let items = text.split(separators).filter(|item| !item.is_empty());
        Self::from_runs(items.map(parse_run).collect::<Result<Vec<_>>>()?)
    }
}

/// The size and the number of classes of `50` or `50x2`.
fn parse_run(item: &str) -> Result<(u64, usize)> {
    let (size, repeat) = item.split_once(['x', 'X']).unwrap_or((item, "1"));
    match (size.parse(), repeat.parse()) {
        (Ok(size), Ok(repeat)) if size > 0 && repeat > 0 => Ok((size, repeat)),
        _ => Err(Error::Syntax {
            text: item.to_owned(),
            expected: "a class size `SIZE` or `SIZExCLASSES` with numbers from 1 on",
        }),
    }
}

/// Runs of (size, number of classes), in the order of the labels.
impl From<ClassCounts> for Vec<(u64, usize)> {
    fn from(counts: ClassCounts) -> Self {
        counts.runs().map(|run| (run.size, run.class_count)).collect()
    }
}

impl TryFrom<Vec<(u64, usize)>> for ClassCounts {
    type Error = Error;

    /// As [`ClassCounts::from_runs`].
    fn try_from(runs: Vec<(u64, usize)>) -> Result<Self> {
        Self::from_runs(runs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_keep_the_order_and_groups_fall() {
        let counts = ClassCounts::new(&[5, 9, 9, 5, 5, 7]).unwrap();
        let runs: Vec<_> =
            counts.runs().map(|run| (run.first_class, run.class_count, run.group)).collect();
        assert_eq!(runs, [(0, 1, 2), (1, 2, 0), (3, 2, 2), (5, 1, 1)]);
        let groups: Vec<_> = counts.sizes().map(|group| (group.size, group.class_count)).collect();
        assert_eq!(groups, [(9, 2), (7, 1), (5, 3)]);
        assert_eq!(
            (0..7).map(|class| counts.count(class)).collect::<Vec<_>>(),
            [Some(5), Some(9), Some(9), Some(5), Some(5), Some(7), None]
        );
    }

    #[test]
    fn texts_are_read_and_written() {
        let sizes: ClassCounts = "200,100,50x2\n 7".parse().unwrap();
        assert_eq!(sizes, ClassCounts::new(&[200, 100, 50, 50, 7]).unwrap());
        assert_eq!(sizes.to_string().parse(), Ok(sizes));
        let huge: ClassCounts = "1x18446744073709551615".parse().unwrap();
        assert_eq!(huge.runs().len(), 1);
        for text in
            ["0", "0x3", "5x0", "-5", "2.5", "5x", "x5", "5x5x5", "a", "2x99999999999999999999"]
        {
            let found = text.parse::<ClassCounts>();
            assert!(matches!(found, Err(Error::Syntax { .. })), "{text}: {found:?}");
        }
        for text in ["", ",", "2x9999999999999999999"] {
            assert!(text.parse::<ClassCounts>().is_err(), "{text}");
        }
    }

    #[test]
    fn bad_counts_are_named() {
        assert_eq!(ClassCounts::new(&[]), Err(Error::Empty { argument: "counts" }));
        assert_eq!(ClassCounts::balanced(0, 5), Err(Error::Empty { argument: "counts" }));
        let empty = Error::EmptyClass { argument: "counts", class: 1 };
        assert_eq!(ClassCounts::new(&[3, 0]), Err(empty));
        assert!(matches!(ClassCounts::new(&[1 << 54]), Err(Error::OutOfRange { .. })));
        // 2⁵³ + 2²⁰ · 2⁵⁰ samples, of which all digits are kept.
        let huge = ClassCounts::from_runs([(1 << 53, 1), (1 << 50, 1 << 20)]);
        let sum = 53.0_f64.exp2() + 70.0_f64.exp2();
        assert_eq!(huge, Err(Error::out_of_range("counts", sum, "at most 2⁶⁴ − 1 in all")));
        let is_count = |count: u64| check_count("samples", count).is_ok();
        assert_eq!([0, 1, 1 << 53, (1 << 53) + 1].map(is_count), [false, true, true, false]);
    }

    /// The first class that differs is named, wherever runs begin.
    #[test]
    fn counts_that_are_not_predicted_are_named() {
        let counts = |runs: &[(u64, usize)]| ClassCounts::from_runs(runs.iter().copied()).unwrap();
        let measured = counts(&[(5, 4), (3, 2)]);
        assert_eq!(measured.check_predicted(&counts(&[(5, 2), (5, 2), (3, 2)])), Ok(()));
        for (expected, class, found, wanted) in [
            (counts(&[(5, 2), (4, 1), (5, 1), (3, 2)]), 2, 5, 4),
            (counts(&[(5, 5), (3, 1)]), 4, 3, 5),
            (counts(&[(7, 6)]), 0, 5, 7),
        ] {
            let error = Error::DifferentCounts { class, found, expected: wanted };
            assert_eq!(measured.check_predicted(&expected), Err(error));
        }
    }
}
