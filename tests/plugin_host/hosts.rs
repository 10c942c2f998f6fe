//! What a plugin is told, and what it may choose, where there are several hosts. The workbench runs
//! it in this process.

use super::host;
use swiftd::config::{Config, Host, Rules};
use swiftd::policy::HostName;
use swiftd::workbench::Attempt;

#[test]
fn root_and_path_are_those_of_the_host() {
    let stage = host();
    let mut config = Config::new(stage.site());
    // A child would be this test, not the server.
    config.plugins.try_load = false;
    let mut site = config.site.clone();
    site.root = stage.path("other");
    config.hosts.push(Host {
        names: vec![HostName::parse("*.example").unwrap()],
        site,
        rules: Rules::default(),
    });
    for (host, root) in [("x", stage.site()), ("one.example", stage.path("other"))] {
        let request = format!("GET /get HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let attempt = Attempt {
            file: stage.path("plugins/host.so"),
            request: request.into_bytes(),
            reload_count: 0,
            config: config.clone(),
        };
        let mut answer = Vec::new();
        let outcome = attempt.run(&mut answer).unwrap();
        assert!(outcome.is_good, "{}", outcome.report);
        let answer = String::from_utf8(answer).unwrap();
        let root = root.display();
        let told = format!("\n9={root}\n10={root}/get\n");
        assert!(answer.contains(&told), "{host}: {answer}");
    }
}
