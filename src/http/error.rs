//! What a peer did wrong, and the status code that tells it so.
//!
//! This is the first of the four kinds of errors in swiftd: the peer's. Each variant is one broken
//! rule of the protocol, so that a log line and a test can name the rule and not only the status
//! code. "Need more bytes" is a value elsewhere and never an error here.
//!
//! It must not know connections, configuration or the bytes that were wrong: nothing that a peer
//! sent is kept, so nothing of it can leak into a log or a response.
//!
//! Invariant: every variant maps to a status of class 4xx or 5xx, and after any of them the
//! connection closes.

use std::fmt;

use super::status::Status;

/// A rule of HTTP/1.x that the peer broke, or a bound of ours that it exceeded.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The request line is not `method SP request-target SP HTTP-version` (RFC 9112 §3).
    RequestLine,
    /// The method is empty or not a token (RFC 9110 §9.1).
    MethodInvalid,
    /// The version is not `HTTP/` DIGIT `.` DIGIT (RFC 9112 §2.3).
    VersionInvalid,
    /// The major version is well-formed but not 1 (RFC 9110 §15.6.6).
    VersionUnsupported,
    /// A CR is not followed by LF (RFC 9112 §2.2).
    BareCr,
    /// A line of the head ends with LF alone (RFC 9112 §2.2).
    BareLf,
    /// A field continues on the next line, obs-fold (RFC 9112 §5.2).
    FoldedField,
    /// Whitespace stands between a field name and its colon (RFC 9112 §5.1).
    SpaceBeforeColon,
    /// A field name is empty or not a token (RFC 9110 §5.1).
    FieldName,
    /// A field value contains a control byte (RFC 9110 §5.5).
    FieldValue,
    /// The head is larger than we accept (RFC 6585 §5).
    HeadTooLarge,
    /// The head has more fields than we accept (RFC 6585 §5).
    TooManyFields,
    /// The request-target is longer than we accept (RFC 9110 §15.5.15).
    TargetTooLong,
    /// The request-target has none of the four forms, or a byte that no URI has (RFC 9112 §3.2).
    TargetInvalid,
    /// An HTTP/1.1 request has no Host field (RFC 9112 §3.2).
    HostMissing,
    /// A request has more than one Host field (RFC 9112 §3.2).
    HostRepeated,
    /// The Host field is not `uri-host [":" port]` (RFC 9112 §3.2, RFC 9110 §7.2).
    HostInvalid,
    /// Content-Length is not 1*DIGIT, or does not fit 64 bits (RFC 9110 §8.6).
    ContentLengthInvalid,
    /// Content-Length occurs twice, as two fields or as a list (RFC 9112 §6.3).
    ContentLengthRepeated,
    /// Content-Length and Transfer-Encoding occur together (RFC 9112 §6.3).
    ContentLengthWithTransferEncoding,
    /// An HTTP/1.0 request has Transfer-Encoding (RFC 9112 §6.1).
    TransferEncodingInHttp10,
    /// A transfer coding other than `chunked` (RFC 9112 §6.1).
    TransferEncodingUnknown,
    /// `chunked` is applied twice or is not the last coding, or the field occurs twice
    /// (RFC 9112 §6.1).
    TransferEncodingRepeated,
    /// A chunk size is not 1*HEXDIG, or does not fit 64 bits (RFC 9112 §7.1).
    ChunkSize,
    /// A chunk extension is malformed or too long (RFC 9112 §7.1.1).
    ChunkExtension,
    /// A chunk's size line or its data does not end with CRLF (RFC 9112 §7.1).
    ChunkLineEnd,
    /// A trailer field is malformed (RFC 9112 §7.1.2).
    TrailerInvalid,
    /// The trailer section is larger than we accept (RFC 6585 §5).
    TrailerTooLarge,
    /// The body is larger than we accept (RFC 9110 §15.5.14).
    BodyTooLarge,
    /// The peer ended its side before the body was complete (RFC 9112 §8).
    BodyIncomplete,
    /// An Expect other than `100-continue` (RFC 9110 §10.1.1).
    ExpectationFailed,
    /// The head did not arrive in time (RFC 9110 §15.5.9).
    HeadTimeout,
    /// The body did not arrive in time (RFC 9110 §15.5.9).
    BodyTimeout,
}

impl Error {
    /// The status that the peer is told (RFC 9110 §15.5 and §15.6).
    pub fn status(self) -> Status {
        match self {
            Self::VersionUnsupported => Status::HTTP_VERSION_NOT_SUPPORTED,
            Self::TransferEncodingUnknown => Status::NOT_IMPLEMENTED,
            Self::HeadTooLarge | Self::TooManyFields | Self::TrailerTooLarge => {
                Status::REQUEST_HEADER_FIELDS_TOO_LARGE
            }
            Self::TargetTooLong => Status::URI_TOO_LONG,
            Self::BodyTooLarge => Status::CONTENT_TOO_LARGE,
            Self::ExpectationFailed => Status::EXPECTATION_FAILED,
            Self::HeadTimeout | Self::BodyTimeout => Status::REQUEST_TIMEOUT,
            Self::RequestLine
            | Self::MethodInvalid
            | Self::VersionInvalid
            | Self::BareCr
            | Self::BareLf
            | Self::FoldedField
            | Self::SpaceBeforeColon
            | Self::FieldName
            | Self::FieldValue
            | Self::TargetInvalid
            | Self::HostMissing
            | Self::HostRepeated
            | Self::HostInvalid
            | Self::ContentLengthInvalid
            | Self::ContentLengthRepeated
            | Self::ContentLengthWithTransferEncoding
            | Self::TransferEncodingInHttp10
            | Self::TransferEncodingRepeated
            | Self::ChunkSize
            | Self::ChunkExtension
            | Self::ChunkLineEnd
            | Self::TrailerInvalid
            | Self::BodyIncomplete => Status::BAD_REQUEST,
        }
    }

