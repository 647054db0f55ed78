//! A machine for the few pickle instructions that `torch.save` writes for tensors and plain values.
//!
//! A pickle is a program; Python runs it and so runs what its author wants. This machine can build values and name
//! a fixed list of things ([`Global`]), and nothing else: whatever goes beyond is an error with its name. The
//! protocols 2 to 5 differ in how they write the same. Format: Python's `pickletools`; PyTorch's
//! `torch/serialization.py` and `torch/_utils.py`.

use std::collections::HashMap;

use super::error::PickleError;
use super::rebuild;
use super::value::{Global, Id, Value};

/// What a pickle has built.
#[derive(Debug)]
pub(super) struct Pickle {
    /// All values.
    pub(super) values: Vec<Value>,
    /// The one that was saved.
    pub(super) root: Id,
}

/// Where the machine is.
struct Machine<'a> {
    bytes: &'a [u8],
    position: usize,
    values: Vec<Value>,
    stack: Vec<Id>,
    /// Heights of the stack at the open marks.
    marks: Vec<usize>,
    memo: HashMap<usize, Id>,
}

/// Runs a pickle.
pub(super) fn load(bytes: &[u8]) -> Result<Pickle, PickleError> {
    let mut machine = Machine {
        bytes,
        position: 0,
        values: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    while machine.step()? {}
    let root = machine.pop()?;
    Ok(Pickle { values: machine.values, root })
}

impl Machine<'_> {
    /// Carries out one instruction; `false` after the last.
    fn step(&mut self) -> Result<bool, PickleError> {
        let at = self.position;
        let [instruction] = self.take()?;
        match instruction {
            b'.' => return Ok(false),
            // Protocol and frame: only of use to a reader of streams.
            0x80 => drop(self.take::<1>()?),
            0x95 => drop(self.take::<8>()?),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'N' => self.push(Value::None),
            0x88 => self.push(Value::Bool(true)),
            0x89 => self.push(Value::Bool(false)),
            b'K' | b'M' | b'J' | 0x8a | b'G' => self.number(instruction)?,
            b'X' | 0x8c | 0x8d => self.text(instruction)?,
            b'}' => self.push(Value::Dict(Vec::new())),
            b']' => self.push(Value::List(Vec::new())),
            b')' | 0x85 | 0x86 | 0x87 | b't' => self.tuple(instruction)?,
            b'a' | b'e' => self.append(instruction == b'e')?,
            b's' | b'u' => self.set_items(instruction == b'u')?,
            b'q' | b'r' | 0x94 => self.remember(instruction)?,
            b'h' | b'j' => self.recall(instruction)?,
            b'c' | 0x93 => self.global(instruction == b'c')?,
            b'Q' => self.storage()?,
            b'R' => self.call()?,
            b'b' => self.set_state()?,
            _ => return Err(PickleError::Instruction(instruction, at)),
        }
        Ok(true)
    }

    /// The next `SIZE` bytes.
    fn take<const SIZE: usize>(&mut self) -> Result<[u8; SIZE], PickleError> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let bytes = *rest.first_chunk().ok_or(PickleError::Truncated)?;
        self.position += SIZE;
        Ok(bytes)
    }

    fn take_slice(&mut self, length: usize) -> Result<&[u8], PickleError> {
        let end = self.position.checked_add(length).ok_or(PickleError::Truncated)?;
        let bytes = self.bytes.get(self.position..end).ok_or(PickleError::Truncated)?;
        self.position = end;
        Ok(bytes)
    }

    fn push(&mut self, value: Value) {
        self.stack.push(self.values.len());
        self.values.push(value);
    }

    fn pop(&mut self) -> Result<Id, PickleError> {
        // What is below a mark cannot be reached before the mark is taken away.
        let bottom = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= bottom {
            return Err(PickleError::Malformed("the pickle takes a value that is not there"));
        }
        self.stack.pop().ok_or(PickleError::Truncated)
    }

    /// All values above the last mark.
    fn pop_mark(&mut self) -> Result<Vec<Id>, PickleError> {
        let bottom = self.marks.pop().ok_or(PickleError::Malformed("the pickle has no mark"))?;
        Ok(self.stack.split_off(bottom.min(self.stack.len())))
    }

    fn number(&mut self, instruction: u8) -> Result<(), PickleError> {
        let value = match instruction {
            b'K' => Value::Int(u8::from_le_bytes(self.take()?).into()),
            b'M' => Value::Int(u16::from_le_bytes(self.take()?).into()),
            b'J' => Value::Int(i32::from_le_bytes(self.take()?).into()),
            b'G' => Value::Float(f64::from_be_bytes(self.take()?)),
            _ => {
                let [length] = self.take()?;
                Value::Int(long(self.take_slice(length.into())?)?)
            }
        };
        self.push(value);
        Ok(())
    }

    fn text(&mut self, instruction: u8) -> Result<(), PickleError> {
        let length = match instruction {
            0x8c => u8::from_le_bytes(self.take()?).into(),
            b'X' => u32::from_le_bytes(self.take()?).into(),
            _ => u64::from_le_bytes(self.take()?),
        };
        let length = usize::try_from(length).map_err(|_| PickleError::Truncated)?;
        // A lone surrogate of Python is no text of ours, but no reason to refuse a file either.
        let text = String::from_utf8_lossy(self.take_slice(length)?).into_owned();
        self.push(Value::Text(text));
        Ok(())
    }

    fn tuple(&mut self, instruction: u8) -> Result<(), PickleError> {
        let items = match instruction {
            b't' => self.pop_mark()?,
            b')' => Vec::new(),
            _ => {
                let length = usize::from(instruction - 0x84);
                let mut items = (0..length).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
                items.reverse();
                items
            }
        };
        self.push(Value::Tuple(items));
        Ok(())
    }

    fn append(&mut self, many: bool) -> Result<(), PickleError> {
        let items = if many { self.pop_mark()? } else { vec![self.pop()?] };
        match self.top()? {
            Value::List(list) => list.extend(items),
            _ => return Err(PickleError::Malformed("the pickle appends to what is no list")),
        }
        Ok(())
    }

    fn set_items(&mut self, many: bool) -> Result<(), PickleError> {
        let items = if many {
            self.pop_mark()?
        } else {
            let value = self.pop()?;
            vec![self.pop()?, value]
        };
        let (pairs, rest) = items.as_chunks();
        match self.top()? {
            Value::Dict(entries) if rest.is_empty() => {
                entries.extend(pairs.iter().map(|&[key, value]| (key, value)));
            }
            _ => return Err(PickleError::Malformed("the pickle sets items of what is no dict")),
        }
        Ok(())
    }

    /// The value on top of the stack.
    fn top(&mut self) -> Result<&mut Value, PickleError> {
        let id = self.pop()?;
        self.stack.push(id);
        self.values.get_mut(id).ok_or(PickleError::Truncated)
    }

    fn remember(&mut self, instruction: u8) -> Result<(), PickleError> {
        let place = match instruction {
            b'q' => u8::from_le_bytes(self.take()?).into(),
            b'r' => u32::from_le_bytes(self.take()?) as usize,
            _ => self.memo.len(),
        };
        let id = self.pop()?;
        self.stack.push(id);
        self.memo.insert(place, id);
        Ok(())
    }

    fn recall(&mut self, instruction: u8) -> Result<(), PickleError> {
        let place = match instruction {
            b'h' => u8::from_le_bytes(self.take()?).into(),
            _ => u32::from_le_bytes(self.take()?) as usize,
        };
        let id = self.memo.get(&place).copied();
        self.stack.push(id.ok_or(PickleError::Malformed("the pickle recalls what is not there"))?);
        Ok(())
    }

    fn global(&mut self, in_lines: bool) -> Result<(), PickleError> {
        let (module, name) = if in_lines {
            (self.line()?, self.line()?)
        } else {
            let [name, module] = [self.pop()?, self.pop()?];
            let text = |id| match self.values.get(id) {
                Some(Value::Text(text)) => Ok(text.clone()),
                _ => Err(PickleError::Malformed("the pickle names something without a name")),
            };
            (text(module)?, text(name)?)
        };
        let global = Global::find(&module, &name);
        self.push(Value::Global(global.ok_or(PickleError::Name(format!("{module}.{name}")))?));
        Ok(())
    }

    fn line(&mut self) -> Result<String, PickleError> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let length = rest.iter().position(|&byte| byte == b'\n').ok_or(PickleError::Truncated)?;
        let line = String::from_utf8_lossy(self.take_slice(length)?).into_owned();
        self.position += 1;
        Ok(line)
    }

    /// A persistent reference: to a storage, the only ones there are.
    fn storage(&mut self) -> Result<(), PickleError> {
        let id = self.pop()?;
        let storage = rebuild::storage(&self.values, id)?;
        self.push(Value::Storage(storage));
        Ok(())
    }

    /// What Python would call is understood instead.
    fn call(&mut self) -> Result<(), PickleError> {
        let arguments = self.pop()?;
        let function = self.pop()?;
        let value = match (self.values.get(function), self.values.get(arguments)) {
            (Some(Value::Global(global)), Some(Value::Tuple(arguments))) => {
                rebuild::call(&self.values, *global, arguments)?
            }
            _ => return Err(PickleError::Malformed("the pickle calls what cannot be called")),
        };
        self.push(value);
        Ok(())
    }

    /// Attributes of a state dict (`_metadata`, versions of modules) have no use here.
    fn set_state(&mut self) -> Result<(), PickleError> {
        self.pop()?;
        match self.top()? {
            Value::Dict(_) => Ok(()),
            _ => Err(PickleError::Malformed("the pickle sets the state of what has none")),
        }
    }
}

/// An integer of up to eight bytes, in two's complement.
fn long(bytes: &[u8]) -> Result<i64, PickleError> {
    let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let mut padded = if negative { [0xff; 8] } else { [0; 8] };
    padded
        .get_mut(..bytes.len())
        .ok_or(PickleError::Malformed("an integer has more than 64 bits"))?
        .copy_from_slice(bytes);
    Ok(i64::from_le_bytes(padded))
}
