//! The outside of an ELF file: bytes in its own width and order, its header, its segments.
//!
//! Every read is bounded by the bytes that are there, every sum is checked.

use super::{Machine, Problem, Stage};

/// Bytes of an ELF file, in its own width and byte order.
pub(super) struct Reader<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) is_64: bool,
    pub(super) is_little: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn take<const N: usize>(&self, at: u64) -> Option<[u8; N]> {
        let at = usize::try_from(at).ok()?;
        self.bytes.get(at..)?.first_chunk::<N>().copied()
    }

    pub(super) fn u16(&self, at: u64) -> Option<u16> {
        let bytes = self.take(at)?;
        Some(if self.is_little {
            u16::from_le_bytes(bytes)
        } else {
            u16::from_be_bytes(bytes)
        })
    }

    pub(super) fn u32(&self, at: u64) -> Option<u32> {
        let bytes = self.take(at)?;
        Some(if self.is_little {
            u32::from_le_bytes(bytes)
        } else {
            u32::from_be_bytes(bytes)
        })
    }

    pub(super) fn u64(&self, at: u64) -> Option<u64> {
        let bytes = self.take(at)?;
        Some(if self.is_little {
            u64::from_le_bytes(bytes)
        } else {
            u64::from_be_bytes(bytes)
        })
    }

    /// A value of the file's width: at `narrow` in a file of 32 bits, at `wide` in one of 64.
    pub(super) fn word(&self, at: u64, narrow: u64, wide: u64) -> Option<u64> {
        if self.is_64 {
            self.u64(at.checked_add(wide)?)
        } else {
            self.u32(at.checked_add(narrow)?).map(u64::from)
        }
    }

    /// As [`Self::word`] for a value of 32 bits in both.
    pub(super) fn half(&self, at: u64, narrow: u64, wide: u64) -> Option<u32> {
        self.u32(at.checked_add(if self.is_64 { wide } else { narrow })?)
    }

    /// A string of a table that is `table` long.
    pub(super) fn text(&self, table: &(u64, u64), at: u64) -> Option<&'a [u8]> {
        let (start, bytes) = *table;
        let from = usize::try_from(start.checked_add(at)?).ok()?;
        let to = usize::try_from(start.checked_add(bytes)?).ok()?;
        let rest = self.bytes.get(from..to)?;
        let rest = &rest[..rest.len().min(TEXT_BYTES_MAX)];
        rest.split(|byte| *byte == 0)
            .next()
            .filter(|text| text.len() < rest.len())
    }
}

/// A program header.
pub(super) struct Segment {
    pub(super) kind: u32,
    pub(super) flags: u32,
    pub(super) offset: u64,
    pub(super) address: u64,
    pub(super) bytes: u64,
}

impl Segment {
    pub(super) fn end(&self) -> Option<u64> {
        self.offset.checked_add(self.bytes)
    }
}

/// The header of a file, and its segments.
pub(super) struct Header<'a> {
    pub(super) reader: Reader<'a>,
    pub(super) machine: Machine,
    pub(super) segments: Vec<Segment>,
    pub(super) sections_end: Option<u64>,
}

