//! From a configuration to a server, and to an exit code.
//!
//! The order is the meaning of this module:
//!
//! 1. What a service manager hands over is taken, before another descriptor can have its number.
//! 2. Into the background, if asked for; who waits there prints nothing, because errors still go to
//!    the terminal from here.
//! 3. The account is looked up, the pid file locked (a second server learns here that there is
//!    a first one, not from an address in use), listeners are bound or adopted, the limit
//!    of descriptors is raised: all that needs root, or the outside.
//! 4. Into the jail; log files that are not there are made for the account; root is dropped.
//! 5. The supervisor forks, so that neither it nor any worker ever has more rights than the server.
//! 6. The process that serves locks itself in ([`crate::sandbox`]); plugins are loaded, roots and logs
//!    opened: as whom and out of where they will be opened later, so what would fail at a reload
//!    fails now.
//! 7. The pid is written, the ready line said, the terminal left, and everybody told.
//!
//! INVARIANT: until 6 there is one thread, and what fails leaves nothing behind.

mod announce;
mod check;
mod ground;
mod lifecycle;
mod listeners;
mod logs;
mod parent;

pub use check::check_plugins;
pub use ground::Ground;

use crate::cli::{self, Failure};
use crate::config::{Config, Destination, Service};
use crate::conn::NoHooks;
use crate::control::Desk;
use crate::plugin::{Extension, Plugins, needs};
use crate::server::{self, Heirloom, Server};
use crate::supervisor::{self, LeftOut, Role, Worker};
use crate::sys::accounts;
use crate::sys::activation::{self, Inherited};
use crate::sys::crash;
use crate::sys::daemon::{self, Side};
use crate::sys::heir::{Heritage, Program};
use crate::sys::notify::Notifier;
use crate::sys::pid_file::PidFile;
use crate::sys::privileges::{self, Account};
use crate::sys::process;
use crate::sys::socket::Listener;
use crate::sys::threads;
use announce::Announcer;
use lifecycle::{Bequest, Lifecycle, renew, source};
use parent::Parent;
use std::fmt;
use std::io::{self, Write};

/// Something went wrong at run time.
pub const RUN_TIME: u8 = 1;

/// Serves, or has a worker or a daemon serve. Returns the exit code of this process, whichever it
/// is. What went wrong has been said.
#[must_use]
pub fn serve(mut config: Config) -> u8 {
    let heritage = Heritage::take();
    if let Some(heritage) = &heritage
        && heritage.is_dropped
        && let Err(error) = privileges::stay_dropped()
    {
        return fail(&failure(format_args!("cannot give up privileges: {error}")));
    }
    // One that cannot be found now cannot be started later, which is soon enough to complain.
    let program = Program::current().ok();
    let inherited = match activation::take() {
        Ok(inherited) => inherited,
        Err(error) => return fail(&failure(error)),
    };
    let notifier = Notifier::from_env().unwrap_or_else(|error| {
        notice(format_args!(
            "the service manager is not told anything: NOTIFY_SOCKET: {error}"
        ));
        Notifier::default()
    });
    let ground = match Ground::of(&config.service) {
        Ok(ground) => ground,
        Err(error) => return fail(&failure(format_args!("the working directory: {error}"))),
    };
    ground.settle(&mut config);
    let mut announcer = Announcer::default();
    // A predecessor was in the background already.
    if config.service.is_daemon && heritage.is_none() {
        match daemon::detach() {
            Ok(Side::Foreground(waiting)) => {
                return waiting
                    .wait()
                    .unwrap_or_else(|| fail(&failure("the server ended before it was ready")));
            }
            Ok(Side::Background(herald)) => announcer.herald = Some(herald),
            Err(error) => {
                return fail(&failure(format_args!(
                    "cannot go into the background: {error}"
                )));
            }
        }
    }
    let start = Start {
        ground,
        announcer: &mut announcer,
        notifier,
        program,
    };
    let code = start
        .run(config, inherited, heritage)
        .unwrap_or_else(|why| fail(&why));
    // It counts only if the daemon has not been ready.
    announcer.tell(code);
    code
}

struct Start<'a> {
    ground: Ground,
    announcer: &'a mut Announcer,
    notifier: Notifier,
    program: Option<Program>,
}

