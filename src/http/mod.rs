//! HTTP messages: bytes to values and values to bytes (RFC 9110, RFC 9112).
//!
//! Nothing here knows a connection, a socket, a file or the time. `httparse` splits a head and
//! `memchr` finds its end; everything that they let pass and the RFCs forbid is refused here.
//!
//! | module | what |
//! |---|---|
//! | [`parse`] | head bytes → [`Request`] |
//! | [`request`], [`fields`] | the request and its field lines, as ranges into the head |
//! | [`target`] | request-target → path and query |
//! | [`body`], [`chunked`] | framing; the chunked coding |
//! | [`representation`] | what a file holds, as its metadata and its bytes or a descriptor |
//! | [`response`], [`encode`] | a response, and its bytes |
//! | [`amendments`] | what is to be changed in the fields of whatever response follows |
//! | [`conditional`], [`range`], [`negotiate`] | preconditions, ranges, content codings |
//! | [`status`], [`date`], [`error`] | status codes, dates, what a peer did wrong |

pub mod amendments;
pub mod body;
pub mod chunked;
pub mod conditional;
pub mod date;
pub mod encode;
pub mod error;
pub mod fields;
pub mod negotiate;
pub mod parse;
pub mod range;
pub mod representation;
pub mod request;
pub mod response;
pub mod status;
pub mod target;

pub use amendments::Amendments;
pub use error::Error;
pub use fields::{Known, Span};
pub use representation::{Content, MediaType, Representation};
pub use request::{Method, Request, Version};
pub use response::{Body, Response, SharedBytes};
pub use status::Status;
