//! The linear layers after the features.

use std::borrow::Cow;
use std::sync::Arc;

use nalgebra::{DMatrix, DVector};

use crate::error::{Argument, Error, Place, Result, Size, check_shape};
use crate::numerics::linalg::{check_finite_at, power_of_two};
use crate::numerics::scalar::Scalar;

/// The linear layers W₁, …, W_M after the features and the bias b, if there is one: the outputs of
/// a sample with features h are W_M⋯W₁h + b.
///
/// Layer m is a d_{m+1}×d_m matrix (PyTorch's layout of `Linear.weight`); the layers are numbered
/// from the features to the output, so d₁ is the dimension of the features and d_{M+1} = K the number
/// of classes. One layer (M = 1) is the classifier of an ordinary network; more are the deep linear
/// heads of Dang et al., *Neural Collapse in Deep Linear Networks* (ICML 2023).
///
/// ```
/// use nalgebra::{DMatrix, dmatrix, dvector};
/// use neural_collapse::LinearHead;
///
/// let first = DMatrix::from_element(5, 8, 0.1); // 8 features
/// let second = DMatrix::from_element(3, 5, 2.0); // 3 classes
/// let head = LinearHead::new(vec![first, second], Some(dvector![0.0, 1.0, 2.0]))?;
/// assert_eq!((head.depth(), head.classes(), head.feature_dimension()), (2, 3, 8));
/// assert_eq!(head.widths(), [8, 5]);
/// assert_eq!(head.product()?, DMatrix::from_element(3, 8, 1.0));
/// # Ok::<(), neural_collapse::Error>(())
/// ```
///
/// A clone shares the matrices.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "stored::Stored", into = "stored::Stored"))]
pub struct LinearHead {
    /// Never empty.
    pub(super) weights: Arc<Vec<DMatrix<f64>>>,
    pub(super) bias: Option<DVector<f64>>,
    pub(super) classes: usize,
    feature_dimension: usize,
}

impl LinearHead {
    /// The layers W₁, …, W_M, from the features to the output, and the bias b ∈ ℝᴷ.
    ///
    /// # Errors
    /// [`Error::Empty`] without a layer, [`Error::Shape`] if a layer has no entries or does not take
    /// as many inputs as the one before it has outputs or if the bias is not of length K,
    /// [`Error::OutOfRange`] if a number is not finite.
    ///
    /// ```
    /// use nalgebra::dmatrix;
    /// use neural_collapse::LinearHead;
    ///
    /// let (first, second) = (dmatrix![1.0, 2.0; 3.0, 4.0], dmatrix![1.0, 2.0, 3.0]);
    /// let error = LinearHead::new(vec![first, second], None).unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "`weights[1]` has shape 1×3, but must have shape d×2, for the outputs of the layer before",
    /// );
    /// ```
    pub fn new(weights: Vec<DMatrix<f64>>, bias: Option<DVector<f64>>) -> Result<Self> {
        let (Some(first), Some(last)) = (weights.first(), weights.last()) else {
            return Err(Error::Empty { argument: "weights" });
        };
        let (classes, feature_dimension) = (last.nrows(), first.ncols());
        check_chain(&weights)?;
        for (index, weight) in weights.iter().enumerate() {
            check_finite_at(weight, |row, column| Argument {
                name: "weights",
                place: Place::LayerEntry { layer: index, row, column },
            })?;
        }
        check_bias(bias.as_ref(), classes)?;
        Ok(Self { weights: Arc::new(weights), bias, classes, feature_dimension })
    }

