//! What answers when no plugin did: the static files.
//!
//! Pure like the connection: files are known by what a [`Files`] tells about them, and what must
//! come from the disk is asked for and answered in a later call.

pub mod mime;
mod place;
mod static_file;

pub use static_file::Static;

use crate::conn::Id;
use crate::http::negotiate::Accepted;
use crate::http::{Representation, Status};
use std::sync::Arc;

/// Those who know which files there are: the cache with the disk behind it, or a simulation.
pub trait Files {
    /// What a clean path beneath a root stands for, in the content coding that the client likes
    /// best. `site` is the number of a host's site; `root` is an absolute path beside it that is served
    /// in the same way, `None` the site's own.
    /// After [`LookUp::Pending`], `asker` is woken and the same call is made again.
    fn look_up(
        &mut self,
        site: u32,
        root: Option<&[u8]>,
        path: &[u8],
        accepted: &Accepted,
        asker: Id,
    ) -> LookUp;
}

/// What a path stands for.
#[derive(Debug, Clone)]
pub enum LookUp {
    /// A file.
    Found(Arc<Representation>),
    /// A directory, named without its trailing slash.
    Directory,
    /// Nothing that could be sent; the status says why.
    Missing(Status),
    /// The disk has been asked.
    Pending,
    /// The disk has too much to do.
    Busy,
}
