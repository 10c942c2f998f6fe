//! What a connection waits for after a call, and until when.

use super::connection::{Connection, Suspended};
use super::{Context, Deadline, State, Wait};
use std::mem;

impl Connection {
    /// Gives an empty output back and sets the deadline of whatever is waited for now.
    pub(super) fn settle(&mut self, cx: &mut Context<'_>) {
        if let Some(output) = self.output.take_if(|output| output.is_empty()) {
            cx.pool.give_output(output);
        }
        let wait = self.wait();
        let begins_wait = mem::take(&mut self.flags.begins_wait);
        if wait != self.deadline.wait() || (begins_wait && wait == Wait::Hook) {
            // Who has taken all that there was owes nothing.
            self.deadline = match self.output {
                Some(_) => self.deadline.followed_by(wait, cx.now, cx.limits),
                None => Deadline::new(wait, cx.now, cx.limits),
            };
            let wait_ms = self.exchange.as_ref().and_then(|exchange| exchange.wait_ms);
            if wait == Wait::Hook
                && let Some(wait_ms) = wait_ms
            {
                self.deadline = Deadline::of_hook(cx.now, wait_ms);
            }
            self.flags.is_half_closed = false;
            self.limit_half_closed(cx);
        }
    }

    /// A client that has shut its sending side is not waited for as long as others.
    pub(super) fn limit_half_closed(&mut self, cx: &Context<'_>) {
        if self.flags.has_ended && self.deadline.wait() == Wait::Hook {
            let ms = u64::try_from(cx.limits.half_close_timeout.as_millis()).unwrap_or(u64::MAX);
            let limited = self.deadline.not_after(cx.now.saturating_add(ms));
            let (deadline, is_earlier) = limited;
            self.deadline = deadline;
            self.flags.is_half_closed |= is_earlier;
        }
    }

    fn wait(&self) -> Wait {
        if self.flags.is_loading {
            return Wait::Disk;
        }
        if self.output.is_some() {
            return Wait::Write;
        }
        match self.state {
            State::Connect if self.flags.awaits_header => Wait::Head,
            State::Read => Wait::Head,
            State::ReadPost => {
                let body = self.exchange.as_ref().map(|exchange| &exchange.body);
                let is_waiting = body.is_some_and(|b| b.is_writing() || b.wants_append());
                if is_waiting { Wait::Disk } else { Wait::Body }
            }
            State::RequestEnd | State::HandleRequest => match self.suspended {
                Suspended::Disk => Wait::Disk,
                _ => Wait::Hook,
            },
            State::Close => Wait::Linger,
            _ => Wait::Idle,
        }
    }
}
