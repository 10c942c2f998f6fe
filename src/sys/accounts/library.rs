//! Users and groups as the C library finds them.

#![allow(unsafe_code)]

use super::User;
use std::ffi::{CStr, CString, c_char};
use std::io;
use std::mem::MaybeUninit;

/// What an entry may need beside its struct; it is tried again with more.
const BYTES: usize = 1024;

/// A group of some ten thousand members.
const BYTES_MAX: usize = 1 << 20;

/// How many groups one user may be in (NGROUPS_MAX).
const GROUPS_MAX: usize = 65_536;

pub(super) fn user(name: &str) -> io::Result<Option<User>> {
    let Ok(name) = CString::new(name) else {
        return Ok(None);
    };
    ask(
        |entry, bytes, result| {
            // SAFETY: all are valid for what the function is told of them, and outlive the call.
            unsafe {
                libc::getpwnam_r(
                    name.as_ptr(),
                    entry.as_mut_ptr(),
                    bytes.as_mut_ptr(),
                    bytes.len(),
                    result,
                )
            }
        },
        describe,
    )
}

pub(super) fn user_by_number(number: u32) -> io::Result<Option<User>> {
    ask(
        |entry, bytes, result| {
            // SAFETY: as above.
            unsafe {
                libc::getpwuid_r(
                    number,
                    entry.as_mut_ptr(),
                    bytes.as_mut_ptr(),
                    bytes.len(),
                    result,
                )
            }
        },
        describe,
    )
}

pub(super) fn group(name: &str) -> io::Result<Option<u32>> {
    let Ok(name) = CString::new(name) else {
        return Ok(None);
    };
    ask(
        |entry: &mut MaybeUninit<libc::group>, bytes, result| {
            // SAFETY: as above.
            unsafe {
                libc::getgrnam_r(
                    name.as_ptr(),
                    entry.as_mut_ptr(),
                    bytes.as_mut_ptr(),
                    bytes.len(),
                    result,
                )
            }
        },
        |entry| entry.gr_gid,
    )
}

pub(super) fn groups_of(name: &str, first: u32) -> io::Result<Vec<u32>> {
    let name = CString::new(name)?;
    let mut numbers: Vec<libc::gid_t> = vec![0; 64];
    loop {
        let mut count = numbers.len() as libc::c_int;
        // SAFETY: there is room for so many numbers; all outlive the call.
        let got = unsafe {
            libc::getgrouplist(name.as_ptr(), first, numbers.as_mut_ptr(), &raw mut count)
        };
        let count = usize::try_from(count).unwrap_or(0);
        if got >= 0 {
            numbers.truncate(count);
            return Ok(numbers);
        }
        // musl does not say how many there are.
        let wanted = count.max(numbers.len() * 2);
        if wanted > GROUPS_MAX {
            return Err(io::Error::other("the user is in too many groups"));
        }
        numbers.resize(wanted, 0);
    }
}

/// Calls a function of the `_r` family with a buffer that is large enough, and makes of the entry
/// what is needed of it while the buffer is there.
fn ask<E, T>(
    call: impl Fn(&mut MaybeUninit<E>, &mut [c_char], &mut *mut E) -> libc::c_int,
    keep: impl Fn(&E) -> T,
) -> io::Result<Option<T>> {
    let mut bytes: Vec<c_char> = vec![0; BYTES];
    loop {
        let mut entry = MaybeUninit::<E>::uninit();
        let mut result = std::ptr::null_mut();
        let error = call(&mut entry, &mut bytes, &mut result);
        match error {
            0 if result.is_null() => return Ok(None),
            0 => {
                // SAFETY: the function has found an entry, which it says by `result`, and filled it.
                let entry = unsafe { entry.assume_init_ref() };
                return Ok(Some(keep(entry)));
            }
            libc::EINTR => {}
            libc::ERANGE if bytes.len() < BYTES_MAX => bytes.resize(bytes.len() * 4, 0),
            // What the databases say who have no such entry, see getpwnam_r(3).
            libc::ENOENT | libc::ESRCH | libc::EBADF | libc::EPERM => return Ok(None),
            error => return Err(io::Error::from_raw_os_error(error)),
        }
    }
}

fn describe(entry: &libc::passwd) -> User {
    // SAFETY: the entry was filled just now, and its name is a string in a buffer that is still there.
    let name = unsafe { CStr::from_ptr(entry.pw_name) };
    User {
        name: name.to_string_lossy().into_owned(),
        user: entry.pw_uid,
        group: entry.pw_gid,
    }
}
