//! Byte ranges: of downloads (RFC 9110, section 14) and of uploads (distribution-spec, "Pushing a
//! blob in chunks").

/// What a `Range` header asks of content with a known size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Requested {
    /// Everything: there is no range, or one that a server is to ignore.
    Whole,
    /// The bytes from `first` to `last`, both included.
    Part { first: u64, last: u64 },
    /// Nothing that the content has.
    Unsatisfiable,
}

/// Reads a `Range` header. Several ranges at once are answered with the whole content, which RFC
/// 9110 permits.
pub(super) fn requested(header: &str, size: u64) -> Requested {
    let Some(set) = header.trim().strip_prefix("bytes=") else {
        return Requested::Whole;
    };
    if set.contains(',') {
        return Requested::Whole;
    }
    let Some((first, last)) = set.trim().split_once('-') else {
        return Requested::Whole;
    };
    let end = size.saturating_sub(1);
    match (number(first), number(last)) {
        (None, Some(suffix)) if first.is_empty() => {
            if suffix == 0 || size == 0 {
                return Requested::Unsatisfiable;
            }
            Requested::Part {
                first: size.saturating_sub(suffix),
                last: end,
            }
        }
        (Some(first), None) if last.is_empty() && first < size => {
            Requested::Part { first, last: end }
        }
        (Some(first), Some(last)) if first <= last && first < size => Requested::Part {
            first,
            last: last.min(end),
        },
        (Some(_), Some(_)) => Requested::Unsatisfiable,
        (Some(_), None) if last.is_empty() => Requested::Unsatisfiable,
        _ => Requested::Whole,
    }
}

/// Reads the `Content-Range` of an upload: `a-b`, both included, returned as start and length.
///
/// `bytes a-b/size` is what RFC 9110 calls a content range and what some clients send, so it is
/// taken too.
pub(super) fn content(header: &str) -> Option<(u64, u64)> {
    let text = header.trim();
    let text = text.strip_prefix("bytes ").unwrap_or(text);
    let text = text.split('/').next().unwrap_or_default();
    let (first, last) = text.split_once('-')?;
    let (first, last) = (number(first)?, number(last)?);
    let length = last.checked_sub(first)?.checked_add(1)?;
    Some((first, length))
}

fn number(text: &str) -> Option<u64> {
    // `parse` alone would take a sign.
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// Where a range begins, where that can be told without the size.
pub(super) fn start(header: &str) -> Option<u64> {
    let (first, last) = header.trim().strip_prefix("bytes=")?.split_once('-')?;
    let is_single = !last.contains(',');
    first.trim().parse().ok().filter(|_| is_single)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn download_ranges() {
        use Requested::{Part, Unsatisfiable, Whole};
        let part = |first, last| Part { first, last };
        for (header, size, expected) in [
            ("bytes=0-0", 10, part(0, 0)),
            ("bytes=2-5", 10, part(2, 5)),
            ("bytes=2-50", 10, part(2, 9)),
            ("bytes=2-", 10, part(2, 9)),
            ("bytes=-3", 10, part(7, 9)),
            ("bytes=-30", 10, part(0, 9)),
            ("bytes=10-", 10, Unsatisfiable),
            ("bytes=10-20", 10, Unsatisfiable),
            ("bytes=5-0", 10, Unsatisfiable),
            ("bytes=-0", 10, Unsatisfiable),
            ("bytes=0-", 0, Unsatisfiable),
            ("bytes=-1", 0, Unsatisfiable),
            ("bytes=0-1,3-4", 10, Whole),
            ("lines=0-1", 10, Whole),
            ("bytes=", 10, Whole),
            ("bytes=-", 10, Whole),
            ("bytes=+1-2", 10, Whole),
            ("bytes=a-b", 10, Whole),
            ("bytes=18446744073709551616-", 10, Whole),
        ] {
            assert_eq!(requested(header, size), expected, "{header} of {size}");
        }
    }

    #[test]
    fn upload_ranges() {
        assert_eq!(content("0-0"), Some((0, 1)));
        assert_eq!(content("10-19"), Some((10, 10)));
        assert_eq!(content("bytes 10-19/20"), Some((10, 10)));
        assert_eq!(content("bytes 10-19/*"), Some((10, 10)));
        for bad in ["", "-", "1-0", "+1-2", "1", "a-b", "0-18446744073709551615"] {
            assert_eq!(content(bad), None, "{bad}");
        }
    }
}
