//! A site on disk: a root, and what a clean path in it stands for.
//!
//! [`Site::find`] is used by the loop, which must not wait, and by the disk thread, which may. It
//! is the only place that decides what is hidden, what is an index, and which file is the
//! precompressed sibling of which.

use crate::handler::LookUp;
use crate::handler::mime::{self, Types};
use crate::http::negotiate::{Accepted, Coding, CodingSet};
use crate::http::representation::{Content, Identity, Modified, Representation};
use crate::http::{MediaType, Status};
use crate::sys::file::{self, Features, Kind, Meta, Moment, Opened, Refusal, Root, Waiting};
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How a site is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The directory.
    pub root: PathBuf,
    /// File names that answer for a directory; the first one that exists does.
    pub index_names: Vec<String>,
    /// Files up to this length are kept in memory, bytes.
    pub small_bytes_max: usize,
    /// Media types over the built-in ones: suffixes without the dot in lower case, and their type.
    pub mime: Vec<(String, String)>,
    /// What the kernel may be asked for.
    pub features: Features,
}

/// A root that is open.
#[derive(Debug)]
pub struct Site {
    root: Root,
    /// Its absolute path.
    root_path: Box<[u8]>,
    settings: Settings,
    types: Types,
    /// That another directory is at its path and cannot be opened has been told.
    is_refusal_told: AtomicBool,
}

/// What a path stands for, in all codings that were looked for.
#[derive(Debug)]
pub struct Found {
    /// The thing itself.
    pub outcome: Outcome,
    /// Its precompressed siblings, in the order of [`Coding::ALL`].
    pub variants: [Variant; Coding::ALL.len()],
}

/// What a path stands for.
#[derive(Debug)]
pub enum Outcome {
    /// A file.
    File(Arc<Representation>),
    /// A directory, named without its trailing slash.
    Directory,
    /// Nothing that could be sent.
    Missing(Status),
}

/// A precompressed sibling.
#[derive(Debug, Clone)]
pub enum Variant {
    /// It was not looked for.
    Unknown,
    /// There is none that could be used.
    Absent,
    /// This one.
    Present(Arc<Representation>),
}

impl Found {
    /// What cannot be told now.
    #[must_use]
    pub fn busy() -> Self {
        Self::without_variants(Outcome::Missing(Status::SERVICE_UNAVAILABLE))
    }

    /// What a root that cannot be opened has.
    #[must_use]
    pub fn nothing(error: &io::Error) -> Self {
        Self::without_variants(Outcome::Missing(status(file::refusal(error))))
    }

    /// The same file, when it has been seen to be the same; of its siblings nothing is known.
    #[must_use]
    pub fn of_known(file: Arc<Representation>) -> Self {
        let mut found = Self::without_variants(Outcome::File(Arc::clone(&file)));
        if mime::is_compressible(&file.content_type) {
            found.variants = [const { Variant::Unknown }; Coding::ALL.len()];
        }
        found
    }

    fn without_variants(outcome: Outcome) -> Self {
        Self {
            outcome,
            variants: [const { Variant::Absent }; Coding::ALL.len()],
        }
    }

    /// The representation for a client; `None` if a coding that it would take was not looked for.
    #[must_use]
    pub fn choose(&self, accepted: &Accepted) -> Option<LookUp> {
        let file = match &self.outcome {
            Outcome::File(file) => file,
            Outcome::Directory => return Some(LookUp::Directory),
            Outcome::Missing(status) => return Some(LookUp::Missing(*status)),
        };
        let wanted = accepted.wanted();
        if wanted.is_empty() {
            return Some(LookUp::Found(Arc::clone(file)));
        }
        let mut available = CodingSet::default();
        for (coding, variant) in Coding::ALL.into_iter().zip(&self.variants) {
            match variant {
                Variant::Unknown if wanted.contains(coding) => return None,
                Variant::Present(_) => available.insert(coding),
                Variant::Unknown | Variant::Absent => {}
            }
        }
        let chosen = accepted.choose(available).and_then(|coding| {
            let index = Coding::ALL.iter().position(|&other| other == coding)?;
            match &self.variants[index] {
                Variant::Present(variant) => Some(variant),
                _ => None,
            }
        });
        Some(LookUp::Found(Arc::clone(chosen.unwrap_or(file))))
    }

    /// Whether it is worth remembering: what failed for lack of descriptors or by a broken disk is
    /// no property of the path, and may be found the next time.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        !matches!(
            self.outcome,
            Outcome::Missing(Status::SERVICE_UNAVAILABLE | Status::INTERNAL_SERVER_ERROR)
        )
    }

    /// About how much memory this holds, bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let variants = self.variants.iter().map(|variant| match variant {
            Variant::Present(variant) => variant.memory_bytes(),
            Variant::Unknown | Variant::Absent => 0,
        });
        let own = match &self.outcome {
            Outcome::File(file) => file.memory_bytes(),
            Outcome::Directory | Outcome::Missing(_) => 0,
        };
        size_of::<Self>() + own + variants.sum::<usize>()
    }

    /// How many descriptors this holds.
    #[must_use]
    pub fn descriptor_count(&self) -> usize {
        let holds = |file: &Representation| matches!(file.content, Content::Descriptor(_));
        let variants = self.variants.iter().filter(|variant| match variant {
            Variant::Present(variant) => holds(variant),
            Variant::Unknown | Variant::Absent => false,
        });
        let own = matches!(&self.outcome, Outcome::File(file) if holds(file));
        variants.count() + usize::from(own)
    }
}

