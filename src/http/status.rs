//! Status codes, their reason phrases, and the page that goes with an error.
//!
//! One table below holds every code of the IANA registry; the constants and [`Status::reason`] both
//! derive from it, so a code cannot have a name without a phrase. Unregistered codes from 100 to
//! 599 are allowed, for plugins.
//!
//! It must not know requests: an error page echoes nothing that a peer sent and tells nothing about
//! the server.
//!
//! Invariant: a `Status` lies in 100..=599, hence always has three digits and one of the five
//! classes.

/// A status code (RFC 9110 §15).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Status(
    /// INVARIANT: `100 <= code <= 599`.
    u16,
);

impl Status {
    /// A status from its code, registered or not; `None` outside of 100..=599 (RFC 9110 §15).
    pub const fn new(code: u16) -> Option<Self> {
        if matches!(code, 100..=599) {
            Some(Self(code))
        } else {
            None
        }
    }

    /// The three-digit code.
    pub const fn code(self) -> u16 {
        self.0
    }

    /// The three digits as they stand in a status line (RFC 9112 §4).
    pub const fn digits(self) -> [u8; 3] {
        // Each term is one decimal digit, so the casts lose nothing.
        [
            b'0' + (self.0 / 100) as u8,
            b'0' + (self.0 / 10 % 10) as u8,
            b'0' + (self.0 % 10) as u8,
        ]
    }

    /// Whether a response with this status may have a body: not 1xx, 204 and 304 (RFC 9110 §6.4.1).
    ///
    /// 205 may have one by its framing, though its content must be empty (RFC 9110 §15.3.6).
    pub const fn allows_body(self) -> bool {
        !matches!(self.0, 100..=199 | 204 | 304)
    }

    /// Whether this is a client error or a server error (RFC 9110 §15.5 and §15.6).
    pub const fn is_error(self) -> bool {
        self.0 >= 400
    }
}

/// Writes the constants and the phrases from one table. A function cannot define constants, hence a
/// macro.
macro_rules! registry {
    ($($code:literal $name:ident $phrase:literal;)*) => {
        impl Status {
            $(
                #[doc = concat!("`", $code, " ", $phrase, "`.")]
                pub const $name: Self = Self($code);
            )*

            /// The reason phrase of the registry, `""` for an unregistered code (RFC 9112 §4).
            pub const fn reason(self) -> &'static str {
                match self.0 {
                    $($code => $phrase,)*
                    _ => "",
                }
            }
        }

        /// The codes of the table in its order, for the tests.
        #[cfg(test)]
        const REGISTERED: &[u16] = &[$($code),*];
    };
}

// The IANA "HTTP Status Code Registry". Left out: 306 and 418, which are registered as "(Unused)",
// and 104, whose registration is temporary.
registry! {
    100 CONTINUE "Continue";
    101 SWITCHING_PROTOCOLS "Switching Protocols";
    102 PROCESSING "Processing";
    103 EARLY_HINTS "Early Hints";
    200 OK "OK";
    201 CREATED "Created";
    202 ACCEPTED "Accepted";
    203 NON_AUTHORITATIVE_INFORMATION "Non-Authoritative Information";
    204 NO_CONTENT "No Content";
    205 RESET_CONTENT "Reset Content";
    206 PARTIAL_CONTENT "Partial Content";
    207 MULTI_STATUS "Multi-Status";
    208 ALREADY_REPORTED "Already Reported";
    226 IM_USED "IM Used";
    300 MULTIPLE_CHOICES "Multiple Choices";
    301 MOVED_PERMANENTLY "Moved Permanently";
    302 FOUND "Found";
    303 SEE_OTHER "See Other";
    304 NOT_MODIFIED "Not Modified";
    305 USE_PROXY "Use Proxy";
    307 TEMPORARY_REDIRECT "Temporary Redirect";
    308 PERMANENT_REDIRECT "Permanent Redirect";
    400 BAD_REQUEST "Bad Request";
    401 UNAUTHORIZED "Unauthorized";
    402 PAYMENT_REQUIRED "Payment Required";
    403 FORBIDDEN "Forbidden";
    404 NOT_FOUND "Not Found";
    405 METHOD_NOT_ALLOWED "Method Not Allowed";
    406 NOT_ACCEPTABLE "Not Acceptable";
    407 PROXY_AUTHENTICATION_REQUIRED "Proxy Authentication Required";
    408 REQUEST_TIMEOUT "Request Timeout";
    409 CONFLICT "Conflict";
    410 GONE "Gone";
    411 LENGTH_REQUIRED "Length Required";
    412 PRECONDITION_FAILED "Precondition Failed";
    413 CONTENT_TOO_LARGE "Content Too Large";
    414 URI_TOO_LONG "URI Too Long";
    415 UNSUPPORTED_MEDIA_TYPE "Unsupported Media Type";
    416 RANGE_NOT_SATISFIABLE "Range Not Satisfiable";
    417 EXPECTATION_FAILED "Expectation Failed";
    421 MISDIRECTED_REQUEST "Misdirected Request";
    422 UNPROCESSABLE_CONTENT "Unprocessable Content";
    423 LOCKED "Locked";
    424 FAILED_DEPENDENCY "Failed Dependency";
    425 TOO_EARLY "Too Early";
    426 UPGRADE_REQUIRED "Upgrade Required";
    428 PRECONDITION_REQUIRED "Precondition Required";
    429 TOO_MANY_REQUESTS "Too Many Requests";
    431 REQUEST_HEADER_FIELDS_TOO_LARGE "Request Header Fields Too Large";
    451 UNAVAILABLE_FOR_LEGAL_REASONS "Unavailable For Legal Reasons";
    500 INTERNAL_SERVER_ERROR "Internal Server Error";
    501 NOT_IMPLEMENTED "Not Implemented";
    502 BAD_GATEWAY "Bad Gateway";
    503 SERVICE_UNAVAILABLE "Service Unavailable";
    504 GATEWAY_TIMEOUT "Gateway Timeout";
    505 HTTP_VERSION_NOT_SUPPORTED "HTTP Version Not Supported";
    506 VARIANT_ALSO_NEGOTIATES "Variant Also Negotiates";
    507 INSUFFICIENT_STORAGE "Insufficient Storage";
    508 LOOP_DETECTED "Loop Detected";
    510 NOT_EXTENDED "Not Extended";
    511 NETWORK_AUTHENTICATION_REQUIRED "Network Authentication Required";
}

