//! `Retry-After`: when a registry wants to be asked again (RFC 9110, 10.2.3).

use std::time::{Duration, SystemTime};

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

/// How long to wait, if the answer says so; `now` serves where it does not carry its own date.
pub(crate) fn parse(headers: &HeaderMap, now: impl FnOnce() -> SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() {
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let then = httpdate::parse_http_date(text).ok()?;
    // The server's own clock, so that ours may be wrong.
    let now = headers
        .get(DATE)
        .and_then(|value| value.to_str().ok())
        .and_then(|date| httpdate::parse_http_date(date).ok())
        .unwrap_or_else(now);
    Some(then.duration_since(now).unwrap_or(Duration::ZERO))
}

/// The clock, for a `Retry-After` date whose answer carries no date of its own.
#[expect(
    clippy::disallowed_methods,
    reason = "how long to wait has no influence on content"
)]
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(headers: &[(&'static str, &str)]) -> Option<Duration> {
        let map = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        parse(&map, || {
            SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_770)
        })
    }

    #[test]
    fn seconds() {
        assert_eq!(read(&[("retry-after", "7")]), Some(Duration::from_secs(7)));
        assert_eq!(
            read(&[("retry-after", "99999999999999999999999")]),
            Some(Duration::from_secs(u64::MAX))
        );
    }

    #[test]
    fn dates_are_measured_by_the_servers_clock_or_ours() {
        let then = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(
            read(&[
                ("retry-after", then),
                ("date", "Sun, 06 Nov 1994 08:49:30 GMT")
            ]),
            Some(Duration::from_secs(7))
        );
        assert_eq!(read(&[("retry-after", then)]), Some(Duration::from_secs(7)));
        assert_eq!(
            read(&[
                ("retry-after", then),
                ("date", "Sun, 06 Nov 1994 09:00:00 GMT")
            ]),
            Some(Duration::ZERO)
        );
    }

    #[test]
    fn anything_else_is_ignored() {
        for text in ["", "-1", "soon", "1.5", "\u{ff11}"] {
            assert_eq!(read(&[("retry-after", text)]), None, "{text}");
        }
        assert_eq!(read(&[]), None);
    }
}
