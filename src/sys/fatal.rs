//! The handler of fatal signals: one line that says where the process died, then the death itself.
//!
//! It runs on a stack of its own, so that it also works when the thread's has overflowed, and does
//! only what signal-safety(7) allows: it reads atomics, formats by hand, and calls poll(2),
//! write(2) and raise(3). The signal's own action is restored by the kernel before the handler
//! begins (SA_RESETHAND) and the signal is raised again, so a core and the exit status are what
//! they would be without it.

#![allow(unsafe_code)]

use super::crash::{self, OUTSIDE, hook_name, page, printable};
use libc::{c_int, c_void, siginfo_t};
use std::io;
use std::mem::MaybeUninit;
use std::ptr::null_mut;
use std::sync::atomic::AtomicI32;
use std::sync::atomic::Ordering::Relaxed;

/// The signals that end a process that did something it must not.
const FATAL: [c_int; 7] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGABRT,
    libc::SIGTRAP,
    libc::SIGSYS,
];

/// The handler's stack. The kernel puts the registers there, up to 11 KiB on machines with the
/// widest ones; the handler itself needs less than one.
const STACK_BYTES: usize = 16 * 1024;

/// The thread that calls plugins: the one that installed the handler.
static LOOP_THREAD: AtomicI32 = AtomicI32::new(0);

