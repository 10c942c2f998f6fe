//! The plugin under the harness.