impl Start<'_> {
    /// As [`Self::run_alone`]; a predecessor learns what becomes of it.
    fn run(
        self,
        config: Config,
        inherited: Vec<Inherited>,
        heritage: Option<Heritage>,
    ) -> Result<u8, Failure> {
        let mut heritage = heritage;
        let heirlooms = heritage.as_mut().map(Heirloom::all_of);
        let (pid_file, report) = match heritage {
            Some(heritage) => (heritage.pid_file, Some(heritage.report)),
            None => (None, None),
        };
        let mut bequest = Bequest {
            heirlooms: heirlooms.unwrap_or_default(),
            pid_file,
            report,
        };
        let result = self.run_alone(config, inherited, &mut bequest);
        if let (Err(why), Some(report)) = (&result, bequest.report) {
            report.failed(&why.message);
        }
        result
    }

    fn run_alone(
        self,
        mut config: Config,
        inherited: Vec<Inherited>,
        bequest: &mut Bequest,
    ) -> Result<u8, Failure> {
        let Self {
            ground,
            announcer,
            notifier,
            program,
        } = self;
        let account = account(&config.service)?;
        if let Some(path) = &config.service.pid_file {
            let left = bequest.pid_file.take();
            let file = match left.and_then(|left| PidFile::from_inherited(left, path)) {
                Some(file) => Ok(file),
                None => PidFile::create(path),
            };
            let file = file
                .map_err(|error| failure(format_args!("pid file {}: {error}", path.display())))?;
            announcer.pid_file = Some(file);
        }
        let mut listeners = listeners::open(
            &mut config,
            inherited,
            std::mem::take(&mut bequest.heirlooms),
        )?;
        if let Some(account) = &account {
            // As far as whoever has set the limits for root lets it.
            process::raise_hard_descriptor_limit(Server::descriptors_wanted(&config));
            give(&listeners, account)?;
        }
        if let Some(jail) = ground.jail() {
            privileges::enter_jail(jail).map_err(|error| {
                failure(format_args!(
                    "cannot change the root directory to {}: {error}",
                    jail.display()
                ))
            })?;
            listeners.iter_mut().for_each(|it| it.enter(jail));
            announcer.enter(jail);
            ground.settle_inside(&mut config);
        }
        if let Some(account) = &account {
            logs::make(&config, account)?;
            privileges::drop_to(account).map_err(|error| {
                failure(format_args!("cannot become user {}: {error}", account.name))
            })?;
        }
        announcer.log = logs::open_for_stderr(&config)?;
        let main = std::process::id();
        // The supervisor is the process that others know, so it has to open it.
        let desk = Desk::open();
        let worker = if config.plugins.is_supervised {
            match supervise(&config, listeners, announcer, &notifier)? {
                Role::Over(code) => return Ok(code),
                Role::Worker(worker) => {
                    announcer.leave();
                    worker
                }
            }
        } else {
            Worker::alone(listeners, notifier)
                .map_err(|error| failure(format_args!("cannot take signals: {error}")))?
        };
        let lifecycle = Lifecycle {
            source: source(ground),
            program,
            desk,
            report: &mut bequest.report,
        };
        work(config, worker, announcer, main, lifecycle).map_err(failure)?;
        Ok(0)
    }
}

/// What is to belong to the account that the server becomes.
fn give(listeners: &[Listener], account: &Account) -> Result<(), Failure> {
    for listener in listeners {
        listener
            .give(account.user, account.group)
            .map_err(|error| {
                let address = listener.address();
                failure(format_args!(
                    "cannot give {address} to user {}: {error}",
                    account.name
                ))
            })?;
    }
    Ok(())
}

/// Whom to become; `None` if that is who this is.
fn account(service: &Service) -> Result<Option<Account>, Failure> {
    let own = privileges::effective_user();
    if own != 0
        && let Some(jail) = &service.chroot
    {
        return Err(failure(format_args!(
            "cannot change the root directory to {}: only root can; start it as root, or leave chroot out",
            jail.display()
        )));
    }
    let Some(user) = &service.user else {
        if service.group.is_some() {
            return Err(wrong("a group is set without a user: set the user as well"));
        }
        return Ok(None);
    };
    let account = accounts::find(user, service.group.as_deref()).map_err(wrong)?;
    if own == 0 {
        return Ok(Some(account).filter(|account| account.user != 0));
    }
    if account.user == own && (service.group.is_none() || privileges::is_in(account.group)) {
        return Ok(None);
    }
    Err(failure(format_args!(
        "cannot become user {}: only root can; start it as root, or leave user out",
        account.name
    )))
}

/// Like [`supervisor::run`]. The process that was started is the one that others know.
fn supervise(
    config: &Config,
    listeners: Vec<Listener>,
    announcer: &mut Announcer,
    notifier: &Notifier,
) -> Result<Role, Failure> {
    let settings = supervisor::Settings {
        plugin_hang: config.plugins.hang,
        drain_timeout: config.turn.drain_timeout,
        sign_of_life: notifier.period(),
    };
    let mut parent = Parent::new(config, announcer, notifier);
    let role = supervisor::run(listeners, settings, &mut parent);
    role.map_err(|error| failure(format_args!("cannot supervise: {error}")))
}

