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
        let products = self.products()?;
        let to = |room: bool, gram: &ClassMatrix, outputs: &ClassMatrix| {
            room.then(|| products.distance(gram, outputs)).transpose()
        };
        let orthogonal = ClassMatrix::orthogonal_frame(classes)?;
        let simplex = ClassMatrix::simplex_etf(classes)?;
        let wide = narrowest.saturating_add(1) >= classes && classes > 1;
        let seli =
            (wide && !counts.is_balanced()).then(|| Seli::new(counts.clone())).transpose()?;
        Ok(FrameDistances {
            orthogonal_frame: to(narrowest >= classes, &orthogonal, &orthogonal)?,
            simplex_etf: to(wide, &simplex, &simplex)?,
            seli: match seli {
                Some(seli) => to(true, &seli.trailing_gram(1)?, &seli.class_outputs()?)?,
                None => None,
            },
        })
    }

    fn products(&self) -> Result<Products<'_>> {
        let grams = (1..=self.head.depth()).map(|layers| trailing_gram(self.head, layers));
        Ok(Products {
            grams: grams.map(comparable).collect::<Result<_>>()?,
            outputs: comparable(class_outputs(self.class_means, self.head))?,
            outputs_centered: comparable(class_outputs(self.centered_means, self.head))?,
        })
    }
}

/// What is held against every frame; `None` where there is nothing but zeros, or a product of layers is out of range.
struct Products<'a> {
    /// Of the last 1, …, M layers.
    grams: Vec<Option<ClassProduct<'a>>>,
    outputs: Option<ClassProduct<'a>>,
    outputs_centered: Option<ClassProduct<'a>>,
}

impl Products<'_> {
    /// NC2 of every number of layers to one Gram matrix, NC3 to outputs.
    fn distance(&self, gram: &ClassMatrix, outputs: &ClassMatrix) -> Result<FrameDistance> {
        let distance = |product: &Option<ClassProduct<'_>>, target| {
            product.as_ref().map_or(Ok(None), |product| comparable(product.distance(target)))
        };
        Ok(FrameDistance {
            nc2: self.grams.iter().map(|own| distance(own, gram)).collect::<Result<_>>()?,
            nc3: distance(&self.outputs, outputs)?,
            nc3_centered: distance(&self.outputs_centered, outputs)?,
        })
    }
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
