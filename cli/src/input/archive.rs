//! What the two file formats have in common: named arrays, and perhaps named strings.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;

use super::element::{ByteOrder, Element, Floats, read_floats, read_integers};
use super::error::Problem;
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
    /// The floating-point numbers, in the order in which they are stored.
    pub(crate) fn into_floats(mut self) -> Result<Floats, Problem> {
        let count = self.count()?;
        let floats = self
            .element
            .and_then(|element| read_floats(&mut self.bytes, element, self.byte_order, count))
            .ok_or_else(|| self.wrong_type("f64, f32, f16 or bf16"))?
            .map_err(|error| self.unreadable(&error))?;
        self.check_end()?;
        Ok(floats)
    }

    /// The integers, in the order in which they are stored.
    pub(crate) fn into_integers(mut self) -> Result<Vec<i128>, Problem> {
        let count = self.count()?;
        let integers = self
            .element
            .and_then(|element| read_integers(&mut self.bytes, element, self.byte_order, count))
            .ok_or_else(|| self.wrong_type("an integer type"))?
            .map_err(|error| self.unreadable(&error))?;
        self.check_end()?;
        Ok(integers)
    }

    /// A [`Problem::Shape`] of this array.
    pub(crate) fn wrong_shape(&self, expected: impl Into<String>) -> Problem {
        Problem::Shape {
            key: self.key.clone(),
            found: self.shape.clone(),
            expected: expected.into(),
        }
    }

    fn count(&self) -> Result<usize, Problem> {
        checked_count(&self.shape).ok_or_else(|| self.wrong_shape("a shape that fits into memory"))
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
    fn check_end(&mut self) -> Result<(), Problem> {
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
