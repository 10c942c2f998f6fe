//! The states of a connection and the only table of what may follow what.
//!
//! They are listed in the order in which an exchange passes them. A state is a name and nothing
//! else; what a connection holds while it is in one lives in [`Connection`](super::Connection).

/// Where a connection is in the life of an exchange.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum State {
    /// Accepted; nothing has been received, but perhaps a part of a proxy's header.
    Connect,
    /// Between exchanges: the next request's first byte is awaited.
    RequestStart,
    /// A head is arriving.
    Read,
    /// The head is complete; the hooks that see it alone decide who answers.
    RequestEnd,
    /// A body is arriving.
    ReadPost,
    /// Whoever answers is at work, or waits for the disk or an event.
    HandleRequest,
    /// A response is there and its head is to be encoded.
    ResponseStart,
    /// The response is being sent.
    Write,
    /// The response has been handed over; the exchange is let go.
    ResponseEnd,
    /// The peer did wrong: it is told so once, then the connection ends.
    Error,
    /// The sending side ends; what the peer still sends is drained for a bounded time.
    Close,
}

impl State {
    /// All states, in order.
    pub const ALL: [Self; 11] = [
        Self::Connect,
        Self::RequestStart,
        Self::Read,
        Self::RequestEnd,
        Self::ReadPost,
        Self::HandleRequest,
        Self::ResponseStart,
        Self::Write,
        Self::ResponseEnd,
        Self::Error,
        Self::Close,
    ];

    /// Whether `next` may follow. Every state may be cut short by a reset, so `Close` always may.
    #[must_use]
    pub fn may_become(self, next: Self) -> bool {
        use State::{
            Close, Connect, Error, HandleRequest, Read, ReadPost, RequestEnd, RequestStart,
            ResponseEnd, ResponseStart, Write,
        };
        let followers: &[Self] = match self {
            Connect => &[RequestStart],
            RequestStart => &[Read],
            // Who asks too often is answered at once.
            Read => &[RequestEnd, ResponseStart, Error],
            RequestEnd => &[ReadPost, HandleRequest, ResponseStart, Error],
            ReadPost => &[HandleRequest, Error],
            // A plugin that changed its mind starts over at the head (COMEBACK).
            HandleRequest => &[RequestEnd, ResponseStart, Error],
            ResponseStart => &[Write],
            Write => &[ResponseEnd],
            ResponseEnd => &[RequestStart],
            Error => &[ResponseStart],
            Close => &[],
        };
        next == Close || followers.contains(&next)
    }

    /// The name in logs and on the status page.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::RequestStart => "request_start",
            Self::Read => "read",
            Self::RequestEnd => "request_end",
            Self::ReadPost => "read_post",
            Self::HandleRequest => "handle_request",
            Self::ResponseStart => "response_start",
            Self::Write => "write",
            Self::ResponseEnd => "response_end",
            Self::Error => "error",
            Self::Close => "close",
        }
    }
}

const _: () = assert!(size_of::<State>() == 1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_can_be_reached_and_ends_in_close() {
        for state in State::ALL {
            let is_entered = State::ALL
                .iter()
                .any(|from| *from != state && from.may_become(state));
            assert!(is_entered || state == State::Connect, "{}", state.name());
            assert!(state.may_become(State::Close));
        }
    }

    #[test]
    fn nothing_follows_close() {
        for state in State::ALL {
            assert_eq!(State::Close.may_become(state), state == State::Close);
        }
    }

    #[test]
    fn an_error_is_answered_at_most_once() {
        // From the start of a response there is no way back to `Error`.
        for state in [
            State::ResponseStart,
            State::Write,
            State::ResponseEnd,
            State::Close,
        ] {
            assert!(!state.may_become(State::Error));
        }
    }
}
