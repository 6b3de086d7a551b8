//! Trying again: how often, after how long a wait, and what a registry asks for meanwhile.

use std::time::Duration;

use futures_util::future::BoxFuture;

use super::call::{Call, RetryLimit};
use super::error::Error;
use super::failure::Failure;
use super::host::Host;
use super::reply::Reply;
use super::retry_after;
use super::transport::Transport;
use ohoci_http::retry::is_transient;

/// One attempt at a request.
pub(crate) type Attempt<'a> = BoxFuture<'a, Result<Reply, Failure>>;

impl Transport {
    /// Makes attempts at a request until one is answered for good, as far as the request and the
    /// client's policy permit.
    pub(crate) async fn persist<'a>(
        &self,
        host: &Host,
        call: &Call<'_>,
        attempt_once: impl Fn() -> Attempt<'a> + Send,
    ) -> Result<Reply, Error> {
        let attempts = match call.retry_limit {
            RetryLimit::Full | RetryLimit::Throttled => self.policy.attempts,
            RetryLimit::UpTo(most) => most.min(self.policy.attempts),
            RetryLimit::None => 1,
        };
        let mut attempt = 1;
        loop {
            let wait = match attempt_once().await {
                Ok(reply) => {
                    let status = reply.status();
                    let throttled = status.as_u16() == 429;
                    if throttled {
                        self.counters.throttled();
                    }
                    let again = match call.retry_limit {
                        RetryLimit::Throttled => throttled,
                        _ => is_transient(status),
                    };
                    if !again {
                        return Ok(reply);
                    }
                    let asked = retry_after::parse(reply.headers(), retry_after::now);
                    if let Some(asked) = asked.filter(|d| *d > self.policy.longest_retry_after) {
                        let error = reply.into_error().await;
                        return Err(later(error, asked));
                    }
                    let wait = asked.unwrap_or_else(|| self.policy.jittered(attempt));
                    if throttled || asked.is_some() {
                        host.pacing.pause_for(wait);
                    }
                    if attempt >= attempts {
                        return Ok(reply);
                    }
                    reply.drain().await;
                    wait
                }
                Err(failure) if failure.transient && attempt < attempts => {
                    tracing::debug!(error = %failure.error, attempt, "trying again");
                    self.policy.jittered(attempt)
                }
                Err(failure) => return Err(failure.error),
            };
            self.counters.retry();
            tokio::time::sleep(wait).await;
            attempt += 1;
        }
    }
}

/// A refusal that says when to come back, where that is too far off to wait for.
fn later(error: Error, wait: Duration) -> Error {
    let seconds = wait.as_secs();
    let span = if seconds >= 7200 {
        format!("{} hours", seconds.div_ceil(3600))
    } else {
        format!("{} minutes", seconds.div_ceil(60))
    };
    error
        .hinted(format!("the registry asks to come back in {span}"))
        .put_off(wait)
}
