//! The configuration: text from the server becomes checked values, once, in `init`. A value that
//! cannot be meant is refused with its key, what was expected and how to mend it.

use std::env;
use std::ops::RangeInclusive;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

use swiftd_plugin::Host;

/// Where scripts look for programs, unless the server's own PATH is passed on.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// What the operator has said.
#[derive(Debug)]
pub(crate) struct Config {
    /// INVARIANT: begins and ends with a slash.
    pub(crate) prefix: Vec<u8>,
    /// `None`: the prefix beneath the document root.
    pub(crate) dir: Option<PathBuf>,
    /// Empty: every file is a script.
    pub(crate) suffixes: Vec<Vec<u8>>,
    pub(crate) handlers: Vec<Handler>,
    pub(crate) timeout: Duration,
    pub(crate) max_time: Duration,
    pub(crate) max_processes: usize,
    pub(crate) max_header_bytes: usize,
    /// Variables of the server's own environment, and PATH.
    pub(crate) environment: Variables,
    pub(crate) logs_stderr: bool,
}

/// Names and values.
type Variables = Vec<(Vec<u8>, Vec<u8>)>;

/// Files of a suffix are run by a program.
#[derive(Debug)]
pub(crate) struct Handler {
    pub(crate) suffix: Vec<u8>,
    /// The program and its first arguments.
    pub(crate) command: Vec<Vec<u8>>,
}

impl Config {
    pub(crate) fn read(host: &Host) -> Result<Self, String> {
        Ok(Self {
            prefix: prefix(host.config("prefix").unwrap_or("/cgi-bin/"))?,
            dir: host.config("dir").map(dir).transpose()?,
            suffixes: host
                .config_list("suffixes")
                .map(|text| suffix("suffixes", text))
                .collect::<Result<_, _>>()?,
            handlers: host
                .config_list("handlers")
                .map(handler)
                .collect::<Result<_, _>>()?,
            timeout: seconds(host, "timeout", 30, 1..=3600)?,
            max_time: seconds(host, "max_time", 300, 1..=86_400)?,
            max_processes: number(host, "max_processes", 16, 1..=1024)?,
            max_header_bytes: number(host, "max_header_bytes", 8 << 10, 256..=64 << 10)?,
            environment: environment(host.config_list("pass_env"))?,
            logs_stderr: match host.config("stderr").unwrap_or("log") {
                "log" => true,
                "null" => false,
                other => return Err(format!("stderr: {other:?} is neither \"log\" nor \"null\"")),
            },
        })
    }

    /// Whether this plugin answers: the path is under the prefix and, if suffixes are given, one of
    /// its components has one.
    pub(crate) fn claims(&self, path: &[u8]) -> bool {
        let Some(rest) = path.strip_prefix(&self.prefix[..]) else {
            return false;
        };
        let is_script = |name: &[u8]| self.is_script(name);
        self.suffixes.is_empty() || rest.split(|byte| *byte == b'/').any(is_script)
    }

    /// Whether a file of this name may be run at all.
    pub(crate) fn is_script(&self, name: &[u8]) -> bool {
        let mut suffixes = self.suffixes.iter();
        self.suffixes.is_empty() || suffixes.any(|suffix| has_suffix(name, suffix))
    }

    /// The program that runs a file of this name, if it is not run itself.
    pub(crate) fn handler(&self, name: &[u8]) -> Option<&Handler> {
        let mut handlers = self.handlers.iter();
        handlers.find(|handler| has_suffix(name, &handler.suffix))
    }
}

fn has_suffix(name: &[u8], suffix: &[u8]) -> bool {
    name.len() > suffix.len() && name.ends_with(suffix)
}

fn prefix(text: &str) -> Result<Vec<u8>, String> {
    if text.starts_with('/') && text.ends_with('/') && !text.contains("//") {
        Ok(text.into())
    } else {
        Err(format!(
            "prefix: {text:?} does not begin and end with one slash; write for example \"/cgi-bin/\""
        ))
    }
}

fn dir(text: &str) -> Result<PathBuf, String> {
    if text.starts_with('/') {
        Ok(text.into())
    } else {
        Err(format!(
            "dir: {text:?} is not an absolute path; write for example \"/usr/lib/cgi-bin\""
        ))
    }
}