    /// The layers W₁, …, W_M as frameworks store them: each with the numbers of its matrix row after row, and the
    /// numbers of rows (outputs) and columns (inputs), in PyTorch `Linear.weight` and its `shape`.
    ///
    /// The shapes are needed, as a square layer that is read the wrong way round fits too.
    ///
    /// # Errors
    /// [`Error::Shape`] if there are not as many numbers as rows times columns, and as [`LinearHead::new`].
    ///
    /// ```
    /// use nalgebra::dmatrix;
    /// use neural_collapse::LinearHead;
    ///
    /// let weight = [1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0]; // two classes, three features
    /// let head = LinearHead::from_row_major(&[(&weight, 2, 3)], Some(&[0.5, -0.5]))?;
    /// assert_eq!(head.weights()[0], dmatrix![1.0, 2.0, 3.0; 4.0, 5.0, 6.0]);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn from_row_major<T: Scalar>(
        layers: &[(&[T], usize, usize)],
        bias: Option<&[T]>,
    ) -> Result<Self> {
        let layer = |(index, &(numbers, outputs, inputs)): (usize, &(&[T], usize, usize))| {
            if outputs.checked_mul(inputs) != Some(numbers.len()) {
                let (argument, expected) =
                    (Argument::at("layers", index), outputs.saturating_mul(inputs));
                let reason = "the product of rows and columns";
                return Err(Error::length(argument, numbers.len(), expected, reason));
            }
            Ok(DMatrix::from_row_iterator(outputs, inputs, numbers.iter().map(|&x| x.into())))
        };
        let weights = layers.iter().enumerate().map(layer).collect::<Result<_>>()?;
        let bias =
            bias.map(|bias| DVector::from_iterator(bias.len(), bias.iter().map(|&x| x.into())));
        Self::new(weights, bias)
    }

    /// Number of layers M.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.weights.len()
    }

    /// Number of classes K, the outputs of the last layer.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Dimension d₁ of the features.
    #[must_use]
    pub fn feature_dimension(&self) -> usize {
        self.feature_dimension
    }

    /// The numbers of inputs d₁, …, d_M of the layers.
    #[must_use]
    pub fn widths(&self) -> Vec<usize> {
        self.weights.iter().map(DMatrix::ncols).collect()
    }

    /// W₁, …, W_M, from the features to the output.
    #[must_use]
    pub fn weights(&self) -> &[DMatrix<f64>] {
        &self.weights
    }

    /// W_M, the layer next to the outputs: there is one at least.
    pub(crate) fn last_layer(&self) -> &DMatrix<f64> {
        &self.weights[self.depth() - 1]
    }

    /// b, if there is one.
    #[must_use]
    pub fn bias(&self) -> Option<&DVector<f64>> {
        self.bias.as_ref()
    }

    /// W_M⋯W₁, K×d₁.
    ///
    /// # Errors
    /// [`Error::Unrepresentable`] if an entry is too large for a floating-point number.
    pub fn product(&self) -> Result<DMatrix<f64>> {
        chain(&self.weights)
    }

    /// The product of the last `layers` layers, without a copy if it is one.
    pub(crate) fn borrowed_product(&self, layers: usize) -> Result<Cow<'_, DMatrix<f64>>> {
        match &self.weights[..] {
            [.., last] if layers == 1 => Ok(Cow::Borrowed(last)),
            _ => self.trailing_product(layers).map(Cow::Owned),
        }
    }

    /// The product of the last `layers` layers, W_M⋯W_{M−m+1} for m = `layers`: the Wᵐ of the
    /// metrics NC2_m.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if `layers` is not 1, …, M, [`Error::Unrepresentable`] if an entry is
    /// too large for a floating-point number.
    ///
    /// ```
    /// use nalgebra::dmatrix;
    /// use neural_collapse::LinearHead;
    ///
    /// let head = LinearHead::new(vec![dmatrix![2.0], dmatrix![3.0], dmatrix![5.0]], None)?;
    /// assert_eq!(head.trailing_product(1)?, dmatrix![5.0]);
    /// assert_eq!(head.trailing_product(2)?, dmatrix![15.0]);
    /// assert!(head.trailing_product(0).is_err() && head.trailing_product(4).is_err());
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn trailing_product(&self, layers: usize) -> Result<DMatrix<f64>> {
        self.check_layers(layers)?;
        chain(&self.weights[self.depth() - layers..])
    }

    /// The product of the first `layers` layers, W_m⋯W₁ for m = `layers`: it maps the features to
    /// those after layer m.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if `layers` is not 1, …, M, [`Error::Unrepresentable`] if an entry is
    /// too large for a floating-point number.
    ///
    /// ```
    /// use nalgebra::dmatrix;
    /// use neural_collapse::LinearHead;
    ///
    /// let head = LinearHead::new(vec![dmatrix![2.0], dmatrix![3.0], dmatrix![5.0]], None)?;
    /// assert_eq!(head.leading_product(2)?, dmatrix![6.0]);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn leading_product(&self, layers: usize) -> Result<DMatrix<f64>> {
        self.check_layers(layers)?;
        chain(&self.weights[..layers])
    }

    /// The same head as one layer, the product W_M⋯W₁ of all of them, with the same bias.
    ///
    /// # Errors
    /// [`Error::Unrepresentable`] if the product overflows.
    ///
    /// ```
    /// use nalgebra::dmatrix;
    /// use neural_collapse::LinearHead;
    ///
    /// let head = LinearHead::new(vec![dmatrix![2.0, 0.0], dmatrix![3.0; -3.0]], None)?;
    /// assert_eq!(head.to_one_layer()?.weights(), [dmatrix![6.0, 0.0; -6.0, 0.0]]);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn to_one_layer(&self) -> Result<Self> {
        Self::new(vec![self.product()?], self.bias().cloned())
    }

    /// Refuses features or labels that are not for this head.
    pub(crate) fn check_shape(
        &self,
        argument: &'static str,
        dimension: usize,
        classes: usize,
    ) -> Result<()> {
        let expected = (self.feature_dimension, self.classes);
        check_shape(argument, (dimension, classes), expected, "features × classes of the head")
    }

    fn check_layers(&self, layers: usize) -> Result<()> {
        if (1..=self.depth()).contains(&layers) {
            return Ok(());
        }
        let expected = "at least 1 and at most the number of layers";
        Err(Error::out_of_range("layers", layers as f64, expected))
    }
}

