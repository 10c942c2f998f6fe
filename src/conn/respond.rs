//! From a response to what is sent: its head, its content, and the chunks of one that is still
//! being made.

use super::connection::{Connection, HAS_EXCHANGE};
use super::{Context, Exchange, Output, Stream};
use crate::http::chunked;
use crate::http::encode::{self, Framing, Persistence};
use crate::http::{Body, Method, Version, range};
use std::rc::Rc;
use std::sync::Arc;

/// The last chunk, and no trailer.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

impl Connection {
    /// Queues the response, or what is missing of it.
    pub(super) fn queue_response(&mut self, cx: &mut Context<'_>) {
        let exchange = self.exchange.as_mut().expect(HAS_EXCHANGE);
        if exchange.stream.is_started() {
            return self.queue_stream(cx);
        }
        put_page(exchange);
        let framing = Framing::Length(exchange.response.body.bytes());
        self.queue_head(framing, cx);
        let exchange = self.exchange.as_ref().expect(HAS_EXCHANGE);
        if has_content(exchange) {
            let output = self.output.get_or_insert_with(|| cx.pool.take_output());
            push_body(&exchange.response.body, output);
        }
    }

    /// Decides whether the connection goes on behind the response, and queues the response's head.
    fn queue_head(&mut self, framing: Framing, cx: &mut Context<'_>) {
        let exchange = self.exchange.as_mut().expect(HAS_EXCHANGE);
        if let Some(host) = exchange
            .host
            .as_deref()
            .filter(|host| !host.fields.is_empty())
        {
            host.amend(&exchange.path, exchange.is_claimed, &mut exchange.response);
        }
        let (request, response) = (&exchange.request, &exchange.response);
        // When it is the server that ends the connection, the client may already have sent more.
        let is_last = cx.is_draining
            || self.requests >= cx.limits.requests_max
            || framing == Framing::UntilClose;
        self.flags.lingers |= is_last && request.keeps_alive;
        self.flags.ends |= is_last || !request.keeps_alive;
        let persistence = if self.flags.ends {
            Persistence::Close
        } else {
            Persistence::KeepAlive
        };
        let output = self.output.get_or_insert_with(|| cx.pool.take_output());
        encode::head(
            response,
            framing,
            request.version,
            persistence,
            &exchange.amendments,
            cx.stamp,
            output.bytes_mut(),
        );
    }

    // ---- streams --------------------------------------------------------------------------

    /// Tells the stream how much it may take, before its owner is called.
    pub(super) fn prepare_stream(&mut self, is_short: bool) {
        let backlog_bytes = self.backlog_bytes();
        let exchange = self.exchange.as_mut().expect(HAS_EXCHANGE);
        let is_to_head = exchange.request.method == Method::Head;
        exchange.stream.set_backlog(backlog_bytes, is_to_head);
        exchange.stream.set_short(is_short);
    }

    /// Queues what the owner has written so far, the head before it.
    pub(super) fn queue_stream(&mut self, cx: &mut Context<'_>) {
        let exchange = self.exchange.as_mut().expect(HAS_EXCHANGE);
        let has_content = has_content(exchange);
        let stream = &mut exchange.stream;
        if !stream.is_sending() {
            let framing = match exchange.request.version {
                // A response like any other: all of it is there before its head is due.
                _ if stream.is_ended() => Framing::Length(stream.written_bytes()),
                Version::Http11 => Framing::Chunked,
                Version::Http10 => Framing::UntilClose,
            };
            stream.begin_sending(framing == Framing::Chunked && has_content);
            stream.set_backlog(0, !has_content);
            self.queue_head(framing, cx);
        }
        let exchange = self.exchange.as_mut().expect(HAS_EXCHANGE);
        let output = self.output.get_or_insert_with(|| cx.pool.take_output());
        output.compact();
        push_chunks(&mut exchange.stream, output.bytes_mut());
    }

    /// Whether the owner of a stream waits for room and has some now.
    pub(super) fn has_room_for_owner(&mut self) -> bool {
        let backlog_bytes = self.backlog_bytes();
        let exchange = self.exchange.as_mut();
        exchange.is_some_and(|exchange| exchange.stream.take_room(backlog_bytes))
    }

    fn backlog_bytes(&self) -> usize {
        self.output
            .as_ref()
            .map_or(0, |output| output.unsent_bytes())
    }
}

/// The host's page goes in the place of ours, if it has one for the status.
fn put_page(exchange: &mut Exchange) {
    if !exchange.response.is_page() {
        return;
    }
    let host = exchange.host.as_deref();
    if let Some(page) = host.and_then(|host| host.error_page(exchange.response.status)) {
        let content = Rc::new(Arc::clone(&page.content));
        exchange
            .response
            .replace_page(page.content_type.as_bytes(), content);
    }
}

/// Whether a response has content that is sent, by its request and its status.
pub(super) fn has_content(exchange: &Exchange) -> bool {
    exchange.request.method != Method::Head && exchange.response.status.allows_body()
}

/// Moves what a stream has taken to where it is sent from.
fn push_chunks(stream: &mut Stream, bytes: &mut Vec<u8>) {
    let is_chunked = stream.is_chunked();
    let buffer = stream.buffer();
    if !buffer.is_empty() {
        if is_chunked {
            chunked::encode_chunk_head(buffer.len(), bytes);
        }
        bytes.append(buffer);
        if is_chunked {
            bytes.extend_from_slice(b"\r\n");
        }
    }
    if stream.finish_sending() && is_chunked {
        bytes.extend_from_slice(LAST_CHUNK);
    }
}

/// Queues the content of a response.
fn push_body(body: &Body, output: &mut Output) {
    match body {
        Body::Empty | Body::File(_, None) => {}
        Body::Bytes(bytes) => output.bytes_mut().extend_from_slice(bytes),
        Body::Shared(bytes) => output.push_shared(bytes),
        Body::File(file, Some(part)) => output.push_file(file, *part),
        Body::Parts(file, parts, boundary) => {
            for &part in parts {
                let bytes = output.bytes_mut();
                range::part_head(bytes, boundary, &file.content_type, part, file.bytes());
                output.push_file(file, part);
            }
            range::closing_line(output.bytes_mut(), boundary);
        }
    }
}
