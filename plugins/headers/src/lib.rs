//! Sets, adds and removes fields of responses, by path.
//!
//! | key | default | what |
//! | --- | --- | --- |
//! | `rules` | none | at most 1,000 lines, each one of the following |
//!
//! | rule | what |
//! | --- | --- |
//! | `set PATHS NAME VALUE` | the field has this value and no other |
//! | `add PATHS NAME VALUE` | the field has this value too |
//! | `remove PATHS NAME` | there is no such field |
//!
//! PATHS is `/PREFIX` (this path and all below it), `=/EXACT` or `*.SUFFIX`; written as in a URL
//! (`%20` for a space), compared decoded. VALUE is the rest of the line, at most 4,096 bytes. All
//! rules that match are carried out in their order, so put the general ones first.
//!
//! ```toml
//! [plugin.headers]
//! rules = [
//!   "set / X-Frame-Options DENY",
//!   "set / X-Content-Type-Options nosniff",
//!   "set *.css Cache-Control max-age=3600",
//!   "set =/index.html Cache-Control no-cache",
//!   "remove /downloads ETag",
//! ]
//! ```
//!
//! They hold for whatever is answered: files, errors, and what plugins later in the order make. A
//! plugin earlier in the order that answers at once is not reached, so name this one first. As
//! errors have the fields too, a long `Cache-Control` makes a 404 long-lived. Connection,
//! Content-Length, Date, Keep-Alive, Server, Trailer, Transfer-Encoding and Upgrade are the server's
//! and are refused here.

mod rules;

use rules::{Change, Rule};
use swiftd_plugin::*;

/// The plugin's state.
#[derive(Debug)]
pub struct Headers {
    rules: Vec<Rule>,
}

plugin! {
    impl Plugin for Headers {
        const NAME: &CStr = c"headers";
        const VERSION: &CStr = c"1.0";

        fn init(host: &Host) -> Result<Self, String> {
            let rules = Rule::parse_all(host.config("rules").unwrap_or_default())?;
            if rules.is_empty() {
                host.warn("rules: there are none, so no field is changed");
            }
            Ok(Self { rules })
        }

        /// The response is not there yet; the server carries the changes out when it is.
        fn url_clean(&mut self, req: &mut Request) -> Flow {
            let path = req.path();
            for rule in self.rules.iter().filter(|rule| rule.matches(path)) {
                if let Err(error) = change(req, rule) {
                    req.host().error(format_args!("{}: {error}", rule.name));
                    return Flow::Error;
                }
            }
            Flow::GoOn
        }
    }
}

fn change(req: &mut Request, rule: &Rule) -> Result<()> {
    match rule.change {
        Change::Set => req.set_header(&rule.name, &rule.value),
        Change::Add => req.add_header(&rule.name, &rule.value),
        Change::Remove => req.remove_header(&rule.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use swiftd_plugin::testing::*;

    fn fields(answer: &Answer, name: &str) -> Vec<String> {
        let of_name = answer
            .headers
            .iter()
            .filter(|(field, _)| field.eq_ignore_ascii_case(name));
        of_name.map(|(_, value)| value.clone()).collect()
    }

    #[test]
    fn files_and_errors_have_the_fields() {
        let mut harness = Harness::<Headers>::new()
            .config(
                "rules",
                "set / X-Frame-Options DENY\nset / Cache-Control no-cache\n\
                 set *.css Cache-Control max-age=3600\nadd /two Link a\nadd /two/b link c\n\
                 remove /bare x-frame-options",
            )
            .page("/a.css", "css");
        for (target, status, name, values) in [
            ("/a.css", 200, "X-Frame-Options", &["DENY"][..]),
            ("/a.css", 200, "Cache-Control", &["max-age=3600"]),
            ("/none", 404, "X-Frame-Options", &["DENY"]),
            ("/none", 404, "Cache-Control", &["no-cache"]),
            ("/two/b", 404, "Link", &["a", "c"]),
            ("/two%2Fb?q", 404, "Link", &["a", "c"]),
            ("/two", 404, "Link", &["a"]),
            ("/bare/x", 404, "X-Frame-Options", &[]),
        ] {
            let answer = harness.get(target);
            assert_eq!(answer.status, status, "{target}");
            assert_eq!(fields(&answer, name), values, "{target}");
            assert!(!answer.is_claimed);
        }
        harness.stop();
    }

    /// Stands for a plugin that rewrites, behind this one in the order.
    struct Rewriting(Headers);

    plugin! {
        impl Plugin for Rewriting {
            const NAME: &CStr = c"rewriting";
            fn init(host: &Host) -> Result<Self, String> { Headers::init(host).map(Self) }
            fn url_clean(&mut self, req: &mut Request) -> Flow {
                let flow = self.0.url_clean(req);
                if req.path() == b"/old" && req.set_path("/new").is_ok() {
                    return Flow::Comeback;
                }
                flow
            }
        }
    }

    #[test]
    fn after_a_rewrite_only_the_new_path_counts() {
        let mut harness = Harness::<Rewriting>::new()
            .config("rules", "add / X-All 1\nset /old X-Old 1\nset /new X-New 1");
        let answer = harness.get("/old");
        assert_eq!(fields(&answer, "X-All"), ["1"]);
        assert_eq!(fields(&answer, "X-New"), ["1"]);
        assert_eq!(answer.header("X-Old"), None);
        harness.stop();
    }

    #[test]
    fn bad_rules_are_refused_and_none_are_told() {
        let mut bad = Harness::<Headers>::new().config("rules", "\nset / Content-Length 0");
        let error = bad.load().unwrap_err();
        assert!(
            error.contains("rules: line 2") && error.contains("the server's own"),
            "{error}"
        );
        let mut empty = Harness::<Headers>::new();
        empty.load().unwrap();
        assert!(
            empty
                .log()
                .iter()
                .any(|line| line.contains("no field is changed"))
        );
    }
}