impl Site {
    /// Opens the root.
    ///
    /// # Errors
    /// It does not exist, is no directory, or may not be searched.
    pub fn open(settings: Settings) -> io::Result<Self> {
        let root = Root::open(&settings.root, settings.features)?;
        let root_path = std::path::absolute(&settings.root)?;
        let root_path = root_path.into_os_string().into_vec().into();
        Ok(Self {
            root,
            root_path,
            types: Types::new(&settings.mime),
            settings,
            is_refusal_told: AtomicBool::new(false),
        })
    }

    /// Whether another one serves the same directory in the same way.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        self.settings == other.settings && self.root.is_same(&other.root)
    }

    /// How it is served.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The absolute path of the root.
    #[must_use]
    pub fn root_path(&self) -> &[u8] {
        &self.root_path
    }

    /// How another root is served: as this one.
    #[must_use]
    pub fn settings_of(&self, root: &[u8]) -> Settings {
        Settings {
            root: PathBuf::from(OsStr::from_bytes(root)),
            ..self.settings.clone()
        }
    }

    /// What the kernel offers.
    #[must_use]
    pub fn features(&self) -> Features {
        self.root.features()
    }

    /// The site that is at the root's path now, if it is not this one.
    ///
    /// # Errors
    /// There is another one, and it cannot be opened; told once.
    pub fn replacement(&self) -> io::Result<Option<Self>> {
        match self.root.is_at(&self.settings.root) {
            Ok(false) => match Self::open(self.settings.clone()) {
                Ok(site) => Ok(Some(site)),
                Err(_) if self.is_refusal_told.swap(true, Ordering::Relaxed) => Ok(None),
                Err(error) => Err(error),
            },
            // While there is none, the old one is better than nothing.
            Ok(true) | Err(_) => Ok(None),
        }
    }

    /// Whether a clean path certainly still stands for `file`; told without waiting, and for less
    /// than finding it again costs. An index is always found again.
    #[must_use]
    pub fn is_still_at(&self, path: &[u8], file: &Representation) -> bool {
        let relative = path.strip_prefix(b"/").filter(|path| !path.ends_with(b"/"));
        let meta = relative.and_then(|relative| self.root.describe(relative).ok());
        meta.is_some_and(|meta| identity(&meta) == file.identity)
    }

    /// What a clean path stands for, with its siblings in the codings `wanted`. `None` if that
    /// cannot be told without waiting.
    #[must_use]
    pub fn find(&self, path: &[u8], wanted: CodingSet, waiting: Waiting) -> Option<Found> {
        let found = match path.strip_prefix(b"/") {
            Some(relative) if !is_hidden(relative) => self.find_visible(relative, wanted, waiting),
            _ => Err(Refusal::Missing),
        };
        match found {
            Ok(found) => Some(found),
            Err(Refusal::WouldBlock) => None,
            Err(refusal) => Some(Found::without_variants(Outcome::Missing(status(refusal)))),
        }
    }

    fn find_visible(
        &self,
        relative: &[u8],
        wanted: CodingSet,
        waiting: Waiting,
    ) -> Result<Found, Refusal> {
        let is_directory = relative.is_empty() || relative.ends_with(b"/");
        let mut name = relative.to_vec();
        let opened = if is_directory {
            self.open_index(&mut name, waiting)?
        } else {
            self.open_file(&name, waiting)?
        };
        match opened.meta.kind {
            Kind::Regular => {}
            Kind::Directory if !is_directory => {
                return Ok(Found::without_variants(Outcome::Directory));
            }
            Kind::Directory | Kind::Special => return Err(Refusal::Missing),
        }
        let content_type = self.types.of(&name);
        let is_negotiated = mime::is_compressible(&content_type);
        let modified = opened.meta.modified;
        let own_type = content_type.clone();
        let file = self.representation(opened, own_type, None, is_negotiated, waiting)?;
        let mut found = Found::without_variants(Outcome::File(Arc::new(file)));
        if is_negotiated {
            for (coding, variant) in Coding::ALL.into_iter().zip(&mut found.variants) {
                *variant = if wanted.contains(coding) {
                    self.variant(&name, coding, modified, &content_type, waiting)?
                } else {
                    Variant::Unknown
                };
            }
        }
        Ok(found)
    }

    /// The first index that exists; `name` becomes its name.
    fn open_index(&self, name: &mut Vec<u8>, waiting: Waiting) -> Result<Opened, Refusal> {
        let directory_bytes = name.len();
        for index in &self.settings.index_names {
            name.truncate(directory_bytes);
            name.extend_from_slice(index.as_bytes());
            match self.open_file(name, waiting) {
                Ok(opened) if opened.meta.kind == Kind::Regular => return Ok(opened),
                Ok(_) | Err(Refusal::Missing) => {}
                Err(refusal) => return Err(refusal),
            }
        }
        Err(Refusal::Missing)
    }

    fn open_file(&self, name: &[u8], waiting: Waiting) -> Result<Opened, Refusal> {
        let opened = self.root.open_file(name, waiting);
        opened.map_err(|error| file::refusal(&error))
    }

    /// The sibling in one coding, unless it is older than the original.
    fn variant(
        &self,
        name: &[u8],
        coding: Coding,
        original: Moment,
        content_type: &MediaType,
        waiting: Waiting,
    ) -> Result<Variant, Refusal> {
        let name = [name, coding.suffix().as_bytes()].concat();
        let opened = match self.open_file(&name, waiting) {
            Ok(opened) => opened,
            Err(Refusal::WouldBlock) => return Err(Refusal::WouldBlock),
            Err(_) => return Ok(Variant::Absent),
        };
        let modified = opened.meta.modified;
        let is_fresh = (modified.unix_secs, modified.nanos) >= (original.unix_secs, original.nanos);
        if opened.meta.kind != Kind::Regular || !is_fresh {
            return Ok(Variant::Absent);
        }
        let content_type = content_type.clone();
        let variant = self.representation(opened, content_type, Some(coding), true, waiting)?;
        Ok(Variant::Present(Arc::new(variant)))
    }

    fn representation(
        &self,
        opened: Opened,
        content_type: MediaType,
        coding: Option<Coding>,
        is_negotiated: bool,
        waiting: Waiting,
    ) -> Result<Representation, Refusal> {
        let Opened { descriptor, meta } = opened;
        let is_small = meta.bytes <= self.settings.small_bytes_max as u64;
        let (identity, content) = if is_small {
            self.read(descriptor.as_fd(), meta, waiting)?
        } else {
            file::expect_pieces(descriptor.as_fd());
            (identity(&meta), Content::Descriptor(Arc::new(descriptor)))
        };
        Ok(Representation::new(
            identity,
            content,
            content_type,
            coding,
            is_negotiated,
        ))
    }

    /// Reads a small file together with the description that fits what was read.
    fn read(
        &self,
        file: BorrowedFd<'_>,
        meta: Meta,
        waiting: Waiting,
    ) -> Result<(Identity, Content), Refusal> {
        let refusal = |error| file::refusal(&error);
        let mut before = meta;
        let mut attempt = 0;
        loop {
            let mut content = vec![0; usize::try_from(before.bytes).unwrap_or(0)];
            let read = file::read_start(file, &mut content, waiting, self.root.features());
            let bytes = read.map_err(refusal)?;
            let after = file::meta(file).map_err(refusal)?;
            attempt += 1;
            let is_small = after.bytes <= self.settings.small_bytes_max as u64;
            if after == before || attempt == CHANGES_MAX || !is_small {
                // A file of the kernel's own may be shorter than it says; one that is written all
                // the time is sent as far as it went when it was described.
                content.truncate(bytes);
                let mut identity = identity(&before);
                identity.bytes = bytes as u64;
                return Ok((identity, Content::Memory(content.into())));
            }
            before = after;
        }
    }
}

