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
            Self::I8 | Self::U8 => 1,
            Self::F16 | Self::Bf16 | Self::I16 | Self::U16 => 2,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F64 | Self::I64 | Self::U64 => 8,
        }
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

/// Floating-point numbers in the precision in which they were stored; half precision is widened to single.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Floats {
    /// Single precision.
    F32(Vec<f32>),
    /// Double precision.
    F64(Vec<f64>),
}

/// Reads `count` floating-point numbers, or `None` if `element` is an integer type.
pub(crate) fn read_floats(
    reader: &mut dyn Read,
    element: Element,
    order: ByteOrder,
    count: usize,
) -> Option<io::Result<Floats>> {
    let single = Floats::F32;
    Some(match element {
        Element::F64 => read_numbers(reader, order, count, f64::from_le_bytes).map(Floats::F64),
        Element::F32 => read_numbers(reader, order, count, f32::from_le_bytes).map(single),
        Element::F16 => {
            read_numbers(reader, order, count, |b| f16::from_le_bytes(b).to_f32()).map(single)
        }
        Element::Bf16 => {
            read_numbers(reader, order, count, |b| bf16::from_le_bytes(b).to_f32()).map(single)
        }
        _ => return None,
    })
}

/// Reads `count` integers, or `None` if `element` is a floating-point type.
pub(crate) fn read_integers(
    reader: &mut dyn Read,
    element: Element,
    order: ByteOrder,
    count: usize,
) -> Option<io::Result<Vec<i128>>> {
    Some(match element {
        Element::I8 => read_numbers(reader, order, count, |b| i8::from_le_bytes(b).into()),
        Element::I16 => read_numbers(reader, order, count, |b| i16::from_le_bytes(b).into()),
        Element::I32 => read_numbers(reader, order, count, |b| i32::from_le_bytes(b).into()),
        Element::I64 => read_numbers(reader, order, count, |b| i64::from_le_bytes(b).into()),
        Element::U8 => read_numbers(reader, order, count, |b| u8::from_le_bytes(b).into()),
        Element::U16 => read_numbers(reader, order, count, |b| u16::from_le_bytes(b).into()),
        Element::U32 => read_numbers(reader, order, count, |b| u32::from_le_bytes(b).into()),
        Element::U64 => read_numbers(reader, order, count, |b| u64::from_le_bytes(b).into()),
        _ => return None,
    })
}

/// Numbers decoded at a time: the bytes are never all in memory beside the numbers.
const CHUNK: usize = 8192;

/// Reads `count` numbers of `SIZE` bytes; `decode` gets them with the least significant byte first.
fn read_numbers<const SIZE: usize, T>(
    reader: &mut dyn Read,
    order: ByteOrder,
    count: usize,
    decode: impl Fn([u8; SIZE]) -> T,
) -> io::Result<Vec<T>> {
    let mut numbers = Vec::new();
    // `count` comes from the file: running out of memory is an error like any other.
    numbers.try_reserve_exact(count).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    let mut buffer = vec![[0; SIZE]; count.min(CHUNK)];
    while numbers.len() < count {
        let chunk_length = buffer.len().min(count - numbers.len());
        let chunk = &mut buffer[..chunk_length];
        reader.read_exact(chunk.as_flattened_mut())?;
        if order == ByteOrder::Big {
            chunk.iter_mut().for_each(|bytes| bytes.reverse());
        }
        numbers.extend(chunk.iter().map(|bytes| decode(*bytes)));
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_precision_is_widened_exactly() {
        let halves = [f16::from_f32(-1.5).to_le_bytes(), f16::MAX.to_le_bytes()].concat();
        let read = read_floats(&mut halves.as_slice(), Element::F16, ByteOrder::Little, 2);
        assert_eq!(read.unwrap().unwrap(), Floats::F32(vec![-1.5, 65504.0]));
        let brain = bf16::from_f32(3.0e38).to_le_bytes();
        let read = read_floats(&mut brain.as_slice(), Element::Bf16, ByteOrder::Little, 1);
        assert_eq!(read.unwrap().unwrap(), Floats::F32(vec![bf16::from_f32(3.0e38).to_f32()]));
    }

    #[test]
    fn bytes_are_swapped_and_chunks_joined() {
        let numbers: Vec<i16> = (0..20_000).collect();
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
        let read =
            read_integers(&mut bytes.as_slice(), Element::I16, ByteOrder::Big, numbers.len());
        let expected: Vec<i128> = numbers.iter().map(|&number| number.into()).collect();
        assert_eq!(read.unwrap().unwrap(), expected);
    }

    #[test]
    fn too_few_bytes_are_an_error() {
        let read = read_floats(&mut [0; 15].as_slice(), Element::F64, ByteOrder::Little, 2);
        assert_eq!(read.unwrap().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn an_impossible_count_is_an_error() {
        let read = read_floats(&mut [0; 8].as_slice(), Element::F64, ByteOrder::Little, usize::MAX);
        assert_eq!(read.unwrap().unwrap_err().kind(), io::ErrorKind::OutOfMemory);
    }
}
