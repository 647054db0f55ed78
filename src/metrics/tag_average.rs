//! How far the features of samples with several tags are from averages over their tags.

use nalgebra::DMatrix;

use crate::error::{Argument, Error, Result, Size};
use crate::numerics::linalg::check_finite;
use crate::numerics::magnitude::over_largest;

/// The residual of the tag-wise average for the sets of one number of tags.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct TagAverage {
    /// Number of tags m.
    pub tags: usize,
    /// Number of sets of m tags that were measured.
    pub sets: usize,
    /// ‖H_m − c·A_m‖/‖H_m‖, between 0 (averages) and 1 (orthogonal to them).
    pub residual: f64,
    /// c, by which features are longer than the average over their tags.
    pub factor: f64,
}

/// How far the mean features of sets of tags are from multiples of the average over their tags: by number of tags m,
/// the residual min over c of ‖H_m − c A_m‖/‖H_m‖ (Frobenius norms).
///
/// `single` (d×K) are the mean features of the samples with one tag, `set_means` (d×J) those of sets of tags,
/// which `sets` names: J lists of different tags below K. H_m are the columns of sets of m tags, and A_m the averages
/// 1/m Σ_{k∈S} of columns of `single`. Subtract a global mean beforehand if the network has a bias or a ReLU. At the
/// global minimum of [`MultiLabelUfm`](crate::models::multi_label::MultiLabelUfm) all residuals are zero.
///
/// # Errors
/// [`Error::Shape`] if `set_means` does not have d rows and a column for each set, [`Error::Empty`] if a matrix
/// is, [`Error::OutOfRange`] if an entry is not finite, or a tag is no column of `single` or named twice,
/// [`Error::ZeroNorm`] if all columns or all averages of sets of a size are zero.
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::metrics::tag_average_residuals;
///
/// let single = dmatrix![1.0, 0.0, -1.0; 0.0, 1.0, -1.0];
/// // Two pairs, one in the direction of the average of its tags and one across.
/// let pairs = dmatrix![3.0, 0.0; 3.0, 4.0];
/// let aligned = tag_average_residuals(&single, &[vec![0, 1]], &pairs.columns(0, 1).into())?;
/// assert!(aligned[0].residual < 1e-15 && (aligned[0].factor - 6.0).abs() < 1e-14);
/// let both = tag_average_residuals(&single, &[vec![0, 1], vec![1, 2]], &pairs)?;
/// assert!(both[0].residual > 0.5);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// Source: the "tag-wise average" property of Li et al., *Neural Collapse in Multi-label Learning with Pick-all-label
/// Loss* (ICML 2024), as a residual.
pub fn tag_average_residuals(
    single: &DMatrix<f64>,
    sets: &[Vec<usize>],
    set_means: &DMatrix<f64>,
) -> Result<Vec<TagAverage>> {
    if single.is_empty() {
        return Err(Error::Empty { argument: "single" });
    }
    if sets.is_empty() {
        return Err(Error::Empty { argument: "sets" });
    }
    let expected = (Size::Exactly(single.nrows()), Size::Exactly(sets.len()));
    if set_means.shape() != (single.nrows(), sets.len()) {
        let reason = "features × sets";
        return Err(Error::shape("set_means", set_means.shape(), expected, reason));
    }
    check_finite("single", single)?;
    check_finite("set_means", set_means)?;
    for (index, set) in sets.iter().enumerate() {
        check_tags(index, set, single.ncols())?;
    }
    let mut numbers: Vec<usize> = sets.iter().map(Vec::len).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers.into_iter().map(|tags| of_size(tags, single, sets, set_means)).collect()
}

fn check_tags(index: usize, set: &[usize], classes: usize) -> Result<()> {
    let argument = || Argument::at("sets", index);
    if set.is_empty() {
        return Err(Error::out_of_range(argument(), 0.0, "a set of at least one tag"));
    }
    for (place, &tag) in set.iter().enumerate() {
        if tag >= classes || set.iter().take(place).any(|&other| other == tag) {
            let expected = "a set of different tags, each a column of `single`";
            return Err(Error::out_of_range(argument(), tag as f64, expected));
        }
    }
    Ok(())
}

