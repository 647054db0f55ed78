//! The classes of samples, in whatever integers they are stored.

use std::borrow::Cow;

use crate::error::{Error, Result};

/// The integers in which labels are stored: `usize`, which are taken as they are, and all others up to 64 bits,
/// which are copied.
///
/// ```
/// use neural_collapse::Features;
///
/// let features = Features::from_row_major(&[1.0, 2.0], 2, 1)?;
/// let labels: [i64; 2] = [0, -1]; // PyTorch has 64 bits, NumPy whatever was asked for
/// let error = features.with_labels(&labels, 2).unwrap_err();
/// assert_eq!(error.to_string(), "`labels[1]` is -1, but there are 2 classes, numbered from 0");
/// # Ok::<(), neural_collapse::Error>(())
/// ```
pub trait Label: Copy + sealed::Sealed {
    /// The number as it is.
    #[doc(hidden)]
    fn number(self) -> i128;

    /// Labels that need no conversion.
    #[doc(hidden)]
    fn as_indices(labels: &[Self]) -> Option<&[usize]> {
        let _ = labels;
        None
    }
}

impl Label for usize {
    fn number(self) -> i128 {
        self as i128
    }

    fn as_indices(labels: &[Self]) -> Option<&[usize]> {
        Some(labels)
    }
}

macro_rules! labels {
    ($($integer:ty),*) => {$(
        impl Label for $integer {
            fn number(self) -> i128 {
                self.into()
            }
        }

        impl sealed::Sealed for $integer {}
    )*};
}

labels!(u8, u16, u32, u64, i8, i16, i32, i64);

impl Label for isize {
    fn number(self) -> i128 {
        self as i128
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for usize {}
    impl Sealed for isize {}
}

/// The labels as indices of classes, all below `classes`.
pub(crate) fn indices<L: Label>(labels: &[L], classes: usize) -> Result<Cow<'_, [usize]>> {
    let index = |label: L| usize::try_from(label.number()).ok().filter(|&index| index < classes);
    if let Some(sample) = labels.iter().position(|&label| index(label).is_none()) {
        return Err(Error::LabelOutOfRange { sample, label: labels[sample].number(), classes });
    }
    Ok(match L::as_indices(labels) {
        Some(indices) => Cow::Borrowed(indices),
        None => labels.iter().filter_map(|&label| index(label)).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_integer_is_a_label() {
        fn check<L: Label + TryFrom<i8>>() {
            let label = |number: i8| L::try_from(number).ok().unwrap();
            let good = [label(2), label(0), label(1)];
            assert_eq!(&indices(&good, 3).unwrap()[..], [2, 0, 1]);
            let error = Error::LabelOutOfRange { sample: 1, label: 3, classes: 3 };
            assert_eq!(indices(&[label(0), label(3), label(4)], 3), Err(error));
        }
        check::<u8>();
        check::<u16>();
        check::<u32>();
        check::<u64>();
        check::<usize>();
        check::<i8>();
        check::<i16>();
        check::<i32>();
        check::<i64>();
        check::<isize>();
        let borrowed = [0_usize, 1];
        assert!(matches!(indices(&borrowed, 2), Ok(Cow::Borrowed(_))));
    }

    #[test]
    fn numbers_out_of_range_are_named_as_they_are() {
        let error = |label| Err(Error::LabelOutOfRange { sample: 0, label, classes: 2 });
        assert_eq!(indices(&[-1_i8], 2), error(-1));
        assert_eq!(indices(&[i64::MIN], 2), error(i64::MIN.into()));
        assert_eq!(indices(&[u64::MAX], 2), error(u64::MAX.into()));
        assert_eq!(indices(&[usize::MAX], 2), error(usize::MAX as i128));
        // Not 1, as a conversion that drops bits would have it.
        assert_eq!(indices(&[(1_u64 << 32) + 1], 2), error((1 << 32) + 1));
    }
}
