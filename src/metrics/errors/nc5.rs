//! NC5 with its standard error.

use nalgebra::DVector;

use crate::error::{Error, Result};
use crate::measure::class_vectors::ClassVectors;
use crate::metrics::all::defined;
use crate::metrics::errors::estimate::Estimate;
use crate::metrics::errors::moved::Moved;
use crate::metrics::errors::parts::SampleParts;
use crate::metrics::out_of_distribution::nc5;

/// [`nc5`] with its standard error, from the parts of samples of `known` classes and of those `outside`, which count as one
/// class. Both move it, and are independent of each other. `None` if NC5 is not defined, or all samples of a class are in
/// one part.
///
/// # Errors
/// [`Error::Shape`] if there are several classes outside, or the dimensions differ; [`Error::SecondPass`] if a class has not had
/// as many samples as in the statistics.
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::metrics::Nc1Options;
/// use neural_collapse::metrics::errors::{SampleParts, nc5_estimate};
/// use neural_collapse::{ClassStatistics, Features};
///
/// let rows = [dmatrix![1.1, 0.0; 0.9, 0.1; 0.0, 1.3; 0.2, 1.1], dmatrix![0.5, 0.4; 0.6, 0.7]];
/// let known = Features::from_sample_rows(&rows[0])?.with_labels(&[0, 0, 1, 1], 2)?;
/// let outside = Features::from_sample_rows(&rows[1])?.with_labels(&[0, 0], 1)?;
/// let parts = |data| -> neural_collapse::Result<SampleParts> {
///     let mut parts = SampleParts::new(&ClassStatistics::new(data)?, &Nc1Options::default())?;
///     parts.accumulate(data)?;
///     Ok(parts)
/// };
/// let found = nc5_estimate(&parts(&known)?, &parts(&outside)?)?.unwrap();
/// assert!(found.value > 0.7 && found.standard_error > 0.0);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
pub fn nc5_estimate(known: &SampleParts, outside: &SampleParts) -> Result<Option<Estimate>> {
    if outside.means().classes() != 1 {
        let reason = "all samples out of distribution count as one class";
        return Err(Error::length("outside", outside.means().classes(), 1, reason));
    }
    let measure = |known: &Moved, outside: &Moved| {
        let mean: DVector<f64> = outside.means.column(0).into_owned();
        defined(ClassVectors::columns(&known.means).and_then(|means| nc5(&means, &mean)))
    };
    let still = (Moved::nowhere(known), Moved::nowhere(outside));
    let Some(value) = measure(&still.0, &still.1)? else { return Ok(None) };
    let mut moves = Vec::new();
    for (is_known, parts) in [(true, known), (false, outside)] {
        let (Some(parts_moves), Some(corrections)) = (parts.moves()?, parts.corrections()?) else {
            return Ok(None);
        };
        for (part, part_moves) in parts_moves.iter().enumerate() {
            let moved = Moved::by(parts, part, part_moves, &corrections, 1.0);
            let found = match is_known {
                true => measure(&moved, &still.1)?,
                false => measure(&still.0, &moved)?,
            };
            let Some(found) = found else { return Ok(None) };
            moves.push(found - value);
        }
    }
    Ok(Some(Estimate::of_moves(value, moves)).filter(Estimate::is_finite))
}
