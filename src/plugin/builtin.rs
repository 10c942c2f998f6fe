//! The plugins that are built into the program: what a line `NAME:builtin/$` of the list names.
//!
//! They are for programs that cannot load libraries, as static ones cannot, and are there with the
//! cargo feature `builtin` only. They go through the same descriptor as those of libraries.

use super::prepare::{self, Refusal};
use crate::config::Need;
use crate::sys::dl::Description;
use std::path::Path;

/// A plugin that is built in.
#[derive(Copy, Clone)]
pub struct Builtin {
    name: &'static str,
    describe: fn() -> Description,
    needs: &'static [&'static str],
}

/// Whether this program is static. The C library's loader is not in it, or is not to be used.
const IS_STATIC: bool = cfg!(target_feature = "crt-static");

#[cfg(feature = "builtin")]
const ALL: &[Builtin] = &[
    Builtin::new::<access::Access>("access"),
    Builtin::new::<basic_auth::BasicAuth>("basic_auth"),
    Builtin::new::<cgi::Cgi>("cgi"),
    Builtin::new::<dir_index::DirIndex>("dir_index"),
    Builtin::new::<headers::Headers>("headers"),
    Builtin::new::<redirect::Redirect>("redirect"),
    Builtin::new::<status::Status>("status"),
];

#[cfg(not(feature = "builtin"))]
const ALL: &[Builtin] = &[];

impl Builtin {
    #[cfg(feature = "builtin")]
    const fn new<P: swiftd_plugin::Exported>(name: &'static str) -> Self {
        Self {
            name,
            describe: Description::of::<P>,
            needs: P::NEEDS,
        }
    }

    /// What it says of itself.
    #[must_use]
    pub fn describe(&self) -> Description {
        (self.describe)()
    }

    /// What it declares that it needs of a process that has locked itself in.
    ///
    /// # Errors
    /// It declares something else.
    pub fn needs(&self) -> Result<Vec<Need>, Refusal> {
        prepare::needs(self.needs.iter().copied()).map_err(Refusal::new)
    }
}

impl std::fmt::Debug for Builtin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:builtin/$", self.name)
    }
}

/// The names of all, for people.
#[must_use]
pub fn names() -> String {
    let names: Vec<&str> = ALL.iter().map(|builtin| builtin.name).collect();
    names.join(", ")
}

/// The one of this name.
///
/// # Errors
/// There is none; which ones there are.
pub fn find(name: &str) -> Result<Builtin, Refusal> {
    if ALL.is_empty() {
        return Err(Refusal::new(format_args!(
            "this swiftd has no plugins built in: write {name}:/DIR/$ for the library /DIR/{name}.so"
        )));
    }
    let found = ALL.iter().find(|builtin| builtin.name == name);
    found.copied().ok_or_else(|| {
        Refusal::new(format_args!(
            "no plugin of this name is built in; built in are: {}",
            names()
        ))
    })
}

/// A panic of the server's own ends it, as with `panic = "abort"`, which built-in plugins cannot
/// have. Theirs are caught, and their hook tells them before this one; to be called before it is set.
pub fn end_at_panics() {
    if ALL.is_empty() {
        return;
    }
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        before(info);
        std::process::abort();
    }));
}

/// Whether libraries can be loaded at all; `file` is the one that should be.
///
/// # Errors
/// This program is static.
pub(super) fn expect_loader(file: &Path) -> Result<(), Refusal> {
    if !IS_STATIC {
        return Ok(());
    }
    let file = file.display();
    Err(Refusal::new(if ALL.is_empty() {
        format!("{file}: this swiftd is static and cannot load libraries, and none are built in")
    } else {
        format!(
            "{file}: this swiftd is static and cannot load libraries; write NAME:builtin/$ for what is built in: {}",
            names()
        )
    }))
}