/// The product of a chain of layers, the last one leftmost.
///
/// Powers of two are kept apart, so that a long chain does not overflow or underflow on the way.
pub(super) fn chain(weights: &[DMatrix<f64>]) -> Result<DMatrix<f64>> {
    let Some((last, others)) = weights.split_last() else {
        return Err(Error::Empty { argument: "weights" });
    };
    let mut product = last.clone();
    let mut exponent = 0.0;
    for weight in others.iter().rev() {
        let (left, right) = (power_of_two(&product), power_of_two(weight));
        product = (product / left) * (weight / right);
        exponent += left.log2() + right.log2();
    }
    if product.amax() == 0.0 {
        return Ok(product);
    }
    // Two factors, because 2^exponent alone may be out of range where the product is not.
    let half = (exponent / 2.0).floor();
    let scaled = &product * half.exp2() * (exponent - half).exp2();
    if scaled.iter().all(|entry| entry.is_finite()) {
        return Ok(scaled);
    }
    let log10 = product.amax().log10() + exponent * std::f64::consts::LOG10_2;
    Err(Error::Unrepresentable { quantity: "the product of the layers", log10 })
}

/// Refuses a bias that is not of the length `classes` or not finite.
pub(super) fn check_bias(bias: Option<&DVector<f64>>, classes: usize) -> Result<()> {
    let Some(bias) = bias else { return Ok(()) };
    if bias.len() != classes {
        let reason = "for the outputs of the last layer";
        return Err(Error::length("bias", bias.len(), classes, reason));
    }
    check_finite_at(bias, |row, _| Argument::at("bias", row))
}

fn check_chain(weights: &[DMatrix<f64>]) -> Result<()> {
    for (index, weight) in weights.iter().enumerate() {
        if weight.is_empty() {
            let expected = (Size::AtLeast(1), Size::AtLeast(1));
            let argument = Argument::at("weights", index);
            return Err(Error::shape(argument, weight.shape(), expected, "to be a layer"));
        }
    }
    for (index, pair) in weights.windows(2).enumerate() {
        let (outputs, found) = (pair[0].nrows(), pair[1].shape());
        if found.1 != outputs {
            let argument = Argument::at("weights", index + 1);
            let reason = "for the outputs of the layer before";
            return Err(Error::shape(argument, found, (Size::Any, outputs), reason));
        }
    }
    Ok(())
}

