//! Basic authentication (RFC 7617): a user of a password file, or 401.
//!
//! | key | default | what |
//! | --- | --- | --- |
//! | `file` | none, needed | the absolute path of a file made by `htpasswd`, at most 1 MiB |
//! | `realm` | `restricted` | what the browser shows; visible ASCII |
//! | `paths` | `/` | lines: each path and all below it needs a user |
//! | `require` | all | lines: only these users of the file |
//! | `cache` | 256 | right passwords kept (as sums, never as text), 0 to 4096 entries |
//! | `cache_ttl` | 300 | for so long, 1 to 86,400 seconds |
//! | `max_jobs` | 8 | hashes under way, 1 to 64; beyond it 503 with Retry-After |
//!
//! ```toml
//! [plugin.basic_auth]
//! file = "/etc/swiftd/users"
//! realm = "the workshop"
//! paths = ["/private", "/admin"]
//! ```
//!
//! Hashes: `$2y$` (bcrypt, cost to 15), `$6$` and `$5$` (SHA-crypt, to 1,000,000 rounds), `$apr1$`,
//! and `{SHA}`, which is weak. Plain text is refused. They are computed one by one on a helper
//! thread, which also reads files for the server: with a cost that takes 50 ms there, `max_jobs`
//! guesses hold it for 0.4 s. Requests with the same name and password share one. An unknown user
//! costs as much as a known one.
//!
//! The file is looked at each second and on SIGHUP, and read again if it has changed; replace it
//! with `mv`. If the new one is wrong, the log says where and the old one stays. One that everybody
//! may read is warned about, one that everybody may write to is refused. Who has been found is the
//! request's user for other plugins and the log. Paths are written as in a URL and compared
//! decoded, byte by byte. Name this plugin before those that answer; a rewritten path is looked at
//! too. Passwords travel readable, so let something that speaks TLS stand in front.

mod base64;
mod cache;
mod credentials;
mod hash;
mod settings;
mod users;

use core::cell::Cell;
use core::time::Duration;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use cache::{Cache, Key};
use credentials::Credentials;
use hash::Hash;
use settings::Settings;
use swiftd_plugin::*;
use users::{Broken, Identity, Loaded, Users};

/// The plugin's state.
pub struct BasicAuth {
    host: Host,
    settings: Settings,
    users: Users,
    /// What was seen of the file last, whether it could be used or not.
    seen: Option<Identity>,
    /// Why the file could not be used, so that it is said once.
    broken: Option<String>,
    reading: Reading,
    cache: Cache,
    /// The hashes under way. INVARIANT: at most `jobs_max`.
    attempts: HashMap<Key, Attempt>,
    refused: Counter,
    busy: Counter,
}

/// Whether the file is being looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    No,
    Yes,
    /// And once more after that, in any case.
    Again,
}

/// A hash that is being computed, for all requests with these credentials: a browser sends
/// several at once.
struct Attempt {
    outcome: Rc<Outcome>,
    waiting: Vec<Waker>,
}

/// Whether the password was right; `None` while that is not known.
type Outcome = Cell<Option<Result<bool, Lost>>>;

/// What is kept for a request.
enum Progress {
    Waiting {
        user: Vec<u8>,
        outcome: Rc<Outcome>,
    },
    /// It started over, with the same credentials.
    Passed,
}

/// A wait is as long as the server's own: with the bounds of the hashes it is not reached.
const WAIT: Duration = Duration::from_secs(30);

