//! Work with files beside what is asynchronous: in threads that may wait.

use std::io;

/// The thread that did some work has ended without a result: it panicked, or the runtime is about to
/// end.
#[derive(Debug, thiserror::Error)]
#[error("a thread has ended without a result: {0}")]
pub struct Lost(#[from] tokio::task::JoinError);

impl From<Lost> for io::Error {
    fn from(lost: Lost) -> Self {
        Self::other(lost)
    }
}

/// Does work that waits for files in a thread of its own.
///
/// # Errors
/// That of the work, or one made of [`Lost`].
pub async fn blocking<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, E>
where
    T: Send + 'static,
    E: From<Lost> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Lost(error).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_error_and_an_error_stays_what_it_is() {
        let worked = blocking(|| Ok::<_, io::Error>(7)).await;
        assert_eq!(worked.unwrap(), 7);
        let failed = blocking(|| Err::<(), _>(io::Error::from(io::ErrorKind::NotFound))).await;
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::NotFound);
        let panicked = blocking(|| -> io::Result<()> { panic!("on purpose") }).await;
        assert!(
            panicked
                .unwrap_err()
                .to_string()
                .contains("without a result")
        );
    }
}
