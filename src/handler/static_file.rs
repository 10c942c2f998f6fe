//! Static files: path → look-up → 200, 206, 301, 304, 404, 412, 416.

use super::place::Place;
use super::{Files, LookUp};
use crate::conn::{Answer, Exchange, Handler, Id};
use crate::http::conditional::{self, Outcome, Preconditions, Validators};
use crate::http::negotiate;
use crate::http::range::{self, Part, Ranges};
use crate::http::{Body, Known, Method, Representation, Request, Response, Status, target};
use std::sync::Arc;

/// The methods that a file answers.
const ALLOW: &[u8] = b"GET, HEAD, OPTIONS";

/// How long a client that met a busy disk is asked to wait, seconds.
const RETRY_AFTER_SECS: &[u8] = b"1";

/// Ranges in one request; above it the whole file is sent (RFC 9110 §14.2 leaves that to us).
const RANGES_MAX: usize = 16;

/// The handler of static files.
#[derive(Debug)]
pub struct Static<F> {
    /// The files.
    pub files: F,
}

impl<F: Files> Handler for Static<F> {
    fn accepts(&mut self, exchange: &mut Exchange) -> bool {
        let status = match exchange.request.method {
            Method::Get | Method::Head | Method::Options => return true,
            Method::Other => Status::NOT_IMPLEMENTED,
            _ => Status::METHOD_NOT_ALLOWED,
        };
        exchange.response.set_error(status);
        if status == Status::METHOD_NOT_ALLOWED {
            exchange.response.push_field("Allow", ALLOW);
        }
        false
    }

    fn answer(&mut self, exchange: &mut Exchange, asker: Id) -> Answer {
        if exchange.request.method == Method::Options {
            exchange.response.status = Status::NO_CONTENT;
            exchange.response.push_field("Allow", ALLOW);
            return Answer::Ready;
        }
        let found = self.find(exchange, asker);
        let Exchange {
            request,
            path,
            response,
            ..
        } = exchange;
        match found {
            LookUp::Found(file) => answer_file(request, response, &file),
            LookUp::Directory => redirect(request, path, response),
            LookUp::Missing(status) if status != Status::SERVICE_UNAVAILABLE => {
                response.set_error(status);
            }
            LookUp::Missing(_) | LookUp::Busy => {
                response.set_error(Status::SERVICE_UNAVAILABLE);
                response.push_field("Retry-After", RETRY_AFTER_SECS);
            }
            LookUp::Pending => return Answer::Pending,
        }
        Answer::Ready
    }
}

impl<F: Files> Static<F> {
    /// What the request's path, or the place that a plugin has chosen for it, stands for.
    fn find(&mut self, exchange: &Exchange, asker: Id) -> LookUp {
        let Some(Place { root, path }) = Place::of(exchange) else {
            return LookUp::Missing(Status::FORBIDDEN);
        };
        let accepted = exchange.request.field(Known::AcceptEncoding);
        let accepted = negotiate::parse(accepted.as_deref());
        let (files, site) = (&mut self.files, exchange.site());
        let mut look_up =
            |path: &[u8]| files.look_up(site, root.as_deref(), path, &accepted, asker);
        match look_up(&path) {
            // The client has named a directory properly; the plugin has left the slash out.
            LookUp::Directory if exchange.path.ends_with(b"/") => {
                look_up(&[&path, &b"/"[..]].concat())
            }
            found => found,
        }
    }
}

fn answer_file(request: &Request, response: &mut Response, file: &Arc<Representation>) {
    let validators = Validators {
        etag: Some(file.etag()),
        last_modified: Some(file.identity.modified.unix_secs),
    };
    match evaluate(request, &validators) {
        Outcome::NotModified => {
            response.status = Status::NOT_MODIFIED;
            response.push_lines(file.cache_fields());
        }
        Outcome::Failed => response.set_error(Status::PRECONDITION_FAILED),
        Outcome::Proceed => match ranges(request, &validators, file.bytes()) {
            Ranges::Whole => send_whole(response, file),
            Ranges::Unsatisfiable => {
                response.set_error(Status::RANGE_NOT_SATISFIABLE);
                response.push_with("Content-Range", |value| {
                    range::content_range_unsatisfied(value, file.bytes());
                });
            }
            Ranges::Parts(parts) => send_parts(response, file, parts),
        },
    }
}

/// The four preconditions (RFC 9110 §13.2).
fn evaluate(request: &Request, validators: &Validators<'_>) -> Outcome {
    let if_match = request.field(Known::IfMatch);
    let if_none_match = request.field(Known::IfNoneMatch);
    let if_modified_since = request.field(Known::IfModifiedSince);
    let if_unmodified_since = request.field(Known::IfUnmodifiedSince);
    let preconditions = Preconditions {
        if_match: if_match.as_deref(),
        if_none_match: if_none_match.as_deref(),
        if_modified_since: if_modified_since.as_deref(),
        if_unmodified_since: if_unmodified_since.as_deref(),
    };
    conditional::evaluate(&preconditions, validators, true)
}

/// Which bytes are asked for. Range is defined for GET only (RFC 9110 §14.2), and does not count
/// where If-Range names another representation (§13.1.5).
fn ranges(request: &Request, validators: &Validators<'_>, size: u64) -> Ranges {
    let Some(value) = request.field(Known::Range) else {
        return Ranges::Whole;
    };
    let is_meant = request
        .field(Known::IfRange)
        .is_none_or(|validator| conditional::if_range_holds(&validator, validators));
    if request.method != Method::Get || !is_meant {
        return Ranges::Whole;
    }
    range::parse(&value, size, RANGES_MAX)
}

fn send_whole(response: &mut Response, file: &Arc<Representation>) {
    response.push_field("Content-Type", file.content_type.as_bytes());
    response.push_lines(file.fields());
    let whole = file
        .bytes()
        .checked_sub(1)
        .map(|last| Part { first: 0, last });
    response.body = Body::File(Arc::clone(file), whole);
}

fn send_parts(response: &mut Response, file: &Arc<Representation>, parts: Vec<Part>) {
    response.status = Status::PARTIAL_CONTENT;
    response.push_lines(file.fields());
    if let [part] = parts[..] {
        response.push_field("Content-Type", file.content_type.as_bytes());
        response.push_with("Content-Range", |value| {
            range::content_range(value, part, file.bytes());
        });
        response.body = Body::File(Arc::clone(file), Some(part));
        return;
    }
    let boundary = boundary(file);
    response.push_with("Content-Type", |value| {
        value.extend_from_slice(b"multipart/byteranges; boundary=");
        value.extend_from_slice(boundary.as_bytes());
    });
    response.body = Body::Parts(Arc::clone(file), parts.into(), boundary);
}

/// A line that hardly any file holds: it differs with each version of each file, so that nobody
/// can write it into a file beforehand that shows up unchanged.
fn boundary(file: &Representation) -> String {
    let identity = &file.identity;
    let seed = identity.inode ^ identity.bytes.rotate_left(32) ^ identity.changed.unix_secs;
    format!("swiftd-{:016x}{:08x}", seed, identity.changed.nanos)
}

/// A directory is named with a slash at its end, else relative links would miss it.
fn redirect(request: &Request, path: &[u8], response: &mut Response) {
    response.set_error(Status::MOVED_PERMANENTLY);
    response.push_with("Location", |value| {
        target::encode_path(path, value);
        value.push(b'/');
        if let Some(query) = request.query_bytes() {
            value.push(b'?');
            target::encode_query(query, value);
        }
    });
}
