//! What stands before a line: when it was, and what it is worth.
//!
//! Times are in UTC everywhere: a small box has no time zone database, and lines of machines in
//! several zones can be put in order.

use crate::config::Level;
use crate::http::date;
use crate::http::encode::push_number;

/// The time, written down once a second in each form that a log wants.
#[derive(Debug)]
pub(super) struct Clock {
    /// The loop's clock, milliseconds.
    pub(super) now: u64,
    unix_secs: u64,
    /// What `forms` are of.
    forms_secs: u64,
    forms: Forms,
    pid: u32,
}

/// One second in several forms.
#[derive(Debug)]
pub(super) struct Forms {
    /// `[06/Nov/1994:08:49:37 +0000]`
    pub(super) clf: [u8; 28],
    /// `1994-11-06T08:49:37Z` (RFC 3339)
    pub(super) iso: [u8; 20],
    /// `Nov  6 08:49:37` (RFC 3164 §4.1.2)
    pub(super) syslog: [u8; 15],
}

impl Clock {
    pub(super) fn new(now: u64, unix_secs: u64) -> Self {
        Self {
            now,
            unix_secs,
            forms_secs: unix_secs,
            forms: Forms::new(unix_secs),
            pid: std::process::id(),
        }
    }

    /// The time has come to this.
    pub(super) fn set(&mut self, now: u64, unix_secs: u64) {
        self.now = now;
        self.unix_secs = unix_secs;
    }

    /// The second, written down.
    pub(super) fn forms(&mut self) -> &Forms {
        if self.forms_secs != self.unix_secs {
            self.forms = Forms::new(self.unix_secs);
            self.forms_secs = self.unix_secs;
        }
        &self.forms
    }

    /// `1994-11-06T08:49:37Z notice: `
    pub(super) fn push_stamp(&mut self, out: &mut Vec<u8>, level: Level) {
        out.extend_from_slice(&self.forms().iso);
        out.push(b' ');
        out.extend_from_slice(level.name().as_bytes());
        out.extend_from_slice(b": ");
    }

    /// `<29>Nov  6 08:49:37 swiftd[123]: `
    pub(super) fn push_syslog(&mut self, out: &mut Vec<u8>, facility: u8, level: Level) {
        out.push(b'<');
        push_number(out, u64::from(facility * 8 + severity(level)));
        out.push(b'>');
        out.extend_from_slice(&self.forms().syslog);
        out.extend_from_slice(b" swiftd[");
        push_number(out, self.pid.into());
        out.extend_from_slice(b"]: ");
    }
}

impl Forms {
    fn new(unix_secs: u64) -> Self {
        // `Sun, 06 Nov 1994 08:49:37 GMT`: all that is wanted stands at a known place.
        let date = date::encode(unix_secs);
        let (day, month, year, time) = (&date[5..7], &date[8..11], &date[12..16], &date[17..25]);
        let mut forms = Self {
            clf: *b"[00/Mmm/0000:00:00:00 +0000]",
            iso: *b"0000-00-00T00:00:00Z",
            syslog: *b"Mmm 00 00:00:00",
        };
        forms.clf[1..3].copy_from_slice(day);
        forms.clf[4..7].copy_from_slice(month);
        forms.clf[8..12].copy_from_slice(year);
        forms.clf[13..21].copy_from_slice(time);
        let number = MONTHS.chunks(3).position(|name| name == month);
        let number = number.map_or(0, |index| index as u8 + 1);
        forms.iso[..4].copy_from_slice(year);
        forms.iso[5] = b'0' + number / 10;
        forms.iso[6] = b'0' + number % 10;
        forms.iso[8..10].copy_from_slice(day);
        forms.iso[11..19].copy_from_slice(time);
        forms.syslog[..3].copy_from_slice(month);
        forms.syslog[4..6].copy_from_slice(day);
        if day[0] == b'0' {
            forms.syslog[4] = b' ';
        }
        forms.syslog[7..].copy_from_slice(time);
        forms
    }
}

const MONTHS: &[u8] = b"JanFebMarAprMayJunJulAugSepOctNovDec";

/// LOG_DAEMON: what a daemon has to say.
pub(super) const DAEMON: u8 = 3;

/// LOG_LOCAL7: where nginx's requests go, so that rules for them fit.
pub(super) const LOCAL7: u8 = 23;

/// The number of syslog(3).
fn severity(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warning => 4,
        Level::Notice => 5,
        Level::Info => 6,
        Level::Debug => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_several_forms() {
        for (secs, clf, iso, syslog) in [
            (
                784_111_777,
                "[06/Nov/1994:08:49:37 +0000]",
                "1994-11-06T08:49:37Z",
                "Nov  6 08:49:37",
            ),
            (
                1_795_375_420,
                "[22/Nov/2026:19:23:40 +0000]",
                "2026-11-22T19:23:40Z",
                "Nov 22 19:23:40",
            ),
            (
                0,
                "[01/Jan/1970:00:00:00 +0000]",
                "1970-01-01T00:00:00Z",
                "Jan  1 00:00:00",
            ),
        ] {
            let forms = Forms::new(secs);
            assert_eq!(str::from_utf8(&forms.clf).unwrap(), clf);
            assert_eq!(str::from_utf8(&forms.iso).unwrap(), iso);
            assert_eq!(str::from_utf8(&forms.syslog).unwrap(), syslog);
        }
    }

    #[test]
    fn lines_begin_with_time_and_worth() {
        let mut clock = Clock::new(0, 784_111_776);
        clock.pid = 12;
        clock.set(1, 784_111_777);
        let mut out = Vec::new();
        clock.push_stamp(&mut out, Level::Warning);
        out.push(b'|');
        clock.push_syslog(&mut out, DAEMON, Level::Error);
        out.push(b'|');
        clock.push_syslog(&mut out, LOCAL7, Level::Info);
        let expected = "1994-11-06T08:49:37Z warning: |<27>Nov  6 08:49:37 swiftd[12]: |<190>Nov  6 08:49:37 swiftd[12]: ";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
