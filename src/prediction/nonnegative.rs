//! Bases of the hidden spaces for features that are not negative.

use nalgebra::DMatrix;
#[cfg(feature = "random")]
use rand_chacha::ChaCha8Rng;
#[cfg(feature = "random")]
use rand_chacha::rand_core::SeedableRng;
#[cfg(feature = "random")]
use rand_distr::{Distribution, StandardNormal, Uniform};

use crate::error::{Argument, Error, Place, Result, Size};
use crate::geometry::frame::check_orthonormal;
use crate::prediction::explicit::Basis;

/// Orthonormal vectors without negative entries, width × rank: of [`Basis::Standard`] the first unit vectors, of
/// [`Basis::Random`] positive vectors on a random division of the coordinates, of a given basis its first vectors, which
/// have to be non-negative.
pub(crate) fn nonnegative_vectors(
    basis: &Basis,
    width: usize,
    rank: usize,
) -> Result<DMatrix<f64>> {
    match basis {
        Basis::Standard => Ok(DMatrix::identity(width, rank)),
        #[cfg(feature = "random")]
        Basis::Random(seed) => Ok(random_vectors(*seed, width, rank)),
        Basis::Given(matrices) => given_vectors(matrices, width, rank),
    }
}

/// Every coordinate belongs to one vector; the first ones dealt out give each vector one.
#[cfg(feature = "random")]
fn random_vectors(seed: u64, width: usize, rank: usize) -> DMatrix<f64> {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    let mut vectors = DMatrix::zeros(width, rank);
    let mut order: Vec<usize> = (0..width).collect();
    for dealt in 0..width {
        order.swap(dealt, below(&mut generator, dealt, width));
        let vector = if dealt < rank { dealt } else { below(&mut generator, 0, rank) };
        let size: f64 = StandardNormal.sample(&mut generator);
        if let Some(entry) = order.get(dealt).and_then(|&row| vectors.get_mut((row, vector))) {
            *entry = size.abs().max(f64::EPSILON);
        }
    }
    for mut vector in vectors.column_iter_mut() {
        vector.normalize_mut();
    }
    vectors
}

/// A random index from `low` to `high` − 1, or `low` if there is none.
#[cfg(feature = "random")]
fn below(generator: &mut ChaCha8Rng, low: usize, high: usize) -> usize {
    Uniform::new(low, high).map_or(low, |uniform| uniform.sample(generator))
}

fn given_vectors(matrices: &[DMatrix<f64>], width: usize, rank: usize) -> Result<DMatrix<f64>> {
    let [matrix] = matrices else {
        let reason = "one matrix for the inputs of the layer";
        return Err(Error::length("basis", matrices.len(), 1, reason));
    };
    if matrix.nrows() != width || matrix.ncols() < rank {
        let (expected, reason) = ((width, Size::AtLeast(rank)), "width × living classes");
        return Err(Error::shape(Argument::at("basis", 0), matrix.shape(), expected, reason));
    }
    check_orthonormal("basis", Some(0), matrix)?;
    if let Some((index, &entry)) = matrix.iter().enumerate().find(|(_, entry)| **entry < 0.0) {
        let place = Place::LayerEntry { layer: 0, row: index % width, column: index / width };
        let argument = Argument { name: "basis", place };
        return Err(Error::out_of_range(argument, entry, "not negative, as features are"));
    }
    Ok(matrix.columns(0, rank).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::dmatrix;

    /// Every coordinate is one vector's, and over many draws all coordinates and vectors meet.
    #[cfg(feature = "random")]
    #[test]
    fn random_vectors_divide_the_coordinates() {
        for (width, rank) in [(9, 3), (4, 4), (5, 1)] {
            let mut met = DMatrix::<f64>::zeros(width, rank);
            for seed in 0..100 {
                let vectors = nonnegative_vectors(&Basis::Random(seed), width, rank).unwrap();
                assert!((vectors.tr_mul(&vectors) - DMatrix::identity(rank, rank)).amax() < 1e-15);
                for row in vectors.row_iter() {
                    assert!(row.min() >= 0.0);
                    assert_eq!(row.iter().filter(|entry| **entry > 0.0).count(), 1);
                }
                met += vectors;
            }
            assert!(met.min() > 0.0);
        }
    }

    /// The first columns are taken; one that does not fit, or has a negative entry, is named.
    #[test]
    fn given_vectors_are_checked() {
        let given =
            |matrix: &DMatrix<f64>| nonnegative_vectors(&Basis::Given(vec![matrix.clone()]), 3, 2);
        let identity = |rows, columns| DMatrix::<f64>::identity(rows, columns);
        assert_eq!(given(&identity(3, 3)), Ok(identity(3, 2)));
        assert_eq!(given(&identity(3, 2)), Ok(identity(3, 2)));
        for shape in [(4, 2), (2, 2), (3, 1)] {
            let error = given(&identity(shape.0, shape.1)).unwrap_err().to_string();
            assert!(error.starts_with("`basis[0]` has shape"), "{error}");
        }
        let error = given(&dmatrix![1.0, 0.0; 0.0, 0.0; 0.0, -1.0]).unwrap_err().to_string();
        assert!(error.starts_with("`basis[0][(2, 1)]` is -1, but must be not negative"), "{error}");
        assert!(nonnegative_vectors(&Basis::Given(vec![]), 3, 2).is_err());
    }
}
