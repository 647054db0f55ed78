//! What the two file formats have in common: named arrays, and perhaps named strings.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;

use super::element::{ByteOrder, Element, Float, Precision, read_floats, read_integers};
use super::error::{KeyList, Problem};
use super::npz::NpzArchive;
use super::safetensors::SafetensorsArchive;

/// A file of named arrays.
pub(crate) trait Archive {
    /// The names of the arrays, sorted.
    fn keys(&self) -> Vec<String>;

    /// The array of this name; `None` if there is none.
    fn open(&mut self, key: &str) -> Option<Result<StoredArray<'_>, Problem>>;

    /// The metadata string of this name.
    fn metadata(&self, name: &str) -> Option<&str>;
}

impl dyn Archive + '_ {
    /// Whether there is an array of this name.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.keys().iter().any(|present| present == key)
    }

    /// The array of this name; the names there are if it is missing.
    pub(crate) fn find(
        &mut self,
        key: &str,
        purpose: impl Into<String>,
    ) -> Result<StoredArray<'_>, Problem> {
        if !self.has(key) {
            let available = KeyList(self.keys());
            return Err(Problem::MissingKey {
                key: key.into(),
                purpose: purpose.into(),
                available,
            });
        }
        // Present as it is listed: `None` would mean that an archive contradicts itself.
        self.open(key).unwrap_or_else(|| Err(Problem::bad_array(key, "it cannot be found")))
    }
}

/// Where the bytes of a file come from: the file, or memory in tests.
pub(crate) trait Source: Read + Seek {}

impl<S: Read + Seek> Source for S {}

/// Opens `path`: by its extension, else by its first bytes.
pub(crate) fn open_archive(path: &Path) -> Result<Box<dyn Archive>, Problem> {
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory).into());
    }
    open_source(BufReader::new(file), path)
}

/// Opens `source`, the content of the file `path`.
pub(crate) fn open_source<'a>(
    mut source: impl Source + 'a,
    path: &Path,
) -> Result<Box<dyn Archive + 'a>, Problem> {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    match extension.as_deref() {
        Some("safetensors") => Ok(Box::new(SafetensorsArchive::new(source)?)),
        Some("npz") => Ok(Box::new(NpzArchive::new(source)?)),
        _ => match first_bytes(&mut source)? {
            [b'P', b'K', 3 | 5, ..] => Ok(Box::new(NpzArchive::new(source)?)),
            [.., b'{'] => Ok(Box::new(SafetensorsArchive::new(source)?)),
            _ => Err(Problem::UnknownFormat),
        },
    }
}

/// The first nine bytes, zeros where the file is shorter.
fn first_bytes(source: &mut impl Source) -> io::Result<[u8; 9]> {
    let mut start = Vec::new();
    source.take(9).read_to_end(&mut start)?;
    source.rewind()?;
    let mut bytes = [0; 9];
    bytes[..start.len()].copy_from_slice(&start);
    Ok(bytes)
}

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
    pub(crate) fn read_floats<T: Float>(
        &mut self,
        count: usize,
        numbers: &mut Vec<T>,
    ) -> Result<(), Problem> {
        let (bytes, order) = (&mut self.bytes, self.byte_order);
        self.element
            .and_then(|element| read_floats(bytes, element, order, count, numbers))
            .ok_or_else(|| self.not_floats())?
            .map_err(|error| self.unreadable(&error))
    }

    /// Appends the next `count` integers to `numbers`.
    pub(crate) fn read_integers(
        &mut self,
        count: usize,
        numbers: &mut Vec<i128>,
    ) -> Result<(), Problem> {
        let (bytes, order) = (&mut self.bytes, self.byte_order);
        self.element
            .and_then(|element| read_integers(bytes, element, order, count, numbers))
            .ok_or_else(|| self.wrong_type("an integer type"))?
            .map_err(|error| self.unreadable(&error))
    }

    /// The precision of an array of floating-point numbers.
    pub(crate) fn precision(&self) -> Result<Precision, Problem> {
        self.element.and_then(Element::precision).ok_or_else(|| self.not_floats())
    }

    /// The sizes of a matrix with at least one row and column.
    pub(crate) fn matrix_shape(&self, meaning: &str) -> Result<[usize; 2], Problem> {
        match *self.shape {
            [rows, columns] if rows > 0 && columns > 0 => Ok([rows, columns]),
            [_, _] => Err(self.wrong_shape(format!("a matrix ({meaning}) that is not empty"))),
            _ => Err(self.wrong_shape(format!("a matrix ({meaning})"))),
        }
    }

    /// A [`Problem::Shape`] of this array.
    pub(crate) fn wrong_shape(&self, expected: impl Into<String>) -> Problem {
        Problem::Shape {
            key: self.key.clone(),
            found: self.shape.clone(),
            expected: expected.into(),
        }
    }

    /// The number of entries.
    pub(crate) fn count(&self) -> Result<usize, Problem> {
        checked_count(&self.shape).ok_or_else(|| self.wrong_shape("a shape that fits into memory"))
    }

    fn not_floats(&self) -> Problem {
        self.wrong_type("f64, f32, f16 or bf16")
    }

    fn wrong_type(&self, expected: &'static str) -> Problem {
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

/// The number of entries of an array, if it is a number at all.
pub(crate) fn checked_count(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1_usize, |count, &size| count.checked_mul(size))
}