/// How heads are stored: what is read passes through the constructor.
#[cfg(feature = "serde")]
mod stored {
    use nalgebra::{DMatrix, DVector};

    use super::LinearHead;
    use crate::error::{Error, Result};
    use crate::numerics::stored::StoredMatrix;

    #[derive(serde::Serialize, serde::Deserialize)]
    #[serde(rename = "LinearHead", deny_unknown_fields)]
    pub(super) struct Stored {
        weights: Vec<StoredMatrix>,
        #[serde(default)]
        bias: Option<Vec<f64>>,
    }

    impl From<LinearHead> for Stored {
        fn from(head: LinearHead) -> Self {
            let bias = head.bias().map(|bias| bias.as_slice().to_vec());
            Self { weights: head.weights().iter().map(StoredMatrix::from).collect(), bias }
        }
    }

    impl TryFrom<Stored> for LinearHead {
        type Error = Error;

        fn try_from(stored: Stored) -> Result<Self> {
            let weights =
                stored.weights.into_iter().map(DMatrix::try_from).collect::<Result<_>>()?;
            Self::new(weights, stored.bias.map(DVector::from_vec))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::{dmatrix, dvector};

    #[test]
    fn products_multiply_from_the_right_end() {
        let (first, second) = (dmatrix![1.0, 2.0; 0.0, 1.0], dmatrix![1.0, 0.0; 3.0, 1.0]);
        let head = LinearHead::new(vec![first.clone(), second.clone()], None).unwrap();
        assert_eq!(head.product().unwrap(), &second * &first);
        assert_eq!(head.trailing_product(1).unwrap(), second);
        assert_eq!(head.leading_product(1).unwrap(), first);
    }

    #[test]
    fn long_chains_do_not_overflow_on_the_way() {
        let layers = [1e200, 1e200, 1e-200, 1e-200].map(|entry| dmatrix![entry]);
        let product = LinearHead::new(layers.to_vec(), None).unwrap().product().unwrap();
        assert!((product[0] - 1.0).abs() < 1e-14);
        let error = LinearHead::new(layers[..2].to_vec(), None).unwrap().product().unwrap_err();
        assert!(
            matches!(error, Error::Unrepresentable { log10, .. } if (log10 - 400.0).abs() < 1e-9)
        );
        let small = LinearHead::new(layers[2..].to_vec(), None).unwrap();
        assert_eq!(small.product().unwrap(), dmatrix![0.0]);
        // (2⁵²⁵)² − (2⁵²⁵)²(1 − 2⁻⁵²) = 2⁹⁹⁸: in units of the layers the factor is 2¹⁰⁵⁰.
        let large = 525.0_f64.exp2();
        let difference = [dmatrix![large; large * (f64::EPSILON - 1.0)], dmatrix![large, large]];
        let difference = LinearHead::new(difference.to_vec(), None).unwrap().product().unwrap();
        assert_eq!(difference, dmatrix![998.0_f64.exp2()]);
        let huge = vec![dmatrix![1e300]; 8];
        let zero = LinearHead::new([huge, vec![dmatrix![0.0]]].concat(), None).unwrap();
        assert_eq!(zero.product().unwrap(), dmatrix![0.0]);
    }

    #[test]
    fn bad_layers_are_named() {
        let error = |weights, bias| LinearHead::new(weights, bias).unwrap_err().to_string();
        assert_eq!(error(vec![], None), "`weights` is empty");
        let empty = vec![dmatrix![1.0], DMatrix::zeros(0, 1)];
        assert_eq!(
            error(empty, None),
            "`weights[1]` has shape 0×1, but must have shape ≥1×≥1, to be a layer"
        );
        let bias = Some(dvector![1.0, 2.0]);
        assert!(error(vec![dmatrix![1.0]], bias).starts_with("`bias` has shape 2, but"));
        let nan = vec![dmatrix![1.0; f64::NAN]];
        assert_eq!(error(nan, None), "`weights[0][(1, 0)]` is NaN, but must be finite");
        let infinite = Some(dvector![f64::INFINITY]);
        assert_eq!(error(vec![dmatrix![1.0]], infinite), "`bias[0]` is inf, but must be finite");
    }
}
