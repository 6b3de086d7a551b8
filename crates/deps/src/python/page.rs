//! The page of a package at an index: JSON (PEP 691) or HTML (PEP 503).

use serde::Deserialize;
use url::Url;

use ohoci_image::Digest;

/// A file that an index offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexFile {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub url: Url,
    /// Its digest, where the index says it with SHA-256.
    pub digest: Option<Digest>,
    /// Its size in bytes, where the index says it.
    pub size: Option<u64>,
    /// Whether it should no longer be used (PEP 592).
    pub yanked: bool,
}

impl IndexFile {
    /// The directory that it is in, with the credentials that it wants, and its path there.
    #[must_use]
    pub fn place(&self) -> (Url, String) {
        let path = self.url.path();
        let end = path.rfind('/').map_or(0, |slash| slash + 1);
        let (above, name) = path.split_at_checked(end).unwrap_or(("/", path));
        let mut directory = self.url.clone();
        directory.set_path(above);
        directory.set_query(None);
        directory.set_fragment(None);
        (directory, name.to_owned())
    }
}

#[derive(Deserialize)]
struct RawPage {
    files: Vec<RawFile>,
}

#[derive(Deserialize)]
struct RawFile {
    filename: String,
    url: String,
    #[serde(default)]
    hashes: RawHashes,
    size: Option<u64>,
    #[serde(default)]
    yanked: serde_json::Value,
}

#[derive(Default, Deserialize)]
struct RawHashes {
    sha256: Option<String>,
}

/// Reads the page that was found at `base`. Files with names or URLs that are none are passed over.
pub(super) fn parse(body: &[u8], base: &Url) -> Result<Vec<IndexFile>, String> {
    let text = std::str::from_utf8(body).map_err(|_| "the page is not UTF-8 text")?;
    if text.trim_start().starts_with('{') {
        let page: RawPage = serde_json::from_str(text)
            .map_err(|error| format!("the page is not what PEP 691 says: {error}"))?;
        return Ok(page
            .files
            .into_iter()
            .filter_map(|file| from_json(file, base))
            .collect());
    }
    Ok(anchors(text)
        .filter_map(|anchor| from_html(&anchor, base))
        .collect())
}

fn from_json(file: RawFile, base: &Url) -> Option<IndexFile> {
    Some(IndexFile {
        url: resolve(base, &file.url)?,
        digest: file.hashes.sha256.and_then(|hex| sha256(&hex)),
        size: file.size,
        yanked: !matches!(
            file.yanked,
            serde_json::Value::Null | serde_json::Value::Bool(false)
        ),
        name: Some(file.filename).filter(|name| is_file_name(name))?,
    })
}

fn from_html(anchor: &Anchor<'_>, base: &Url) -> Option<IndexFile> {
    let mut url = resolve(base, &anchor.attribute("href")?)?;
    let digest = url
        .fragment()
        .and_then(|fragment| {
            fragment
                .split('&')
                .find_map(|part| part.strip_prefix("sha256="))
        })
        .and_then(sha256);
    url.set_fragment(None);
    Some(IndexFile {
        name: Some(unescape(anchor.text.trim())).filter(|name| is_file_name(name))?,
        url,
        digest,
        size: None,
        yanked: anchor.attribute("data-yanked").is_some(),
    })
}

fn resolve(base: &Url, url: &str) -> Option<Url> {
    let url = base.join(url).ok()?;
    matches!(url.scheme(), "http" | "https").then_some(url)
}

fn sha256(hex: &str) -> Option<Digest> {
    format!("sha256:{}", hex.to_ascii_lowercase()).parse().ok()
}

fn is_file_name(name: &str) -> bool {
    name.len() <= 255
        && name
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'/')
}

/// A link in a page of HTML.
struct Anchor<'a> {
    attributes: &'a str,
    text: &'a str,
}

/// The links of a page. Pages of indexes are written by programs, with one link to a file and
/// nothing else in it; what is written otherwise is not found.
fn anchors(html: &str) -> impl Iterator<Item = Anchor<'_>> {
    let mut rest = html;
    std::iter::from_fn(move || {
        loop {
            let start = rest.find("<a ").or_else(|| rest.find("<A "))?;
            let behind = rest.get(start + 3..)?;
            let (attributes, after) = behind.split_once('>')?;
            let end = after.find('<')?;
            let text = after.get(..end)?;
            rest = after.get(end..)?;
            if rest
                .get(..4)
                .is_some_and(|tag| tag.eq_ignore_ascii_case("</a>"))
            {
                return Some(Anchor { attributes, text });
            }
        }
    })
}

