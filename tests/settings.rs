//! The registry of settings: the manual's pages are what it says, the help lists what it has, and
//! what it shows can be read again.
//!
//! `SWIFTD_BLESS=1 cargo test --test settings` writes the pages anew.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command as Process;
use swiftd::cli::{self, Command, HELP, OTHERS};
use swiftd::config::settings::{self, Kind, Plain, ROWS, SECTIONS, SETTINGS, pages};
use swiftd::config::{Config, Draft, dump, file};

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn is_blessed() -> bool {
    std::env::var_os("SWIFTD_BLESS").is_some()
}

/// Compares `wanted` with what a page has between two lines, or puts it there.
#[track_caller]
fn agrees(path: &str, begin: &str, end: &str, wanted: &str) {
    let page = fs::read_to_string(project(path)).unwrap();
    let start = page.find(begin).expect("the first marker") + begin.len();
    let stop = page.find(end).expect("the second marker");
    if is_blessed() {
        let page = format!("{}{wanted}{}", &page[..start], &page[stop..]);
        return fs::write(project(path), page).unwrap();
    }
    assert!(
        &page[start..stop] == wanted,
        "{path} is not what the settings say; SWIFTD_BLESS=1 writes it anew"
    );
}

#[test]
fn the_manual_says_what_there_is() {
    let (begin, end) = (
        "<!-- from here on written by tests/settings.rs -->\n\n",
        "<!-- until here -->\n",
    );
    agrees("docs/CONFIG.md", begin, end, &pages::markdown());
}

#[test]
fn the_man_page_says_what_there_is() {
    let (begin, end) = (
        ".\\\" From here on written by tests/settings.rs.\n",
        ".\\\" Until here.\n",
    );
    agrees("packaging/man/swiftd.conf.5", begin, end, &pages::mdoc());
}

#[test]
fn the_man_page_has_no_fault() {
    let page = project("packaging/man/swiftd.conf.5");
    let linted = Process::new("mandoc")
        .args(["-Tlint", "-Wwarning"])
        .arg(page)
        .output();
    match linted {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success() && said.is_empty(), "{said}");
        }
        Err(error) => eprintln!("skipped: mandoc: {error}"),
    }
}

#[test]
fn the_sample_has_every_setting() {
    let path = project("packaging/swiftd.conf");
    let wanted = pages::sample();
    if is_blessed() {
        return fs::write(path, wanted).unwrap();
    }
    assert!(
        fs::read_to_string(path).unwrap() == wanted,
        "the sample is not what the settings say; SWIFTD_BLESS=1 writes it anew"
    );
}

#[track_caller]
fn parse(text: &str) -> Config {
    let mut config = Config::new(PathBuf::new());
    if let Err(faults) = file::parse(text.as_bytes(), &mut config) {
        let said: Vec<String> = faults.iter().map(ToString::to_string).collect();
        panic!("{text}\n{said:#?}");
    }
    config
}

#[test]
fn the_sample_is_the_default_configuration() {
    let config = parse(&pages::sample());
    let mut wanted = Config::new("/var/www/html".into());
    wanted.site.features = config.site.features;
    assert_eq!(format!("{config:?}"), format!("{wanted:?}"));
}

#[test]
fn every_line_of_the_sample_can_be_used() {
    let lines = pages::sample();
    // All of it at once is too much for the budget of the example.
    let used: Vec<&str> = lines
        .lines()
        .filter(|line| !line.starts_with("#memory"))
        .map(|line| {
            line.strip_prefix('#')
                .filter(|rest| !rest.starts_with(' '))
                .unwrap_or(line)
        })
        .map(|line| {
            if line == "[plugin.NAME]" {
                "[plugin.name]"
            } else {
                line
            }
        })
        .collect();
    let config = parse(&used.join("\n"));
    assert_eq!(config.hosts.len(), 1);
    assert_eq!(config.plugins.values["name"]["key"], "value");
    let is_key = |line: &&&str| !line.starts_with('#') && line.contains(" = ");
    assert_eq!(used.iter().filter(is_key).count(), SETTINGS.len());
}

#[test]
fn rows_are_well_formed() {
    let mut names = BTreeSet::new();
    let mut options: BTreeSet<&str> = OTHERS.iter().map(|other| other.long).collect();
    assert_eq!(options.len(), OTHERS.len());
    let mut letters: BTreeSet<char> = OTHERS.iter().flat_map(|it| it.short).copied().collect();
    for row in ROWS.iter().copied().flatten() {
        let setting = &row.setting;
        let name = setting.name();
        assert!(
            SECTIONS.iter().any(|it| it.name == setting.section),
            "{name}"
        );
        assert!(names.insert(name.clone()), "{name} is there twice");
        if let Some(flag) = setting.option {
            assert!(options.insert(flag.long), "--{}", flag.long);
            assert!(
                flag.short.is_none_or(|short| letters.insert(short)),
                "{name}"
            );
        }
        let sentences = row.about.matches(". ").count() + 1;
        assert!(
            row.about.ends_with('.') && sentences <= 4,
            "{name}: {}",
            row.about
        );
        assert_eq!(row.about.matches('`').count() % 2, 0, "{name}");
        assert!(!row.about.contains('|'), "{name}: it stands in a table");
    }
    assert_eq!(names.len(), SETTINGS.len());
}

