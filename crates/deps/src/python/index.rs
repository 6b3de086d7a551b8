//! Files of packages at the indexes of this machine (simple repository API, PEP 503 and PEP 691).

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pep440_rs::Version;
use url::Url;

pub use super::page::IndexFile;

use super::configuration::{Indexes, shown};
use super::name::PackageName;
use super::page;
use super::wheel_name::sdist_name;
use ohoci_http::{Pace, RetryPolicy};
use ohoci_image::Digest;

/// The largest page that is read, in bytes.
const MAX_PAGE: u64 = 256 << 20;
/// Pages in JSON have sizes, pages in HTML have not.
const ACCEPT: &str = "application/vnd.pypi.simple.v1+json, \
                      application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01";

/// Someone who can ask an index for a page.
#[async_trait]
pub trait Ask: Send + Sync {
    /// The page at a URL, of at most `limit` bytes; `None` when there is none. The URL may carry
    /// credentials.
    ///
    /// # Errors
    /// Why there is no answer, in words that do not have the credentials in them.
    async fn ask(&self, url: &Url, accept: &str, limit: u64) -> Result<Option<Page>, String>;
}

/// A page.
#[derive(Clone, Debug)]
pub struct Page {
    /// Its content.
    pub body: Bytes,
    /// Where it was found in the end.
    pub url: Url,
}

/// Why a file cannot be found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {why}")]
pub struct IndexError {
    file: String,
    why: String,
    hint: Option<String>,
}

impl IndexError {
    fn new(file: &str, why: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            why: why.into(),
            hint: None,
        }
    }

    /// What may help.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

/// What an index has of a package.
///
/// # Errors
/// When no index answers, or none knows the package.
pub async fn files(
    ask: &dyn Ask,
    indexes: &Indexes,
    package: &PackageName,
) -> Result<Vec<IndexFile>, IndexError> {
    let mut reasons = Vec::new();
    for index in indexes.urls() {
        match files_at(ask, index, package).await {
            Ok(Some(files)) => return Ok(files),
            Ok(None) => reasons.push(format!("{} does not know it", shown(index))),
            Err(why) => reasons.push(format!("{}: {why}", shown(index))),
        }
    }
    Err(nowhere(package.as_str(), &reasons))
}

/// Where a locked file is: at the first index that has a file of that name, and does not say that
/// it is another one.
///
/// # Errors
/// When no index has it.
pub async fn find(
    ask: &dyn Ask,
    indexes: &Indexes,
    package: &PackageName,
    name: &str,
    digest: &Digest,
) -> Result<IndexFile, IndexError> {
    let mut reasons = Vec::new();
    for index in indexes.urls() {
        let why = match files_at(ask, index, package).await {
            Err(why) => why,
            Ok(None) => "it does not know the package".to_owned(),
            Ok(Some(files)) => match files.into_iter().find(|file| file.name == name) {
                None => "it has no file of that name".to_owned(),
                Some(file) if file.digest.as_ref().is_some_and(|found| found != digest) => {
                    "its file of that name has another digest".to_owned()
                }
                Some(file) => return Ok(file),
            },
        };
        reasons.push(format!("{}: {why}", shown(index)));
    }
    Err(nowhere(name, &reasons))
}

fn nowhere(what: &str, reasons: &[String]) -> IndexError {
    match reasons {
        [] => IndexError {
            hint: Some(
                "install uv or pip, whose own default counts; or set index-url in pip's configuration, \
                 or UV_DEFAULT_INDEX"
                    .to_owned(),
            ),
            ..IndexError::new(
                what,
                "no index for Python packages is configured, and neither uv nor pip is here to ask",
            )
        },
        reasons => IndexError::new(what, reasons.join("; ")),
    }
}

async fn files_at(
    ask: &dyn Ask,
    index: &Url,
    package: &PackageName,
) -> Result<Option<Vec<IndexFile>>, String> {
    let url = index
        .join(&format!("{package}/"))
        .map_err(|error| error.to_string())?;
    let Some(found) = ask.ask(&url, ACCEPT, MAX_PAGE).await? else {
        return Ok(None);
    };
    let mut files = page::parse(&found.body, &found.url)?;
    for file in &mut files {
        lend_credentials(index, &mut file.url);
    }
    Ok(Some(files))
}