    /// The reason as one short lowercase phrase, for the log.
    pub fn reason(self) -> &'static str {
        match self {
            Self::RequestLine => "malformed request line (RFC 9112 §3)",
            Self::MethodInvalid => "method is not a token (RFC 9110 §9.1)",
            Self::VersionInvalid => "malformed HTTP version (RFC 9112 §2.3)",
            Self::VersionUnsupported => "HTTP version is not 1.x (RFC 9110 §15.6.6)",
            Self::BareCr => "bare CR in the head (RFC 9112 §2.2)",
            Self::BareLf => "bare LF in the head (RFC 9112 §2.2)",
            Self::FoldedField => "folded field line (RFC 9112 §5.2)",
            Self::SpaceBeforeColon => "space before the colon of a field (RFC 9112 §5.1)",
            Self::FieldName => "field name is not a token (RFC 9110 §5.1)",
            Self::FieldValue => "control byte in a field value (RFC 9110 §5.5)",
            Self::HeadTooLarge => "head too large (RFC 6585 §5)",
            Self::TooManyFields => "too many fields (RFC 6585 §5)",
            Self::TargetTooLong => "request-target too long (RFC 9110 §15.5.15)",
            Self::TargetInvalid => "malformed request-target (RFC 9112 §3.2)",
            Self::HostMissing => "no Host field (RFC 9112 §3.2)",
            Self::HostRepeated => "more than one Host field (RFC 9112 §3.2)",
            Self::HostInvalid => "malformed Host field (RFC 9110 §7.2)",
            Self::ContentLengthInvalid => "malformed Content-Length (RFC 9110 §8.6)",
            Self::ContentLengthRepeated => "more than one Content-Length (RFC 9112 §6.3)",
            Self::ContentLengthWithTransferEncoding => {
                "both Content-Length and Transfer-Encoding (RFC 9112 §6.3)"
            }
            Self::TransferEncodingInHttp10 => "Transfer-Encoding in HTTP/1.0 (RFC 9112 §6.1)",
            Self::TransferEncodingUnknown => "unknown transfer coding (RFC 9112 §6.1)",
            Self::TransferEncodingRepeated => "chunked twice or not last (RFC 9112 §6.1)",
            Self::ChunkSize => "malformed chunk size (RFC 9112 §7.1)",
            Self::ChunkExtension => "malformed or too long chunk extension (RFC 9112 §7.1.1)",
            Self::ChunkLineEnd => "chunk line does not end with CRLF (RFC 9112 §7.1)",
            Self::TrailerInvalid => "malformed trailer field (RFC 9112 §7.1.2)",
            Self::TrailerTooLarge => "trailer section too large (RFC 6585 §5)",
            Self::BodyTooLarge => "body too large (RFC 9110 §15.5.14)",
            Self::BodyIncomplete => "peer ended before its body did (RFC 9112 §8)",
            Self::ExpectationFailed => "unknown expectation (RFC 9110 §10.1.1)",
            Self::HeadTimeout => "head did not arrive in time (RFC 9110 §15.5.9)",
            Self::BodyTimeout => "body did not arrive in time (RFC 9110 §15.5.9)",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for Error {}

const _: () = assert!(size_of::<Error>() == 1);

#[cfg(test)]
mod tests {
    use super::*;

    /// Every variant with the code that a client sees; a change of either is a change of behaviour.
    const CODES: &[(Error, u16)] = &[
        (Error::RequestLine, 400),
        (Error::MethodInvalid, 400),
        (Error::VersionInvalid, 400),
        (Error::VersionUnsupported, 505),
        (Error::BareCr, 400),
        (Error::BareLf, 400),
        (Error::FoldedField, 400),
        (Error::SpaceBeforeColon, 400),
        (Error::FieldName, 400),
        (Error::FieldValue, 400),
        (Error::HeadTooLarge, 431),
        (Error::TooManyFields, 431),
        (Error::TargetTooLong, 414),
        (Error::TargetInvalid, 400),
        (Error::HostMissing, 400),
        (Error::HostRepeated, 400),
        (Error::HostInvalid, 400),
        (Error::ContentLengthInvalid, 400),
        (Error::ContentLengthRepeated, 400),
        (Error::ContentLengthWithTransferEncoding, 400),
        (Error::TransferEncodingInHttp10, 400),
        (Error::TransferEncodingUnknown, 501),
        (Error::TransferEncodingRepeated, 400),
        (Error::ChunkSize, 400),
        (Error::ChunkExtension, 400),
        (Error::ChunkLineEnd, 400),
        (Error::TrailerInvalid, 400),
        (Error::TrailerTooLarge, 431),
        (Error::BodyTooLarge, 413),
        (Error::BodyIncomplete, 400),
        (Error::ExpectationFailed, 417),
        (Error::HeadTimeout, 408),
        (Error::BodyTimeout, 408),
    ];

    #[test]
    fn every_error_has_its_status() {
        for &(error, code) in CODES {
            assert_eq!(error.status().code(), code, "{error:?}");
            assert!(error.status().is_error());
        }
    }

    #[test]
    fn reasons_are_short_and_differ() {
        for (index, (error, _)) in CODES.iter().enumerate() {
            let reason = error.to_string();
            assert!(
                !reason.is_empty() && reason.chars().count() <= 60,
                "{reason}"
            );
            assert!(!reason.starts_with(char::is_lowercase) || !reason.ends_with('.'));
            assert!(
                CODES[..index]
                    .iter()
                    .all(|(other, _)| other.to_string() != reason)
            );
        }
    }
}
