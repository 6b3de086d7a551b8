//! Listing tags (distribution-spec, "Listing tags").

use reqwest::Method;
use serde_json::Value;

use super::error::{Error, ErrorKind};
use super::link::{self, MAX_PAGES};
use super::repository::Repository;

/// Largest page that is read, in bytes.
const MAX_PAGE: u64 = 32 << 20;

/// Most tags that are taken of one repository.
const MAX_TAGS: usize = 1_000_000;

impl Repository {
    /// All tags, in the order in which the registry lists them.
    ///
    /// # Errors
    /// When they cannot be read, or there are more than a million.
    pub async fn tags(&self) -> Result<Vec<String>, Error> {
        self.list_tags()
            .await
            .map_err(|error| error.during(|| format!("cannot list the tags of {self}")))
    }

    async fn list_tags(&self) -> Result<Vec<String>, Error> {
        let endpoint = self.endpoint()?;
        let mut call = endpoint.read(Method::GET, "tags/list")?;
        // What registries give at most; without it, many give a hundred at a time.
        call.url.set_query(Some("n=1000"));
        let mut tags = Vec::new();
        for page in 0..MAX_PAGES {
            let answer = match self
                .transport()
                .fetch(&endpoint.host, &call, MAX_PAGE)
                .await?
            {
                Ok(answer) => answer,
                Err(refused) if page == 0 && refused.status().as_u16() == 400 => {
                    refused.drain().await;
                    call.url.set_query(None);
                    continue;
                }
                Err(refused) => return Err(refused.into_error().await),
            };
            let next = link::next(&endpoint.host, &answer)?;
            let listed = parse(&answer.body)?;
            let empty = listed.is_empty();
            tags.extend(listed);
            if tags.len() > MAX_TAGS {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    format!("there are more than {MAX_TAGS} tags"),
                ));
            }
            match next.filter(|_| !empty) {
                Some(next) => call.url = next,
                None => return Ok(tags),
            }
        }
        Err(Error::new(
            ErrorKind::Server,
            "the registry's list does not end",
        ))
    }
}

fn parse(body: &[u8]) -> Result<Vec<String>, Error> {
    let odd = || {
        Error::new(
            ErrorKind::Server,
            "the registry's answer is no list of tags",
        )
    };
    let value: Value = serde_json::from_slice(body).map_err(|_| odd())?;
    match value.get("tags") {
        Some(Value::Array(tags)) => Ok(tags
            .iter()
            .filter_map(Value::as_str)
            .filter(|tag| ohoci_image::reference::is_tag(tag))
            .map(str::to_owned)
            .collect()),
        // Registries written in Go say null for none.
        Some(Value::Null) => Ok(Vec::new()),
        _ => Err(odd()),
    }
}
