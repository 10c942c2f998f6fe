//! The plugin against real directories, through the harness.

mod found;
mod page;
mod site;
