//! What holds for paths: redirects, fields, pages of errors.

use crate::http::Status;
use std::sync::Arc;

/// Which paths are meant: `/a` is that one, `/a/*` all that begin with `/a/`, `*.css` all that end
/// so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathPattern {
    /// This one.
    Exact(Box<[u8]>),
    /// All that begin so.
    Prefix(Box<[u8]>),
    /// All that end so.
    Suffix(Box<[u8]>),
}

/// A path that leads elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// From where.
    pub from: PathPattern,
    /// To where: a path or an absolute URI; behind a prefix pattern, `*` at its end stands for the
    /// rest of the path.
    pub to: Box<[u8]>,
    /// 301, 302, 303, 307 or 308.
    pub status: Status,
}

/// Fields for the responses to some paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldRule {
    /// Which.
    pub paths: PathPattern,
    /// What they get.
    pub fields: Vec<Field>,
}

/// A field that is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: Box<[u8]>,
    /// Its value; an empty one removes the field.
    pub value: Box<[u8]>,
}

/// A page that is sent with a status instead of ours.
#[derive(Clone, Debug)]
pub struct ErrorPage {
    /// With which.
    pub status: Status,
    /// Its media type.
    pub content_type: Arc<str>,
    /// Its content, read when the configuration was.
    pub content: Arc<[u8]>,
}
