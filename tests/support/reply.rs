//! Expected responses, written out.
//!
//! INVARIANT: nothing here calls the encoder, the status table or the page under test.

use swiftd::conn::End;
use swiftd::testing::pattern;

/// One expected response.
#[derive(Clone)]
pub struct Reply {
    status: &'static str,
    fields: String,
    /// `None` where a status allows no content.
    length: Option<usize>,
    connection: &'static str,
    body: Vec<u8>,
    /// How the connection ends behind it.
    pub end: Option<End>,
}

impl Reply {
    /// A response with a status line, whole field lines, and content.
    pub fn new(status: &'static str, fields: &str, body: &[u8]) -> Self {
        Self {
            status,
            fields: fields.to_owned(),
            length: Some(body.len()),
            connection: "",
            body: body.to_vec(),
            end: None,
        }
    }

    /// With one more field line behind the others.
    pub fn field(mut self, line: &str) -> Self {
        self.fields += line;
        self.fields += "\r\n";
        self
    }

    /// With one more field line before the others.
    pub fn before(mut self, line: &str) -> Self {
        self.fields = format!("{line}\r\n{}", self.fields);
        self
    }

    /// Without the field lines of this name.
    pub fn without(mut self, name: &str) -> Self {
        let start = format!("{name}: ");
        let kept = self.fields.split_inclusive("\r\n");
        self.fields = kept.filter(|line| !line.starts_with(&start)).collect();
        self
    }

    /// Without content, as 204 and 304 are.
    pub fn bodiless(mut self) -> Self {
        self.length = None;
        self.body.clear();
        self
    }

    /// As the answer to HEAD: the same head, no content.
    pub fn for_head(mut self) -> Self {
        self.body.clear();
        self
    }

    /// The last one; the client asked for that, so the connection is closed at once.
    pub fn close(mut self) -> Self {
        self.connection = "Connection: close\r\n";
        self.end = Some(End::Close);
        self
    }

    /// The last one; the client may still be sending.
    pub fn linger(self) -> Self {
        Self {
            end: Some(End::Linger),
            ..self.close()
        }
    }

    /// Told to an HTTP/1.0 client that asked for it.
    pub fn keep_alive(mut self) -> Self {
        self.connection = "Connection: keep-alive\r\n";
        self
    }

    /// On the wire.
    pub fn bytes(&self) -> Vec<u8> {
        if self.status == "100 Continue" {
            return b"HTTP/1.1 100 Continue\r\n\r\n".to_vec();
        }
        let length = self
            .length
            .map(|length| format!("Content-Length: {length}\r\n"))
            .unwrap_or_default();
        let (status, fields, connection) = (self.status, &self.fields, self.connection);
        let mut bytes = format!(
            "HTTP/1.1 {status}\r\nServer: swiftd\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
             {fields}{length}{connection}\r\n"
        )
        .into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// `100 Continue`.
pub fn go_on() -> Reply {
    Reply::new("100 Continue", "", b"")
}

/// An error's page; the connection goes on.
pub fn page(status: &'static str) -> Reply {
    let body = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{status}</title>\n<h1>{status}</h1>\n"
    );
    let fields = "Content-Type: text/html; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n";
    Reply::new(status, fields, body.as_bytes())
}

/// An error behind which nothing is understood any more.
pub fn refused(status: &'static str) -> Reply {
    page(status).linger()
}

/// 400, the usual refusal.
pub fn bad() -> Reply {
    refused("400 Bad Request")
}

/// 404; the connection goes on.
pub fn not_found() -> Reply {
    page("404 Not Found")
}

/// A method that files do not answer; the connection goes on.
pub fn not_allowed() -> Reply {
    page("405 Method Not Allowed").field("Allow: GET, HEAD, OPTIONS")
}

/// What OPTIONS gets.
pub fn options() -> Reply {
    Reply::new("204 No Content", "Allow: GET, HEAD, OPTIONS\r\n", b"").bodiless()
}

/// To a directory's name with its slash.
pub fn moved(location: &str) -> Reply {
    page("301 Moved Permanently").field(&format!("Location: {location}"))
}

/// A file of the test site.
pub struct File {
    /// Its media type.
    pub media: &'static str,
    /// Its content, here.
    pub body: &'static [u8],
    etag: &'static str,
    varies: bool,
    coding: &'static str,
    /// The boundary between its parts.
    boundary: &'static str,
}

const LAST_MODIFIED: &str = "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
const COMMON: &str = "Accept-Ranges: bytes\r\nX-Content-Type-Options: nosniff\r\n";

impl File {
    /// The fields that a cache needs, then those that only go with content.
    fn fields(&self, goes_with_content: bool) -> String {
        let mut fields = format!("ETag: {}\r\n{LAST_MODIFIED}", self.etag);
        if self.varies {
            fields += "Vary: Accept-Encoding\r\n";
        }
        if goes_with_content {
            if !self.coding.is_empty() {
                fields += &format!("Content-Encoding: {}\r\n", self.coding);
            }
            fields += COMMON;
        }
        fields
    }

    /// The whole file.
    pub fn ok(&self) -> Reply {
        self.ok_with(self.body)
    }

    /// The whole file, with this content.
    pub fn ok_with(&self, body: &[u8]) -> Reply {
        let fields = format!("Content-Type: {}\r\n{}", self.media, self.fields(true));
        Reply::new("200 OK", &fields, body)
    }

