//! Sending one logical request: with patience, at the registry's pace, and with proof.

use super::call::Call;
use super::error::Error;
use super::host::Host;
use super::reply::{Reply, Whole};
use super::transport::Transport;

impl Transport {
    /// Sends a request and returns the answer, whatever its status; transient failures are
    /// retried as far as the request permits.
    pub(crate) async fn send(&self, host: &Host, call: Call<'_>) -> Result<Reply, Error> {
        self.persist(host, &call, || Box::pin(self.authenticated(host, &call)))
            .await
    }

    /// Sends a request and reads the answer whole if it is a success; a body that breaks off is
    /// asked for again. An answer of another status is returned unread.
    pub(crate) async fn fetch(
        &self,
        host: &Host,
        call: &Call<'_>,
        limit: u64,
    ) -> Result<Result<Whole, Reply>, Error> {
        let mut attempt = 1;
        loop {
            let reply = self
                .persist(host, call, || Box::pin(self.authenticated(host, call)))
                .await?;
            if !reply.status().is_success() {
                return Ok(Err(reply));
            }
            match reply.whole(limit).await {
                Ok(whole) => return Ok(Ok(whole)),
                Err(failure) if failure.transient && attempt < self.policy.attempts => {
                    tracing::debug!(error = %failure.error, attempt, "reading again");
                }
                Err(failure) => return Err(failure.error),
            }
            self.counters.retry();
            tokio::time::sleep(self.policy.jittered(attempt)).await;
            attempt += 1;
        }
    }
}
