//! Sockets that a service manager has bound and hands over (sd_listen_fds(3)).

use super::raw::{inherited, take_variable};
use std::ffi::OsString;
use std::fmt;
use std::os::fd::OwnedFd;

/// A descriptor that was handed over.
#[derive(Debug)]
pub struct Inherited {
    /// Its number when this process was started, and its name: for messages.
    pub label: String,
    /// It is closed in programs that are started later.
    pub descriptor: OwnedFd,
}

/// What is wrong with what was handed over.
#[derive(Debug, PartialEq, Eq)]
pub enum Error {
    /// LISTEN_FDS is no number.
    Count(OsString),
    /// A descriptor that was announced is not open.
    Missing(i32),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(text) => write!(
                f,
                "LISTEN_FDS={}: expected a number of sockets",
                text.to_string_lossy().escape_debug()
            ),
            Self::Missing(number) => write!(
                f,
                "LISTEN_FDS announces a socket as descriptor {number}, which is not open"
            ),
        }
    }
}

impl std::error::Error for Error {}

/// The first one; those before are the standard streams.
const FIRST: i32 = 3;

/// More than so many nobody hands over: a slip, or somebody else's variable.
const COUNT_MAX: i32 = 1024;

/// Takes what was handed over to this process, and the variables that say so out of the environment.
/// To be called once, before anything is opened.
///
/// # Errors
/// It is not what the variables say.
pub fn take() -> Result<Vec<Inherited>, Error> {
    let variables = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"].map(take_variable);
    let Some(plan) = plan(std::process::id(), variables)? else {
        return Ok(Vec::new());
    };
    let open = |(number, name): (i32, Option<String>)| {
        let descriptor = inherited(number).ok_or(Error::Missing(number))?;
        let label = match name {
            Some(name) => format!("descriptor {number} ({name})"),
            None => format!("descriptor {number}"),
        };
        Ok(Inherited { label, descriptor })
    };
    plan.into_iter().map(open).collect()
}

/// Numbers with their names.
type Plan = Vec<(i32, Option<String>)>;

/// What to take; `None` if this process is not meant, which is the usual case and that of a
/// child of whoever was.
fn plan(own: u32, [process, count, names]: [Option<OsString>; 3]) -> Result<Option<Plan>, Error> {
    let is_meant = process
        .as_deref()
        .and_then(|text| text.to_str()?.parse().ok())
        == Some(own);
    let Some(count) = count.filter(|_| is_meant) else {
        return Ok(None);
    };
    let number = count.to_str().and_then(|text| text.parse::<i32>().ok());
    let Some(number) = number.filter(|number| (0..=COUNT_MAX).contains(number)) else {
        return Err(Error::Count(count));
    };
    let names = names.unwrap_or_default();
    let names = names.to_string_lossy();
    let mut names = names.split(':').filter(|name| !name.is_empty());
    let named = |number| {
        (
            number,
            names.next().map(|name| name.escape_debug().to_string()),
        )
    };
    Ok(Some((FIRST..FIRST + number).map(named).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(variables: [&str; 3]) -> Result<Option<Plan>, Error> {
        plan(
            42,
            variables.map(|text| Some(text).filter(|text| !text.is_empty()).map(Into::into)),
        )
    }

    #[test]
    fn only_what_is_meant_for_this_process_is_taken() {
        let name = |text: &str| Some(text.to_owned());
        for (variables, wanted) in [
            (["", "", ""], None),
            (["41", "1", ""], None),
            (["", "1", ""], None),
            (["42", "", ""], None),
            (["x", "1", ""], None),
            (["42", "0", ""], Some(vec![])),
            (["42", "2", ""], Some(vec![(3, None), (4, None)])),
            (
                ["42", "2", "a:b"],
                Some(vec![(3, name("a")), (4, name("b"))]),
            ),
            (["42", "2", "a\n"], Some(vec![(3, name("a\\n")), (4, None)])),
        ] {
            assert_eq!(given(variables), Ok(wanted), "{variables:?}");
        }
        for count in ["x", "-1", "99999"] {
            assert_eq!(given(["42", count, ""]), Err(Error::Count(count.into())));
        }
    }
}
