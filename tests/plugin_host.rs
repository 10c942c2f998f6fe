//! Every host function, called by a real plugin in the real server: what it does, and what it says
//! when it is called badly.

#[path = "support/guests.rs"]
mod guests;
#[path = "plugin_host/hosts.rs"]
mod hosts;
#[path = "plugin_host/instance.rs"]
mod instance;
#[path = "plugin_host/misuse.rs"]
mod misuse;
#[path = "support/plugins.rs"]
mod plugins;
#[path = "plugin_host/request.rs"]
mod request;
#[path = "plugin_host/response.rs"]
mod response;
#[path = "support/server.rs"]
mod server;
#[path = "plugin_host/streams.rs"]
mod streams;

use guests::Stage;
use server::Server;

/// The text that a check answers with.
#[track_caller]
fn ask(server: &Server, target: &str) -> String {
    let response = server.get(target);
    let text = String::from_utf8_lossy(&response.body).into_owned();
    assert_eq!(response.status, 200, "{target}: {text}");
    text
}

/// A site and the plugin with all checks.
fn host() -> Stage {
    Stage::new().with("host", "t_host")
}