impl<'a> Header<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, Problem> {
        if !bytes.starts_with(b"\x7fELF") {
            let what = "it is not an ELF file: name a shared object (.so)";
            return Err(Problem::new(Stage::Elf, what));
        }
        let (Some(class), Some(order)) = (bytes.get(4), bytes.get(5)) else {
            return Err(Problem::cut_off());
        };
        if !matches!((class, order), (1 | 2, 1 | 2)) {
            return Err(Problem::broken("its header"));
        }
        let reader = Reader {
            bytes,
            is_64: *class == 2,
            is_little: *order == 1,
        };
        Self::parse_rest(reader)
    }

    pub(super) fn parse_rest(reader: Reader<'a>) -> Result<Self, Problem> {
        let cut_off = Problem::cut_off;
        let machine = Machine {
            is_64: reader.is_64,
            is_little: reader.is_little,
            number: reader.u16(18).ok_or_else(cut_off)?,
            flags: reader.half(0, 36, 48).ok_or_else(cut_off)?,
        };
        if reader.u16(16) != Some(3) {
            let what = "it is not a shared object: build it with -shared -fPIC";
            return Err(Problem::new(Stage::Elf, what));
        }
        // Sizes and counts: of a program header, of a section header.
        let base = if reader.is_64 { 54 } else { 42 };
        let counts = [0, 2, 4, 6].map(|at| reader.u16(base + at));
        let [
            Some(segment_bytes),
            Some(segments),
            Some(section_bytes),
            Some(sections),
        ] = counts
        else {
            return Err(cut_off());
        };
        if segment_bytes != if reader.is_64 { 56 } else { 32 }
            || segments == 0
            || segments > SEGMENTS_MAX
        {
            return Err(Problem::broken("its table of segments"));
        }
        let at = reader.word(0, 28, 32).ok_or_else(cut_off)?;
        let table = (0..u64::from(segments))
            .map(|index| parse_segment(&reader, at.checked_add(index * u64::from(segment_bytes))?));
        let table: Option<Vec<Segment>> = table.collect();
        let at = reader.word(0, 32, 40).ok_or_else(cut_off)?;
        let bytes = u64::from(sections) * u64::from(section_bytes);
        Ok(Self {
            segments: table.ok_or_else(cut_off)?,
            sections_end: at.checked_add(bytes).filter(|_| at != 0 && bytes != 0),
            machine,
            reader,
        })
    }

    /// Where the last segment that is loaded ends.
    pub(super) fn loadable(&self) -> Result<u64, Problem> {
        let mut end = 0;
        for segment in self.segments.iter().filter(|one| one.kind == PT_LOAD) {
            let this = segment.end();
            end = end.max(this.ok_or_else(|| Problem::broken("its table of segments"))?);
        }
        Ok(end)
    }

    /// What will be mapped at an address.
    pub(super) fn bytes(&self, address: u64, bytes: u64) -> Option<&'a [u8]> {
        if bytes == 0 {
            return Some(&[]);
        }
        // All of it in one segment.
        let from = self.offset(address)?;
        let last = self.offset(address.checked_add(bytes - 1)?)?;
        (last.checked_sub(from)? == bytes - 1).then_some(())?;
        let from = usize::try_from(from).ok()?;
        let to = usize::try_from(last).ok()?.checked_add(1)?;
        self.reader.bytes.get(from..to)
    }

    /// The offset of what will be mapped at an address.
    pub(super) fn offset(&self, address: u64) -> Option<u64> {
        let mut loads = self.segments.iter().filter(|one| one.kind == PT_LOAD);
        loads.find_map(|segment| {
            let within = address.checked_sub(segment.address)?;
            (within < segment.bytes).then(|| segment.offset.checked_add(within))?
        })
    }
}

pub(super) fn parse_segment(reader: &Reader<'_>, at: u64) -> Option<Segment> {
    Some(Segment {
        kind: reader.half(at, 0, 0)?,
        flags: reader.half(at, 24, 4)?,
        offset: reader.word(at, 4, 8)?,
        address: reader.word(at, 8, 16)?,
        bytes: reader.word(at, 16, 32)?,
    })
}

/// The most program headers that are looked at; real libraries have about ten.
pub(super) const SEGMENTS_MAX: u16 = 64;
/// The longest string that is read, with its end; no name that matters here is longer.
pub(super) const TEXT_BYTES_MAX: usize = 1024;
pub(super) const PT_LOAD: u32 = 1;
pub(super) const PT_DYNAMIC: u32 = 2;
pub(super) const PT_GNU_STACK: u32 = 0x6474_e551;
pub(super) const PF_X: u32 = 1;
