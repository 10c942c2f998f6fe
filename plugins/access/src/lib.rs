//! Access by the client's address: who may ask for what, the rest gets 403.
//!
//! | key | default | what |
//! | --- | --- | --- |
//! | `rules` | none | at most 4,096 lines `[/PREFIX] allow\|deny WHO`; the first that fits decides |
//! | `default` | `allow` | `allow` or `deny`: what holds if none fits |
//!
//! WHO is an address, a network (`192.0.2.0/24`, `2001:db8::/32`), `all`, or `unix` for those who
//! come over a Unix socket. `::ffff:192.0.2.1` is the same as `192.0.2.1`. `/PREFIX` is a path and
//! all below it, written as in a URL (`%20` for a space) and compared decoded, byte by byte: on a
//! file system that does not tell `a` from `A`, protect the whole tree instead.
//!
//! ```toml
//! [plugin.access]
//! rules = [
//!   "deny 192.0.2.66",
//!   "/admin allow 192.0.2.0/24",
//!   "/admin allow unix",
//!   "/admin deny all",
//! ]
//! ```
//!
//! Rules that could never deny anybody are refused. Name this plugin before those that answer. A
//! plugin that rewrites the path starts the order anew, so the new path is looked at too. The rules
//! are gone through one by one: a thousand take a few microseconds. Behind a proxy everybody has
//! the proxy's address.

mod network;
mod rules;

use network::Peer;
use rules::{Rules, Verdict};
use swiftd_plugin::*;

/// The plugin's state.
#[derive(Debug)]
pub struct Access {
    rules: Rules,
    denied: Counter,
}

plugin! {
    impl Plugin for Access {
        const NAME: &CStr = c"access";
        const VERSION: &CStr = c"1.0";

        fn init(host: &Host) -> Result<Self, String> {
            let rules = host.config("rules").unwrap_or_default();
            let rules = Rules::parse(rules, host.config("default"))?;
            Ok(Self { rules, denied: host.counter("denied") })
        }

        fn url_clean(&mut self, req: &mut Request) -> Flow {
            let verdict = match Peer::parse(req.peer()) {
                Some(peer) => self.rules.verdict(req.path(), peer),
                None => {
                    let peer = String::from_utf8_lossy(req.peer());
                    req.host().error(format_args!("denied, as its address is none: {peer:?}"));
                    Verdict::Deny
                }
            };
            if verdict == Verdict::Allow {
                return Flow::GoOn;
            }
            self.denied.add(1);
            req.set_status(403).map_or(Flow::Error, |()| Flow::Finished)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use swiftd_plugin::testing::*;

    const RULES: &str = "/secret allow 192.0.2.0/24\n/secret deny all\ndeny 203.0.113.0/24";

    fn harness<T: Exported>() -> Harness<T> {
        Harness::new()
            .config("rules", RULES)
            .page("/", "home")
            .page("/secret/x", "secret")
            .page("/public", "public")
    }

    fn status<T>(harness: &mut Harness<T>, target: &str, peer: &str) -> u16 {
        harness.send(Outgoing::new("GET", target).peer(peer)).status
    }

    #[test]
    fn whoever_is_denied_gets_403() {
        let mut harness = harness::<Access>();
        for (target, peer, expected) in [
            ("/", "198.51.100.1:5", 200),
            ("/secret/x", "198.51.100.1:5", 403),
            ("/%73ecret/x", "198.51.100.1:5", 403),
            ("/a/..//secret/x", "198.51.100.1:5", 403),
            ("/secret", "unix:", 403),
            ("/secret/x", "192.0.2.7:5", 200),
            ("/secret/x", "[::ffff:192.0.2.7]:5", 200),
            ("/secret/x", "[2001:db8::1]:5", 403),
            ("/", "203.0.113.9:5", 403),
            ("/", "nonsense", 403),
        ] {
            assert_eq!(
                status(&mut harness, target, peer),
                expected,
                "{target} {peer}"
            );
        }
        assert_eq!(harness.counter("denied"), 7);
        harness.stop();
    }

    /// Stands for a plugin that rewrites, behind this one in the order.
    struct Rewriting(Access);

    plugin! {
        impl Plugin for Rewriting {
            const NAME: &CStr = c"rewriting";
            fn init(host: &Host) -> Result<Self, String> { Access::init(host).map(Self) }
            fn url_clean(&mut self, req: &mut Request) -> Flow {
                let flow = self.0.url_clean(req);
                if flow == Flow::GoOn && req.path() == b"/public" && req.set_path("/secret/x").is_ok() {
                    return Flow::Comeback;
                }
                flow
            }
        }
    }

    #[test]
    fn a_rewritten_path_is_looked_at_too() {
        let mut harness = harness::<Rewriting>();
        assert_eq!(status(&mut harness, "/public", "198.51.100.1:5"), 403);
        assert_eq!(status(&mut harness, "/public", "192.0.2.7:5"), 200);
        harness.stop();
    }

    #[test]
    fn a_bad_value_is_refused() {
        for (key, value, reason) in [
            ("rules", "deny all\ndeny 1.2.3.4/33", "rules: line 2"),
            ("default", "maybe", "default: not understood: \"maybe\""),
            ("rules", "allow all", "nobody would ever be denied"),
        ] {
            let error = Harness::<Access>::new()
                .config(key, value)
                .load()
                .unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
