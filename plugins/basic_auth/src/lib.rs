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
//! guesses hold it for 0.4 s. An unknown user costs as much as a known one.
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
    /// One more reference for each hash under way: it goes wherever the job ends.
    jobs: Arc<()>,
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

/// What is kept for a request.
enum Progress {
    Checking(Check),
    /// It started over, with the same credentials.
    Passed,
}

/// An attempt whose hash is being computed.
struct Check {
    pending: Pending<bool>,
    user: Vec<u8>,
    hash: Arc<Hash>,
    /// `None`: the user is unknown and cannot pass.
    key: Option<Key>,
}

plugin! {
    impl Plugin for BasicAuth {
        const NAME: &CStr = c"basic_auth";
        const VERSION: &CStr = c"1.0";

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
                jobs: Arc::new(()),
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
            let result = match req.data::<Progress>() {
                None => return self.begin(req),
                Some(Progress::Passed) => return Flow::GoOn,
                Some(Progress::Checking(check)) => check.pending.take(),
            };
            match result {
                None => Flow::WaitForEvent,
                Some(Ok(is_right)) => self.conclude(req, is_right),
                Some(Err(_)) => Flow::Error,
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
        let key = known.map(|hash| self.cache.key(&attempt, hash));
        if key.is_some_and(|key| self.cache.contains(&key, self.host.now_ms())) {
            return pass(req, &attempt.user);
        }
        let decoy = || self.users.decoy(self.cache.number(&attempt.user));
        let Some(hash) = known.or_else(decoy).cloned() else {
            return self.refuse(req);
        };
        self.check(req, attempt, hash, key)
    }

    fn check(
        &self,
        req: &mut Request,
        attempt: Credentials,
        hash: Arc<Hash>,
        key: Option<Key>,
    ) -> Flow {
        let place = Arc::clone(&self.jobs);
        if Arc::strong_count(&place) - 1 > self.settings.jobs_max {
            return self.put_off(req);
        }
        let Credentials { user, password } = attempt;
        let job_hash = Arc::clone(&hash);
        let work = move || {
            let is_right = job_hash.verify(&password);
            drop(place);
            is_right
        };
        let pending = match req.job(work) {
            Ok(pending) => pending,
            Err(Error::Limit) => return self.put_off(req),
            Err(_) => return Flow::Error,
        };
        let check = Check {
            pending,
            user,
            hash,
            key,
        };
        let kept = req.set_data(Progress::Checking(check));
        kept.map_or(Flow::Error, |()| Flow::WaitForEvent)
    }

    /// The hash is computed. The file may have changed meanwhile; what it says now counts.
    fn conclude(&mut self, req: &mut Request, is_right: bool) -> Flow {
        let Some(Progress::Checking(check)) = req.data::<Progress>() else {
            return Flow::Error;
        };
        let user = core::mem::take(&mut check.user);
        let key = check.key.filter(|_| {
            is_right
                && self
                    .users
                    .find(&user)
                    .is_some_and(|hash| *hash == check.hash)
        });
        let Some(key) = key else {
            let (name, peer) = (
                String::from_utf8_lossy(&user),
                String::from_utf8_lossy(req.peer()),
            );
            self.host
                .notice(format_args!("{name:?} from {peer} is refused"));
            if req.clear_data().is_err() {
                return Flow::Error;
            }
            return self.refuse(req);
        };
        self.cache.insert(key, self.host.now_ms());
        pass(req, &user)
    }

    fn refuse(&self, req: &mut Request) -> Flow {
        self.refused.add(1);
        answer(req, 401, "www-authenticate", &self.settings.challenge)
    }

    fn put_off(&self, req: &mut Request) -> Flow {
        self.busy.add(1);
        answer(req, 503, "retry-after", "1")
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
        self.cache.clear();
    }
}

#[cfg(test)]
mod tests;