/// Each setting's default, and the bounds of each that is a number, can be written and read.
#[test]
fn every_value_that_is_shown_can_be_read() {
    for setting in &SETTINGS {
        let name = setting.name();
        let mut draft = Draft::default();
        let mut plains = vec![setting.value(&mut draft)];
        // What must be given has no default that would do.
        plains.retain(|plain| {
            !matches!(plain, Plain::Unset | Plain::Text(_)) || setting.option.is_some()
        });
        plains.retain(|plain| *plain != Plain::Unset);
        match setting.kind {
            Kind::Count { least, most } | Kind::Bytes { least, most } => {
                plains.extend([least, most].map(Plain::Number));
            }
            Kind::OneOf(numbers) => plains.extend(numbers.iter().copied().map(Plain::Number)),
            Kind::Switch => plains.extend([true, false].map(Plain::Switch)),
            Kind::Word(words) => {
                plains.extend(words.iter().map(|word| Plain::Text((*word).to_owned())));
            }
            _ => {}
        }
        if setting.is_optional {
            plains.push(Plain::Unset);
        }
        for plain in plains {
            if matches!(plain, Plain::List(_)) {
                continue;
            }
            // 32-bit machines keep less.
            let kept = (setting.at)(&mut draft).set(plain.clone());
            if usize::BITS < 64 && kept.is_err() {
                continue;
            }
            assert_eq!(kept, Ok(()), "{name} {plain:?}");
            assert_eq!(setting.value(&mut draft), plain, "{name}");
        }
    }
}

/// The options that stand in the help, without their values.
fn options_of_help() -> BTreeSet<String> {
    let lines = HELP.lines().map(str::trim_start);
    let words = lines.flat_map(|line| {
        let words = line.split_whitespace();
        words.take_while(|word| word.starts_with('-'))
    });
    words
        .map(|word| word.trim_matches(',').to_owned())
        .collect()
}

#[test]
fn the_help_lists_every_option() {
    let mut wanted = BTreeSet::new();
    for flag in SETTINGS.iter().filter_map(|setting| setting.option) {
        wanted.insert(format!("--{}", flag.long));
        wanted.extend(flag.short.map(|short| format!("-{short}")));
    }
    for other in OTHERS {
        wanted.insert(format!("--{}", other.long));
        wanted.extend(other.short.iter().map(|short| format!("-{short}")));
    }
    assert_eq!(options_of_help(), wanted);
}

#[test]
fn the_help_has_the_defaults() {
    let mut draft = Draft::default();
    for row in ROWS.iter().copied().flatten() {
        let setting = &row.setting;
        let Some(flag) = setting.option.filter(|_| row.default.is_none()) else {
            continue;
        };
        let at = HELP.find(&format!("--{} ", flag.long)).expect("a line");
        let end = HELP[at..].find("\n  -").or(HELP[at..].find("\n      --"));
        let text = &HELP[at..][..end.unwrap_or(HELP.len() - at)];
        let next = text.find("\n      --").unwrap_or(text.len());
        let text = &text[..next];
        let shown = match setting.value(&mut draft) {
            Plain::Unset if setting.kind.is_number() => "off".into(),
            Plain::Unset | Plain::Switch(false) => continue,
            Plain::Switch(true) => "on".into(),
            plain => setting.kind.show(&plain).unwrap_or_default(),
        };
        let shown = shown.trim_matches(['[', ']']).replace('"', "");
        if !shown.is_empty() {
            assert!(text.contains(&format!("[{shown}")), "{text}: {shown}");
        }
    }
}

/// What holds if a server is started so.
#[track_caller]
fn in_force(arguments: &[&str]) -> Config {
    let arguments = ["swiftd"].iter().chain(arguments).map(OsString::from);
    match cli::parse(arguments) {
        Ok(Command::Serve(config)) => *config,
        other => panic!("{other:?}"),
    }
}

