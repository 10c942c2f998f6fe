//! What a plugin is told and may do during one call: the host table over an exchange and the
//! runtime.
//!
//! `asks` reads and changes the request, `answers` makes the response, `demands` is what outlives
//! the call. INVARIANT: nothing here calls into a plugin; what must be called later is queued.

mod answers;
mod asks;
mod demands;

use super::instance::Instance;
use super::request::Record;
use super::runtime::Runtime;
use crate::conn::{Caller, Exchange};
use crate::sys::crash::Hook;
use std::rc::Rc;

/// One call into an instance.
pub(super) struct Call<'a> {
    pub(super) runtime: &'a mut Runtime,
    pub(super) instance: &'a Rc<Instance>,
    pub(super) request: Option<Subject<'a>>,
}

/// The request that a call is for.
pub(super) struct Subject<'a> {
    pub(super) exchange: &'a mut Exchange,
    pub(super) caller: Caller<'a>,
    pub(super) hook: Hook,
}

impl<'a> Call<'a> {
    /// A call that is for no request.
    pub(super) fn of_instance(runtime: &'a mut Runtime, instance: &'a Rc<Instance>) -> Self {
        Self {
            runtime,
            instance,
            request: None,
        }
    }

    fn is_own(&self, seat: usize) -> bool {
        seat == self.instance.guest.address()
    }

    fn exchange(&mut self) -> Option<&mut Exchange> {
        self.request.as_mut().map(|request| &mut *request.exchange)
    }

    fn record(&mut self) -> Option<&mut Record> {
        let ticket = self.request.as_ref()?.exchange.ticket;
        self.runtime.requests.get_mut(ticket)
    }

    fn hook(&self) -> Option<Hook> {
        self.request.as_ref().map(|request| request.hook)
    }

    /// Whether the response may still be made or changed.
    fn may_respond(&self) -> bool {
        matches!(
            self.hook(),
            Some(
                Hook::UrlRaw
                    | Hook::UrlClean
                    | Hook::Docroot
                    | Hook::Physical
                    | Hook::SubrequestStart
                    | Hook::HandleSubrequest
            )
        ) && self
            .request
            .as_ref()
            .is_some_and(|request| !request.exchange.stream.is_started())
    }

    fn complain(&mut self, text: &str) {
        let name = self.instance.name.clone();
        let id = self.record().map_or(0, |record| record.id);
        self.runtime.lines.add(&name, 1, text.as_bytes(), id);
    }
}