plugin! {
    impl Plugin for BasicAuth {
        const NAME: &CStr = c"basic_auth";
        const VERSION: &CStr = c"1.0";
        const NEEDS: &[&str] = &["read:$file"];

        fn init(host: &Host) -> Result<Self, String> {
            let settings = Settings::read(host)?;
            let loaded = users::read(&settings.file, None)
                .map_err(|broken| format!("file: {}", broken.reason))?
                .expect("nothing is known yet, so it is read");
            let cache = Cache::new(settings.cache_entries, settings.cache_ttl_ms)
                .map_err(|error| format!("/dev/urandom: {error}"))?;
            let mut plugin = Self {
                host: host.clone(),
                settings,
                users: Users::default(),
                seen: None,
                broken: None,
                reading: Reading::No,
                cache,
                attempts: HashMap::new(),
                refused: host.counter("refused"),
                busy: host.counter("busy"),
            };
            plugin.install(loaded);
            Ok(plugin)
        }

        fn trigger(&mut self) {
            if self.reading == Reading::No {
                self.look();
            }
        }

        fn sighup(&mut self) {
            self.seen = None;
            self.broken = None;
            match self.reading {
                Reading::No => self.look(),
                Reading::Yes | Reading::Again => self.reading = Reading::Again,
            }
        }

        fn url_clean(&mut self, req: &mut Request) -> Flow {
            if !self.settings.protects(req.path()) {
                return Flow::GoOn;
            }
            let (user, outcome) = match req.data::<Progress>() {
                None => return self.begin(req),
                Some(Progress::Passed) => return Flow::GoOn,
                Some(Progress::Waiting { user, outcome }) => (user, outcome.get()),
            };
            let Some(outcome) = outcome else {
                return Flow::WaitForEvent;
            };
            let user = core::mem::take(user);
            match outcome {
                Ok(true) => pass(req, &user),
                Ok(false) => self.refuse_user(req, &user),
                Err(_) => Flow::Error,
            }
        }
    }
}

/// A request on its way.
impl BasicAuth {
    /// Who is it? What is known answers at once, the rest becomes a job.
    fn begin(&mut self, req: &mut Request) -> Flow {
        let credentials = match (
            req.header("authorization"),
            req.header_nth("authorization", 1),
        ) {
            (Some(value), None) => Credentials::parse(value),
            _ => None,
        };
        let Some(attempt) = credentials else {
            return self.refuse(req);
        };
        let known = self.users.find(&attempt.user);
        let known = known.filter(|_| self.settings.admits(&attempt.user));
        let decoy = || self.users.decoy(self.cache.number(&attempt.user));
        let is_known = known.is_some();
        let Some(hash) = known.or_else(decoy).cloned() else {
            return self.refuse(req);
        };
        let key = self.cache.key(&attempt, &hash);
        if is_known && self.cache.contains(&key, self.host.now_ms()) {
            return pass(req, &attempt.user);
        }
        let Credentials { user, password } = attempt;
        if !self.attempts.contains_key(&key) {
            let name = is_known.then(|| user.clone());
            if let Err(error) = self.start(key, name, hash, password) {
                return match error {
                    Error::Limit => self.put_off(req),
                    _ => Flow::Error,
                };
            }
        }
        self.join(req, key, user)
    }

    /// Computes a hash on the helper thread. Without a name it is in vain, for the time it takes.
    fn start(
        &mut self,
        key: Key,
        name: Option<Vec<u8>>,
        hash: Arc<Hash>,
        password: Vec<u8>,
    ) -> Result<()> {
        if self.attempts.len() >= self.settings.jobs_max {
            return Err(Error::Limit);
        }
        let job_hash = Arc::clone(&hash);
        let work = move || job_hash.verify(&password);
        let done = move |me: &mut Self, result: Result<bool, Lost>| {
            me.conclude(key, name.as_deref(), &hash, result);
        };
        self.host.job(None, work, done)?;
        let attempt = Attempt {
            outcome: Rc::new(Cell::new(None)),
            waiting: Vec::new(),
        };
        self.attempts.insert(key, attempt);
        Ok(())
    }

    /// The request waits for a hash that is under way.
    fn join(&mut self, req: &mut Request, key: Key, user: Vec<u8>) -> Flow {
        let Some(attempt) = self.attempts.get_mut(&key) else {
            return Flow::Error;
        };
        let Ok(waker) = req.waker(WAIT) else {
            return Flow::Error;
        };
        attempt.waiting.push(waker);
        let outcome = Rc::clone(&attempt.outcome);
        let kept = req.set_data(Progress::Waiting { user, outcome });
        kept.map_or(Flow::Error, |()| Flow::WaitForEvent)
    }

