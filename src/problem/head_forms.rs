//! Heads that are made of others: another bias, some of the outputs, cosines, two outputs for one.

use std::sync::Arc;

use nalgebra::{DMatrix, DVector};

use crate::error::{Argument, Error, Result, check_positive};
use crate::numerics::squares::Squares;
use crate::numerics::unit_length::divide_by_norm;
use crate::problem::head::{LinearHead, check_bias};

impl LinearHead {
    /// The same layers with another bias b ∈ ℝᴷ, or without one.
    ///
    /// # Errors
    /// [`Error::Shape`] if the bias is not of length K, [`Error::OutOfRange`] if a number is not finite.
    ///
    /// ```
    /// use nalgebra::{dmatrix, dvector};
    /// use neural_collapse::LinearHead;
    ///
    /// let head = LinearHead::new(vec![dmatrix![2.0, 0.0; 0.0, 3.0]], None)?;
    /// assert_eq!(head.with_bias(Some(dvector![1.0, -1.0]))?.bias(), Some(&dvector![1.0, -1.0]));
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn with_bias(mut self, bias: Option<DVector<f64>>) -> Result<Self> {
        check_bias(bias.as_ref(), self.classes)?;
        self.bias = bias;
        Ok(self)
    }

    /// The same head with its outputs in another order: output k is that of the class `order[k]`.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not one entry for each class, [`Error::OutOfRange`] if one is no class.
    pub fn with_order(&self, order: &[usize]) -> Result<Self> {
        match order.len() == self.classes {
            true => self.clone().chosen("order", order),
            false => Err(Error::length("order", order.len(), self.classes, "one for each class")),
        }
    }

    /// The head with these of its outputs only, in this order.
    ///
    /// # Errors
    /// [`Error::Empty`] without an output, [`Error::OutOfRange`] if there is no such output.
    ///
    /// ```
    /// use nalgebra::{dmatrix, dvector};
    /// use neural_collapse::LinearHead;
    ///
    /// let head = LinearHead::new(vec![dmatrix![1.0; 2.0; 3.0]], Some(dvector![4.0, 5.0, 6.0]))?;
    /// let some = head.with_outputs(&[0, 2])?;
    /// assert_eq!((some.weights(), some.bias()), (&[dmatrix![1.0; 3.0]][..], Some(&dvector![4.0, 6.0])));
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn with_outputs(self, outputs: &[usize]) -> Result<Self> {
        match outputs {
            [] => Err(Error::Empty { argument: "outputs" }),
            outputs => self.chosen("outputs", outputs),
        }
    }

    fn chosen(mut self, argument: &'static str, outputs: &[usize]) -> Result<Self> {
        if let Some(index) = outputs.iter().position(|&output| output >= self.classes) {
            let argument = Argument::at(argument, index);
            return Err(Error::out_of_range(argument, outputs[index] as f64, "one of the classes"));
        }
        if let Some(last) = Arc::make_mut(&mut self.weights).last_mut() {
            *last = last.select_rows(outputs);
        }
        self.bias = self.bias.map(|bias| bias.select_rows(outputs));
        self.classes = outputs.len();
        Ok(self)
    }

    /// The cosine classifier with the directions of the rows of one layer: each row has the length 1/τ, τ the
    /// `temperature`, so that the outputs for features of length 1 are cosines divided by it
    /// ([`normalize_samples`](crate::measure::normalize_samples)). A row of zeros stays as it is.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for several layers and if the temperature is not positive and finite,
    /// [`Error::Unrepresentable`] if it is so small that the rows overflow.
    ///
    /// ```
    /// use nalgebra::dmatrix;
    /// use neural_collapse::LinearHead;
    ///
    /// let head = LinearHead::new(vec![dmatrix![3.0, 4.0; 0.0, -2.0]], None)?.with_unit_rows(0.5)?;
    /// assert_eq!(head.weights(), [dmatrix![1.2, 1.6; 0.0, -2.0]]);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    ///
    /// Source: the normalized features of Yaras et al. (NeurIPS 2022).
    pub fn with_unit_rows(mut self, temperature: f64) -> Result<Self> {
        check_positive("temperature", temperature)?;
        let depth = self.depth();
        let [weight] = &mut Arc::make_mut(&mut self.weights)[..] else {
            return Err(Error::out_of_range(
                "depth",
                depth as f64,
                "1, the depth of a cosine classifier",
            ));
        };
        let mut numbers = vec![0.0; weight.ncols()];
        for mut row in weight.row_iter_mut() {
            numbers.iter_mut().zip(row.iter()).for_each(|(number, &entry)| *number = entry);
            divide_by_norm(&mut numbers, temperature);
            if !numbers.iter().all(|number| number.is_finite()) {
                let log10 = -temperature.log10();
                return Err(Error::Unrepresentable {
                    quantity: "a cosine divided by the temperature",
                    log10,
                });
            }
            row.iter_mut().zip(&numbers).for_each(|(entry, &number)| *entry = number);
        }
        Ok(self)
    }