/// Files at the same host as the index want the same credentials; others must not see them.
fn lend_credentials(index: &Url, file: &mut Url) {
    let origin = |url: &Url| {
        let host = url.host_str().map(str::to_owned);
        (url.scheme().to_owned(), host, url.port_or_known_default())
    };
    if origin(index) == origin(file) && file.username().is_empty() {
        // Only URLs that cannot have credentials refuse.
        let _ = file.set_username(index.username());
        let _ = file.set_password(index.password());
    }
}

/// The source distribution that is newest among an index's files: of the version that is asked
/// for, or else of the highest that is no pre-release and has not been withdrawn.
#[must_use]
pub(crate) fn newest_source<'a>(
    files: &'a [IndexFile],
    package: &PackageName,
    version: Option<&Version>,
) -> Option<(Version, &'a IndexFile)> {
    let sources = files.iter().filter_map(|file| {
        let (name, found) = sdist_name(&file.name)?;
        (name == *package).then_some((found, file))
    });
    match version {
        Some(version) => sources.into_iter().find(|(found, _)| found == version),
        None => sources
            .filter(|(found, file)| !file.yanked && !found.any_prerelease())
            .max_by(|a, b| a.0.cmp(&b.0)),
    }
}

#[async_trait]
impl Ask for reqwest::Client {
    async fn ask(&self, url: &Url, accept: &str, limit: u64) -> Result<Option<Page>, String> {
        /// How long an index may take for a page, and for each piece of it.
        const DEADLINE: Duration = Duration::from_secs(60);
        const WHOLE_PAGE: Duration = Duration::from_secs(1200);
        let request = self
            .get(url.clone())
            .header(reqwest::header::ACCEPT, accept);
        let late = |_| format!("no answer within {} seconds", DEADLINE.as_secs());
        let words = |error: reqwest::Error| error.without_url().to_string();
        let mut response = tokio::time::timeout(DEADLINE, request.send())
            .await
            .map_err(late)?
            .map_err(words)?;
        match response.status().as_u16() {
            200 => {}
            404 | 410 => return Ok(None),
            _ => return Err(response.status().to_string()),
        }
        let url = response.url().clone();
        let mut pace = Pace::of(&RetryPolicy::default());
        let read = async {
            let mut body = Vec::new();
            loop {
                let piece = pace.next(response.chunk()).await;
                let piece = piece.map_err(|slow| format!("it is too slow: {slow}"))?;
                let Some(piece) = piece.map_err(words)? else {
                    return Ok(Some(Page {
                        body: body.into(),
                        url,
                    }));
                };
                if (body.len() + piece.len()) as u64 > limit {
                    return Err(format!("its page has more than {limit} bytes"));
                }
                body.extend_from_slice(&piece);
            }
        };
        tokio::time::timeout(WHOLE_PAGE, read)
            .await
            .map_err(|_| format!("it is too slow: not done within {} s", WHOLE_PAGE.as_secs()))?
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Pages by their URL.
    struct Pages(BTreeMap<&'static str, Result<String, String>>);

    #[async_trait]
    impl Ask for Pages {
        async fn ask(&self, url: &Url, accept: &str, _: u64) -> Result<Option<Page>, String> {
            assert!(accept.starts_with("application/vnd.pypi.simple.v1+json"));
            match self.0.get(url.as_str()) {
                None => Ok(None),
                Some(Err(why)) => Err(why.clone()),
                Some(Ok(body)) => Ok(Some(Page {
                    body: body.clone().into(),
                    url: url.clone(),
                })),
            }
        }
    }

    fn page(files: &[(&str, &str, &Digest)]) -> Result<String, String> {
        let files: Vec<String> = files
            .iter()
            .map(|(name, url, digest)| {
                let hex = digest.hex();
                format!(r#"{{"filename":"{name}","url":"{url}","hashes":{{"sha256":"{hex}"}}}}"#)
            })
            .collect();
        Ok(format!(r#"{{"files":[{}]}}"#, files.join(",")))
    }

    fn package() -> PackageName {
        PackageName::parse("A_Pkg").unwrap()
    }

    fn indexes(urls: &[&str]) -> Indexes {
        let mut indexes = Indexes::default();
        indexes.extra = urls.iter().map(|url| url.parse().unwrap()).collect();
        indexes
    }

    #[tokio::test]
    async fn the_first_index_with_the_right_file_is_used() {
        let (right, wrong) = (Digest::of(b"right"), Digest::of(b"wrong"));
        let name = "a_pkg-1.0-py3-none-any.whl";
        let pages = Pages(BTreeMap::from([
            ("https://down.example/a-pkg/", Err("500".to_owned())),
            (
                "https://other.example/a-pkg/",
                page(&[(name, "/x.whl", &wrong)]),
            ),
            (
                "https://older.example/a-pkg/",
                page(&[("a_pkg-0.9.tar.gz", "/x", &right)]),
            ),
            (
                "https://me:pw@right.example/simple/a-pkg/",
                page(&[(name, "/f/x.whl", &right)]),
            ),
        ]));
        let all = [
            "https://down.example/",
            "https://other.example/",
            "https://older.example/",
            "https://empty.example/",
            "https://me:pw@right.example/simple/",
        ];
        let found = find(&pages, &indexes(&all), &package(), name, &right)
            .await
            .unwrap();
        assert_eq!(found.url.as_str(), "https://me:pw@right.example/f/x.whl");

        let error = find(&pages, &indexes(&all[..4]), &package(), name, &right).await;
        insta::assert_snapshot!(error.unwrap_err(), @"a_pkg-1.0-py3-none-any.whl: https://down.example/: 500; https://other.example/: its file of that name has another digest; https://older.example/: it has no file of that name; https://empty.example/: it does not know the package");
        let none = find(&pages, &indexes(&[]), &package(), name, &right).await;
        assert!(none.unwrap_err().hint().unwrap().contains("index-url"));
    }

    #[test]
    fn credentials_stay_with_their_host() {
        let index: Url = "https://me:pw@index.example/simple/".parse().unwrap();
        for (file, lent) in [
            ("https://index.example/f", true),
            ("https://index.example:444/f", false),
            ("http://index.example/f", false),
            ("https://files.example/f", false),
        ] {
            let mut file: Url = file.parse().unwrap();
            lend_credentials(&index, &mut file);
            assert_eq!(!file.username().is_empty(), lent, "{file}");
        }
    }

    #[test]
    fn the_newest_source_is_no_pre_release_and_not_withdrawn() {
        let file = |name: &str, yanked| IndexFile {
            name: name.to_owned(),
            url: "https://files.example/x".parse().unwrap(),
            digest: None,
            size: None,
            yanked,
        };
        let files = [
            file("a-pkg-1.9.tar.gz", false),
            file("a_pkg-1.10.tar.gz", false),
            file("a_pkg-1.11.tar.gz", true),
            file("a_pkg-2.0rc1.tar.gz", false),
            file("a_pkg-3.0-py3-none-any.whl", false),
            file("other-4.0.tar.gz", false),
        ];
        let newest = |version: Option<&str>| {
            let version = version.map(|version| version.parse().unwrap());
            newest_source(&files, &package(), version.as_ref())
                .map(|(version, _)| version.to_string())
        };
        assert_eq!(newest(None).as_deref(), Some("1.10"));
        assert_eq!(newest(Some("2.0rc1")).as_deref(), Some("2.0rc1"));
        assert_eq!(newest(Some("9")), None);
    }

    #[tokio::test]
    async fn a_page_is_asked_for_over_http() {
        use axum::http::{HeaderMap, StatusCode};
        let digest = Digest::of(b"x");
        let body = page(&[("a_pkg-1.0.tar.gz", "../../x", &digest)]).unwrap();
        let app = axum::Router::new().route(
            "/simple/a-pkg/",
            axum::routing::get(move |headers: HeaderMap| {
                let right = headers.get("authorization").is_some()
                    && headers.get("accept").is_some_and(|accept| accept == ACCEPT);
                let answer = match right {
                    true => (StatusCode::OK, body.clone()),
                    false => (StatusCode::FORBIDDEN, String::new()),
                };
                async { answer }
            }),
        );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async { axum::serve(listener, app).await });
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let index = format!("http://me:pw@{address}/simple/");
        let found = files(&client, &indexes(&[&index]), &package())
            .await
            .unwrap();
        assert_eq!(found[0].url.as_str(), format!("http://me:pw@{address}/x"));
        let page = index.parse::<Url>().unwrap().join("a-pkg/").unwrap();
        let small = client.ask(&page, ACCEPT, 10).await.unwrap_err();
        assert!(small.contains("more than 10 bytes"), "{small}");
        let stranger = indexes(&[&format!("http://{address}/simple/")]);
        let error = files(&client, &stranger, &package()).await.unwrap_err();
        assert!(error.to_string().contains("403"), "{error}");
    }
}
