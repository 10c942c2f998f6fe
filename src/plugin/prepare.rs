//! From a plugin's file to a checked copy of it.
//!
//! Nothing of the plugin's runs here. The copy is sealed, so whatever happens to the file later
//! happens to the file alone: a mapped library whose file is written to is a mixture of old and
//! new code.

use super::builtin;
use super::elf::{self, Findings, Machine, Problem, Stage};
use super::identity::Identity;
use super::permissions::{self, Trust};
use crate::config::Need;
use crate::sandbox::{self, Wish, is_declared_path};
use crate::sys::memfd;
use crate::text;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Why a plugin is not loaded: what, where, and how to mend it, in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    what: String,
    is_passing: bool,
    stage: Option<Stage>,
}

impl Refusal {
    /// One that lasts until somebody mends it.
    #[must_use]
    pub fn new(what: impl fmt::Display) -> Self {
        Self {
            // What comes from files and names must not break the line.
            what: text::one_line(what),
            is_passing: false,
            stage: None,
        }
    }

    fn passing(what: impl fmt::Display) -> Self {
        Self {
            is_passing: true,
            ..Self::new(what)
        }
    }

    fn of_file(path: &Path, problem: &Problem) -> Self {
        Self {
            stage: Some(problem.stage),
            ..Self::new(format_args!("{}: {problem}", path.display()))
        }
    }

    /// Which check of the file's content failed, if it was one of them.
    #[must_use]
    pub fn stage(&self) -> Option<Stage> {
        self.stage
    }

    /// Whether a second try, a moment later, may succeed: the file was just being changed.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        self.is_passing
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Refusal {}

/// What a look at a plugin's file found.
#[derive(Debug)]
pub enum Looked {
    /// The same bytes as before; only this is new.
    Same(Identity),
    /// Something to load.
    New(Prepared),
}

/// A checked copy of a plugin's file. It is what may be loaded, and is kept while it is.
#[derive(Debug)]
pub struct Prepared {
    /// Which version of the file it was made from.
    pub identity: Identity,
    /// The file.
    pub file: PathBuf,
    /// What the checks found.
    pub findings: Findings,
    /// What it declares that it needs of a process that has locked itself in.
    pub needs: Vec<Need>,
    /// What should be mended but is no reason to refuse.
    pub warnings: Vec<String>,
    /// The size of the copy, which is the part that is loaded.
    pub loadable_bytes: u64,
    copy: File,
    /// The copy's inode, by which it is found in the maps.
    pub(super) copy_inode: u64,
}

impl AsFd for Prepared {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.copy.as_fd()
    }
}

/// The largest part to be loaded; it is held in memory.
const LOADABLE_BYTES_MAX: u64 = 64 << 20;
/// Where the table of segments must be: every linker puts it at the start.
const HEAD_BYTES: u64 = 16 * 1024;

/// Opens the file of plugin `name`, checks who could change it, copies what is loaded of it, and
/// checks the copy. `generation` makes the copy's name unique. If the file holds what `previous`
/// was made from, nothing is made. It may wait for the disk.
///
/// # Errors
/// The plugin cannot be loaded, or should not be.
pub fn prepare(
    name: &str,
    path: &Path,
    generation: u64,
    previous: Option<&Prepared>,
) -> Result<Looked, Refusal> {
    builtin::expect_loader(path)?;
    let at = |what: &dyn fmt::Display| Refusal::new(format_args!("{}: {what}", path.display()));
    let (file, warnings) = open_trusted(path)?;
    let identity = identity_of(&file, path)?;
    if previous.is_some_and(|previous| previous.identity == identity) {
        return Ok(Looked::Same(identity));
    }
    let bytes = read_loadable(&file, path, &identity)?;
    if identity_of(&file, path)? != identity {
        return Err(changed(path));
    }
    if let Some(previous) = previous
        && previous.identity.may_equal(&identity)
        && previous.holds(&bytes).map_err(|error| at(&error))?
    {
        return Ok(Looked::Same(identity));
    }
    let own = own_machine()?;
    let findings = elf::check(&bytes, identity.bytes, &own, Some(name));
    let findings = findings.map_err(|problem| Refusal::of_file(path, &problem))?;
    let needs = needs(findings.declared.iter().map(|it| &**it))
        .map_err(|problem| Refusal::of_file(path, &problem))?;
    let copy = memfd::sealed(&format!("swiftd:{name}#{generation}"), &bytes);
    let copy = copy.map_err(|error| {
        at(&format_args!(
            "cannot copy it into memory: {error}; is memory short, or memfd_create forbidden?"
        ))
    })?;
    let copy = File::from(copy);
    let copy_inode = copy.metadata().map_err(|error| at(&error))?.ino();
    Ok(Looked::New(Prepared {
        identity,
        file: path.to_owned(),
        findings,
        needs,
        warnings,
        loadable_bytes: bytes.len() as u64,
        copy,
        copy_inode,
    }))
}

impl Prepared {
    /// Whether the copy is these bytes.
    fn holds(&self, bytes: &[u8]) -> io::Result<bool> {
        if self.loadable_bytes != bytes.len() as u64 {
            return Ok(false);
        }
        let mut piece = [0; 16 * 1024];
        let mut at = 0;
        for wanted in bytes.chunks(piece.len()) {
            let piece = &mut piece[..wanted.len()];
            self.copy.read_exact_at(piece, at)?;
            if piece != wanted {
                return Ok(false);
            }
            at += wanted.len() as u64;
        }
        Ok(true)
    }

