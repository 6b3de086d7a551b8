//! Pages of an index, from where files come too.

use async_trait::async_trait;
use reqwest::StatusCode;
use url::Url;

use super::error::FetchErrorKind;
use super::fetcher::{Fetcher, whole};
use crate::hosts::Mirror;
use crate::python::index::{Ask, Page};

#[async_trait]
impl Ask for Fetcher {
    async fn ask(&self, url: &Url, accept: &str, limit: u64) -> Result<Option<Page>, String> {
        let mirror = Mirror::new(url.clone());
        let answer = self.http().get_as(&mirror, "", 0, Some(accept)).await;
        let response = match answer {
            Ok(response) => response,
            Err(error) if error.kind == FetchErrorKind::Gone => return Ok(None),
            Err(error) => return Err(error.why),
        };
        if response.status() == StatusCode::NO_CONTENT {
            return Ok(None);
        }
        let url = response.url().clone();
        let body = whole(self.http(), response, limit).await;
        let body = body.map_err(|error| error.why)?;
        let body = body.ok_or_else(|| format!("its page has more than {limit} bytes"))?;
        Ok(Some(Page { body, url }))
    }
}