/// A configuration with something of everything.
const RICH: &str = r#"
root = "/srv/www"
listen = ["0.0.0.0:80", { address = "unix:/run/a b.sock", proxy-protocol = true }]
index = []
user = "www-data"
group = "33"
chroot = "/srv"
pid-file = "/run/\"x\".pid"
daemon = true
memory = "16M"
plugins = "/etc/p.conf"
plugin-required = ["access"]
[limits]
connections = 100
body-bytes = "18446744073709551615"
body-memory = 0
[timeouts]
idle = 0.001
body = 86400
head = 1_0.5
plugin-hang = 3
[cache]
trust = 0
[log]
access = "/var/log/a.log"
format = "vcombined"
error = "syslog"
level = "debug"
[clients]
connections = 4
trusted-proxies = ["10.0.0.0/8", "::1", "unix"]
forwarded-field = "forwarded"
[sandbox]
landlock = "required"
seccomp = "off"
[mime]
".WASM" = "application/wasm"
x = "text/x; charset=utf-8"
[error-pages]
404 = "e/404.html"
503 = "/srv/503.html"
[[redirect]]
from = "/old/*"
to = "https://example.org/*"
status = 308
[[header]]
path = "/a/*"
set = { X-A = "\"ü\"", B = "" }
[[header]]
path = "*.css"
set = { C = "d" }
[[host]]
names = ["Example.org", "*.example.org"]
[[host]]
names = ["b.example"]
root = "/srv/b"
index = ["b.html", "index.html"]
access = "ram:64K"
format = "json"
mime = {}
header = []
[[host.redirect]]
from = "*.php"
to = "/gone"
[host.error-pages]
[[host]]
names = ["c.example"]
access = "off"
[host.mime]
y = "a/b"
[[host.header]]
path = "/c"
set = { D = "e" }
[plugin.a]
key = ["x", "y"]
"odd-key" = 1
"#;

#[test]
fn what_is_printed_is_the_same_configuration() {
    for config in [
        in_force(&["/"]),
        in_force(&[
            "/srv",
            "--memory",
            "2M",
            "--set",
            "plugin.a.b=c\n\"\\\t\u{7f}",
            "-l",
            "[::1]:1",
            "-p",
            "2",
        ]),
        parse(""),
        parse(RICH),
    ] {
        let mut config = config;
        // Said once more, these are no more than values.
        config.plugins.overrides.clear();
        let printed = dump(&config);
        let again = parse(&printed);
        assert_eq!(format!("{config:#?}"), format!("{again:#?}"), "{printed}");
        assert_eq!(dump(&again), printed);
    }
}

#[test]
fn what_is_printed_holds_wherever_it_is_read() {
    let config = in_force(&["www", "-l", "unix:a.sock", "--plugins", "p.conf"]);
    let again = parse(&dump(&config));
    let here = std::env::current_dir().unwrap();
    assert_eq!(again.site.root, here.join("www"));
    assert_eq!(again.plugins.file, Some(here.join("p.conf")));
    assert_eq!(
        again.listen[0].address.to_string(),
        format!("unix:{}", here.join("a.sock").display())
    );
}

#[test]
fn a_host_inherits_what_it_does_not_say() {
    let config = parse(RICH);
    let [first, second, third] = &config.hosts[..] else {
        panic!("{:?}", config.hosts);
    };
    assert_eq!(first.site.root, Path::new("/srv/www"));
    assert_eq!(first.site.mime, config.site.mime);
    assert_eq!(first.rules.access_log, config.rules.access_log);
    assert_eq!(first.rules.fields, config.rules.fields);
    assert_eq!(first.rules.error_pages, config.rules.error_pages);
    assert_eq!(first.rules.redirects, []);
    assert_eq!(first.site.index_names, [""; 0]);

    assert_eq!(second.site.index_names, ["b.html", "index.html"]);
    assert_eq!(second.rules.redirects.len(), 1);
    assert!(second.site.mime.is_empty() && second.rules.fields.is_empty());
    assert_eq!(second.rules.error_pages, []);

    assert_eq!(third.rules.access_log, None);
    assert_eq!(third.site.mime, [("y".to_owned(), "a/b".to_owned())]);
    assert_eq!(third.rules.fields.len(), 1);
}

#[test]
fn what_the_command_line_says_is_inherited_too() {
    let mut draft = Draft::default();
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("swiftd.conf");
    fs::write(&path, "root = '/a'\nindex = 'a'\n[[host]]\nnames = 'x'\n").unwrap();
    file::load(&path, &mut draft).unwrap();
    let arguments = ["swiftd", "--index", "b", "--index=c", "/d"].map(OsString::from);
    let Ok(Command::Serve(config)) = cli::parse_over(draft, arguments) else {
        panic!("a good command line");
    };
    let [host] = &config.hosts[..] else {
        panic!("{:?}", config.hosts);
    };
    for site in [&config.site, &host.site] {
        assert_eq!(site.index_names, ["b", "c"]);
        assert_eq!(site.root, Path::new("/d"));
    }
}

#[test]
fn settings_are_found_by_every_name_they_have() {
    let found = settings::find("timeouts", "idle").unwrap();
    let of_option = settings::of_option("idle-timeout").unwrap();
    assert!(std::ptr::eq(found, of_option));
    assert!(std::ptr::eq(
        settings::of_letter('r').unwrap(),
        settings::find("", "root").unwrap()
    ));
    assert!(settings::find("", "idle").is_none());
    assert!(settings::find("host", "access").is_some() && settings::find("host", "user").is_none());
}
