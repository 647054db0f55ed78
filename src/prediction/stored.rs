//! How matrices of predictions are stored, with the feature `serde`: what is read fits together and is finite.

use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, Size, check_shape};
use crate::geometry::frame::check_orthonormal;
use crate::numerics::linalg::check_finite;
use crate::numerics::stored::StoredMatrix;
use crate::prediction::explicit::{Copies, ExplicitPoint};
use crate::prediction::matrices::{Matrices, OutputDirections};
use crate::problem::head::LinearHead;

/// [`ExplicitPoint`].
#[derive(Deserialize)]
#[serde(rename = "ExplicitPoint", deny_unknown_fields)]
pub(crate) struct StoredPoint {
    head: LinearHead,
    #[serde(deserialize_with = "crate::numerics::stored::read")]
    distinct_features: DMatrix<f64>,
    copies: Copies,
}

impl TryFrom<StoredPoint> for ExplicitPoint {
    type Error = Error;

    fn try_from(stored: StoredPoint) -> Result<Self> {
        let StoredPoint { head, distinct_features, copies } = stored;
        check_finite("distinct_features", &distinct_features)?;
        let columns = match &copies {
            Copies::Classes(counts) | Copies::Kinds(counts) => Size::Exactly(counts.classes()),
            Copies::Samples => Size::Any,
        };
        let found = distinct_features.shape();
        let fits = found.0 == head.feature_dimension()
            && (columns == Size::Any || columns == Size::Exactly(found.1));
        if !fits {
            let (expected, reason) = ((head.feature_dimension(), columns), "for the head");
            return Err(Error::shape("distinct_features", found, expected, reason));
        }
        if let Copies::Classes(counts) = &copies
            && counts.classes() != head.classes()
        {
            let reason = "the classes of the head";
            return Err(Error::length("copies", counts.classes(), head.classes(), reason));
        }
        Ok(Self::new(head, distinct_features, copies))
    }
}

/// [`Matrices`].
#[derive(Serialize, Deserialize)]
#[serde(rename = "Matrices", deny_unknown_fields)]
pub(crate) struct StoredMatrices {
    head: Option<LinearHead>,
    class_means: Option<StoredMatrix>,
    trailing_grams: Vec<Option<StoredMatrix>>,
    class_means_gram: Option<StoredMatrix>,
    class_outputs: Option<StoredMatrix>,
    outputs: Option<OutputDirections>,
}

impl From<Matrices> for StoredMatrices {
    fn from(matrices: Matrices) -> Self {
        let stored = |matrix: &Option<DMatrix<f64>>| matrix.as_ref().map(StoredMatrix::from);
        Self {
            class_means: stored(&matrices.class_means),
            trailing_grams: matrices.trailing_grams.iter().map(stored).collect(),
            class_means_gram: stored(&matrices.class_means_gram),
            class_outputs: stored(&matrices.class_outputs),
            head: matrices.head,
            outputs: matrices.outputs,
        }
    }
}

impl TryFrom<StoredMatrices> for Matrices {
    type Error = Error;

    fn try_from(stored: StoredMatrices) -> Result<Self> {
        let read = |matrix: Option<StoredMatrix>| matrix.map(DMatrix::try_from).transpose();
        let matrices = Self {
            class_means: read(stored.class_means)?,
            trailing_grams: stored.trailing_grams.into_iter().map(read).collect::<Result<_>>()?,
            class_means_gram: read(stored.class_means_gram)?,
            class_outputs: read(stored.class_outputs)?,
            head: stored.head,
            outputs: stored.outputs,
        };
        check(&matrices)?;
        Ok(matrices)
    }
}

/// Checks that all matrices are finite, those over the classes K×K with one K, the class means inputs of the head, and that
/// each of its layers has a Gram matrix or none.
fn check(matrices: &Matrices) -> Result<()> {
    if let Some(head) = &matrices.head
        && matrices.trailing_grams.len() != head.depth()
    {
        let (found, reason) =
            (matrices.trailing_grams.len(), "one for each of the layers of the head");
        return Err(Error::length("trailing_grams", found, head.depth(), reason));
    }
    let over_classes = [
        ("class_means_gram", matrices.class_means_gram.as_ref()),
        ("class_outputs", matrices.class_outputs.as_ref()),
        ("left", matrices.outputs.as_ref().map(|outputs| &outputs.left)),
    ];
    let grams = matrices.trailing_grams.iter().map(|gram| ("trailing_grams", gram.as_ref()));
    let over_classes = over_classes.into_iter().chain(grams);
    let over_classes =
        || over_classes.clone().filter_map(|(argument, matrix)| Some((argument, matrix?)));
    let known = matrices.head.as_ref().map(LinearHead::classes);
    let means = matrices.class_means.as_ref();
    let known = known.or_else(|| over_classes().next().map(|(_, matrix)| matrix.nrows()));
    let Some(classes) = known.or_else(|| means.map(DMatrix::ncols)) else { return Ok(()) };
    for (argument, matrix) in over_classes() {
        check_shape(argument, matrix.shape(), (classes, classes), "classes × classes")?;
        check_finite(argument, matrix)?;
    }
    if let Some(means) = means {
        let dimension = matrices.head.as_ref().map_or(means.nrows(), LinearHead::feature_dimension);
        check_shape("class_means", means.shape(), (dimension, classes), "features × classes")?;
        check_finite("class_means", means)?;
    }
    Ok(())
}

/// [`OutputDirections`].
#[derive(Serialize, Deserialize)]
#[serde(rename = "OutputDirections", deny_unknown_fields)]
pub(crate) struct StoredDirections {
    left: StoredMatrix,
    singular_values: Vec<f64>,
    right: StoredMatrix,
}

impl From<OutputDirections> for StoredDirections {
    fn from(directions: OutputDirections) -> Self {
        let OutputDirections { left, singular_values, right } = directions;
        Self { left: (&left).into(), singular_values, right: (&right).into() }
    }
}

impl TryFrom<StoredDirections> for OutputDirections {
    type Error = Error;

    fn try_from(stored: StoredDirections) -> Result<Self> {
        let StoredDirections { left, singular_values, right } = stored;
        let (left, right) = (DMatrix::try_from(left)?, DMatrix::try_from(right)?);
        let classes = singular_values.len();
        for (argument, vectors) in [("left", &left), ("right", &right)] {
            check_shape(argument, vectors.shape(), (classes, classes), "classes × classes")?;
            check_orthonormal(argument, None, vectors)?;
        }
        let falling = singular_values.windows(2).all(|pair| pair[0] >= pair[1]);
        let possible = singular_values.iter().all(|value| *value >= 0.0 && value.is_finite());
        if !(falling && possible) {
            let expected = "finite numbers that fall and are not negative";
            return Err(Error::Syntax { text: "singular_values".to_owned(), expected });
        }
        Ok(Self { left, singular_values, right })
    }
}
