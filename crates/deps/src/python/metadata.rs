//! The headers of `METADATA`, `PKG-INFO` and `WHEEL` files (core metadata specification; PEP 427).

/// Headers in their order, without the body behind them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Headers(Vec<(String, String)>);

/// Most headers that are read.
const MAX_HEADERS: usize = 20_000;

impl Headers {
    /// Reads headers up to the first empty line.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut headers: Vec<(String, String)> = Vec::new();
        for line in text.strip_prefix('\u{feff}').unwrap_or(text).lines() {
            if line.is_empty() {
                break;
            }
            // Folded values (RFC 822, 3.1.1); licence texts and descriptions use them.
            if line.starts_with([' ', '\t']) {
                let (_, value) = headers
                    .last_mut()
                    .ok_or_else(|| "its first line has no name".to_owned())?;
                value.push('\n');
                value.push_str(line.trim());
                continue;
            }
            let (name, value) = line
                .split_once(':')
                .ok_or_else(|| format!("{line:?} is no header"))?;
            if headers.len() >= MAX_HEADERS {
                return Err("it has too many headers".to_owned());
            }
            headers.push((name.trim().to_owned(), value.trim().to_owned()));
        }
        Ok(Self(headers))
    }

    /// All values of a header; names compare without case.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(header, _)| header.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The only value of a header.
    pub(super) fn one<'a>(&'a self, name: &'a str) -> Result<&'a str, String> {
        let mut values = self.all(name);
        match (values.next(), values.next()) {
            (Some(value), None) if !value.is_empty() => Ok(value),
            (Some(_), Some(_)) => Err(format!("it has {name} twice")),
            _ => Err(format!("it has no {name}")),
        }
    }

    /// The value of a header that may be missing, or unknown as old tools wrote it.
    pub(super) fn optional<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.all(name)
            .next()
            .filter(|value| !value.is_empty() && *value != "UNKNOWN")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_end_at_the_first_empty_line() {
        let text = "Metadata-Version: 2.1\r\nname: x\r\nLicense: a\r\n   b\r\nClassifier: 1\r\n\
                    Classifier: 2\r\n\r\nVersion: body";
        let headers = Headers::parse(text).unwrap();
        assert_eq!(headers.one("Name"), Ok("x"));
        assert_eq!(headers.one("License"), Ok("a\nb"));
        assert_eq!(headers.all("classifier").collect::<Vec<_>>(), ["1", "2"]);
        assert!(headers.one("Version").is_err());
        assert!(headers.one("Classifier").is_err());
    }

    #[test]
    fn what_is_no_header_is_refused() {
        assert!(Headers::parse(" folded").is_err());
        assert!(Headers::parse("Name: x\nno header\n").is_err());
    }
}