/// How often a file that changes while it is read is read again.
const CHANGES_MAX: usize = 4;

/// Dot-files are hidden, except what RFC 8615 puts under `/.well-known/`.
fn is_hidden(relative: &[u8]) -> bool {
    let visible = relative
        .strip_prefix(b".well-known")
        .filter(|rest| rest.is_empty() || rest.starts_with(b"/"))
        .unwrap_or(relative);
    visible.starts_with(b".") || memchr::memmem::find(visible, b"/.").is_some()
}

/// What tells two contents apart.
fn identity(meta: &Meta) -> Identity {
    Identity {
        device: meta.device,
        inode: meta.inode,
        bytes: meta.bytes,
        modified: modified(meta.modified),
        changed: modified(meta.changed),
    }
}

pub(super) fn modified(moment: Moment) -> Modified {
    Modified {
        unix_secs: u64::try_from(moment.unix_secs).unwrap_or(0),
        nanos: moment.nanos,
    }
}

fn status(refusal: Refusal) -> Status {
    match refusal {
        Refusal::Missing => Status::NOT_FOUND,
        Refusal::Forbidden => Status::FORBIDDEN,
        Refusal::Exhausted | Refusal::WouldBlock => Status::SERVICE_UNAVAILABLE,
        Refusal::Failed => Status::INTERNAL_SERVER_ERROR,
    }
}