    /// Wraps a copy that somebody else made and checked: the child that tries a library gets it.
    ///
    /// # Errors
    /// It is no such copy.
    pub fn adopt(copy: File, name: &str) -> Result<Self, Refusal> {
        let meta = copy.metadata().map_err(Refusal::new)?;
        let file = PathBuf::from(format!("{name}.so"));
        let identity = Identity::of(&meta);
        let bytes = read_exactly(&copy, meta.len()).map_err(Refusal::new)?;
        // The table of sections was not copied; whoever made the copy has looked at it.
        let findings = elf::check(&bytes, u64::MAX, &own_machine()?, Some(name));
        Ok(Self {
            identity,
            file,
            findings: findings.map_err(Refusal::new)?,
            // Whoever made the copy knows them.
            needs: Vec::new(),
            warnings: Vec::new(),
            loadable_bytes: meta.len(),
            copy,
            copy_inode: meta.ino(),
        })
    }
}

/// What the plugin in a file declares that it needs. Nothing is loaded, and nobody asks who could
/// change the file: it is checked again when it is loaded.
///
/// # Errors
/// The plugin cannot be loaded.
pub fn declared(name: &str, path: &Path) -> Result<Vec<Need>, Refusal> {
    let file = memfd::open(path).map_err(Refusal::new)?;
    let identity = identity_of(&file, path)?;
    let bytes = read_loadable(&file, path, &identity)?;
    let findings = elf::check(&bytes, identity.bytes, &own_machine()?, Some(name));
    let needs = findings.and_then(|findings| needs(findings.declared.iter().map(|it| &**it)));
    needs.map_err(|problem| Refusal::of_file(path, &problem))
}

/// What the words of a declaration stand for.
pub(super) fn needs<'a>(words: impl Iterator<Item = &'a str>) -> Result<Vec<Need>, Problem> {
    let needs = words.map(|word| {
        Need::parse(word, is_declared_path).map_err(|why| {
            let what = format!("it declares a need that is none: {why}; mend it, or update swiftd");
            Problem::new(Stage::Declared, what)
        })
    });
    needs.collect()
}

/// Opens a file that only root and the server's user can change, and returns warnings with it.
///
/// # Errors
/// It cannot be opened, or somebody else can change it.
pub fn open_trusted(path: &Path) -> Result<(File, Vec<String>), Refusal> {
    let shown = path.display();
    let at = |error: &io::Error| match error.kind() {
        io::ErrorKind::NotFound => Refusal::new(format_args!("{shown}: there is no such file")),
        _ => {
            let hint = sandbox::explain(error, path, Wish::Read).unwrap_or_default();
            Refusal::new(format_args!("{shown}: cannot open it: {error}{hint}"))
        }
    };
    let file = memfd::open(path).map_err(|error| at(&error))?;
    let meta = file.metadata().map_err(|error| at(&error))?;
    if !meta.is_file() {
        return Err(Refusal::new(format_args!(
            "{shown}: it is not a regular file"
        )));
    }
    let steps = permissions::walk(path).map_err(|error| at(&error))?;
    let is_same = steps
        .last()
        .is_some_and(|last| (last.device, last.inode) == (meta.dev(), meta.ino()));
    if !is_same {
        return Err(changed(path));
    }
    let warnings = permissions::judge(Trust::own(), &steps).map_err(Refusal::new)?;
    Ok((file, warnings))
}

fn changed(path: &Path) -> Refusal {
    let path = path.display();
    Refusal::passing(format_args!(
        "{path}: it changed while it was read: try again"
    ))
}

fn identity_of(file: &File, path: &Path) -> Result<Identity, Refusal> {
    let meta = file.metadata();
    let meta = meta.map_err(|error| Refusal::new(format_args!("{}: {error}", path.display())))?;
    Ok(Identity::of(&meta))
}

fn read_loadable(file: &File, path: &Path, identity: &Identity) -> Result<Vec<u8>, Refusal> {
    let at = |what: &dyn fmt::Display| Refusal::new(format_args!("{}: {what}", path.display()));
    let read = |bytes| {
        read_exactly(file, bytes).map_err(|error| match error.kind() {
            // It has become shorter.
            io::ErrorKind::UnexpectedEof => changed(path),
            _ => at(&error),
        })
    };
    if identity.bytes == 0 {
        return Err(at(&"it is empty: copy it again"));
    }
    let head = read(identity.bytes.min(HEAD_BYTES))?;
    let bytes = elf::loadable_bytes(&head, identity.bytes);
    let bytes = bytes.map_err(|problem| Refusal::of_file(path, &problem))?;
    if bytes > LOADABLE_BYTES_MAX {
        let most = LOADABLE_BYTES_MAX >> 20;
        let what = format!("{bytes} bytes of it are loaded, more than {most} MiB: make it smaller");
        return Err(at(&what));
    }
    read(bytes)
}

fn read_exactly(file: &File, bytes: u64) -> io::Result<Vec<u8>> {
    let bytes = usize::try_from(bytes).map_err(io::Error::other)?;
    let mut all = vec![0; bytes];
    file.read_exact_at(&mut all, 0)?;
    Ok(all)
}

/// What the server was built for.
///
/// # Errors
/// Its own file cannot be read.
pub fn own_machine() -> Result<Machine, Refusal> {
    let refuse = |what: &dyn fmt::Display| {
        Refusal::new(format_args!(
            "cannot read the server's own file /proc/self/exe: {what}"
        ))
    };
    let file = File::open("/proc/self/exe").map_err(|error| refuse(&error))?;
    let bytes = file.metadata().map_err(|error| refuse(&error))?.len();
    let head = read_exactly(&file, bytes.min(HEAD_BYTES)).map_err(|error| refuse(&error))?;
    Machine::of(&head).map_err(|problem| refuse(&problem))
}