    /// A hash is computed. The file may have changed meanwhile; what it says now counts.
    fn conclude(
        &mut self,
        key: Key,
        name: Option<&[u8]>,
        hash: &Arc<Hash>,
        result: Result<bool, Lost>,
    ) {
        let found = name.and_then(|name| self.users.find(name));
        let is_valid = found.is_some_and(|found| found == hash);
        let result = result.map(|is_right| is_right && is_valid);
        if result == Ok(true) {
            self.cache.insert(key, self.host.now_ms());
        }
        if let Some(attempt) = self.attempts.remove(&key) {
            attempt.outcome.set(Some(result));
            for waker in attempt.waiting {
                // It may have gone meanwhile.
                let _ = waker.wake();
            }
        }
    }

    fn refuse_user(&self, req: &mut Request, user: &[u8]) -> Flow {
        let (name, peer) = (
            String::from_utf8_lossy(user),
            String::from_utf8_lossy(req.peer()),
        );
        self.host
            .notice(format_args!("{name:?} from {peer} is refused"));
        if req.clear_data().is_err() {
            return Flow::Error;
        }
        self.refuse(req)
    }

    fn refuse(&self, req: &mut Request) -> Flow {
        self.refused.add(1);
        answer(req, 401, "WWW-Authenticate", &self.settings.challenge)
    }

    fn put_off(&self, req: &mut Request) -> Flow {
        self.busy.add(1);
        answer(req, 503, "Retry-After", "1")
    }
}

fn pass(req: &mut Request, user: &[u8]) -> Flow {
    let result = req
        .set_user(user)
        .and_then(|()| req.set_data(Progress::Passed));
    result.map_or(Flow::Error, |()| Flow::GoOn)
}

/// An error with one field; the server makes the page.
fn answer(req: &mut Request, status: u16, name: &str, value: &str) -> Flow {
    let result = req
        .set_status(status)
        .and_then(|()| req.set_header(name, value));
    result.map_or(Flow::Error, |()| Flow::Finished)
}

/// The password file.
impl BasicAuth {
    /// Looks at it on the helper thread: even `stat` may take long.
    fn look(&mut self) {
        let (path, seen) = (self.settings.file.clone(), self.seen);
        let work = move || users::read(&path, seen.as_ref());
        let done = |me: &mut Self, result| me.take_reading(result);
        if self.host.job(None, work, done).is_ok() {
            self.reading = Reading::Yes;
        }
    }

    fn take_reading(&mut self, result: Result<Result<Option<Loaded>, Broken>, Lost>) {
        let is_again = self.reading == Reading::Again;
        self.reading = Reading::No;
        match result {
            Ok(Ok(None)) | Err(Lost::Cancelled) => {}
            Ok(Ok(Some(loaded))) => {
                self.install(loaded);
                self.host.notice(format_args!(
                    "{} is read, {} users",
                    self.settings.file.display(),
                    self.users.len()
                ));
            }
            Ok(Err(broken)) => {
                self.seen = broken.identity;
                if self.broken.as_ref() != Some(&broken.reason) {
                    self.host.error(format_args!(
                        "{}; the users stay as they are",
                        broken.reason
                    ));
                    self.broken = Some(broken.reason);
                }
            }
            Err(Lost::Panicked) => self.host.error("the password file could not be read"),
        }
        if is_again {
            self.seen = None;
            self.look();
        }
    }

    fn install(&mut self, loaded: Loaded) {
        let file = self.settings.file.display();
        if loaded.is_public {
            self.host.warn(format_args!(
                "{file}: everybody may read it; mend it with chmod o-r"
            ));
        }
        if loaded.users.weak() > 0 {
            let count = loaded.users.weak();
            self.host.warn(format_args!(
                "{file}: {count} users with {{SHA}}, which is easily guessed; use htpasswd -B"
            ));
        }
        for name in self.settings.require.iter().flatten() {
            if loaded.users.find(name).is_none() {
                let name = String::from_utf8_lossy(name);
                self.host.warn(format_args!(
                    "{file}: there is no user {name:?}, whom require names"
                ));
            }
        }
        self.users = loaded.users;
        self.seen = Some(loaded.identity);
        self.broken = None;
        // Their keys hold the old hashes; this only makes room and forgets who is gone.
        self.cache.clear();
    }
}

#[cfg(test)]
mod tests;