impl Anchor<'_> {
    /// The value of an attribute, which stands in quotes; empty when it has none.
    fn attribute(&self, name: &str) -> Option<String> {
        let mut rest = self.attributes.trim_start();
        while !rest.is_empty() {
            let end = rest
                .find(|character: char| character == '=' || character.is_whitespace())
                .unwrap_or(rest.len());
            let (found, after) = rest.split_at_checked(end)?;
            let after = after.trim_start();
            let (value, behind) = match after.strip_prefix('=').map(str::trim_start) {
                None => ("", after),
                Some(quoted) => {
                    let quote = quoted
                        .chars()
                        .next()
                        .filter(|quote| matches!(quote, '"' | '\''))?;
                    quoted.get(1..)?.split_once(quote)?
                }
            };
            if found.eq_ignore_ascii_case(name) {
                return Some(unescape(value));
            }
            rest = behind.trim_start();
        }
        None
    }
}

/// The characters that have names of their own in attributes and texts.
fn unescape(text: &str) -> String {
    [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&#x27;", "'"),
        ("&#43;", "+"),
        ("&amp;", "&"),
    ]
    .into_iter()
    .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Url {
        "https://index.example/simple/pkg/".parse().unwrap()
    }

    #[test]
    fn both_kinds_of_pages_say_the_same() {
        let hash = "ab".repeat(32);
        let json = format!(
            r#"{{"meta": {{"api-version": "1.1"}}, "name": "pkg", "files": [
            {{"filename": "pkg-1.0.tar.gz", "url": "../../files/pkg-1.0.tar.gz",
              "hashes": {{"sha256": "{hash}"}}, "size": 7, "yanked": false}},
            {{"filename": "pkg-2.0.tar.gz", "url": "https://files.example/pkg-2.0.tar.gz",
              "hashes": {{}}, "yanked": "broken"}},
            {{"filename": "../x", "url": "x", "hashes": {{}}}}]}}"#
        );
        let html = format!(
            "<!DOCTYPE html><html><body><a href='../'>up <b>there</b></a>\n\
             <a href=\"../../files/pkg-1.0.tar.gz#sha256={hash}\" \
             data-requires-python=\"&gt;=3.8\">pkg-1.0.tar.gz</a><br/>\n\
             <a data-yanked href=\"https://files.example/pkg-2.0.tar.gz\">pkg-2.0.tar.gz</a>\n\
             <a href=\"javascript:x\">pkg-3.0.tar.gz</a></body></html>"
        );
        for (page, size) in [(json, Some(7)), (html, None)] {
            let files = parse(page.as_bytes(), &base()).unwrap();
            assert_eq!(files.len(), 2, "{files:?}");
            assert_eq!(
                files[0].url.as_str(),
                "https://index.example/files/pkg-1.0.tar.gz"
            );
            assert_eq!(files[0].digest, sha256(&hash));
            assert_eq!((files[0].size, files[0].yanked), (size, false));
            assert_eq!(
                files[1].url.as_str(),
                "https://files.example/pkg-2.0.tar.gz"
            );
            assert_eq!((files[1].digest.clone(), files[1].yanked), (None, true));
        }
    }

    #[test]
    fn a_file_has_a_place_in_a_directory() {
        let file = IndexFile {
            name: "pkg-1.0+x.tar.gz".to_owned(),
            url: "https://me:pw@files.example/a/b/pkg-1.0%2Bx.tar.gz?x#y"
                .parse()
                .unwrap(),
            digest: None,
            size: None,
            yanked: false,
        };
        let (directory, name) = file.place();
        assert_eq!(directory.as_str(), "https://me:pw@files.example/a/b/");
        assert_eq!(name, "pkg-1.0%2Bx.tar.gz");
    }

    #[test]
    fn what_is_no_page_is_an_error_or_empty() {
        assert!(parse(b"{\"files\": 1}", &base()).is_err());
        assert!(parse(b"\xff", &base()).is_err());
        for html in [
            "",
            "<a href=\"x\"",
            "<a >",
            "<a href=x>y</a>",
            "<a href='x>y</a>",
        ] {
            assert_eq!(parse(html.as_bytes(), &base()), Ok(Vec::new()), "{html}");
        }
    }
}
