//! `Link: …; rel="next"`: the next page of a list (RFC 8288).

use reqwest::Url;

use super::error::{Error, ErrorKind};
use super::exchange::resolve;
use super::host::Host;
use super::reply::Whole;

/// Most pages of one list that are read.
pub(crate) const MAX_PAGES: usize = 10_000;

/// Where the next page is, if there is one.
///
/// # Errors
/// When it is not in the registry itself, or is the page that it was on.
pub(crate) fn next(host: &Host, page: &Whole) -> Result<Option<Url>, Error> {
    let links = page.headers.get_all(reqwest::header::LINK);
    let Some(target) = links
        .iter()
        .filter_map(|value| value.to_str().ok())
        .find_map(target_of_next)
    else {
        return Ok(None);
    };
    let url = resolve(&page.url, &target)?;
    if !host.owns(&url) {
        return Err(Error::new(
            ErrorKind::Server,
            "the registry continues its list on another host",
        ));
    }
    if url == page.url {
        return Err(Error::new(
            ErrorKind::Server,
            "the registry's list leads back to the same page",
        ));
    }
    Ok(Some(url))
}

fn target_of_next(value: &str) -> Option<String> {
    let mut rest = value;
    loop {
        let (target, after) = rest.split_once('<')?.1.split_once('>')?;
        let parameters = after.split('<').next().unwrap_or_default();
        let is_next = parameters.split(';').any(|parameter| {
            let compact: String = parameter
                .chars()
                .filter(|c| !c.is_whitespace() && *c != '"' && *c != ',')
                .collect();
            compact.eq_ignore_ascii_case("rel=next")
        });
        if is_next {
            return Some(target.to_owned());
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_among_other_links() {
        for (value, target) in [
            (
                r#"</v2/a/tags/list?last=b&n=2>; rel="next""#,
                Some("/v2/a/tags/list?last=b&n=2"),
            ),
            (r#"<x>; rel="prev", <y>; rel="next""#, Some("y")),
            ("<y>;rel=next", Some("y")),
            (r#"<y>; title="t"; rel="NEXT""#, Some("y")),
            (r#"<y>; rel="last""#, None),
            ("", None),
            ("<", None),
            ("<y", None),
        ] {
            assert_eq!(target_of_next(value).as_deref(), target, "{value}");
        }
    }
}
