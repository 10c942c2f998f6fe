//! Redirects by path: what has moved is found, what is gone is said to be.
//!
//! | key | default | what |
//! | --- | --- | --- |
//! | `rules` | none | at most 1,000 lines, each one of the following |
//!
//! | rule | what |
//! | --- | --- |
//! | `exact PATH LOCATION [STATUS]` | this path |
//! | `prefix PATH LOCATION [STATUS]` | this path and all below it; the rest of the path is appended |
//! | `gone PATH` | this path is answered with 410 |
//!
//! LOCATION is a path or begins with `http://` or `https://`. STATUS is 301 (the default), 302, 303,
//! 307 or 308; with 307 and 308 the client keeps its method. The query goes along unless LOCATION
//! has its own. Paths are written as in a URL (`%20` for a space) and compared decoded. The order of
//! the rules does not matter: exact beats prefix, a longer prefix beats a shorter one.
//!
//! ```toml
//! [plugin.redirect]
//! rules = [
//!   "exact /about.html /about 301",
//!   "prefix /blog/ https://blog.example.org/ 308",
//!   "gone /old-api",
//!   "prefix / http://www.example.org/",
//! ]
//! ```
//!
//! Rules that lead to each other without end are refused when they are read. A rule that would send
//! the client to the very URL it asked for, like the last one above for those who already ask
//! `www.example.org`, is left out for that request. Behind something that speaks TLS the server
//! sees `http` only, so there a rule to `https://` and the same host would not end.

mod location;
mod rules;

use location::Asked;
use rules::{Answer, Rules};
use swiftd_plugin::*;

/// The plugin's state.
#[derive(Debug)]
pub struct Redirect {
    rules: Rules,
}

plugin! {
    impl Plugin for Redirect {
        const NAME: &CStr = c"redirect";
        const VERSION: &CStr = c"1.0";

        fn init(host: &Host) -> Result<Self, String> {
            let rules = Rules::parse(host.config("rules").unwrap_or_default())?;
            if rules.is_empty() {
                host.warn("rules: there are none, so nothing is redirected");
            }
            Ok(Self { rules })
        }

        fn url_clean(&mut self, req: &mut Request) -> Flow {
            let Some((answer, rest)) = self.rules.find(req.path()) else {
                return Flow::GoOn;
            };
            let Answer::Moved { status, to } = answer else {
                return finish(req.set_status(410));
            };
            let url = to.url(rest, req.query());
            if to.is_itself(&url, &asked(req)) {
                return Flow::GoOn;
            }
            finish(req.set_status(*status).and_then(|()| req.set_header("Location", url)))
        }
    }
}

fn asked<'a>(req: &Request<'a>) -> Asked<'a> {
    Asked {
        scheme: req.scheme(),
        authority: req.authority().unwrap_or_default(),
        path: req.path(),
        query: req.query(),
    }
}

fn finish(result: Result<()>) -> Flow {
    result.map_or(Flow::Error, |()| Flow::Finished)
}

#[cfg(test)]
mod tests {
    use super::*;
    use swiftd_plugin::testing::*;

    fn harness(rules: &str) -> Harness<Redirect> {
        Harness::new()
            .config("rules", rules)
            .page("/", "home")
            .page("/index.html", "index")
    }

    #[test]
    fn what_has_moved_is_answered_with_its_place() {
        let mut harness = harness(
            "exact /old /new\nexact /see /other?x=1 303\nprefix /blog/ https://b.example/ 308\ngone /x",
        );
        for (target, status, location) in [
            ("/old", 301, Some("/new")),
            ("/old?a=%20b", 301, Some("/new?a=%20b")),
            ("/%6fld", 301, Some("/new")),
            ("/a/..//old", 301, Some("/new")),
            ("/see?y=2", 303, Some("/other?x=1")),
            (
                "/blog/2024/a%20b%25?q",
                308,
                Some("https://b.example/2024/a%20b%25?q"),
            ),
            ("/x", 410, None),
            ("/x/y", 404, None),
            ("/index.html", 200, None),
        ] {
            let answer = harness.get(target);
            assert_eq!(answer.status, status, "{target}");
            assert_eq!(answer.header("location"), location, "{target}");
        }
        harness.stop();
    }

    #[test]
    fn the_url_that_was_asked_for_is_no_redirect() {
        let mut harness = harness("prefix / http://www.example/");
        let get = |host: &str| Outgoing::new("GET", "/").header("host", host);
        let elsewhere = harness.send(get("example"));
        assert_eq!(elsewhere.header("location"), Some("http://www.example/"));
        assert_eq!(harness.send(get("WWW.example")).text(), "home");
        harness.stop();
    }

    #[test]
    fn bad_rules_are_refused_and_none_are_told() {
        let error = harness("# old ones\nexact /a /a").load().unwrap_err();
        assert!(
            error.contains("rules: line 2: \"exact /a /a\": it leads to itself"),
            "{error}"
        );
        let mut empty = Harness::<Redirect>::new();
        empty.load().unwrap();
        assert!(
            empty
                .log()
                .iter()
                .any(|line| line.contains("nothing is redirected"))
        );
        assert_eq!(empty.get("/").status, 404);
    }
}
