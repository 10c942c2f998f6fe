//! What the operator can ask for.

use crate::config::{Config, Order, PluginSettings};
use crate::plugin::trial::Depth;
use std::path::{Path, PathBuf};

/// What the operator asked for.
#[derive(Debug)]
pub enum Command {
    /// Serve.
    Serve(Box<Config>),
    /// Say whether the configuration is good (`-t`).
    Check {
        /// It.
        config: Box<Config>,
        /// Whether it is also printed (`-T`).
        is_dump: bool,
    },
    /// Tell the running server something (`-s`).
    Send {
        /// What.
        order: Order,
        /// That of the server: it says where its pid file is.
        config: Box<Config>,
    },
    /// Try a plugin without a server.
    TryPlugin {
        /// Its library.
        file: PathBuf,
        /// What a client sends it.
        request: Vec<u8>,
        /// How often it is loaded anew between two requests.
        reload: u32,
        /// As for serving; the root is empty if there is to be none.
        config: Box<Config>,
    },
    /// Print the help.
    Help,
    /// Print the version.
    Version,
    /// Print the version and what was decided when the program was built.
    BuildOptions,
    /// Say whether a plugin can be loaded.
    CheckPlugin {
        /// Its library.
        file: PathBuf,
        /// Whether it is also begun and ended.
        is_begun: bool,
        /// What plugins are told.
        settings: Box<PluginSettings>,
    },
    /// Load the plugin of this name from the standard input; the server's own children do it.
    Trial {
        /// Its name.
        name: String,
        /// How far to go.
        depth: Depth,
    },
}

impl Command {
    /// The configuration file that the command line names. What it says is the ground that
    /// [`super::parse_over`] builds on.
    #[must_use]
    pub fn config_file(&self) -> Option<&Path> {
        match self {
            Self::Serve(config)
            | Self::TryPlugin { config, .. }
            | Self::Check { config, .. }
            | Self::Send { config, .. } => config.plugins.config_file.as_deref(),
            Self::CheckPlugin { settings, .. } => settings.config_file.as_deref(),
            Self::Help | Self::Version | Self::BuildOptions | Self::Trial { .. } => None,
        }
    }
}