    /// It has not changed.
    pub fn unchanged(&self) -> Reply {
        Reply::new("304 Not Modified", &self.fields(false), b"").bodiless()
    }

    /// One part of it, both ends included.
    pub fn part(&self, first: usize, last: usize) -> Reply {
        self.part_with(first, last, &self.body[first..=last], self.body.len())
    }

    /// One part of it, with this content, of so many bytes.
    pub fn part_with(&self, first: usize, last: usize, body: &[u8], size: usize) -> Reply {
        Reply::new("206 Partial Content", &self.fields(true), body)
            .field(&format!("Content-Type: {}", self.media))
            .field(&format!("Content-Range: bytes {first}-{last}/{size}"))
    }

    /// Several parts of it.
    pub fn parts(&self, parts: &[(usize, usize)]) -> Reply {
        self.parts_with(parts, self.body)
    }

    /// Several parts of it, its content being this.
    pub fn parts_with(&self, parts: &[(usize, usize)], whole: &[u8]) -> Reply {
        let (media, boundary, size) = (self.media, self.boundary, whole.len());
        let mut body = Vec::new();
        for &(first, last) in parts {
            body.extend_from_slice(
                format!(
                    "\r\n--{boundary}\r\nContent-Type: {media}\r\n\
                     Content-Range: bytes {first}-{last}/{size}\r\n\r\n"
                )
                .as_bytes(),
            );
            body.extend_from_slice(&whole[first..=last]);
        }
        body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        Reply::new("206 Partial Content", &self.fields(true), &body).field(&format!(
            "Content-Type: multipart/byteranges; boundary={boundary}"
        ))
    }

    /// No part of it.
    pub fn unsatisfiable(&self) -> Reply {
        unsatisfiable(self.body.len())
    }
}

/// No part of a file of so many bytes.
pub fn unsatisfiable(size: usize) -> Reply {
    page("416 Range Not Satisfiable").field(&format!("Content-Range: bytes */{size}"))
}

/// `/a.txt`: digits and letters, so that a part shows where it is from.
pub const A: File = File {
    media: "text/plain; charset=utf-8",
    body: b"0123456789abcdefghijklmnopqrstuvwxyz",
    etag: "\"2ebc98a1-0-24-0\"",
    varies: true,
    coding: "",
    boundary: "swiftd-000000242ebc98a100000000",
};

/// `/a.txt` of the host whose site is 1.
pub const ONE: File = File {
    body: b"one\n",
    etag: "\"2ebc98a1-0-4-0\"",
    ..A
};

/// `/a.txt` of the host whose site is 2.
pub const TWO: File = File {
    body: b"two\n",
    ..ONE
};

/// `/page.html`, of which every coding exists.
pub const PAGE: File = File {
    media: "text/html; charset=utf-8",
    body: b"<p>hello</p>\n",
    etag: "\"2ebc98a1-0-d-0\"",
    varies: true,
    coding: "",
    boundary: "",
};

/// `/page.html` in brotli.
pub const PAGE_BR: File = File {
    body: b"brotli",
    etag: "\"2ebc98a1-0-6-0-br\"",
    coding: "br",
    ..PAGE
};

/// `/page.html` in Zstandard, as long as in brotli.
pub const PAGE_ZSTD: File = File {
    body: b"zstand",
    etag: "\"2ebc98a1-0-6-0-zstd\"",
    coding: "zstd",
    ..PAGE
};

/// `/page.html` in gzip.
pub const PAGE_GZIP: File = File {
    body: b"gzipped",
    etag: "\"2ebc98a1-0-7-0-gzip\"",
    coding: "gzip",
    ..PAGE
};

/// `/style.css`, of which gzip exists.
pub const STYLE: File = File {
    media: "text/css; charset=utf-8",
    body: b"p{}\n",
    etag: "\"2ebc98a1-0-4-0\"",
    ..PAGE
};

/// `/style.css` in gzip.
pub const STYLE_GZIP: File = File {
    body: b"gz",
    etag: "\"2ebc98a1-0-2-0-gzip\"",
    coding: "gzip",
    ..STYLE
};

/// `/photo.png`, of a type that is not compressed any further.
pub const PHOTO: File = File {
    media: "image/png",
    body: b"\x89PNG",
    etag: "\"2ebc98a1-0-4-0\"",
    varies: false,
    ..PAGE
};

/// `/empty.txt`.
pub const EMPTY: File = File {
    body: b"",
    etag: "\"2ebc98a1-0-0-0\"",
    ..A
};

/// `/`, whose name has no suffix.
pub const HOME: File = File {
    media: "application/octet-stream",
    body: b"home\n",
    etag: "\"2ebc98a1-0-5-0\"",
    varies: false,
    ..PAGE
};

/// The file that is named `%41`.
pub const PERCENT: File = File {
    body: b"percent",
    etag: "\"2ebc98a1-0-7-0\"",
    ..HOME
};

/// `/large.bin`, sent by its descriptor.
pub const LARGE: File = File {
    etag: "\"2ebc98a1-0-30d40-0\"",
    boundary: "swiftd-00030d402ebc98a100000000",
    ..HOME
};

/// How long `/large.bin` is.
pub const LARGE_BYTES: u64 = 200_000;

/// What is in `/large.bin`.
pub fn large() -> Vec<u8> {
    (0..LARGE_BYTES).map(pattern).collect()
}
