//! The plugin in the mock server, with real scripts.

mod input;
mod life;
mod output;
mod site;