/// Installs the handler, and its stack for this thread, which is the loop's. The Rust runtime's
/// own handler, which knows stack overflows only, is replaced.
///
/// # Errors
/// No memory is left.
pub fn install_handler() -> io::Result<()> {
    let stack = libc::stack_t {
        ss_sp: super::raw::map(STACK_BYTES, libc::MAP_PRIVATE)?,
        ss_flags: 0,
        ss_size: STACK_BYTES,
    };
    // SAFETY: the memory is mapped, has that size, is nobody else's, and is never unmapped.
    if unsafe { libc::sigaltstack(&stack, null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    LOOP_THREAD.store(thread_id(), Relaxed);
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: integers, a set of bits and an optional pointer: zero is valid for all of them.
    let action = unsafe { action.assume_init_mut() };
    action.sa_sigaction = handle as extern "C" fn(c_int, *mut siginfo_t, *mut c_void) as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESETHAND;
    // SAFETY: the mask is valid for writing. All signals wait: a fault within the handler is
    // then the end, without a second line.
    unsafe { libc::sigfillset(&mut action.sa_mask) };
    for signal in FATAL {
        // SAFETY: `action` is initialised and `handle` does only what a signal handler may.
        if unsafe { libc::sigaction(signal, action, null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

extern "C" fn handle(signal: c_int, info: *mut siginfo_t, _context: *mut c_void) {
    let origin = Origin::of(signal, info);
    // What another process sends reaches any thread. It is meant for all, and of interest is what
    // the loop was about.
    let is_foreign = matches!(origin, Origin::Process(_));
    let is_loop = is_foreign || thread_id() == LOOP_THREAD.load(Relaxed);
    let crumb = if is_loop {
        page().breadcrumb.load(Relaxed)
    } else {
        crash::job_crumb()
    };
    let verdict = if crumb == 0 { OUTSIDE } else { crumb };
    page().verdict.store(verdict, Relaxed);
    write_error(describe(signal, crumb, is_loop, &origin).bytes());
    // It is blocked now and kills when this returns, in the place where it happened.
    // SAFETY: raise(3) may be called from signal handlers.
    unsafe { libc::raise(signal) };
}

/// Where a signal came from.
enum Origin {
    /// An instruction that used this address, or is there.
    Address(usize),
    /// Another process.
    Process(u32),
    /// A system call that the sandbox forbids.
    Call(c_int),
    /// Not told, or this process itself, as in abort(3).
    Unknown,
}

/// What comes with SIGSYS (sigaction(2)); the C library has no name for it.
#[repr(C)]
struct Forbidden {
    _header: [c_int; 3],
    _address: *const c_void,
    call: c_int,
}

impl Origin {
    fn of(signal: c_int, info: *mut siginfo_t) -> Self {
        // SAFETY: the kernel passes a valid pointer to a handler with SA_SIGINFO.
        let Some(info) = (unsafe { info.as_ref() }) else {
            return Self::Unknown;
        };
        match info.si_code {
            libc::SI_USER | libc::SI_QUEUE | libc::SI_TKILL => {
                // SAFETY: these codes come with the sender.
                let sender = unsafe { info.si_pid() }.unsigned_abs();
                if sender == 0 || sender == std::process::id() {
                    Self::Unknown
                } else {
                    Self::Process(sender)
                }
            }
            1.. if signal == libc::SIGSYS => {
                let info = std::ptr::from_ref(info).cast::<Forbidden>();
                // SAFETY: the kernel's SIGSYS is laid out so, and no larger than any other.
                Self::Call(unsafe { (*info).call })
            }
            1.. if signal != libc::SIGABRT => {
                // SAFETY: faults and traps of the kernel come with the address.
                Self::Address(unsafe { info.si_addr() }.addr())
            }
            _ => Self::Unknown,
        }
    }
}

fn describe(signal: c_int, crumb: u32, is_loop: bool, origin: &Origin) -> Line {
    let mut line = Line::new();
    line.text("swiftd: fatal signal ");
    line.number(signal.unsigned_abs() as usize, 10);
    match (crumb >> 16).checked_sub(1) {
        None => line.text(" outside any plugin"),
        Some(slot) => {
            line.text(" in plugin ");
            line.plugin(slot as usize);
            line.text(" hook ");
            line.text(hook_name(crumb));
        }
    }
    match *origin {
        Origin::Address(address) => {
            line.text(" address 0x");
            line.number(address, 16);
        }
        Origin::Process(sender) => {
            line.text(" sent by process ");
            line.number(sender as usize, 10);
        }
        Origin::Call(call) => {
            line.text(" by system call ");
            line.number(call.unsigned_abs() as usize, 10);
            line.text(", which the sandbox forbids");
        }
        Origin::Unknown => {}
    }
    if !is_loop {
        line.text(" on a helper thread");
    }
    line.text("\n");
    line
}

/// A line that is put together without allocating. What does not fit is left out.
struct Line {
    buffer: [u8; 192],
    length: usize,
}

impl Line {
    fn new() -> Self {
        Self {
            buffer: [0; 192],
            length: 0,
        }
    }

    fn bytes(&self) -> &[u8] {
        self.buffer.get(..self.length).unwrap_or_default()
    }

    fn byte(&mut self, byte: u8) {
        if let Some(place) = self.buffer.get_mut(self.length) {
            *place = byte;
            self.length += 1;
        }
    }

    fn text(&mut self, text: &str) {
        for byte in text.bytes() {
            self.byte(byte);
        }
    }

    fn number(&mut self, number: usize, base: usize) {
        let mut digits = [0_u8; 20];
        let mut rest = number;
        let mut count = 0;
        for place in digits.iter_mut().rev() {
            let digit = (rest % base) as u8;
            *place = digit + if digit < 10 { b'0' } else { b'a' - 10 };
            count += 1;
            rest /= base;
            if rest == 0 {
                break;
            }
        }
        for &digit in digits.iter().skip(digits.len() - count) {
            self.byte(digit);
        }
    }

    /// The name of the plugin in a slot, or the slot's number.
    fn plugin(&mut self, slot: usize) {
        let before = self.length;
        if let Some(entry) = page().entries.get(slot) {
            for cell in &entry.name {
                match cell.load(Relaxed) {
                    0 => break,
                    byte => self.byte(printable(byte)),
                }
            }
        }
        if self.length == before {
            self.text("#");
            self.number(slot, 10);
        }
    }
}

/// Writes to standard error if that takes it: nobody who does not read keeps the process alive.
fn write_error(line: &[u8]) {
    let mut ready = libc::pollfd {
        fd: libc::STDERR_FILENO,
        events: libc::POLLOUT,
        revents: 0,
    };
    // SAFETY: one valid entry, and the call does not wait.
    if unsafe { libc::poll(&mut ready, 1, 0) } == 1 {
        // SAFETY: the slice is valid for its length.
        unsafe { libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), line.len()) };
    }
}

fn thread_id() -> i32 {
    // SAFETY: it has no arguments and cannot fail.
    unsafe { libc::syscall(libc::SYS_gettid) as i32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(signal: c_int, crumb: u32, is_loop: bool, origin: &Origin) -> String {
        String::from_utf8(describe(signal, crumb, is_loop, origin).bytes().to_vec()).unwrap()
    }

    #[test]
    fn the_line_says_signal_plugin_hook_and_address() {
        let unnamed = 1_000_u32 << 16 | 13;
        for (crumb, is_loop, origin, wanted) in [
            (0, true, Origin::Unknown, "outside any plugin"),
            (
                0,
                false,
                Origin::Unknown,
                "outside any plugin on a helper thread",
            ),
            (
                0,
                true,
                Origin::Process(1),
                "outside any plugin sent by process 1",
            ),
            (
                unnamed,
                true,
                Origin::Address(0xdead_beef),
                "in plugin #999 hook handle_subrequest address 0xdeadbeef",
            ),
            (
                unnamed,
                true,
                Origin::Address(0),
                "in plugin #999 hook handle_subrequest address 0x0",
            ),
        ] {
            let line = said(libc::SIGSEGV, crumb, is_loop, &origin);
            assert_eq!(line, format!("swiftd: fatal signal 11 {wanted}\n"));
        }
    }

    #[test]
    fn numbers_are_written_in_full() {
        for (number, base, wanted) in [
            (0, 10, "0"),
            (usize::MAX, 10, &*usize::MAX.to_string()),
            (usize::MAX, 16, &*format!("{:x}", usize::MAX)),
        ] {
            let mut line = Line::new();
            line.number(number, base);
            assert_eq!(line.bytes(), wanted.as_bytes());
        }
        let mut line = Line::new();
        line.text(&"x".repeat(500));
        assert_eq!(line.bytes().len(), 192);
    }
}
