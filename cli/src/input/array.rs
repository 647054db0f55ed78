//! A stored array: its header is read, its numbers are not.

use std::io::{self, Read};

use super::element::{ByteOrder, Element, read_floats, read_integers};
use super::error::Problem;

/// Order of the numbers of a matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Row after row (C order).
    RowMajor,
    /// Column after column (Fortran order).
    ColumnMajor,
}

/// An array in a file: its header is read, its numbers are not.
pub(crate) struct StoredArray<'a> {
    /// Name of the array.
    pub(crate) key: String,
    /// The type of the numbers; `None` if it is not one of ours.
    pub(crate) element: Option<Element>,
    /// The name that the format gives to the type of the numbers.
    pub(crate) element_name: String,
    /// Order of the bytes of a number.
    pub(crate) byte_order: ByteOrder,
    /// Sizes of the array.
    pub(crate) shape: Vec<usize>,
    /// Order of the numbers.
    pub(crate) layout: Layout,
    /// The bytes of the numbers.
    pub(crate) bytes: Box<dyn Read + 'a>,
}

impl StoredArray<'_> {
    /// All numbers of an array of floating-point numbers, in the order in which they are stored.
    pub(crate) fn into_floats(mut self) -> Result<Vec<f64>, Problem> {
        let count = self.count()?;
        let mut numbers = Vec::new();
        self.read_floats(count, &mut numbers)?;
        self.check_end()?;
        Ok(numbers)
    }

    /// Appends the next `count` floating-point numbers to `numbers`.
    pub(crate) fn read_floats(
        &mut self,
        count: usize,
        numbers: &mut Vec<f64>,
    ) -> Result<(), Problem> {
        let (bytes, order) = (&mut self.bytes, self.byte_order);
        self.element
            .and_then(|element| read_floats(bytes, element, order, count, numbers))
            .ok_or_else(|| self.not_floats())?
            .map_err(|error| self.unreadable(&error))
    }

    /// Appends the next `count` integers to `numbers`.
    fn read_integers(&mut self, count: usize, numbers: &mut Vec<i128>) -> Result<(), Problem> {
        let (bytes, order) = (&mut self.bytes, self.byte_order);
        self.element
            .and_then(|element| read_integers(bytes, element, order, count, numbers))
            .ok_or_else(|| {
                self.wrong_type("integers, truth values or whole floating-point numbers")
            })?
            .map_err(|error| self.unreadable(&error))
    }

    /// Whether this is an array of floating-point numbers.
    pub(crate) fn is_of_floats(&self) -> bool {
        self.element.is_some_and(Element::is_float)
    }

    /// Refuses other numbers.
    pub(crate) fn check_floats(&self) -> Result<(), Problem> {
        if self.is_of_floats() { Ok(()) } else { Err(self.not_floats()) }
    }

    /// The sizes of a matrix, which may be empty. Sizes of 1 at the end do not count: N×C×1×1 after pooling, or the
    /// kernel of a 1×1 convolution.
    pub(crate) fn matrix_shape(&self, meaning: &str) -> Result<[usize; 2], Problem> {
        match *without_ones(&self.shape) {
            [rows, columns] => Ok([rows, columns]),
            _ => Err(self.wrong_shape(format!("a matrix ({meaning})"))),
        }
    }

    /// The sizes of a matrix with at least one row and column.
    pub(crate) fn full_matrix_shape(&self, meaning: &str) -> Result<[usize; 2], Problem> {
        match self.matrix_shape(meaning)? {
            [0, _] | [_, 0] => {
                Err(self.wrong_shape(format!("a matrix ({meaning}) that is not empty")))
            }
            shape => Ok(shape),
        }
    }

    /// Appends the next `count` labels to `codes`: integers, truth values, or whole floating-point numbers. The error
    /// has the first number that is none of these.
    pub(crate) fn read_codes(
        &mut self,
        count: usize,
        codes: &mut Vec<i128>,
    ) -> Result<Result<(), NotWhole>, Problem> {
        if !self.is_of_floats() {
            return self.read_integers(count, codes).map(Ok);
        }
        let mut numbers: Vec<f64> = Vec::new();
        self.read_floats(count, &mut numbers)?;
        for (index, &value) in numbers.iter().enumerate() {
            // Beyond 2⁵³ not every integer is a number.
            if value.fract() != 0.0 || value.abs() > 9_007_199_254_740_992.0 {
                return Ok(Err(NotWhole { index, value }));
            }
            codes.push(value as i128);
        }
        Ok(Ok(()))
    }

    /// A [`Problem::Shape`] of this array.
    pub(crate) fn wrong_shape(&self, expected: impl Into<String>) -> Problem {
        Problem::Shape {
            key: self.key.clone(),
            found: self.shape.clone(),
            expected: expected.into(),
            flag: None,
        }
    }

    /// The number of entries.
    pub(crate) fn count(&self) -> Result<usize, Problem> {
        checked_count(&self.shape).ok_or_else(|| self.wrong_shape("a shape that fits into memory"))
    }

    fn not_floats(&self) -> Problem {
        self.wrong_type("f64, f32, f16 or bf16")
    }

    /// Whether it has texts of NumPy.
    pub(crate) fn has_text(&self) -> bool {
        self.plain_name().starts_with(['U', 'S'])
    }

    /// The first of its texts: characters of four bytes, or single bytes.
    pub(crate) fn into_text(mut self) -> Option<String> {
        const MAX_LENGTH: usize = 1 << 16;
        let (kind, length) = self.plain_name().split_at_checked(1)?;
        let is_wide = kind == "U";
        let length = length.parse().ok().filter(|&length: &usize| length <= MAX_LENGTH)?;
        let mut bytes = vec![0; if is_wide { 4 * length } else { length }];
        self.bytes.read_exact(&mut bytes).ok()?;
        let order = self.byte_order;
        let wide = |chunk: &[u8]| {
            let chunk = chunk.try_into().ok()?;
            char::from_u32(match order {
                ByteOrder::Little => u32::from_le_bytes(chunk),
                ByteOrder::Big => u32::from_be_bytes(chunk),
            })
        };
        let text: String = match is_wide {
            true => bytes.chunks(4).map(wide).collect::<Option<_>>()?,
            false => String::from_utf8(bytes).ok()?,
        };
        Some(text.trim_end_matches('\0').into())
    }

    /// Refuses an array of Python objects, whatever its shape.
    pub(crate) fn refuse_objects(&self) -> Result<(), Problem> {
        if self.has_objects() { Err(self.not_floats()) } else { Ok(()) }
    }

    /// Whether it has numbers of a type that is read; truth values are none.
    pub(crate) fn has_numbers(&self) -> bool {
        self.element.is_some_and(|element| element != Element::Bool)
    }

    /// Whether it has Python objects instead of numbers.
    pub(crate) fn has_objects(&self) -> bool {
        self.plain_name() == "O"
    }

    /// NumPy's name of the type without the order of bytes.
    fn plain_name(&self) -> &str {
        self.element_name.trim_start_matches(['<', '>', '=', '|'])
    }

    fn wrong_type(&self, expected: &'static str) -> Problem {
        let key = &self.key;
        // Types that are well known but cannot be read.
        match self.plain_name() {
            "O" => {
                let reason =
                    "it has Python objects (dtype=object), which only unpickling could read";
                let remedy = format!(
                    "save each array by itself, as in np.savez('OUT.npz', {key}=np.stack(...))"
                );
                return Problem::unfit_array(key, reason, remedy);
            }
            "f16" | "f12" => {
                let reason = "it has numbers in extended precision (longdouble)";
                return Problem::unfit_array(
                    key,
                    reason,
                    format!("save {key}.astype('f8') instead"),
                );
            }
            _ => {}
        }
        Problem::DataType { key: self.key.clone(), found: self.element_name.clone(), expected }
    }

    fn unreadable(&self, error: &io::Error) -> Problem {
        let reason = match error.kind() {
            io::ErrorKind::UnexpectedEof => "the data end too early".into(),
            io::ErrorKind::OutOfMemory => "the array does not fit into memory".into(),
            _ => format!("the data cannot be read: {error}"),
        };
        Problem::bad_array(&self.key, reason)
    }

    /// Makes sure that nothing follows. An archive also verifies its checksum there.
    pub(crate) fn check_end(&mut self) -> Result<(), Problem> {
        match self.bytes.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => {
                Err(Problem::bad_array(&self.key, "more data follow than the shape announces"))
            }
            Err(error) => Err(self.unreadable(&error)),
        }
    }
}

/// The first number among labels that is not a whole one; NaN and infinities are none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct NotWhole {
    /// Its index among the numbers read.
    pub(crate) index: usize,
    /// The number.
    pub(crate) value: f64,
}

/// The sizes without those of 1 after the first two.
pub(crate) fn without_ones(shape: &[usize]) -> &[usize] {
    let ones = shape.iter().skip(2).rev().take_while(|&&size| size == 1).count();
    shape.get(..shape.len() - ones).unwrap_or(shape)
}

/// The number of entries of an array, if it is a number at all.
pub(crate) fn checked_count(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1_usize, |count, &size| count.checked_mul(size))
}
