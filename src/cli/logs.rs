//! Options of the logs.

use super::Error;
use crate::config::{AccessLog, Config, Destination, Format, Level};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// Where requests are noted; the format may come before or behind it.
pub(super) fn set_access(config: &mut Config, value: &OsStr) -> Result<(), Error> {
    let destination = destination("access-log", value)?;
    let format = config.rules.access_log.take().map(|log| log.format);
    config.rules.access_log = Some(AccessLog {
        destination,
        format: format.unwrap_or_default(),
    });
    Ok(())
}

pub(super) fn set_format(config: &mut Config, value: &OsStr) -> Result<(), Error> {
    let given = Format::ALL
        .into_iter()
        .find(|format| value == format.name());
    let Some(format) = given else {
        return Err(Error(format!(
            "--log-format {value:?}: expected common, combined, vcombined or json"
        )));
    };
    let log = config.rules.access_log.take();
    let destination = log.map_or(Destination::Off, |log| log.destination);
    config.rules.access_log = Some(AccessLog {
        destination,
        format,
    });
    Ok(())
}

pub(super) fn level(value: &OsStr) -> Result<Level, Error> {
    let given = Level::ALL.into_iter().find(|level| value == level.name());
    given.ok_or_else(|| {
        Error(format!(
            "--log-level {value:?}: expected error, warning, notice, info or debug"
        ))
    })
}

pub(super) fn destination(name: &str, value: &OsStr) -> Result<Destination, Error> {
    let path = |bytes: &[u8]| OsStr::from_bytes(bytes).into();
    let refused = || {
        Error(format!(
            "--{name} {value:?}: expected off, stderr, syslog, syslog:SOCKET, ram:SIZE (as in ram:64K) or a file"
        ))
    };
    Ok(match value.as_bytes() {
        b"off" => Destination::Off,
        b"stderr" => Destination::Stderr,
        b"syslog" => Destination::Syslog,
        b"" => return Err(refused()),
        bytes => match (bytes.strip_prefix(b"syslog:"), bytes.strip_prefix(b"ram:")) {
            (Some(b""), _) => return Err(refused()),
            (Some(socket), _) => Destination::SyslogAt(path(socket)),
            (_, Some(size)) => {
                let size = super::Given {
                    name,
                    value: OsStr::from_bytes(size),
                };
                Destination::Ring(size.number(1024, 1 << 30).map_err(|_| refused())? as usize)
            }
            _ => Destination::File(path(bytes)),
        },
    })
}