    /// The head with the two outputs ∓z/2 that a head with one output z stands for, which tells two classes apart by
    /// its sign: their difference is z, and their cross-entropy the logistic loss ln(1 + e^(∓z)).
    ///
    /// It has the same penalty with twice the decays of the last layer and of the bias, see
    /// [`PartialRegularization::of_two_outputs`](crate::problem::PartialRegularization::of_two_outputs).
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if there is more than one output.
    ///
    /// ```
    /// use nalgebra::{dmatrix, dvector};
    /// use neural_collapse::LinearHead;
    ///
    /// let one = LinearHead::new(vec![dmatrix![1.0, -4.0]], Some(dvector![3.0]))?;
    /// let two = one.to_two_outputs()?;
    /// assert_eq!(two.weights(), [dmatrix![-0.5, 2.0; 0.5, -2.0]]);
    /// assert_eq!(two.bias(), Some(&dvector![-1.5, 1.5]));
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    pub fn to_two_outputs(&self) -> Result<Self> {
        if self.classes != 1 {
            return Err(Error::out_of_range("classes", self.classes as f64, "1, a single output"));
        }
        let mut weights = self.weights.to_vec();
        if let Some(last) = weights.last_mut() {
            let sign = |row| if row == 0 { -0.5 } else { 0.5 };
            *last = DMatrix::from_fn(2, last.ncols(), |row, column| sign(row) * last[(0, column)]);
        }
        let halves = |bias: &DVector<f64>| DVector::from_vec(vec![-0.5 * bias[0], 0.5 * bias[0]]);
        Self::new(weights, self.bias.as_ref().map(halves))
    }

    /// 1/K ‖W_M⋯W₁‖², the mean of the squared norms of the classifier's rows: the budget E_W of the layer-peeled model
    /// that the head uses.
    ///
    /// # Errors
    /// [`Error::Unrepresentable`] if the product or its squared norm overflows.
    ///
    /// ```
    /// use nalgebra::dmatrix;
    /// use neural_collapse::LinearHead;
    ///
    /// let head = LinearHead::new(vec![dmatrix![2.0, 0.0; 0.0, 4.0]], None)?;
    /// assert_eq!(head.weight_energy()?, 10.0);
    /// # Ok::<(), neural_collapse::Error>(())
    /// ```
    ///
    /// Source: Fang et al. (PNAS 2021).
    pub fn weight_energy(&self) -> Result<f64> {
        let squares = Squares::of(&self.product()?);
        squares.representable((self.classes as f64).recip(), "1/K ‖W_M⋯W₁‖²")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::{dmatrix, dvector};

    fn head() -> LinearHead {
        let layers = vec![dmatrix![2.0], dmatrix![1.0; 2.0; 3.0]];
        LinearHead::new(layers, Some(dvector![4.0, 5.0, 6.0])).unwrap()
    }

    #[test]
    fn energies_out_of_range_are_refused() {
        let energy = |entry: f64| {
            LinearHead::new(vec![DMatrix::from_diagonal_element(2, 2, entry)], None)?
                .weight_energy()
        };
        assert_eq!(energy(1e200), {
            let quantity = "1/K ‖W_M⋯W₁‖²";
            Err(Error::Unrepresentable { quantity, log10: 400.0 })
        });
        assert!((energy(1e-150).unwrap() / 1e-300 - 1.0).abs() < 1e-15);
        assert_eq!(energy(1e-170), Ok(0.0));
        // 5e307 in each row.
        assert!((energy(5e307_f64.sqrt()).unwrap() / 5e307 - 1.0).abs() < 1e-15);
        // The sum over the rows would overflow, its mean does not.
        assert!((energy(1.2e308_f64.sqrt()).unwrap() / 1.2e308 - 1.0).abs() < 1e-15);
    }

    #[test]
    fn outputs_are_moved_and_what_is_no_class_is_named() {
        let ordered = head().with_order(&[2, 0, 1]).unwrap();
        assert_eq!(ordered.weights(), [dmatrix![2.0], dmatrix![3.0; 1.0; 2.0]]);
        assert_eq!(ordered.bias(), Some(&dvector![6.0, 4.0, 5.0]));
        let error = |order: &[usize]| head().with_order(order).unwrap_err().to_string();
        assert!(error(&[0, 1]).starts_with("`order` has shape 2, but"));
        assert_eq!(error(&[0, 1, 3]), "`order[2]` is 3, but must be one of the classes");
        let some = head().with_outputs(&[2, 0]).unwrap();
        assert_eq!((some.weights(), some.classes()), (&[dmatrix![2.0], dmatrix![3.0; 1.0]][..], 2));
        assert_eq!(some.bias(), Some(&dvector![6.0, 4.0]));
        let error = |outputs: &[usize]| head().with_outputs(outputs).unwrap_err().to_string();
        assert_eq!(error(&[]), "`outputs` is empty");
        assert_eq!(error(&[1, 3]), "`outputs[1]` is 3, but must be one of the classes");
    }

    #[test]
    fn another_bias_fits_the_outputs() {
        assert_eq!(head().with_bias(None).unwrap().bias(), None);
        let error = |bias| head().with_bias(Some(bias)).unwrap_err().to_string();
        assert!(error(dvector![1.0]).starts_with("`bias` has shape 1, but"));
        assert!(error(dvector![1.0, f64::NAN, 0.0]).starts_with("`bias[1]` is NaN"));
    }

    #[test]
    fn cosine_classifiers_have_one_layer_and_a_temperature() {
        let error = |head: LinearHead, temperature: f64| {
            head.with_unit_rows(temperature).unwrap_err().to_string()
        };
        assert_eq!(
            error(head(), 1.0),
            "`depth` is 2, but must be 1, the depth of a cosine classifier"
        );
        let one = || LinearHead::new(vec![dmatrix![0.0, 0.0; 3e300, 4e300]], None).unwrap();
        assert!(error(one(), 0.0).starts_with("`temperature` is 0"));
        assert!(error(one(), 1e-310).starts_with("a cosine divided by the temperature"));
        let weight = one().with_unit_rows(2.0).unwrap().weights()[0].clone();
        assert!((weight - dmatrix![0.0, 0.0; 0.3, 0.4]).amax() < 1e-16);
    }

    #[test]
    fn one_output_only_stands_for_two() {
        assert!(head().to_two_outputs().is_err());
    }
}
