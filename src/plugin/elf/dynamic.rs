//! The inside of an ELF file, by its dynamic section, as the loader sees it: what it needs, how it
//! is entered, and whether it can be unmapped.

use super::file::{Header, PT_DYNAMIC, Reader};
use super::{Entry, Problem, Stage};

/// What the dynamic section says.
#[derive(Default)]
pub(super) struct Dynamic {
    strings: (u64, u64),
    symbols: Option<u64>,
    symbol_count: u64,
    needed: Vec<u64>,
    search_paths: Vec<u64>,
    flags: u64,
    flags_1: u64,
    has_text_relocations: bool,
    has_unique_symbols: bool,
}

impl Dynamic {
    pub(super) fn parse(header: &Header<'_>) -> Result<Self, Problem> {
        Self::read(header).ok_or_else(|| Problem::broken("its dynamic section"))
    }

    fn read(header: &Header<'_>) -> Option<Self> {
        let reader = &header.reader;
        let segment = header.segments.iter().find(|one| one.kind == PT_DYNAMIC)?;
        let (mut this, mut strings, mut hash, mut gnu_hash) = (Self::default(), None, None, None);
        let step = if reader.is_64 { 16 } else { 8 };
        for index in 0..(segment.bytes / step).min(DYNAMIC_MAX) {
            let at = segment.offset.checked_add(index * step)?;
            let value = reader.word(at, 4, 8)?;
            match reader.word(at, 0, 0)? {
                0 => break,
                DT_NEEDED => this.needed.push(value),
                DT_RPATH | DT_RUNPATH => this.search_paths.push(value),
                DT_STRTAB => strings = Some(value),
                DT_STRSZ => this.strings.1 = value,
                DT_SYMTAB => this.symbols = Some(value),
                DT_HASH => hash = Some(value),
                DT_GNU_HASH => gnu_hash = Some(value),
                DT_TEXTREL => this.has_text_relocations = true,
                DT_FLAGS => this.flags = value,
                DT_FLAGS_1 => this.flags_1 = value,
                _ => {}
            }
        }
        this.strings.0 = header.offset(strings?)?;
        this.symbols = Some(header.offset(this.symbols?)?);
        this.symbol_count = match (gnu_hash, hash) {
            (Some(table), _) => count_by_gnu_hash(reader, header.offset(table)?)?,
            (None, Some(table)) => u64::from(reader.u32(header.offset(table)?.checked_add(4)?)?),
            (None, None) => return None,
        };
        (this.symbol_count <= SYMBOLS_MAX).then_some(())?;
        for index in 0..this.symbol_count {
            let symbol = this.symbol(reader, index)?;
            this.has_unique_symbols |= symbol.is_defined && symbol.binding == STB_GNU_UNIQUE;
        }
        Some(this)
    }

    fn symbol(&self, reader: &Reader<'_>, index: u64) -> Option<Symbol> {
        let step = if reader.is_64 { 24 } else { 16 };
        let at = self.symbols?.checked_add(index.checked_mul(step)?)?;
        let (info, section) = if reader.is_64 { (4, 6) } else { (12, 14) };
        let [info] = reader.take::<1>(at.checked_add(info)?)?;
        Some(Symbol {
            name: reader.u32(at)?.into(),
            address: reader.word(at, 4, 8)?,
            bytes: reader.word(at, 8, 16)?,
            binding: info >> 4,
            kind: info & 15,
            is_defined: reader.u16(at.checked_add(section)?)? != 0,
        })
    }

    pub(super) fn needs(&self, header: &Header<'_>) -> Result<Vec<String>, Problem> {
        let text = |at: &u64| {
            let text = header.reader.text(&self.strings, *at);
            let text = text.map(|text| String::from_utf8_lossy(text).into_owned());
            text.ok_or_else(|| Problem::broken("its dynamic section"))
        };
        let needs: Vec<String> = self.needed.iter().map(text).collect::<Result<_, _>>()?;
        if let Some(path) = needs.iter().find(|need| need.contains('/')) {
            let path = path.escape_debug();
            let what = format!(
                "it needs {path} by its path, but only system libraries are found: link that one in"
            );
            return Err(Problem::new(Stage::Needs, what));
        }
        for path in &self.search_paths {
            let path = text(path)?;
            if path.contains("$ORIGIN") || path.contains("${ORIGIN}") {
                let path = path.escape_debug();
                let what = format!(
                    "it looks for libraries beside itself ({path}), but it is loaded from a copy: link them in, and without -rpath"
                );
                return Err(Problem::new(Stage::Needs, what));
            }
        }
        Ok(needs)
    }

    pub(super) fn check_unload(&self) -> Result<(), Problem> {
        let refuse = |what| Err(Problem::new(Stage::Unload, what));
        if self.flags_1 & DF_1_PIE != 0 {
            return refuse("it is a program, not a library: build it with -shared");
        }
        if self.has_text_relocations || self.flags & DF_TEXTREL != 0 {
            return refuse("its code must be changed to be loaded (TEXTREL): build it with -fPIC");
        }
        if self.flags_1 & DF_1_NODELETE != 0 {
            return refuse("it forbids to be unmapped (NODELETE): link it without -z nodelete");
        }
        if self.has_unique_symbols {
            return refuse(
                "it has unique symbols, which are never unmapped: build it with -fno-gnu-unique",
            );
        }
        Ok(())
    }

