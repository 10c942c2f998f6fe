//! Plugins: native libraries that are loaded, called through hooks, and replaced while requests run.

pub mod check;
pub mod elf;
pub mod identity;
pub mod library;
pub mod permissions;
pub mod prepare;
mod report;
pub mod trial;
