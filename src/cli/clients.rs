//! The options about clients: how much one of them may have, and whom to believe.

use super::{Error, Given};
use crate::config::{Clients, Listen};
use crate::policy::{ForwardedField, Proxy};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;

/// Their names, for suggestions.
pub(super) const OPTIONS: [&str; 6] = [
    "client-connections",
    "client-rate",
    "client-burst",
    "client-table",
    "trusted-proxy",
    "forwarded-field",
];

/// Sets one of those whose value is a number; false if it is another option.
pub(super) fn set(clients: &mut Clients, given: &Given<'_>) -> Result<bool, Error> {
    match given.name {
        "client-connections" => {
            clients.connections_max = Some(given.number(1, u32::MAX.into())? as u32);
        }
        "client-rate" => clients.requests_per_second = Some(given.number(1, 1_000_000)? as u32),
        "client-burst" => clients.burst = given.number(1, 1_000_000)? as u32,
        "client-table" => clients.table_entries_max = given.number(16, 1 << 20)? as usize,
        "forwarded-field" => clients.forwarded_field = forwarded_field(given.value)?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// Who is believed.
pub(super) fn proxy(value: &OsStr) -> Result<Proxy, Error> {
    let text = value.to_string_lossy();
    text.parse()
        .map_err(|error| Error(format!("--trusted-proxy {text:?}: {error}, or unix")))
}

fn forwarded_field(value: &OsStr) -> Result<ForwardedField, Error> {
    let fields = [ForwardedField::XForwardedFor, ForwardedField::Forwarded];
    let text = value.to_string_lossy();
    let found = fields
        .into_iter()
        .find(|field| field.name().eq_ignore_ascii_case(&text));
    found.ok_or_else(|| {
        Error(format!(
            "--forwarded-field {text:?}: expected X-Forwarded-For or Forwarded"
        ))
    })
}

/// An address that may end with `,proxy`: connections begin with a proxy's header then.
pub(super) fn listen(value: OsString) -> Result<Listen, Error> {
    let mut bytes = value.into_vec();
    let is_proxied = bytes.ends_with(b",proxy");
    if is_proxied {
        bytes.truncate(bytes.len() - b",proxy".len());
    }
    Ok(Listen {
        address: super::address(&OsString::from_vec(bytes))?,
        is_proxied,
    })
}

/// Whether the options fit together.
pub(super) fn check(clients: &Clients, listen: &[Listen]) -> Result<(), Error> {
    clients.check(listen).map_err(Error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Command, parse};

    fn read(options: &[&str]) -> Result<crate::config::Config, String> {
        let args = ["swiftd", "/srv"].iter().chain(options).map(Into::into);
        match parse(args) {
            Ok(Command::Serve(config)) => Ok(*config),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn what_is_said_of_clients_is_set() {
        let config = read(&[
            "--client-connections",
            "10",
            "--client-rate=20",
            "--client-burst",
            "30",
            "--client-table",
            "4K",
            "--trusted-proxy",
            "10.0.0.0/8",
            "--trusted-proxy",
            "unix",
            "--forwarded-field",
            "forwarded",
            "--listen",
            "[::1]:80,proxy",
            "--listen",
            "unix:/run/a,b",
        ])
        .unwrap();
        let clients = &config.clients;
        assert_eq!(clients.connections_max, Some(10));
        assert_eq!(clients.requests_per_second, Some(20));
        assert_eq!((clients.burst, clients.table_entries_max), (30, 4096));
        let proxies: Vec<_> = clients
            .trusted_proxies
            .iter()
            .map(Proxy::to_string)
            .collect();
        assert_eq!(proxies, ["10.0.0.0/8", "unix"]);
        assert_eq!(clients.forwarded_field, ForwardedField::Forwarded);
        let listen: Vec<_> = config
            .listen
            .iter()
            .map(|it| (it.address.to_string(), it.is_proxied))
            .collect();
        assert_eq!(
            listen,
            [
                ("[::1]:80".to_owned(), true),
                ("unix:/run/a,b".to_owned(), false)
            ]
        );
    }

    #[test]
    fn what_is_wrong_is_told_with_a_way_out() {
        for (options, wanted) in [
            (
                &["--trusted-proxy", "10.1.2.3/8"][..],
                "did you mean 10.0.0.0/8?",
            ),
            (
                &["--trusted-proxy", "proxy.example"],
                "expected an address or a network",
            ),
            (
                &["--forwarded-field", "Via"],
                "expected X-Forwarded-For or Forwarded",
            ),
            (
                &["--client-rate", "0"],
                "expected a number from 1 to 1000000",
            ),
            (
                &["--client-conections", "3"],
                "did you mean --client-connections?",
            ),
            (
                &["--listen", "127.0.0.1:80,proxy"],
                "127.0.0.1:80: connections begin with the PROXY protocol, but nobody is trusted",
            ),
        ] {
            let error = read(options).unwrap_err();
            assert!(error.contains(wanted), "{options:?}: {error}");
        }
    }
}
