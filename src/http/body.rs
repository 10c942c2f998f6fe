//! Where a request's body ends.
//!
//! [`framing`] decides from the fields; everything on which a server and a proxy before it could
//! disagree is refused, because that disagreement is how requests are smuggled (RFC 9112 §11.2).
//! It must not know how a body is received: the chunked coding is in `chunked`.

use super::error::Error;

/// How the end of a request's body is found (RFC 9112 §6.3).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    None,
    /// This many bytes follow, possibly none.
    Length(u64),
    /// The chunked coding tells.
    Chunked,
}

/// Decides the framing from all values of the two fields, in their order (RFC 9112 §6.3).
///
/// Stricter than the RFC, which lets equal lengths be merged and Transfer-Encoding override
/// Content-Length.
pub fn framing<'a>(
    is_http_11: bool,
    mut content_length: impl Iterator<Item = &'a [u8]>,
    mut transfer_encoding: impl Iterator<Item = &'a [u8]>,
) -> Result<Framing, Error> {
    match (content_length.next(), transfer_encoding.next()) {
        (None, None) => Ok(Framing::None),
        (Some(value), None) => {
            if content_length.next().is_some() {
                return Err(Error::ContentLengthRepeated);
            }
            parse_length(value).map(Framing::Length)
        }
        // HTTP/1.0 does not know the field: some proxies would not have heeded it (RFC 9112 §6.1).
        (_, Some(_)) if !is_http_11 => Err(Error::TransferEncodingInHttp10),
        (Some(_), Some(_)) => Err(Error::ContentLengthWithTransferEncoding),
        (None, Some(value)) => {
            if transfer_encoding.next().is_some() {
                return Err(Error::TransferEncodingRepeated);
            }
            check_coding(value)
        }
    }
}

/// `Content-Length = 1*DIGIT` (RFC 9110 §8.6): no sign, no space, no list.
fn parse_length(value: &[u8]) -> Result<u64, Error> {
    if value.contains(&b',') {
        return Err(Error::ContentLengthRepeated);
    }
    if value.is_empty() {
        return Err(Error::ContentLengthInvalid);
    }
    value
        .iter()
        .try_fold(0_u64, |length, byte| {
            let digit = char::from(*byte).to_digit(10)?;
            length.checked_mul(10)?.checked_add(u64::from(digit))
        })
        .ok_or(Error::ContentLengthInvalid)
}

/// Only the single coding `chunked` is known. Where it is not last, nobody can tell where the body
/// ends (RFC 9112 §6.3); before it, the coding is unknown to us (§6.1).
fn check_coding(value: &[u8]) -> Result<Framing, Error> {
    let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    if is_chunked(value) {
        return Ok(Framing::Chunked);
    }
    let mut codings = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    let _last = codings.next_back();
    Err(if codings.any(is_chunked) {
        Error::TransferEncodingRepeated
    } else {
        Error::TransferEncodingUnknown
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn framing_is_decided_or_refused() {
        use Framing::{Chunked, Length};
        type Case = (
            &'static [&'static str],
            &'static [&'static str],
            Result<Framing, Error>,
        );
        let cases: &[Case] = &[
            (&[], &[], Ok(Framing::None)),
            (&["0"], &[], Ok(Length(0))),
            (&["007"], &[], Ok(Length(7))),
            (&["18446744073709551615"], &[], Ok(Length(u64::MAX))),
            (
                &["18446744073709551616"],
                &[],
                Err(Error::ContentLengthInvalid),
            ),
            (
                &["99999999999999999999999999"],
                &[],
                Err(Error::ContentLengthInvalid),
            ),
            (&[""], &[], Err(Error::ContentLengthInvalid)),
            (&["+5"], &[], Err(Error::ContentLengthInvalid)),
            (&["-5"], &[], Err(Error::ContentLengthInvalid)),
            (&["0x5"], &[], Err(Error::ContentLengthInvalid)),
            (&["5 5"], &[], Err(Error::ContentLengthInvalid)),
            (&[" 5"], &[], Err(Error::ContentLengthInvalid)),
            (&["5;"], &[], Err(Error::ContentLengthInvalid)),
            (&["\u{0665}"], &[], Err(Error::ContentLengthInvalid)),
            (&["5, 5"], &[], Err(Error::ContentLengthRepeated)),
            (&["5,"], &[], Err(Error::ContentLengthRepeated)),
            (&["5", "5"], &[], Err(Error::ContentLengthRepeated)),
            (&["5", "6"], &[], Err(Error::ContentLengthRepeated)),
            (&[], &["chunked"], Ok(Chunked)),
            (&[], &["CHUNKED"], Ok(Chunked)),
            (
                &["5"],
                &["chunked"],
                Err(Error::ContentLengthWithTransferEncoding),
            ),
            (&["x"], &[""], Err(Error::ContentLengthWithTransferEncoding)),
            (
                &[],
                &["chunked", "chunked"],
                Err(Error::TransferEncodingRepeated),
            ),
            (
                &[],
                &["gzip", "chunked"],
                Err(Error::TransferEncodingRepeated),
            ),
            (
                &[],
                &["chunked, chunked"],
                Err(Error::TransferEncodingRepeated),
            ),
            (
                &[],
                &["chunked ,\tgzip"],
                Err(Error::TransferEncodingRepeated),
            ),
            (&[], &["Chunked,"], Err(Error::TransferEncodingRepeated)),
            (&[], &["gzip"], Err(Error::TransferEncodingUnknown)),
            (&[], &["gzip, chunked"], Err(Error::TransferEncodingUnknown)),
            (&[], &["identity"], Err(Error::TransferEncodingUnknown)),
            (&[], &["chunked;a=b"], Err(Error::TransferEncodingUnknown)),
            (&[], &["\"chunked\""], Err(Error::TransferEncodingUnknown)),
            (&[], &["xchunked"], Err(Error::TransferEncodingUnknown)),
            (&[], &["\u{b}chunked"], Err(Error::TransferEncodingUnknown)),
            (&[], &[",chunked"], Err(Error::TransferEncodingUnknown)),
            (&[], &[""], Err(Error::TransferEncodingUnknown)),
        ];
        for (lengths, codings, expected) in cases {
            let decide = |is_http_11| {
                let bytes = |value: &&'static str| value.as_bytes();
                framing(
                    is_http_11,
                    lengths.iter().map(bytes),
                    codings.iter().map(bytes),
                )
            };
            assert_eq!(decide(true), *expected, "{lengths:?} {codings:?}");
            let in_http_10 = if codings.is_empty() {
                *expected
            } else {
                Err(Error::TransferEncodingInHttp10)
            };
            assert_eq!(decide(false), in_http_10, "{lengths:?} {codings:?}");
        }
    }
}
