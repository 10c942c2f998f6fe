//! Seconds since 1970 as a date in UTC, ISO 8601. Without leap seconds, as in Unix time.

use std::fmt;

/// A moment, split up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Date {
    year: i64,
    month: u8,
    day: u8,
    second_of_day: u32,
}

const DAY_SECS: i64 = 86_400;

impl Date {
    /// Any time that a file system can hold; years far from now have more digits or a sign.
    pub(crate) fn of_unix(secs: i64) -> Self {
        let second_of_day = secs.rem_euclid(DAY_SECS);
        // The days since 1 March of the year 0, in eras of 400 years, so that a leap day is the
        // last day of a year (H. Hinnant, "chrono-compatible low-level date algorithms").
        let days = secs.div_euclid(DAY_SECS) + 719_468;
        let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = (month_from_march + 2) % 12 + 1;
        Self {
            year: era * 400 + year_of_era + i64::from(month <= 2),
            month: narrow(month),
            day: narrow(day),
            second_of_day: u32::try_from(second_of_day).expect("less than a day"),
        }
    }

    /// `2026-11-22`
    pub(crate) fn day(self) -> impl fmt::Display {
        let Self {
            year, month, day, ..
        } = self;
        display(move |f| write!(f, "{year:04}-{month:02}-{day:02}"))
    }

    /// `14:03`
    pub(crate) fn minute(self) -> impl fmt::Display {
        let minutes = self.second_of_day / 60;
        display(move |f| write!(f, "{:02}:{:02}", minutes / 60, minutes % 60))
    }
}

/// `2026-11-22T14:03:05Z`
impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let second = self.second_of_day % 60;
        write!(f, "{}T{}:{second:02}Z", self.day(), self.minute())
    }
}

fn narrow(number: i64) -> u8 {
    u8::try_from(number).expect("a month or a day of it")
}

fn display(write: impl Fn(&mut fmt::Formatter<'_>) -> fmt::Result) -> impl fmt::Display {
    struct Display<F>(F);
    impl<F: Fn(&mut fmt::Formatter<'_>) -> fmt::Result> fmt::Display for Display<F> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0(f)
        }
    }
    Display(write)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments_have_their_dates() {
        for (secs, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_799, "2000-02-29T23:59:59Z"),
            (1_000_000_000, "2001-09-09T01:46:40Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
            (253_402_300_800, "10000-01-01T00:00:00Z"),
            (-62_167_219_200, "0000-01-01T00:00:00Z"),
        ] {
            assert_eq!(Date::of_unix(secs).to_string(), expected);
        }
    }

    #[test]
    fn days_follow_each_other() {
        let mut days = 0;
        for year in 1970..2430 {
            let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let lengths = [
                31,
                if is_leap { 29 } else { 28 },
                31,
                30,
                31,
                30,
                31,
                31,
                30,
                31,
                30,
                31,
            ];
            for (month, length) in (1..).zip(lengths) {
                for day in 1..=length {
                    let date = Date::of_unix(days * DAY_SECS + 43_200);
                    assert_eq!(
                        date.to_string(),
                        format!("{year}-{month:02}-{day:02}T12:00:00Z")
                    );
                    days += 1;
                }
            }
        }
    }

    #[test]
    fn no_time_of_a_file_panics() {
        // What a 64-bit time can hold and a file system will not; the extremes of `i64` included.
        for secs in [i64::MIN, i64::MIN / 2, i64::MAX / 2, i64::MAX] {
            assert!(Date::of_unix(secs).to_string().ends_with('Z'));
        }
    }
}
