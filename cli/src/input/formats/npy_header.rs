//! The header of a `.npy` file.
//!
//! The header is a Python dictionary, as text. The crates that read it bring a parser for any Python literal,
//! and multiply the sizes of a shape without asking whether the product overflows (npyz 0.9). NumPy writes
//! nothing but `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`, so this is what is read here.
//! Format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.

use std::io::{self, Read};

use super::super::array::Layout;
use super::super::element::{ByteOrder, Element};

/// What the header of a `.npy` file says.
#[derive(Debug, PartialEq)]
pub(crate) struct NpyHeader {
    /// NumPy's name of the data type, such as `<f4`.
    pub(crate) description: String,
    /// The data type; `None` if it is not one of ours.
    pub(crate) element: Option<Element>,
    /// Order of the bytes of a number.
    pub(crate) byte_order: ByteOrder,
    /// Sizes of the array.
    pub(crate) shape: Vec<usize>,
    /// Order of the numbers.
    pub(crate) layout: Layout,
    /// Bytes before the numbers.
    pub(crate) length: u64,
}

/// Why a header cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HeaderError {
    /// The bytes cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The file does not start as a `.npy` file.
    #[error("it does not start with `\\x93NUMPY`")]
    Magic,
    /// The version is not known.
    #[error("its version is {0}.{1}, but 1.0, 2.0 or 3.0 is expected")]
    Version(u8, u8),
    /// The text is longer than any honest header.
    #[error("it announces {0} bytes, but at most {MAX_LENGTH} are allowed")]
    TooLong(u32),
    /// The text is not the dictionary that is expected.
    #[error("{expected} is expected at byte {position} of its text")]
    Syntax {
        /// What should be there.
        expected: &'static str,
        /// Where.
        position: usize,
    },
    /// The dictionary lacks an entry.
    #[error("it has no `{0}`")]
    Missing(&'static str),
}

/// The longest text of a header; NumPy writes 118 bytes for a matrix and refuses 10 000.
const MAX_LENGTH: u32 = 10_000;

impl NpyHeader {
    /// Reads a header and leaves `reader` at the first number.
    pub(crate) fn read(reader: &mut dyn Read) -> Result<Self, HeaderError> {
        let mut magic = [0; 8];
        reader.read_exact(&mut magic)?;
        let [b'\x93', b'N', b'U', b'M', b'P', b'Y', major, minor] = magic else {
            return Err(HeaderError::Magic);
        };
        let (prefix, text_length) = read_text_length(reader, major, minor)?;
        if text_length > MAX_LENGTH {
            return Err(HeaderError::TooLong(text_length));
        }
        let mut text = vec![0; text_length as usize];
        reader.read_exact(&mut text)?;
        Self::parse(&text, u64::from(prefix) + u64::from(text_length))
    }

    fn parse(text: &[u8], length: u64) -> Result<Self, HeaderError> {
        let entries = Dictionary::parse(text)?;
        let description = entries.description.ok_or(HeaderError::Missing("descr"))?;
        let column_major = entries.column_major.ok_or(HeaderError::Missing("fortran_order"))?;
        let big = description.starts_with('>');
        Ok(Self {
            element: element(&description),
            description,
            byte_order: if big { ByteOrder::Big } else { ByteOrder::Little },
            shape: entries.shape.ok_or(HeaderError::Missing("shape"))?,
            layout: if column_major { Layout::ColumnMajor } else { Layout::RowMajor },
            length,
        })
    }
}

/// The number of bytes before the text, and that of the text.
fn read_text_length(
    reader: &mut dyn Read,
    major: u8,
    minor: u8,
) -> Result<(u32, u32), HeaderError> {
    match (major, minor) {
        (1, 0) => {
            let mut length = [0; 2];
            reader.read_exact(&mut length)?;
            Ok((10, u16::from_le_bytes(length).into()))
        }
        (2 | 3, 0) => {
            let mut length = [0; 4];
            reader.read_exact(&mut length)?;
            Ok((12, u32::from_le_bytes(length)))
        }
        _ => Err(HeaderError::Version(major, minor)),
    }
}

fn element(description: &str) -> Option<Element> {
    let name = description.trim_start_matches(['<', '>', '=', '|']);
    Some(match name {
        "f8" => Element::F64,
        "f4" => Element::F32,
        "f2" => Element::F16,
        // NumPy has no bfloat16: the type of the package ml_dtypes is written as two opaque bytes.
        "V2" => Element::Bf16,
        "b1" | "?" => Element::Bool,
        "i1" => Element::I8,
        "i2" => Element::I16,
        "i4" => Element::I32,
        "i8" => Element::I64,
        "u1" => Element::U8,
        "u2" => Element::U16,
        "u4" => Element::U32,
        "u8" => Element::U64,
        _ => return None,
    })
}

/// The entries of the dictionary, as far as they are there.
#[derive(Default)]
struct Dictionary {
    description: Option<String>,
    column_major: Option<bool>,
    shape: Option<Vec<usize>>,
}

impl Dictionary {
    fn parse(text: &[u8]) -> Result<Self, HeaderError> {
        let mut scanner = Scanner { text, position: 0 };
        let mut entries = Self::default();
        scanner.expect(b'{', "`{`")?;
        while !scanner.accept(b'}') {
            entries.parse_entry(&mut scanner)?;
            if !scanner.accept(b',') {
                scanner.expect(b'}', "`,` or `}`")?;
                break;
            }
        }
        scanner.expect_end()?;
        Ok(entries)
    }

