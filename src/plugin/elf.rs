//! What an ELF file says of itself, checked before the loader gets it: the loader trusts the file
//! and dies of one that is cut off.
//!
//! Pure: bytes in, [`Findings`] or the first [`Problem`] out. Every read is bounded, every sum is
//! checked, and nothing that a file contains can panic or loop for long.

mod dynamic;
mod file;

use dynamic::Dynamic;
use file::{Header, PF_X, PT_GNU_STACK};
use std::fmt;

/// What must be equal in the server and in what it loads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// 32 or 64 bit.
    is_64: bool,
    /// Byte order.
    is_little: bool,
    number: u16,
    flags: u32,
}

/// What a good library says.
#[derive(Clone, Debug)]
pub struct Findings {
    /// What it is for.
    pub machine: Machine,
    /// The libraries that it needs.
    pub needs: Vec<String>,
    /// How it is entered.
    pub entry: Entry,
    /// What it needs of a process that has locked itself in, as it says so.
    pub declared: Vec<String>,
}

/// How a library is entered.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The constant `swiftd_plugin_v1`, and how many bytes the file gives it.
    Constant(usize),
    /// The function `NAME_init`.
    Function,
}

/// Which line of a report a problem belongs to, in the order of the checks.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// What kind of file it is, and whether all of it is there.
    Elf,
    /// The stack that it wants.
    Stack,
    /// The libraries that it needs.
    Needs,
    /// Whether it can be unmapped.
    Unload,
    /// What it declares.
    Declared,
    /// Its entry.
    Entry,
}

/// What is wrong with a file, and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which check found it.
    pub stage: Stage,
    what: String,
}

impl Problem {
    pub(super) fn new(stage: Stage, what: impl Into<String>) -> Self {
        let what = what.into();
        Self { stage, what }
    }

    fn cut_off() -> Self {
        Self::new(Stage::Elf, "it is cut off: copy it again, to the end")
    }

    fn broken(what: &str) -> Self {
        Self::new(Stage::Elf, format!("{what} makes no sense: build it again"))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// How much of a file the loader looks at, told by the file's first bytes.
///
/// # Errors
/// It is no shared object, or not all of it is there.
pub fn loadable_bytes(head: &[u8], file_bytes: u64) -> Result<u64, Problem> {
    let header = Header::parse(head)?;
    let end = header.loadable()?;
    if end > file_bytes {
        return Err(Problem::cut_off());
    }
    Ok(end)
}

impl Machine {
    /// What a program or library is for.
    ///
    /// # Errors
    /// It is no ELF file for dynamic loading.
    pub fn of(head: &[u8]) -> Result<Self, Problem> {
        Header::parse(head).map(|header| header.machine)
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = if self.is_64 { 64 } else { 32 };
        let order = if self.is_little { "little" } else { "big" };
        write!(f, "{bits}-bit {order}-endian ")?;
        match self.number {
            3 => f.write_str("x86"),
            8 => f.write_str("MIPS"),
            20 => f.write_str("PowerPC"),
            21 => f.write_str("PowerPC64"),
            22 => f.write_str("S390"),
            40 => f.write_str("ARM"),
            62 => f.write_str("x86-64"),
            183 => f.write_str("AArch64"),
            243 => f.write_str("RISC-V"),
            258 => f.write_str("LoongArch"),
            other => write!(f, "machine {other}"),
        }
    }
}

/// Checks the loadable part of a file that is `file_bytes` long. `own` is the server's machine;
/// `name`, if it is known, is what the plugin is to be called.
///
/// # Errors
/// The first thing that would make it fail to load, to work or to be unmapped.
pub fn check(
    bytes: &[u8],
    file_bytes: u64,
    own: &Machine,
    name: Option<&str>,
) -> Result<Findings, Problem> {
    let header = Header::parse(bytes)?;
    check_kind(&header, file_bytes, own)?;
    check_stack(&header)?;
    let dynamic = Dynamic::parse(&header)?;
    let needs = dynamic.needs(&header)?;
    dynamic.check_unload()?;
    let declared = dynamic.declared(&header)?;
    let entry = dynamic.entry(&header, name)?;
    Ok(Findings {
        declared,
        machine: header.machine,
        needs,
        entry,
    })
}

fn check_kind(header: &Header<'_>, file_bytes: u64, own: &Machine) -> Result<(), Problem> {
    if header.machine != *own {
        let (this, flags) = (&header.machine, header.machine.flags);
        let what = if this.number == own.number && this.flags != own.flags {
            let wanted = own.flags;
            format!(
                "it is for another variant of {this} (flags {flags:#x}, the server's are {wanted:#x}): build it for this machine"
            )
        } else {
            format!("it is for {this}, the server is {own}: build it for this machine")
        };
        return Err(Problem::new(Stage::Elf, what));
    }
    let Some(sections_end) = header.sections_end else {
        let what = "it has no section table, so nobody can tell whether it is complete: strip it with plain `strip`";
        return Err(Problem::new(Stage::Elf, what));
    };
    let end = header.loadable()?;
    if sections_end > file_bytes || end > file_bytes || end > header.reader.bytes.len() as u64 {
        return Err(Problem::cut_off());
    }
    if end == 0 {
        return Err(Problem::broken("its table of segments"));
    }
    Ok(())
}

fn check_stack(header: &Header<'_>) -> Result<(), Problem> {
    let mut stacks = header
        .segments
        .iter()
        .filter(|one| one.kind == PT_GNU_STACK)
        .peekable();
    if stacks.peek().is_none() || stacks.any(|stack| stack.flags & PF_X != 0) {
        let what =
            "it wants an executable stack, for the whole server: build it with -Wl,-z,noexecstack";
        return Err(Problem::new(Stage::Stack, what));
    }
    Ok(())
}