/// The media type of [`error_page`].
pub const ERROR_PAGE_TYPE: &str = "text/html; charset=utf-8";

/// Appends a small HTML5 document that names the status (RFC 9110 §15.5: an explanation of the
/// error).
///
/// HTML lets the tags of `html`'s children be left out, so this is a whole and valid document.
pub fn error_page(status: Status, out: &mut Vec<u8>) {
    out.reserve(ERROR_PAGE_BYTES_MAX);
    out.extend_from_slice(
        b"<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
          <meta name=\"color-scheme\" content=\"light dark\">\n<title>",
    );
    push_title(status, out);
    out.extend_from_slice(b"</title>\n<h1>");
    push_title(status, out);
    out.extend_from_slice(b"</h1>\n");
}

/// Appends `404 Not Found`, or the code alone when it is not registered.
fn push_title(status: Status, out: &mut Vec<u8>) {
    out.extend_from_slice(&status.digits());
    let reason = status.reason();
    if !reason.is_empty() {
        out.push(b' ');
        out.extend_from_slice(reason.as_bytes());
    }
}

/// An upper bound for [`error_page`], so that its buffer grows once; a test holds it.
const ERROR_PAGE_BYTES_MAX: usize = 220;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registry_is_ascending_and_has_a_phrase_each() {
        assert!(REGISTERED.is_sorted_by(|a, b| a < b));
        for &code in REGISTERED {
            let status = Status::new(code).unwrap();
            assert_eq!(status.code(), code);
            // A phrase goes into a status line and into HTML as it is.
            assert!(!status.reason().is_empty());
            assert!(
                status
                    .reason()
                    .bytes()
                    .all(|b| b.is_ascii_alphabetic() || b" -".contains(&b))
            );
        }
    }

    #[test]
    fn names_and_codes_agree() {
        assert_eq!(Status::OK.code(), 200);
        assert_eq!(Status::NOT_FOUND.code(), 404);
        assert_eq!(Status::NOT_FOUND.reason(), "Not Found");
        assert_eq!(Status::CONTENT_TOO_LARGE.code(), 413);
        assert_eq!(Status::NETWORK_AUTHENTICATION_REQUIRED.code(), 511);
        assert_eq!(Status::new(404), Some(Status::NOT_FOUND));
    }

    #[test]
    fn new_allows_the_five_classes_only() {
        for code in 0..=u16::MAX {
            let status = Status::new(code);
            assert_eq!(status.is_some(), (100..600).contains(&code), "{code}");
            if let Some(status) = status {
                assert_eq!(status.digits().as_slice(), code.to_string().as_bytes());
                assert_eq!(status.is_error(), code >= 400);
            }
        }
        assert_eq!(Status::new(299).unwrap().reason(), "");
    }

    #[test]
    fn informational_204_and_304_have_no_body() {
        for code in 100..600 {
            let allowed = Status::new(code).unwrap().allows_body();
            assert_eq!(allowed, code >= 200 && code != 204 && code != 304, "{code}");
        }
    }

    #[test]
    fn error_page_is_exact() {
        let mut page = b"before".to_vec();
        error_page(Status::NOT_FOUND, &mut page);
        let expected = "before<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
            <meta name=\"color-scheme\" content=\"light dark\">\n\
            <title>404 Not Found</title>\n<h1>404 Not Found</h1>\n";
        assert_eq!(String::from_utf8(page).unwrap(), expected);
    }

    #[test]
    fn error_page_of_an_unregistered_code_is_its_digits() {
        let mut page = Vec::new();
        error_page(Status::new(599).unwrap(), &mut page);
        assert!(
            String::from_utf8(page)
                .unwrap()
                .contains("<title>599</title>\n<h1>599</h1>")
        );
    }

    #[test]
    fn error_pages_are_bounded() {
        for code in 100..600 {
            let mut page = Vec::new();
            error_page(Status::new(code).unwrap(), &mut page);
            assert!(page.len() <= ERROR_PAGE_BYTES_MAX, "{code}: {}", page.len());
        }
    }
}
