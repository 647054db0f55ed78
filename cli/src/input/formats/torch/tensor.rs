//! The numbers of a tensor: the part of a storage that it is a view of.

use std::io::{self, Read};

use super::super::super::array::{Layout, StoredArray, checked_count};
use super::super::super::element::ByteOrder;
use super::super::super::error::Problem;
use super::value::Tensor;

impl Tensor {
    /// The stored array, from the entry of its storage, `length` bytes long.
    pub(super) fn stored<'a>(
        &self,
        key: &str,
        byte_order: ByteOrder,
        length: u64,
        storage: Box<dyn Read + 'a>,
    ) -> Result<StoredArray<'a>, Problem> {
        let bad = |reason: String| Problem::bad_array(key, reason);
        if length != self.bytes as u64 {
            let announced = self.bytes;
            return Err(bad(format!("its storage has {length} bytes, {announced} are announced")));
        }
        let count = checked_count(&self.shape)
            .ok_or_else(|| bad(format!("its shape {:?} is absurd", self.shape)))?;
        let (layout, bytes) = match self.layout() {
            _ if count == 0 => (Layout::RowMajor, Box::new(io::empty()) as Box<dyn Read + 'a>),
            Some(layout) => {
                let view = self.view(count).ok_or_else(|| bad(self.outside()))?;
                (layout, Box::new(View::new(storage, view)) as Box<dyn Read + 'a>)
            }
            None => {
                let numbers = self.gather(key, count, storage)?;
                (Layout::RowMajor, Box::new(io::Cursor::new(numbers)) as Box<dyn Read + 'a>)
            }
        };
        Ok(StoredArray {
            key: key.into(),
            element: self.numbers.element,
            element_name: format!("torch.{}", self.numbers.name),
            byte_order,
            shape: self.shape.clone(),
            layout,
            bytes,
        })
    }

    /// The order of numbers that lie side by side; `None` if they do not.
    fn layout(&self) -> Option<Layout> {
        // An axis of length 1 has no neighbors, so its stride means nothing.
        let axes: Vec<_> =
            self.shape.iter().zip(&self.strides).filter(|(size, _)| **size != 1).collect();
        match axes[..] {
            _ if are_dense(axes.iter().rev()) => Some(Layout::RowMajor),
            [_, _] if are_dense(axes.iter()) => Some(Layout::ColumnMajor),
            _ => None,
        }
    }

    /// First byte and number of bytes of `count` numbers side by side, if they lie in the storage.
    fn view(&self, count: usize) -> Option<[usize; 2]> {
        let size = self.numbers.size;
        let (start, length) = (self.offset.checked_mul(size)?, count.checked_mul(size)?);
        (start.checked_add(length)? <= self.bytes).then_some([start, length])
    }

    fn outside(&self) -> String {
        format!("it lies outside of its storage of {} bytes", self.bytes)
    }

    /// The bytes of numbers that are scattered over the storage, row after row.
    fn gather(
        &self,
        key: &str,
        count: usize,
        mut storage: Box<dyn Read + '_>,
    ) -> Result<Vec<u8>, Problem> {
        let bad = |reason: String| Problem::bad_array(key, reason);
        let size = self.numbers.size;
        // Nothing that the file does not hold takes memory.
        if count.checked_mul(size).is_none_or(|bytes| bytes > self.bytes) {
            return Err(bad(
                "it is an expanded view, whose numbers stand for several each; save it after \
                            .contiguous()"
                    .into(),
            ));
        }
        let mut bytes = Vec::new();
        storage
            .read_to_end(&mut bytes)
            .map_err(|error| bad(format!("the data cannot be read: {error}")))?;
        let mut gathered = Vec::with_capacity(count * size);
        let mut index = vec![0_usize; self.shape.len()];
        for _ in 0..count {
            let number =
                self.place(&index).and_then(|start| bytes.get(start..start.checked_add(size)?));
            gathered.extend_from_slice(number.ok_or_else(|| bad(self.outside()))?);
            advance(&mut index, &self.shape);
        }
        Ok(gathered)
    }

    /// The first byte of the number at `index`.
    fn place(&self, index: &[usize]) -> Option<usize> {
        let steps = index.iter().zip(&self.strides);
        let place = steps.into_iter().try_fold(self.offset, |place, (&index, &stride)| {
            place.checked_add(index.checked_mul(stride)?)
        });
        place?.checked_mul(self.numbers.size)
    }
}

/// Whether axes, with their sizes and strides, follow each other without a gap, the innermost first.
fn are_dense<'a>(mut axes: impl Iterator<Item = &'a (&'a usize, &'a usize)>) -> bool {
    let mut next = Some(1_usize);
    axes.all(|&(&size, &stride)| {
        let expected = next;
        next = expected.and_then(|expected| expected.checked_mul(size));
        expected == Some(stride)
    })
}

/// The next index, the last axis first.
fn advance(index: &mut [usize], shape: &[usize]) {
    for (index, &size) in index.iter_mut().zip(shape).rev() {
        *index += 1;
        if *index < size {
            return;
        }
        *index = 0;
    }
}

/// Some bytes in the middle of a storage. At their end the rest is read too, for the checksum is that of all.
struct View<'a> {
    storage: Box<dyn Read + 'a>,
    /// Bytes to skip before the first one.
    skip: u64,
    /// Bytes left.
    left: u64,
}

impl<'a> View<'a> {
    fn new(storage: Box<dyn Read + 'a>, [start, length]: [usize; 2]) -> Self {
        Self { storage, skip: start as u64, left: length as u64 }
    }
}

impl Read for View<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.skip > 0 {
            let skipped = io::copy(&mut (&mut self.storage).take(self.skip), &mut io::sink())?;
            if skipped < self.skip {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.skip = 0;
        }
        if self.left == 0 {
            io::copy(&mut self.storage, &mut io::sink())?;
            return Ok(0);
        }
        let read = (&mut self.storage).take(self.left).read(buffer)?;
        self.left -= read as u64;
        Ok(read)
    }
}
