//! How a plugin responds.

use super::Call;
use crate::http::fields::is_framing;
use crate::http::{Body, Status};
use crate::plugin::body;
use crate::sys::abi::{AGAIN, Answers, GO_ON, INVALID, Lent, Rc as Code, mode};
use crate::sys::crash::Hook;
use std::os::fd::OwnedFd;
use std::rc::Rc;

impl Answers for Call<'_> {
    fn set_status(&mut self, status: u32) -> Code {
        let status = u16::try_from(status)
            .ok()
            .and_then(Status::new)
            .filter(|status| status.code() >= 200);
        match (self.may_respond(), status, self.exchange()) {
            (true, Some(status), Some(exchange)) => {
                exchange.response.set_status(status);
                GO_ON
            }
            _ => INVALID,
        }
    }

    fn set_header(&mut self, how: u32, name: &[u8], value: &[u8]) -> Code {
        if !self.may_respond() || !body::is_field(name, value) || how > mode::REMOVE {
            return INVALID;
        }
        if is_framing(name) {
            return INVALID;
        }
        let is_owner = self.hook() == Some(Hook::HandleSubrequest);
        let Some(exchange) = self.exchange() else {
            return INVALID;
        };
        let (amendments, response) = (&mut exchange.amendments, &mut exchange.response);
        match (is_owner, how) {
            (false, mode::SET) => amendments.set(name, value),
            (false, mode::ADD) => amendments.add(name, value),
            (false, _) => amendments.remove(name),
            (true, mode::SET) => response.set_field(name, value),
            (true, mode::ADD) => response.add_field(name, value),
            (true, _) => response.remove_field(name),
        }
        GO_ON
    }

    fn set_body(&mut self, bytes: &[u8]) -> Code {
        match (self.may_respond(), self.exchange()) {
            (true, Some(exchange)) => {
                exchange.response.body = Body::Bytes(bytes.to_vec());
                GO_ON
            }
            _ => INVALID,
        }
    }

    fn set_own_body(&mut self, bytes: Lent) -> Code {
        let shared = body::Borrowed::new(bytes, self.instance, &self.runtime.releases);
        match (self.may_respond(), self.exchange()) {
            (true, Some(exchange)) => {
                exchange.response.body = Body::Shared(Rc::new(shared));
                GO_ON
            }
            // What was lent is let go by itself.
            _ => INVALID,
        }
    }

    fn discard(&mut self, bytes: Lent) {
        // Letting it go is queued.
        drop(body::Borrowed::new(
            bytes,
            self.instance,
            &self.runtime.releases,
        ));
    }

    fn set_file(&mut self, file: OwnedFd, offset: u64, bytes: u64) -> Result<(), (OwnedFd, Code)> {
        let may_respond = self.may_respond();
        let Some(exchange) = self.exchange().filter(|_| may_respond) else {
            return Err((file, INVALID));
        };
        let body = body::of_file(file, offset, bytes).map_err(|file| (file, INVALID))?;
        exchange.response.body = body;
        Ok(())
    }

    fn start(&mut self) -> Code {
        if self.hook() != Some(Hook::HandleSubrequest) || !self.may_respond() {
            return INVALID;
        }
        self.exchange().map_or(INVALID, |exchange| {
            exchange.stream.start();
            GO_ON
        })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize, Code> {
        if self.hook() != Some(Hook::HandleSubrequest) {
            return Err(INVALID);
        }
        let exchange = self.exchange().ok_or(INVALID)?;
        if !exchange.stream.is_started() || exchange.stream.is_ended() {
            return Err(INVALID);
        }
        if bytes.is_empty() {
            return Ok(0);
        }
        exchange.stream.write(bytes).ok_or(AGAIN)
    }

    fn end(&mut self) -> Code {
        match (self.hook(), self.exchange()) {
            (Some(Hook::HandleSubrequest), Some(exchange)) if exchange.stream.is_started() => {
                exchange.stream.end();
                GO_ON
            }
            _ => INVALID,
        }
    }

    fn response(&mut self) -> (u32, u64) {
        self.exchange().map_or((0, 0), |exchange| {
            let (response, stream) = (&exchange.response, &exchange.stream);
            let bytes = stream.written_bytes() + response.body.bytes();
            // The server's own answers have another status, or content.
            let is_there =
                response.is_complete() || stream.is_started() || response.status != Status::OK;
            let status = if is_there { response.status.code() } else { 0 };
            (status.into(), bytes)
        })
    }
}
