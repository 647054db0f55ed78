//! Distances to the frames that need no prediction.

use nalgebra::DMatrix;

use crate::error::{Error, Result};
use crate::geometry::class_matrix::ClassMatrix;
use crate::geometry::class_product::ClassProduct;
use crate::metrics::{class_outputs, trailing_gram};
use crate::models::svm::Seli;
use crate::prediction::Prediction;
use crate::problem::counts::ClassCounts;
use crate::problem::head::LinearHead;

/// How far the head and the outputs are from one frame.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct FrameDistance {
    /// NC2ₘ for m = 1, …, M; `None` where there is nothing but zeros.
    pub nc2: Vec<Option<f64>>,
    /// NC3 of the class means as they are.
    pub nc3: Option<f64>,
    /// NC3 of the centered class means.
    pub nc3_centered: Option<f64>,
}

/// How far a network is from the frames that depend on no decay: what can be said where there is no prediction.
///
/// ```
/// use nalgebra::dmatrix;
/// use neural_collapse::{Features, LinearHead};
/// use neural_collapse::audit::measure;
///
/// let features = dmatrix![0.5; -0.5];
/// let data = Features::from_sample_rows(&features)?.with_labels(&[0, 1], 2)?;
/// let head = LinearHead::new(vec![dmatrix![3.0; -3.0]], None)?;
/// let distances = measure(&data, &head)?.frame_distances()?;
/// assert!(distances.simplex_etf.unwrap().nc3.unwrap() < 1e-15);
/// # Ok::<(), neural_collapse::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct FrameDistances {
    /// To orthogonal vectors of equal length.
    pub orthogonal_frame: Option<FrameDistance>,
    /// To the simplex ETF.
    pub simplex_etf: Option<FrameDistance>,
    /// To the simplex-encoded-label interpolation, where classes have different sizes.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub seli: Option<FrameDistance>,
}

/// What of a network is held against targets: the head and the class means, as they are and centered.
pub(super) struct Measured<'a> {
    pub(super) head: &'a LinearHead,
    pub(super) class_means: &'a DMatrix<f64>,
    pub(super) centered_means: &'a DMatrix<f64>,
}

impl Measured<'_> {
    /// The distances to all frames that the widths leave room for.
    pub(super) fn frame_distances(&self, counts: &ClassCounts) -> Result<FrameDistances> {
        let classes = counts.classes();
        let narrowest = self.head.widths().into_iter().fold(usize::MAX, usize::min);
        let wide = narrowest.saturating_add(1) >= classes && classes > 1;
        let orthogonal = ClassMatrix::orthogonal_frame(classes)?;
        let simplex = ClassMatrix::simplex_etf(classes)?;
        let seli =
            (wide && !counts.is_balanced()).then(|| Seli::new(counts.clone())).transpose()?;
        let seli = seli.map(|seli| Ok::<_, Error>((seli.trailing_gram(1)?, seli.class_outputs()?)));
        let seli = seli.transpose()?;
        let [orthogonal_frame, simplex_etf, seli] = self.distances([
            (narrowest >= classes).then_some((&orthogonal, &orthogonal)),
            wide.then_some((&simplex, &simplex)),
            seli.as_ref().map(|(gram, outputs)| (gram, outputs)),
        ])?;
        Ok(FrameDistances { orthogonal_frame, simplex_etf, seli })
    }

    /// NC2 of every number of layers to Gram matrices and NC3 to outputs, product by product, as each of them may keep K²
    /// numbers.
    fn distances<const N: usize>(
        &self,
        frames: [Option<(&ClassMatrix, &ClassMatrix)>; N],
    ) -> Result<[Option<FrameDistance>; N]> {
        let grams = frames.map(|frame| frame.map(|(gram, _)| gram));
        let outputs = frames.map(|frame| frame.map(|(_, outputs)| outputs));
        let nc2 = (1..=self.head.depth())
            .map(|layers| held_against(trailing_gram(self.head, layers), grams))
            .collect::<Result<Vec<_>>>()?;
        let nc3 = held_against(class_outputs(self.class_means, self.head), outputs)?;
        let nc3_centered = held_against(class_outputs(self.centered_means, self.head), outputs)?;
        let distance = |place: usize| FrameDistance {
            nc2: nc2.iter().map(|distances| distances[place]).collect(),
            nc3: nc3[place],
            nc3_centered: nc3_centered[place],
        };
        Ok(std::array::from_fn(|place| frames[place].map(|_| distance(place))))
    }
}

/// The distances of a product to targets.
fn held_against<const N: usize>(
    product: Result<ClassProduct<'_>>,
    targets: [Option<&ClassMatrix>; N],
) -> Result<[Option<f64>; N]> {
    let (product, mut found) = (comparable(product)?, [None; N]);
    for (found, target) in found.iter_mut().zip(targets) {
        if let (Some(product), Some(target)) = (&product, target) {
            *found = comparable(product.distance(target))?;
        }
    }
    Ok(found)
}

/// `None` where there is nothing but zeros to measure, or the target is out of range.
pub(super) fn comparable<T>(metric: Result<T>) -> Result<Option<T>> {
    match metric {
        Ok(value) => Ok(Some(value)),
        Err(Error::ZeroNorm { .. } | Error::Unrepresentable { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use crate::audit::measure;
    use crate::measure::features::Features;
    use crate::problem::head::LinearHead;
    use nalgebra::dmatrix;

    #[test]
    fn a_class_alone_has_no_simplex() {
        let features = dmatrix![1.0, 2.0; 0.0, 1.0];
        let data = Features::from_sample_columns(&features).unwrap();
        let head = LinearHead::new(vec![dmatrix![1.0, 3.0]], None).unwrap();
        let found = measure(&data.with_labels(&[0, 0], 1).unwrap(), &head).unwrap();
        let found = found.frame_distances().unwrap();
        assert!(found.simplex_etf.is_none() && found.seli.is_none());
        assert!(found.orthogonal_frame.is_some());
    }
}
