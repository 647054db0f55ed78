//! The number types of stored arrays, and decoding them from bytes.

use std::io::{self, Read};

use half::{bf16, f16};

/// How one number of an array is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Element {
    /// IEEE 754 double precision.
    F64,
    /// IEEE 754 single precision.
    F32,
    /// IEEE 754 half precision.
    F16,
    /// The upper half of a single-precision number.
    Bf16,
    /// A truth value: a byte that is 0 or 1.
    Bool,
    /// A signed integer of 8 bits.
    I8,
    /// A signed integer of 16 bits.
    I16,
    /// A signed integer of 32 bits.
    I32,
    /// A signed integer of 64 bits.
    I64,
    /// An unsigned integer of 8 bits.
    U8,
    /// An unsigned integer of 16 bits.
    U16,
    /// An unsigned integer of 32 bits.
    U32,
    /// An unsigned integer of 64 bits.
    U64,
}

impl Element {
    /// Bytes of one number.
    pub(crate) fn size(self) -> usize {
        match self {
            Self::Bool | Self::I8 | Self::U8 => 1,
            Self::F16 | Self::Bf16 | Self::I16 | Self::U16 => 2,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F64 | Self::I64 | Self::U64 => 8,
        }
    }

    /// Whether these are floating-point numbers.
    pub(crate) fn is_float(self) -> bool {
        matches!(self, Self::F64 | Self::F32 | Self::F16 | Self::Bf16)
    }
}

/// Order of the bytes of one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ByteOrder {
    /// The least significant byte first.
    Little,
    /// The most significant byte first.
    Big,
}

/// Appends `count` floating-point numbers, which `f64` holds exactly, to `numbers`, or returns `None` if `element` is an integer type.
pub(crate) fn read_floats(
    reader: &mut dyn Read,
    element: Element,
    order: ByteOrder,
    count: usize,
    numbers: &mut Vec<f64>,
) -> Option<io::Result<()>> {
    let single = f64::from;
    Some(match element {
        Element::F64 => read_numbers(reader, order, count, numbers, f64::from_le_bytes),
        Element::F32 => {
            read_numbers(reader, order, count, numbers, |b| single(f32::from_le_bytes(b)))
        }
        Element::F16 => {
            read_numbers(reader, order, count, numbers, |b| single(f16::from_le_bytes(b).to_f32()))
        }
        Element::Bf16 => {
            read_numbers(reader, order, count, numbers, |b| single(bf16::from_le_bytes(b).to_f32()))
        }
        _ => return None,
    })
}

/// Appends `count` integers to `numbers`, or returns `None` if `element` is a floating-point type.
pub(crate) fn read_integers(
    reader: &mut dyn Read,
    element: Element,
    order: ByteOrder,
    count: usize,
    numbers: &mut Vec<i128>,
) -> Option<io::Result<()>> {
    macro_rules! read {
        ($integer:ty) => {
            read_numbers(reader, order, count, numbers, |b| <$integer>::from_le_bytes(b).into())
        };
    }
    Some(match element {
        Element::Bool => read_numbers(reader, order, count, numbers, |[byte]| (byte != 0).into()),
        Element::I8 => read!(i8),
        Element::I16 => read!(i16),
        Element::I32 => read!(i32),
        Element::I64 => read!(i64),
        Element::U8 => read!(u8),
        Element::U16 => read!(u16),
        Element::U32 => read!(u32),
        Element::U64 => read!(u64),
        _ => return None,
    })
}

/// Numbers decoded at a time: the bytes are never all in memory beside the numbers.
const CHUNK: usize = 8192;

/// Appends `count` numbers of `SIZE` bytes; `decode` gets them with the least significant byte first.
fn read_numbers<const SIZE: usize, T>(
    reader: &mut dyn Read,
    order: ByteOrder,
    count: usize,
    numbers: &mut Vec<T>,
    decode: impl Fn([u8; SIZE]) -> T,
) -> io::Result<()> {
    // `count` comes from the file: running out of memory is an error like any other.
    numbers.try_reserve_exact(count).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    let mut buffer = vec![[0; SIZE]; count.min(CHUNK)];
    let mut left = count;
    while left > 0 {
        let chunk_length = buffer.len().min(left);
        let chunk = &mut buffer[..chunk_length];
        reader.read_exact(chunk.as_flattened_mut())?;
        if order == ByteOrder::Big {
            chunk.iter_mut().for_each(|bytes| bytes.reverse());
        }
        numbers.extend(chunk.iter().map(|bytes| decode(*bytes)));
        left -= chunk_length;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(mut bytes: &[u8], element: Element, count: usize) -> io::Result<Vec<f64>> {
        let mut numbers = Vec::new();
        let read = read_floats(&mut bytes, element, ByteOrder::Little, count, &mut numbers);
        read.unwrap().map(|()| numbers)
    }

    #[test]
    fn half_precision_is_widened_exactly() {
        let halves = [f16::from_f32(-1.5).to_le_bytes(), f16::MAX.to_le_bytes()].concat();
        assert_eq!(floats(&halves, Element::F16, 2).unwrap(), [-1.5, 65504.0]);
        let brain = bf16::from_f32(3.0e38);
        let bytes = brain.to_le_bytes();
        assert_eq!(floats(&bytes, Element::Bf16, 1).unwrap(), [brain.to_f64()]);
    }

    #[test]
    fn bytes_are_swapped_and_chunks_joined() {
        let numbers: Vec<i16> = (0..20_000).collect();
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
        let (reader, mut found) = (&mut bytes.as_slice(), Vec::new());
        for count in [9_000, 11_000] {
            let read = read_integers(reader, Element::I16, ByteOrder::Big, count, &mut found);
            assert!(read.unwrap().is_ok());
        }
        let expected: Vec<i128> = numbers.iter().map(|&number| number.into()).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn too_few_bytes_are_an_error() {
        let error = floats(&[0; 15], Element::F64, 2).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn an_impossible_count_is_an_error() {
        let error = floats(&[0; 8], Element::F64, usize::MAX).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
    }
}