    fn parse_entry(&mut self, scanner: &mut Scanner<'_>) -> Result<(), HeaderError> {
        let start = scanner.position;
        let key = scanner.string()?;
        scanner.expect(b':', "`:`")?;
        match key.as_str() {
            "descr" => self.description = Some(scanner.description()?),
            "fortran_order" => self.column_major = Some(scanner.boolean()?),
            "shape" => self.shape = Some(scanner.tuple()?),
            _ => {
                let expected = "'descr', 'fortran_order' or 'shape'";
                return Err(HeaderError::Syntax { expected, position: start });
            }
        }
        Ok(())
    }
}

/// Reads the pieces of the dictionary one after the other.
struct Scanner<'a> {
    text: &'a [u8],
    position: usize,
}

impl Scanner<'_> {
    fn rest(&self) -> &[u8] {
        self.text.get(self.position..).unwrap_or_default()
    }

    fn skip_spaces(&mut self) {
        self.position += self.rest().iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    }

    fn accept(&mut self, byte: u8) -> bool {
        self.accept_word(&[byte])
    }

    fn accept_word(&mut self, word: &[u8]) -> bool {
        self.skip_spaces();
        let found = self.rest().starts_with(word);
        if found {
            self.position += word.len();
        }
        found
    }

    fn syntax(&self, expected: &'static str) -> HeaderError {
        HeaderError::Syntax { expected, position: self.position }
    }

    fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), HeaderError> {
        if self.accept(byte) { Ok(()) } else { Err(self.syntax(expected)) }
    }

    fn expect_end(&mut self) -> Result<(), HeaderError> {
        self.skip_spaces();
        if self.rest().is_empty() { Ok(()) } else { Err(self.syntax("the end")) }
    }

    /// A string without escapes, between quotes of either kind.
    fn string(&mut self) -> Result<String, HeaderError> {
        let quote = if self.accept(b'"') { b'"' } else { b'\'' };
        if quote == b'\'' {
            self.expect(b'\'', "a string")?;
        }
        let length = self.rest().iter().position(|&byte| byte == quote);
        let length = length.ok_or_else(|| self.syntax("a closing quote"))?;
        let string = String::from_utf8_lossy(&self.rest()[..length]).into_owned();
        self.position += length + 1;
        Ok(string)
    }

    /// A data type: a string, or a list for records, which we have no use for.
    fn description(&mut self) -> Result<String, HeaderError> {
        self.skip_spaces();
        if self.rest().starts_with(b"[") {
            return Err(self.syntax("a plain number type instead of a record"));
        }
        self.string()
    }

    fn boolean(&mut self) -> Result<bool, HeaderError> {
        if self.accept_word(b"True") {
            Ok(true)
        } else if self.accept_word(b"False") {
            Ok(false)
        } else {
            Err(self.syntax("True or False"))
        }
    }

    fn tuple(&mut self) -> Result<Vec<usize>, HeaderError> {
        self.expect(b'(', "`(`")?;
        let mut sizes = Vec::new();
        while !self.accept(b')') {
            sizes.push(self.size()?);
            if !self.accept(b',') {
                self.expect(b')', "`,` or `)`")?;
                break;
            }
        }
        Ok(sizes)
    }

    fn size(&mut self) -> Result<usize, HeaderError> {
        self.skip_spaces();
        let digits = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        let text = String::from_utf8_lossy(&self.rest()[..digits]);
        let size = text.parse().map_err(|_| self.syntax("a size"))?;
        self.position += digits;
        self.accept(b'L'); // Python 2 wrote long integers so
        Ok(size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<NpyHeader, HeaderError> {
        NpyHeader::parse(text.as_bytes(), 0)
    }

    #[test]
    fn headers_of_numpy_are_read() {
        let header =
            parse("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }   \n").unwrap();
        assert_eq!(header.element, Some(Element::F32));
        assert_eq!(header.shape, [3, 4]);
        assert_eq!((header.byte_order, header.layout), (ByteOrder::Little, Layout::RowMajor));
        let header = parse("{\"shape\":(7L,),'fortran_order':True,'descr':'>i8'}").unwrap();
        assert_eq!(header.element, Some(Element::I64));
        assert_eq!(header.shape, [7]);
        assert_eq!((header.byte_order, header.layout), (ByteOrder::Big, Layout::ColumnMajor));
        assert_eq!(parse("{'descr':'<c8','fortran_order':True,'shape':()}").unwrap().element, None);
    }

    #[test]
    fn other_texts_are_errors() {
        for (text, message) in [
            ("", "`{` is expected at byte 0 of its text"),
            ("{}", "it has no `descr`"),
            ("{'descr': '<f4', 'fortran_order': False}", "it has no `shape`"),
            (
                "{'descr': [('a', '<f4')]}",
                "a plain number type instead of a record is expected at byte 10 of its text",
            ),
            ("{'shape': (-1,)}", "a size is expected at byte 11 of its text"),
            ("{'shape': (99999999999999999999,)}", "a size is expected at byte 11 of its text"),
            ("{'fortran_order': 1}", "True or False is expected at byte 18 of its text"),
            ("{'descr': 'f4", "a closing quote is expected at byte 11 of its text"),
            (
                "{'colour': 'red'}",
                "'descr', 'fortran_order' or 'shape' is expected at byte 1 of its text",
            ),
            ("{} x", "the end is expected at byte 3 of its text"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), message, "{text}");
        }
    }

    #[test]
    fn nesting_does_not_exhaust_the_stack() {
        let deep = format!("{{'shape': {}", "(".repeat(9_000));
        assert!(parse(&deep).is_err());
    }
}
