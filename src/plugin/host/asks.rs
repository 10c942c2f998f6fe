//! What a plugin reads and changes of a request.

use super::Call;
use crate::conn::Point;
use crate::http::Version;
use crate::plugin::body;
use crate::plugin::id;
use crate::sys::abi::{Asks, GO_ON, INVALID, Id, Rc as Code, what};
use crate::sys::crash::Hook;
use std::os::fd::{AsRawFd, RawFd};

impl Call<'_> {
    /// An address as `what` 7 and 8 tell it.
    fn address(&mut self, is_peer: bool) -> Option<&[u8]> {
        let request = self.request.as_ref()?;
        let origin = request.caller.origin;
        let address = if is_peer {
            request.exchange.client_address(origin)
        } else {
            origin.local()
        };
        // Of a connection that is no more only this end is known, and whoever has broken it must not
        // pass for a Unix socket.
        if address.is_none() && is_peer && origin.local().is_some() {
            return None;
        }
        let text = address.map_or("unix:".to_owned(), |address| address.to_string());
        Some(self.runtime.loans.lend(text.into_bytes()))
    }

    fn docroot(&mut self) -> Option<&[u8]> {
        let exchange = &*self.request.as_ref()?.exchange;
        Some(exchange.docroot.as_deref().unwrap_or(exchange.site_root()))
    }

    /// Root and path joined, or what a hook has made of it.
    fn physical(&mut self) -> Option<&[u8]> {
        if self.request.as_ref()?.exchange.physical.is_some() {
            return self.request.as_ref()?.exchange.physical.as_deref();
        }
        let mut joined = self.docroot()?.to_vec();
        while joined.last() == Some(&b'/') {
            joined.pop();
        }
        joined.extend_from_slice(&self.request.as_ref()?.exchange.path);
        Some(self.runtime.loans.lend(joined))
    }

    fn set_path_like(&mut self, what: u32, value: &[u8]) -> Code {
        let hook = self.hook();
        let Some(request) = &mut self.request else {
            return INVALID;
        };
        let exchange = &mut *request.exchange;
        let is_path = value.first() == Some(&b'/') && !value.contains(&0);
        let replaced = match what {
            what::TARGET if hook == Some(Hook::UrlRaw) => exchange.set_target(value).ok(),
            what::QUERY => exchange.request.set_query(value).ok(),
            what::PATH if is_path && exchange.point < Point::HandleSubrequest => {
                Some(exchange.set_path(value.to_vec()))
            }
            what::PATH if is_path && hook == Some(Hook::HandleSubrequest) => {
                Some(exchange.set_path(value.to_vec()))
            }
            what::DOCROOT if is_path && exchange.point <= Point::Docroot => {
                Some(exchange.docroot.replace(value.to_vec()).unwrap_or_default())
            }
            what::PHYSICAL if is_path && hook == Some(Hook::Physical) => Some(
                exchange
                    .physical
                    .replace(value.to_vec())
                    .unwrap_or_default(),
            ),
            _ => None,
        };
        let Some(replaced) = replaced else {
            return INVALID;
        };
        self.runtime.loans.replaced.push(replaced);
        GO_ON
    }
}

impl Asks for Call<'_> {
    fn get(&mut self, what: u32) -> Option<&[u8]> {
        match what {
            what::PEER => return self.address(true),
            what::LOCAL => return self.address(false),
            what::DOCROOT => return self.docroot(),
            what::PHYSICAL => return self.physical(),
            what::USER => {
                return self
                    .record()
                    .and_then(|record| record.asked())
                    .map(|asked| &asked.user[..])
                    .filter(|user| !user.is_empty());
            }
            _ => {}
        }
        let exchange = self.exchange()?;
        let request = &exchange.request;
        match what {
            what::PATH => Some(&exchange.path),
            what::TARGET => Some(request.target.slice(&request.head)),
            what::QUERY => request.query_bytes(),
            what::METHOD => Some(request.method_bytes()),
            what::PROTOCOL => Some(match request.version {
                Version::Http10 => b"HTTP/1.0",
                Version::Http11 => b"HTTP/1.1",
            }),
            what::HOST => request.authority.map(|span| span.slice(&request.head)),
            what::SCHEME => Some(b"http"),
            _ => None,
        }
    }

    fn set(&mut self, what: u32, value: &[u8]) -> Code {
        if what != what::USER {
            return self.set_path_like(what, value);
        }
        let is_text = !value.iter().any(u8::is_ascii_control);
        match self.record() {
            Some(record) if is_text => {
                let replaced = std::mem::replace(&mut record.more().user, value.to_vec());
                self.runtime.loans.replaced.push(replaced);
                // For the log, which asks when the record may be gone.
                if let Some(request) = &mut self.request {
                    request.exchange.user = Some(value.into());
                }
                GO_ON
            }
            _ => INVALID,
        }
    }

    fn header(&mut self, name: &[u8], nth: u32) -> Option<&[u8]> {
        let request = &self.exchange()?.request;
        request.fields.by_name(name, nth as usize, &request.head)
    }

    fn header_at(&mut self, index: u32) -> Option<(&[u8], &[u8])> {
        let request = &self.exchange()?.request;
        request.fields.at(index as usize, &request.head)
    }

    fn body_bytes(&mut self) -> Option<u64> {
        let exchange = self.exchange()?;
        body::length(exchange)
    }

    fn read_body(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize, Code> {
        let exchange = self.exchange().ok_or(INVALID)?;
        body::read(exchange, offset, buffer)
    }

    fn body_file(&mut self) -> Option<RawFd> {
        let exchange = self.exchange()?;
        exchange.body.file().map(|file| file.as_raw_fd())
    }

    fn request(&mut self) -> Id {
        let Some(record) = self.record() else {
            return 0;
        };
        let id = record.id;
        let is_new = record.ended.is_none() && !std::mem::replace(&mut record.is_known, true);
        if is_new {
            self.runtime.outside.publish(id);
        }
        id
    }

    fn connection(&mut self) -> Id {
        self.request
            .as_ref()
            .map_or(0, |request| id::of_connection(request.caller.id))
    }
}