/// Serves. `main` is the process that others know.
fn work(
    config: Config,
    worker: Worker,
    announcer: &mut Announcer,
    main: u32,
    lifecycle: Lifecycle<'_>,
) -> Result<(), server::Error> {
    let system = |what| move |error| server::Error::System(what, error);
    crash::install_handler().map_err(system("cannot handle fatal signals"))?;
    let config = if worker.is_first {
        config
    } else {
        renew(config, &lifecycle.source)
    };
    let pid_path = config.service.pid_file.clone();
    let root = config.site.root.clone();
    let wanted_max = config.turn.connections_max;
    let is_quiet = config.service.is_quiet;
    let is_daemon = config.service.is_daemon;
    let has_stderr_log = is_daemon && matches!(config.logs.error, Destination::File(_));
    let is_root = privileges::effective_user() == 0 && config.service.user.is_none();
    // The last privilege is gone; threads and plugins come now.
    let sandbox = needs::lock_in(&config, &worker.notifier).map_err(server::Error::Sandbox)?;
    let plugins = plugins(&config, worker.left_out, worker.is_first)?;
    let mut server = Server::start_with(worker.listeners, config, plugins, Some(worker.signals))?;
    // A daemon that takes over from another, or for a worker, has only the log.
    let has_stderr = !is_daemon || announcer.herald.is_some();
    let tell = |server: &Server, line: fmt::Arguments<'_>| {
        if has_stderr {
            notice(line);
        }
        server.log_notice(line);
    };
    if worker.is_first {
        announcer
            .write(main)
            .map_err(system("cannot write the pid file"))?;
        tell(&server, format_args!("{sandbox}"));
        if is_root {
            tell(
                &server,
                format_args!(
                    "running as root: set a user who may read what is served and nothing else (--user)"
                ),
            );
        }
        if server.connections_max() < wanted_max {
            tell(
                &server,
                format_args!(
                    "at most {} connections at the same time instead of {wanted_max}: the limit of open files is too low (ulimit -Hn, LimitNOFILE=)",
                    server.connections_max()
                ),
            );
        }
    }
    server.set_source(lifecycle.source);
    if let Some(program) = lifecycle.program {
        server.set_program(program);
    }
    match lifecycle.desk {
        Ok(desk) => server.set_desk(desk)?,
        Err(error) => tell(
            &server,
            format_args!("no orders are taken (swiftd -s): {error}"),
        ),
    }
    // First, so that whoever acts upon the line finds it so.
    crash::set_ready();
    if worker.is_first {
        let line = cli::ready_line(&root, server.addresses());
        if !is_quiet && has_stderr {
            say(&line);
        }
        let line = line.strip_prefix("swiftd: ").unwrap_or(&line);
        server.log_notice(format_args!("{line}"));
    } else {
        if has_stderr {
            say("swiftd: worker restarted");
        }
        server.log_notice(format_args!("worker restarted"));
    }
    announcer.leave_terminal();
    if has_stderr_log {
        server.take_stderr();
    }
    announcer.tell(0);
    if let Some(report) = lifecycle.report.take() {
        // From here on it is the predecessor that is not needed.
        server.take_paths();
        if let (Some(file), Some(path)) = (&mut announcer.pid_file, pid_path) {
            file.take_over(&path);
        }
        report.ready(main);
    }
    worker.notifier.ready(main);
    server.set_service(server::Service {
        notifier: worker.notifier,
        pid_file: announcer.pid_file.take(),
    });
    server.run().map_err(system("cannot wait for events"))
}

/// The plugins, if a list of them was given.
fn plugins(
    config: &Config,
    left_out: Vec<LeftOut>,
    is_first: bool,
) -> Result<Box<dyn Extension>, server::Error> {
    let Some(list) = config.plugins.file.clone() else {
        return Ok(Box::new(NoHooks));
    };
    threads::register_own();
    let mut settings = config.plugins.clone();
    settings.is_restarted = !is_first;
    let plugins = Plugins::start(list, settings, left_out);
    Ok(Box::new(plugins.map_err(server::Error::Plugins)?))
}

/// Something went wrong at run time.
fn failure(why: impl fmt::Display) -> Failure {
    Failure {
        code: RUN_TIME,
        message: why.to_string(),
    }
}

/// The configuration asks for what cannot be.
fn wrong(why: impl fmt::Display) -> Failure {
    Failure {
        code: Failure::CONFIG,
        message: why.to_string(),
    }
}

/// Says why, and returns the code.
pub fn fail(why: &Failure) -> u8 {
    // A configuration file may have several faults, each with a line of its own.
    for line in why.message.lines() {
        say(&format!("swiftd: {line}"));
    }
    why.code
}

/// Says what an operator would want to know, although all goes on.
fn notice(line: fmt::Arguments<'_>) {
    say(&format!("swiftd: notice: {line}"));
}

/// Writes a line to standard error. If whoever was to read it has gone, that is no reason to end,
/// as it would be for `eprintln!`.
pub fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
