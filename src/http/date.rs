//! HTTP dates to and from seconds of the Unix epoch (RFC 9110 §5.6.7).
//!
//! Writing is done here, because it is twenty lines of arithmetic and fills a fixed array; reading,
//! with its three forms, is left to the `httpdate` crate.
//!
//! It must not know the current time: the caller passes seconds in. That is why the two-digit year
//! of the RFC 850 form follows `httpdate`'s fixed rule (00–69 are 20xx, 70–99 are 19xx) instead of
//! "not more than 50 years ahead".
//!
//! Invariant: what [`encode`] writes, [`parse`] reads back to the same second.

use std::time::UNIX_EPOCH;

/// The length of an IMF-fixdate: `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 §5.6.7).
pub const IMF_FIXDATE_BYTES: usize = 29;

/// Writes an IMF-fixdate, the only form that may be sent (RFC 9110 §5.6.7).
///
/// The form has four digits for the year; a later time is written as the last second of 9999.
pub fn encode(unix_secs: u64) -> [u8; IMF_FIXDATE_BYTES] {
    let secs = unix_secs.min(UNIX_SECS_MAX);
    // At most 2,932,896 days and 86,399 seconds: both fit 32 bits, where small boxes divide fast.
    let days = (secs / SECS_PER_DAY) as u32;
    let second = (secs % SECS_PER_DAY) as u32;
    let (year, month, day) = civil_from_days(days);

    let mut date = *b"Thu, 01 Jan 1970 00:00:00 GMT";
    // Day 0 was a Thursday.
    let weekday = (days % 7) as usize;
    date[..3].copy_from_slice(&WEEKDAYS[weekday]);
    date[5..7].copy_from_slice(&two_digits(day));
    date[8..11].copy_from_slice(&MONTHS[month]);
    date[12..14].copy_from_slice(&two_digits(year / 100));
    date[14..16].copy_from_slice(&two_digits(year % 100));
    date[17..19].copy_from_slice(&two_digits(second / 3600));
    date[20..22].copy_from_slice(&two_digits(second / 60 % 60));
    date[23..25].copy_from_slice(&two_digits(second % 60));
    date
}

/// Reads any of the three forms: IMF-fixdate, RFC 850 and asctime (RFC 9110 §5.6.7).
///
/// `None` for anything else: a wrong day of the week, a day that its month does not have, a leap
/// second, a year before 1970. RFC 850 years 00–69 are taken as 20xx and 70–99 as 19xx.
pub fn parse(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?;
    let time = httpdate::parse_http_date(text).ok()?;
    time.duration_since(UNIX_EPOCH)
        .ok()
        .map(|since| since.as_secs())
}

/// Days since 1970-01-01 to year, month (0 is January) and day of the proleptic Gregorian calendar.
///
/// The well-known method of counting from 0000-03-01, so that the leap day is the last day of a
/// year (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms"). Unsigned, for no date lies
/// before 1970.
fn civil_from_days(days: u32) -> (u32, usize, u32) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let is_next_year = month_from_march >= 10;
    let month = if is_next_year {
        month_from_march - 10
    } else {
        month_from_march + 2
    };
    (
        year_of_era + era * 400 + u32::from(is_next_year),
        month as usize,
        day,
    )
}

/// Two decimal digits of a number below 100.
fn two_digits(number: u32) -> [u8; 2] {
    debug_assert!(number < 100);
    [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8]
}

const SECS_PER_DAY: u64 = 86_400;

/// 9999-12-31 23:59:59, the last second that four digits can name.
const UNIX_SECS_MAX: u64 = 253_402_300_799;

/// Days of the week, beginning with that of 1970-01-01.
const WEEKDAYS: [[u8; 3]; 7] = [
    *b"Thu", *b"Fri", *b"Sat", *b"Sun", *b"Mon", *b"Tue", *b"Wed",
];

const MONTHS: [[u8; 3]; 12] = [
    *b"Jan", *b"Feb", *b"Mar", *b"Apr", *b"May", *b"Jun", *b"Jul", *b"Aug", *b"Sep", *b"Oct",
    *b"Nov", *b"Dec",
];

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_dates_are_written_and_read() {
        for (secs, date) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"),
            (2_147_483_648, "Tue, 19 Jan 2038 03:14:08 GMT"),
            (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (UNIX_SECS_MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            assert_eq!(std::str::from_utf8(&encode(secs)).unwrap(), date);
            assert_eq!(parse(date.as_bytes()), Some(secs), "{date}");
        }
    }

    #[test]
    fn times_after_9999_are_clamped() {
        assert_eq!(encode(UNIX_SECS_MAX + 1), encode(UNIX_SECS_MAX));
        assert_eq!(encode(u64::MAX), encode(UNIX_SECS_MAX));
    }

    #[test]
    fn obsolete_forms_are_read() {
        for (value, secs) in [
            ("Sunday, 06-Nov-94 08:49:37 GMT", 784_111_777),
            ("Sun Nov  6 08:49:37 1994", 784_111_777),
            ("Wednesday, 01-Jan-69 00:00:00 GMT", 0),
            ("Tuesday, 01-Jan-69 00:00:00 GMT", 3_124_224_000),
            ("Thursday, 01-Jan-70 00:00:00 GMT", 0),
        ] {
            let expected = if value.starts_with("Wednesday") {
                None
            } else {
                Some(secs)
            };
            assert_eq!(parse(value.as_bytes()), expected, "{value}");
        }
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for value in [
            "",
            "0",
            "784111777",
            "Mon, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 08:49:37 GMT; length=3",
            "sun, 06 nov 1994 08:49:37 gmt",
            "Sun, 31 Feb 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sat, 31 Dec 2016 23:59:60 GMT",
            "Wed, 31 Dec 1969 23:59:59 GMT",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "S\u{fc}n, 06 Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(parse(value.as_bytes()), None, "{value}");
        }
        assert_eq!(parse(b"Sun, 06 Nov 1994 08:49:37 GM\xff"), None);
    }

    #[test]
    fn every_day_until_2400_is_written_as_httpdate_does() {
        for days in 0..157_000 {
            let secs = days * SECS_PER_DAY + 86_399;
            let expected = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(secs));
            assert_eq!(encode(secs).as_slice(), expected.as_bytes());
        }
    }

    proptest! {
        #[test]
        fn encoding_agrees_with_httpdate(secs in 0..=UNIX_SECS_MAX) {
            let expected = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(secs));
            let date = encode(secs);
            prop_assert_eq!(date.as_slice(), expected.as_bytes());
            prop_assert_eq!(parse(&date), Some(secs));
        }

        #[test]
        fn parsing_any_bytes_returns(value in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse(&value);
        }
    }
}
