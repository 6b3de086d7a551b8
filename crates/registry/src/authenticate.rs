//! Finding out whether a registry takes the credentials: what `login` asks before it keeps them.

use reqwest::Method;

use super::call::Call;
use super::client::Client;
use super::error::{Error, ErrorKind};

impl Client {
    /// Asks the registry for its API root with the client's credentials.
    ///
    /// This is the one request that is not about a repository: a pull or a push sends what it
    /// wants at once and reads the challenge.
    ///
    /// # Errors
    /// When the registry refuses the credentials, cannot be reached, or is no registry.
    pub async fn authenticate(&self, host: &str) -> Result<(), Error> {
        let what = || format!("cannot log in to {host}");
        let ask = async {
            let endpoint = self.0.host(host)?;
            let url = endpoint.base().join("/v2/").map_err(|_| {
                Error::new(ErrorKind::Unsupported, format!("{host:?} is no host name"))
            })?;
            let reply = self.0.send(&endpoint, Call::new(Method::GET, url)).await?;
            if reply.status().is_success() {
                return Ok(());
            }
            Err(reply.into_error().await)
        };
        ask.await.map_err(|error: Error| error.during(what))
    }
}
