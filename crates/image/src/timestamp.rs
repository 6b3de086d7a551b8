//! Timestamps of image configs (RFC 3339, section 5.6): comparing and writing them.

/// A point in time: seconds since 1970 in UTC, and nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    seconds: i64,
    nanoseconds: u32,
}

impl Timestamp {
    /// The moment that many seconds after 1970 began, as `SOURCE_DATE_EPOCH` counts.
    #[must_use]
    pub fn from_epoch(seconds: i64) -> Self {
        Self {
            seconds,
            nanoseconds: 0,
        }
    }

    /// Reads `2024-01-31T12:00:00.5Z` or with an offset; `None` when it is not RFC 3339.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let number = |from: usize, to: usize| -> Option<i64> {
            let digits = text.get(from..to)?;
            digits
                .bytes()
                .all(|b| b.is_ascii_digit())
                .then(|| digits.parse().ok())?
        };
        let separator = |at: usize, wanted: &[u8]| {
            text.as_bytes()
                .get(at)
                .is_some_and(|byte| wanted.contains(byte))
        };
        let punctuated = separator(4, b"-")
            && separator(7, b"-")
            && separator(10, b"Tt ")
            && separator(13, b":")
            && separator(16, b":");
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        let legal = (1..=12).contains(&month)
            && (1..=month_length(year, month)).contains(&day)
            && hour < 24
            && minute < 60
            && second <= 60;
        if !punctuated || !legal {
            return None;
        }
        let mut rest = text.get(19..)?;
        let mut nanoseconds = 0;
        if let Some(fraction) = rest.strip_prefix('.') {
            let length = fraction
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(fraction.len());
            let digits = fraction.get(..length).filter(|digits| !digits.is_empty())?;
            nanoseconds = format!("{:0<9}", digits.get(..9).unwrap_or(digits))
                .parse()
                .ok()?;
            rest = fraction.get(length..)?;
        }
        Some(Self {
            seconds: days_from_civil(year, month, day) * 86_400
                + hour * 3600
                + minute * 60
                + second
                - offset(rest)?,
            nanoseconds,
        })
    }
}

impl std::fmt::Display for Timestamp {
    /// RFC 3339 in UTC, without a fraction when it is zero.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (year, month, day) = civil_from_days(self.seconds.div_euclid(86_400));
        let second = self.seconds.rem_euclid(86_400);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}",
            second / 3600,
            second / 60 % 60,
            second % 60
        )?;
        if self.nanoseconds != 0 {
            let fraction = format!("{:09}", self.nanoseconds);
            write!(f, ".{}", fraction.trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

/// Seconds east of UTC: `Z`, `+02:00`.
fn offset(text: &str) -> Option<i64> {
    if matches!(text, "Z" | "z") {
        return Some(0);
    }
    let sign = match text.get(..1)? {
        "+" => 1,
        "-" => -1,
        _ => return None,
    };
    let (hours, minutes) = text.get(1..)?.split_once(':')?;
    let part = |digits: &str, below: i64| {
        (digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit()))
            .then(|| digits.parse::<i64>().ok())?
            .filter(|number| *number < below)
    };
    Some(sign * (part(hours, 24)? * 3600 + part(minutes, 60)? * 60))
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn month_length(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days before a year of the proleptic Gregorian calendar, counted from the year 0.
fn days_before_year(year: i64) -> i64 {
    let past = year - 1;
    365 * year + past.div_euclid(4) - past.div_euclid(100) + past.div_euclid(400) + 1
}

const DAYS_BEFORE_1970: i64 = 719_528;

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let months: i64 = (1..month).map(|month| month_length(year, month)).sum();
    days_before_year(year) + months + day - 1 - DAYS_BEFORE_1970
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + DAYS_BEFORE_1970;
    // A year has at most 366 days, so this is never too late; the loop corrects the rest.
    let mut year = (days * 400).div_euclid(146_097);
    while days_before_year(year + 1) <= days {
        year += 1;
    }
    while days_before_year(year) > days {
        year -= 1;
    }
    let mut rest = days - days_before_year(year);
    let mut month = 1;
    while rest >= month_length(year, month) {
        rest -= month_length(year, month);
        month += 1;
    }
    (year, month, rest + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn known_moments() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1969-12-31T23:59:59Z", -1),
            ("2000-02-29T00:00:00Z", 951_782_400),
            ("2038-01-19T03:14:07Z", 2_147_483_647),
            ("2024-03-01T00:00:00Z", 1_709_251_200),
            // The zero time of Go, which old tools left in configs.
            ("0001-01-01T00:00:00Z", -62_135_596_800),
            ("9999-12-31T23:59:59Z", 253_402_300_799),
        ] {
            assert_eq!(at(text), Timestamp::from_epoch(seconds), "{text}");
            assert_eq!(Timestamp::from_epoch(seconds).to_string(), text);
        }
        assert_eq!(at("2020-01-01T02:00:00+02:00"), at("2020-01-01T00:00:00Z"));
        assert_eq!(at("2019-12-31T22:30:00-01:30"), at("2020-01-01T00:00:00Z"));
        assert_eq!(
            at("2020-01-01T00:00:00.1234567899Z").to_string(),
            "2020-01-01T00:00:00.123456789Z"
        );
    }

    #[test]
    fn order_is_that_of_time_not_of_text() {
        assert!(at("2020-01-01T00:00:00.5Z") > at("2020-01-01T00:00:00Z"));
        assert!(at("2020-01-01T00:00:00.25Z") < at("2020-01-01T00:00:00.3Z"));
        assert!(at("2020-01-01T01:00:00+02:00") < at("2020-01-01T00:00:00Z"));
    }

    #[test]
    fn what_is_no_timestamp() {
        for bad in [
            "",
            "2020-01-01",
            "2020-01-01T00:00:00",
            "2020-13-01T00:00:00Z",
            "2020-00-01T00:00:00Z",
            "2019-02-29T00:00:00Z",
            "2020-01-01T24:00:00Z",
            "2020-01-01T00:00:00.Z",
            "2020-01-01T00:00:00+0200",
            "2020-01-01T00:00:00Zx",
            "+020-01-01T00:00:00Z",
            "2020-01-01T00:00:00ü",
        ] {
            assert_eq!(Timestamp::parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn written_and_read_is_the_same(seconds in -62_167_219_200i64..253_402_300_800) {
            let moment = Timestamp::from_epoch(seconds);
            prop_assert_eq!(Timestamp::parse(&moment.to_string()), Some(moment));
        }

        #[test]
        fn any_text_is_read_without_panic(text in "\\PC{0,40}") {
            let _ = Timestamp::parse(&text);
        }
    }
}