fn of_size(
    tags: usize,
    single: &DMatrix<f64>,
    sets: &[Vec<usize>],
    set_means: &DMatrix<f64>,
) -> Result<TagAverage> {
    let own: Vec<usize> = (0..sets.len()).filter(|&set| sets[set].len() == tags).collect();
    let measured = unit_scale(set_means.select_columns(&own), "set_means")?;
    let averages = DMatrix::from_fn(single.nrows(), own.len(), |row, column| {
        let members = sets[own[column]].iter().map(|&tag| single[(row, tag)] / tags as f64);
        members.sum::<f64>()
    });
    let averages = unit_scale(averages, "single")?;
    let factor = averages.0.dot(&measured.0) / averages.0.norm_squared();
    let residual = (&measured.0 - &averages.0 * factor).norm() / measured.0.norm();
    let factor = factor * (measured.1 / averages.1);
    Ok(TagAverage { tags, sets: own.len(), residual, factor })
}

/// The matrix divided by its largest entry, so that squares are in range, and that entry.
fn unit_scale(matrix: DMatrix<f64>, argument: &'static str) -> Result<(DMatrix<f64>, f64)> {
    over_largest(&matrix).ok_or(Error::ZeroNorm { argument })
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::dmatrix;

    /// Averages (½, ½) and (0, 1) of two sets: c = ⟨H, A⟩/‖A‖² = (3 + 2)/(3/2), and ‖H − cA‖² = 33 − 5²/(3/2) of 33.
    #[test]
    fn residuals_are_those_of_projections() {
        let single = dmatrix![1.0, 0.0, 0.0; 0.0, 1.0, 1.0];
        let sets = [vec![0, 1], vec![2], vec![2, 1]];
        let means = dmatrix![2.0, 1.0, -3.0; 4.0, 0.0, 2.0];
        for scale in [1e-200, 1.0, 1e200] {
            let found = tag_average_residuals(&single, &sets, &(&means * scale)).unwrap();
            let [one, two] = &found[..] else { panic!("{found:?}") };
            assert_eq!((one.tags, one.sets, two.tags, two.sets), (1, 1, 2, 2));
            assert!((one.residual - 1.0).abs() < 1e-15 && one.factor.abs() < 1e-15 * scale);
            let residual = (1.0 - 25.0 / 1.5 / 33.0_f64).sqrt();
            assert!((two.residual - residual).abs() < 1e-15, "{two:?}");
            assert!((two.factor / scale - 5.0 / 1.5).abs() < 1e-14, "{two:?}");
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let single = dmatrix![1.0, 0.0; 0.0, 1.0];
        let refused = |sets: &[Vec<usize>], means: &DMatrix<f64>| {
            tag_average_residuals(&single, sets, means).unwrap_err().to_string()
        };
        let means = dmatrix![1.0, 2.0; 3.0, 4.0];
        for (sets, start) in [
            ([vec![0], vec![2]], "`sets[1]` is 2"),
            ([vec![1, 0, 1], vec![0]], "`sets[0]` is 1"),
            ([vec![0], vec![]], "`sets[1]` is 0"),
        ] {
            let found = refused(&sets, &means);
            assert!(found.starts_with(start), "{found}");
        }
        let found = refused(&[vec![0]], &means);
        assert!(found.starts_with("`set_means` has shape 2×2"), "{found}");
        let zeros = DMatrix::zeros(2, 1);
        assert!(refused(&[vec![0]], &zeros).contains("set_means"));
        let found = tag_average_residuals(&zeros, &[vec![0]], &dmatrix![1.0; 2.0]);
        assert_eq!(found, Err(Error::ZeroNorm { argument: "single" }));
    }
}
