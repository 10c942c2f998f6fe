//! Write plugins for the swiftd web server in safe Rust.

pub mod abi;
