//! What a test sends and what it gets back.

use core::fmt;

/// A request that a test sends.
///
/// ```
/// # use swiftd_plugin::testing::Outgoing;
/// let login = Outgoing::new("POST", "/login")
///     .header("content-type", "application/x-www-form-urlencoded")
///     .body("user=a")
///     .peer("192.0.2.1:4711");
/// ```
#[derive(Clone, Debug)]
pub struct Outgoing {
    pub(super) method: String,
    pub(super) target: Vec<u8>,
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) body: Vec<u8>,
    pub(super) peer: String,
    pub(super) connection: Option<u64>,
}

impl Outgoing {
    /// A request line.
    ///
    /// ```
    /// # use swiftd_plugin::testing::Outgoing;
    /// let head = Outgoing::new("HEAD", "/");
    /// ```
    pub fn new(method: &str, target: impl AsRef<[u8]>) -> Self {
        Self {
            method: method.to_owned(),
            target: target.as_ref().to_vec(),
            headers: vec![("host".to_owned(), b"localhost".to_vec())],
            body: Vec::new(),
            peer: "127.0.0.1:40000".to_owned(),
            connection: None,
        }
    }

    /// One more field; `host` replaces the one that is there.
    ///
    /// ```
    /// # use swiftd_plugin::testing::Outgoing;
    /// let other = Outgoing::new("GET", "/").header("host", "b.example");
    /// ```
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        if name.eq_ignore_ascii_case("host") {
            self.headers
                .retain(|(name, _)| !name.eq_ignore_ascii_case("host"));
        }
        self.headers
            .push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// The body, and its length as a field.
    ///
    /// ```
    /// # use swiftd_plugin::testing::Outgoing;
    /// let put = Outgoing::new("PUT", "/x").body("content");
    /// ```
    #[must_use]
    pub fn body(self, body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref().to_vec();
        let mut it = self.header("content-length", body.len().to_string());
        it.body = body;
        it
    }

    /// Who asks; 127.0.0.1:40000 without it.
    ///
    /// ```
    /// # use swiftd_plugin::testing::Outgoing;
    /// let far = Outgoing::new("GET", "/").peer("[2001:db8::1]:1");
    /// ```
    #[must_use]
    pub fn peer(mut self, address: &str) -> Self {
        self.peer = address.to_owned();
        self
    }

    /// On a connection that stays; without it each request has one of its own.
    ///
    /// ```
    /// # use swiftd_plugin::testing::*;
    /// # use swiftd_plugin::Plugin;
    /// fn two<T: Plugin>(harness: &mut Harness<T>) {
    ///     let connection = harness.connection();
    ///     harness.send(Outgoing::new("GET", "/1").on(connection));
    ///     harness.send(Outgoing::new("GET", "/2").on(connection));
    ///     harness.close(connection);
    /// }
    /// ```
    #[must_use]
    pub fn on(mut self, connection: Connection) -> Self {
        self.connection = Some(connection.0);
        self
    }
}

/// A connection that stays; see [`Harness::connection`](super::Harness::connection).
///
/// ```
/// # use swiftd_plugin::testing::*;
/// fn ask(connection: Connection) -> Outgoing { Outgoing::new("GET", "/").on(connection) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection(pub(super) u64);

/// A request under way; see [`Harness::start`](super::Harness::start).
///
/// ```
/// # use swiftd_plugin::testing::*;
/// fn keep(exchanges: &mut Vec<Exchange>, one: Exchange) { exchanges.push(one); }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange(pub(super) u64);

/// What came back.
///
/// ```
/// # use swiftd_plugin::testing::Answer;
/// fn check(answer: &Answer) {
///     assert_eq!(answer.status, 200);
///     assert_eq!(answer.header("content-type"), Some("text/plain"));
///     assert_eq!(answer.text(), "hello\n");
/// }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The status; 0 if the client was gone before there was one.
    pub status: u16,
    /// The fields that the plugin set, in order.
    pub headers: Vec<(String, String)>,
    /// The content; empty for HEAD.
    pub body: Vec<u8>,
    /// Whether the response was given up in the middle.
    pub is_aborted: bool,
    /// Whether the plugin answered, and not the server.
    pub is_claimed: bool,
    /// The hooks of the plugin that were called, in order.
    pub trace: Vec<&'static str>,
    /// The document root and the file that the server would have used.
    pub physical: String,
    /// The path in the end.
    pub path: String,
    /// The authenticated user, if the plugin said so.
    pub user: Option<String>,
}

impl Answer {
    /// The first field of a name.
    ///
    /// ```
    /// # use swiftd_plugin::testing::Answer;
    /// assert_eq!(Answer::default().header("location"), None);
    /// ```
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let is_it = |(field, _): &&(String, String)| field.eq_ignore_ascii_case(name);
        self.headers.iter().find(is_it).map(|(_, value)| &value[..])
    }

    /// The content as text.
    ///
    /// ```
    /// # use swiftd_plugin::testing::Answer;
    /// assert_eq!(Answer::default().text(), "");
    /// ```
    #[must_use]
    pub fn text(&self) -> &str {
        core::str::from_utf8(&self.body).expect("the test expects text")
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.status)?;
        for (name, value) in &self.headers {
            writeln!(f, "{name}: {value}")?;
        }
        write!(f, "\n{}", String::from_utf8_lossy(&self.body))
    }
}
