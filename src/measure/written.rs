//! How numbers are read that must be finite, with the feature `serde`.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::numerics::double_double::DoubleDouble;

pub(crate) fn check_length<E: de::Error>(
    name: &str,
    found: usize,
    expected: Option<usize>,
) -> Result<(), E> {
    if Some(found) == expected {
        return Ok(());
    }
    let expected = expected.map_or("more than fits".into(), |length| length.to_string());
    Err(E::custom(format!("`{name}` has {found} numbers, but must have {expected}")))
}

pub(crate) fn check_finite<E: de::Error>(name: &str, numbers: &[f64]) -> Result<(), E> {
    match numbers.iter().find(|number| !number.is_finite()) {
        None => Ok(()),
        Some(number) => Err(E::custom(format!("`{name}` has {number}, but must be finite"))),
    }
}

/// Numbers that must be finite.
pub(crate) mod finite {
    use super::{Deserialize, Deserializer, Finite, Serialize, Serializer, de};

    pub(crate) fn serialize<S: Serializer, T: Serialize>(
        numbers: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        numbers.serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, T: Deserialize<'de> + Finite>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        let numbers = T::deserialize(deserializer)?;
        if numbers.is_finite() {
            return Ok(numbers);
        }
        Err(de::Error::custom("numbers must be finite"))
    }
}

/// Whether all numbers are.
pub(crate) trait Finite {
    fn is_finite(&self) -> bool;
}

impl Finite for f64 {
    fn is_finite(&self) -> bool {
        Self::is_finite(*self)
    }
}

impl<T: Finite> Finite for Vec<T> {
    fn is_finite(&self) -> bool {
        self.iter().all(T::is_finite)
    }
}

impl<T: Finite, const N: usize> Finite for [T; N] {
    fn is_finite(&self) -> bool {
        self.iter().all(T::is_finite)
    }
}

impl<T: Finite> Finite for Option<T> {
    fn is_finite(&self) -> bool {
        self.iter().all(T::is_finite)
    }
}

/// A sum of squares in two numbers, as a pair.
pub(crate) mod twofold {
    use super::{Deserialize, Deserializer, DoubleDouble, Serialize, Serializer, square_sum};

    pub(crate) fn serialize<S: Serializer>(
        sum: &DoubleDouble<f64>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        sum.parts().serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<DoubleDouble<f64>, D::Error> {
        square_sum(<[f64; 2]>::deserialize(deserializer)?)
    }
}

/// Several of them.
pub(crate) mod twofolds {
    use super::{Deserialize, Deserializer, DoubleDouble, Serialize, Serializer, square_sum};

    pub(crate) fn serialize<S: Serializer>(
        sums: &[DoubleDouble<f64>],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let parts: Vec<[f64; 2]> = sums.iter().map(|sum| sum.parts()).collect();
        parts.serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<DoubleDouble<f64>>, D::Error> {
        let parts = Vec::<[f64; 2]>::deserialize(deserializer)?;
        parts.into_iter().map(square_sum).collect()
    }
}

fn square_sum<E: de::Error>([high, low]: [f64; 2]) -> Result<DoubleDouble<f64>, E> {
    let sum = DoubleDouble::sum(high, low);
    if sum.value().is_finite() && sum.value() >= 0.0 {
        return Ok(sum);
    }
    Err(E::custom(format!(
        "a sum of squares is {}, but must be finite and not negative",
        sum.value()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::IntoDeserializer;
    use serde::de::value::{Error, SeqDeserializer};

    #[test]
    fn only_finite_numbers_are_read() {
        let number = |x: f64| {
            finite::deserialize::<_, f64>(IntoDeserializer::<Error>::into_deserializer(x)).ok()
        };
        assert_eq!([2.0, f64::NAN, f64::INFINITY].map(number), [Some(2.0), None, None]);
        let list = |numbers: [f64; 2]| {
            let numbers = SeqDeserializer::<_, Error>::new(numbers.into_iter());
            finite::deserialize::<_, Vec<f64>>(numbers).ok()
        };
        assert_eq!(list([1.0, 2.0]), Some(vec![1.0, 2.0]));
        assert_eq!(list([1.0, f64::NAN]), None);
        assert!(!Some(vec![f64::NAN]).is_finite() && None::<f64>.is_finite());
        assert!(check_finite::<Error>("sums", &[1.0, 2.0]).is_ok());
        let error = check_finite::<Error>("sums", &[1.0, f64::INFINITY]).unwrap_err().to_string();
        assert_eq!(error, "`sums` has inf, but must be finite");
    }

    #[test]
    fn sums_of_squares_are_finite_and_not_negative() {
        let sum = |parts: [f64; 2]| square_sum::<Error>(parts).ok().map(DoubleDouble::value);
        assert_eq!(sum([1.0, 0.25]), Some(1.25));
        assert_eq!(sum([0.0, 0.0]), Some(0.0));
        for parts in [[-1.0, 0.0], [f64::INFINITY, 0.0], [f64::NAN, 0.0]] {
            assert_eq!(sum(parts), None);
        }
    }
}