/// `.php` or `*.php`.
fn suffix(key: &str, text: &str) -> Result<Vec<u8>, String> {
    let suffix = text.strip_prefix('*').unwrap_or(text);
    if suffix.len() < 2 || !suffix.starts_with('.') || suffix.contains(['/', '*']) {
        return Err(format!(
            "{key}: {text:?} is not a suffix; write for example \".php\""
        ));
    }
    Ok(suffix.into())
}

fn handler(line: &str) -> Result<Handler, String> {
    let bad = || {
        format!(
            "handlers: {line:?} is not SUFFIX=PROGRAM with an absolute path; \
             write for example \".php=/usr/bin/php-cgi\""
        )
    };
    let (before, after) = line.split_once('=').ok_or_else(bad)?;
    let command: Vec<Vec<u8>> = after.split_whitespace().map(Into::into).collect();
    if !command.first().is_some_and(|path| path.starts_with(b"/")) {
        return Err(bad());
    }
    Ok(Handler {
        suffix: suffix("handlers", before.trim())?,
        command,
    })
}

fn seconds(
    host: &Host,
    key: &str,
    default: usize,
    allowed: RangeInclusive<usize>,
) -> Result<Duration, String> {
    let seconds = number(host, key, default, allowed)?;
    Ok(Duration::from_secs(seconds as u64))
}

fn number(
    host: &Host,
    key: &str,
    default: usize,
    allowed: RangeInclusive<usize>,
) -> Result<usize, String> {
    let Some(text) = host.config(key) else {
        return Ok(default);
    };
    let number = text.trim().parse().ok();
    number
        .filter(|number| allowed.contains(number))
        .ok_or_else(|| {
            let (least, most) = allowed.into_inner();
            format!(
                "{key}: {text:?} is not a whole number from {least} to {most}; \
                 write for example {default}"
            )
        })
}

fn environment<'a>(names: impl Iterator<Item = &'a str>) -> Result<Variables, String> {
    let mut environment = Vec::new();
    for name in names {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if !name.bytes().all(is_part) {
            return Err(format!(
                "pass_env: {name:?} is not the name of a variable; write for example \"TZ\""
            ));
        }
        if let Some(value) = env::var_os(name) {
            environment.push((name.into(), value.as_bytes().to_vec()));
        }
    }
    if !environment.iter().any(|(name, _)| name == b"PATH") {
        environment.push((b"PATH".into(), PATH.into()));
    }
    Ok(environment)
}

/// The path of a file as bytes from a request make it.
pub(crate) fn path_of(bytes: &[u8]) -> PathBuf {
    std::ffi::OsString::from_vec(bytes.to_vec()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suffix_needs_a_name_before_it() {
        assert!(has_suffix(b"a.php", b".php"));
        assert!(!has_suffix(b".php", b".php"));
        assert_eq!(suffix("suffixes", "*.py"), Ok(b".py".to_vec()));
        assert_eq!(suffix("suffixes", ".py"), Ok(b".py".to_vec()));
        for bad in ["py", "*", ".", "", ".a/b", "**.py"] {
            assert!(suffix("suffixes", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_handler_is_a_suffix_and_an_absolute_program_with_arguments() {
        let perl = handler("*.pl=/usr/bin/perl -T").unwrap();
        assert_eq!(perl.suffix, b".pl");
        assert_eq!(perl.command, [&b"/usr/bin/perl"[..], b"-T"]);
        for bad in [".pl", ".pl=", ".pl=perl", "=/bin/sh", "x=/bin/sh"] {
            assert!(handler(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn path_is_safe_unless_passed_on() {
        let safe = environment([].into_iter()).unwrap();
        assert_eq!(safe, [(b"PATH".to_vec(), PATH.into())]);
        let own = environment(["PATH"].into_iter()).unwrap();
        let path = env::var_os("PATH").unwrap();
        assert_eq!(own, [(b"PATH".to_vec(), path.as_bytes().to_vec())]);
        assert!(environment(["A=B"].into_iter()).is_err());
    }
}