    /// What the plugin says that it needs: words, each ended by NUL.
    pub(super) fn declared(&self, header: &Header<'_>) -> Result<Vec<String>, Problem> {
        let refuse = |what: String| Err(Problem::new(Stage::Declared, what));
        let reader = &header.reader;
        for index in 0..self.symbol_count {
            let symbol = self.symbol(reader, index);
            let symbol = symbol.ok_or_else(|| Problem::broken("its table of symbols"))?;
            let name = reader.text(&self.strings, symbol.name);
            if !symbol.is_defined || name != Some(DECLARED) {
                continue;
            }
            if symbol.bytes > DECLARED_BYTES_MAX {
                return refuse(format!(
                    "it declares needs of {} bytes, at most {DECLARED_BYTES_MAX} are read: declare fewer",
                    symbol.bytes
                ));
            }
            let words = header.bytes(symbol.address, symbol.bytes);
            let words = words.ok_or_else(|| {
                let what = "its needs are not in the file: declare them with SWIFTD_NEEDS";
                Problem::new(Stage::Declared, what)
            })?;
            let words = words
                .split(|byte| *byte == 0)
                .filter(|word| !word.is_empty());
            let words = words.map(|word| String::from_utf8_lossy(word).escape_debug().to_string());
            return Ok(words.collect());
        }
        Ok(Vec::new())
    }

    pub(super) fn entry(&self, header: &Header<'_>, name: Option<&str>) -> Result<Entry, Problem> {
        const OBJECT: u8 = 1;
        const FUNCTION: u8 = 2;
        let reader = &header.reader;
        let function = name.map(|name| format!("{name}_init"));
        let mut found = None;
        for index in 0..self.symbol_count {
            let symbol = self.symbol(reader, index);
            let symbol = symbol.ok_or_else(|| Problem::broken("its table of symbols"))?;
            let is_global = symbol.is_defined && matches!(symbol.binding, 1 | 2);
            let Some(text) = reader
                .text(&self.strings, symbol.name)
                .filter(|_| is_global)
            else {
                continue;
            };
            let bytes = usize::try_from(symbol.bytes).unwrap_or(usize::MAX);
            if symbol.kind == OBJECT && text == b"swiftd_plugin_v1" {
                return Ok(Entry::Constant(bytes));
            }
            let is_wanted = function
                .as_ref()
                .is_some_and(|name| name.as_bytes() == text);
            if symbol.kind == FUNCTION && is_wanted {
                found = Some(Entry::Function);
            }
        }
        found.ok_or_else(|| {
            let or = function.map_or_else(String::new, |name| format!(" and no function {name}"));
            let what = format!(
                "it exports no constant swiftd_plugin_v1{or}: is it a plugin for swiftd 1, and is its entry visible?"
            );
            Problem::new(Stage::Entry, what)
        })
    }
}

/// An entry of the table of dynamic symbols.
struct Symbol {
    name: u64,
    address: u64,
    bytes: u64,
    binding: u8,
    kind: u8,
    is_defined: bool,
}

/// How many symbols there are: the last one of the longest chain ends the table.
fn count_by_gnu_hash(reader: &Reader<'_>, at: u64) -> Option<u64> {
    let [buckets, first, bloom] = [0, 4, 8].map(|offset| reader.u32(at.checked_add(offset)?));
    let (buckets, first, bloom) = (u64::from(buckets?), u64::from(first?), u64::from(bloom?));
    (buckets <= SYMBOLS_MAX).then_some(())?;
    let word = if reader.is_64 { 8 } else { 4 };
    let table = at.checked_add(16 + bloom * word)?;
    let mut last = 0;
    for index in 0..buckets {
        last = last.max(u64::from(reader.u32(table.checked_add(index * 4)?)?));
    }
    if last < first {
        return Some(first);
    }
    let chains = table.checked_add(buckets * 4)?;
    for index in last..last.checked_add(SYMBOLS_MAX)? {
        if reader.u32(chains.checked_add((index - first) * 4)?)? & 1 != 0 {
            return Some(index + 1);
        }
    }
    None
}

/// The constant by which a plugin declares what it needs.
const DECLARED: &[u8] = b"swiftd_plugin_needs";
/// The most that it says: enough for 32 long words.
const DECLARED_BYTES_MAX: u64 = 4096;
/// The most symbols that are looked at.
const SYMBOLS_MAX: u64 = 1 << 20;
/// The most entries of the dynamic section that are looked at.
const DYNAMIC_MAX: u64 = 4096;
const DT_NEEDED: u64 = 1;
const DT_HASH: u64 = 4;
const DT_STRTAB: u64 = 5;
const DT_SYMTAB: u64 = 6;
const DT_STRSZ: u64 = 10;
const DT_RPATH: u64 = 15;
const DT_TEXTREL: u64 = 22;
const DT_RUNPATH: u64 = 29;
const DT_FLAGS: u64 = 30;
const DT_GNU_HASH: u64 = 0x6fff_fef5;
const DT_FLAGS_1: u64 = 0x6fff_fffb;
const DF_TEXTREL: u64 = 4;
const DF_1_NODELETE: u64 = 8;
const DF_1_PIE: u64 = 0x0800_0000;
const STB_GNU_UNIQUE: u8 = 10;
