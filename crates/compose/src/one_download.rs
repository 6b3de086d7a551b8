//! One download for several targets: what is read from a registry for the first of them goes into a
//! file on the way, which the others read.

use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::try_unfold;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::plan::Need;
use ohoci_store::{Body, BodyError, ByteStream};

/// How much is read from the file at once, in bytes.
const PIECE: u64 = 256 << 10;

/// Makes each blob that lies in a registry one that is read once, however many targets it goes to.
/// Its bytes are kept in a file without a name in `directory` while the needs are there.
pub(super) fn share(needs: &mut [Need], targets: usize, directory: &Path) {
    if targets < 2 {
        return;
    }
    for need in needs.iter_mut().filter(|need| need.origin.is_some()) {
        need.body = Arc::new(OneDownload {
            inner: Arc::clone(&need.body),
            directory: directory.to_owned(),
            current: Mutex::default(),
        });
    }
}

/// A body that is read once.
#[derive(Debug)]
struct OneDownload {
    inner: Arc<dyn Body>,
    directory: PathBuf,
    current: Mutex<Option<Arc<Download>>>,
}

/// A download that is under way or over.
#[derive(Debug)]
struct Download {
    file: std::fs::File,
    progress: watch::Receiver<Progress>,
    task: JoinHandle<()>,
}

/// How far a download has got.
#[derive(Clone, Debug)]
enum Progress {
    /// This many bytes are in the file, and more come.
    Under(u64),
    /// All are, this many.
    Over(u64),
    /// It failed.
    Failed(BodyError),
}

impl Drop for Download {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Download {
    fn start(inner: Arc<dyn Body>, directory: &Path) -> io::Result<Self> {
        let file = tempfile::tempfile_in(directory)?;
        let written = file.try_clone()?;
        let (sender, progress) = watch::channel(Progress::Under(0));
        let task = tokio::spawn(async move {
            let end = match fill(inner.as_ref(), &written, &sender).await {
                Ok(size) => Progress::Over(size),
                Err(error) => Progress::Failed(error),
            };
            let _ = sender.send(end);
        });
        Ok(Self {
            file,
            progress,
            task,
        })
    }

    fn has_failed(&self) -> bool {
        let is_over = self.progress.has_changed().is_err();
        match *self.progress.borrow() {
            Progress::Failed(..) => true,
            Progress::Under(_) => is_over,
            Progress::Over(_) => false,
        }
    }

    /// The piece that starts at `at`, once it is there; empty at the end.
    async fn piece(&self, at: u64) -> Result<Bytes, BodyError> {
        let mut progress = self.progress.clone();
        let there = loop {
            let now = progress.borrow_and_update().clone();
            match now {
                Progress::Under(there) if there > at => break there,
                Progress::Over(size) => break size,
                Progress::Failed(error) => return Err(error),
                Progress::Under(_) => {
                    let gone = |_| io::Error::other("the download was given up");
                    progress.changed().await.map_err(gone)?;
                }
            }
        };
        let length = there.saturating_sub(at).min(PIECE);
        let mut buffer = vec![0; usize::try_from(length).unwrap_or(0)];
        self.file.read_exact_at(&mut buffer, at)?;
        Ok(buffer.into())
    }
}

async fn fill(
    inner: &dyn Body,
    file: &std::fs::File,
    progress: &watch::Sender<Progress>,
) -> Result<u64, BodyError> {
    let mut stream = inner.open(0).await?;
    let mut there = 0u64;
    let mut last: Option<Bytes> = None;
    while let Some(piece) = stream.next().await {
        let piece = piece?;
        // The stream says behind its last piece whether the content is right: until then that piece
        // is held back, or a target could take what is wrong.
        if let Some(before) = last.replace(piece) {
            there = append(file, there, &before)?;
            let _ = progress.send(Progress::Under(there));
        }
    }
    match last {
        Some(last) => Ok(append(file, there, &last)?),
        None => Ok(there),
    }
}

fn append(file: &std::fs::File, at: u64, piece: &[u8]) -> io::Result<u64> {
    file.write_all_at(piece, at)?;
    Ok(at.saturating_add(piece.len() as u64))
}

#[async_trait]
impl Body for OneDownload {
    async fn open(&self, offset: u64) -> Result<ByteStream, BodyError> {
        let download = {
            let mut current = self.current.lock();
            match current.as_ref().filter(|download| !download.has_failed()) {
                Some(download) => Arc::clone(download),
                None => {
                    let inner = Arc::clone(&self.inner);
                    let download = Arc::new(Download::start(inner, &self.directory)?);
                    *current = Some(Arc::clone(&download));
                    download
                }
            }
        };
        Ok(Box::pin(try_unfold(offset, move |at| {
            let download = Arc::clone(&download);
            async move {
                let piece = download.piece(at).await?;
                let next = at.saturating_add(piece.len() as u64);
                Ok((!piece.is_empty()).then_some((piece, next)))
            }
        })))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Content in pieces, of which the first try fails behind the last.
    #[derive(Debug, Default)]
    struct Pieces {
        opened: AtomicUsize,
        first_is_wrong: bool,
    }

    #[async_trait]
    impl Body for Pieces {
        async fn open(&self, offset: u64) -> Result<ByteStream, BodyError> {
            assert_eq!(offset, 0);
            let is_wrong = self.opened.fetch_add(1, Ordering::Relaxed) == 0 && self.first_is_wrong;
            let mut pieces: Vec<Result<Bytes, BodyError>> = vec![
                Ok(Bytes::from_static(b"one ")),
                Ok(Bytes::from_static(b"two ")),
                Ok(Bytes::from(vec![b'x'; 1 << 20])),
            ];
            if is_wrong {
                pieces.push(Err(
                    io::Error::new(io::ErrorKind::InvalidData, "wrong").into()
                ));
            }
            Ok(Box::pin(futures_util::stream::iter(pieces)))
        }
    }

    fn shared(inner: Arc<Pieces>, directory: &Path) -> Arc<OneDownload> {
        Arc::new(OneDownload {
            inner,
            directory: directory.to_owned(),
            current: Mutex::default(),
        })
    }

    async fn read(body: &OneDownload, offset: u64) -> Result<Vec<u8>, BodyError> {
        let mut stream = body.open(offset).await?;
        let mut all = Vec::new();
        while let Some(piece) = stream.next().await {
            all.extend_from_slice(&piece?);
        }
        Ok(all)
    }

    #[tokio::test]
    async fn many_readers_are_one_download() {
        let directory = tempfile::tempdir().unwrap();
        let inner = Arc::new(Pieces::default());
        let body = shared(Arc::clone(&inner), directory.path());
        let (first, second) = futures_util::join!(read(&body, 0), read(&body, 4));
        let third = read(&body, 4).await.unwrap();
        let first = first.unwrap();
        assert_eq!(first.len(), 8 + (1 << 20));
        assert_eq!(first.get(4..), Some(&third[..]));
        assert_eq!(second.unwrap(), third);
        assert_eq!(inner.opened.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn wrong_content_is_never_given_out_whole_and_is_fetched_anew() {
        let directory = tempfile::tempdir().unwrap();
        let inner = Arc::new(Pieces {
            first_is_wrong: true,
            ..Pieces::default()
        });
        let body = shared(Arc::clone(&inner), directory.path());
        let (first, second) = futures_util::join!(read(&body, 0), read(&body, 0));
        for refused in [first, second] {
            let refused = io::Error::from(refused.unwrap_err());
            assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
        }
        assert_eq!(read(&body, 0).await.unwrap().len(), 8 + (1 << 20));
        assert_eq!(inner.opened.load(Ordering::Relaxed), 2);
    }

    /// What a registry refuses.
    #[derive(Debug)]
    struct Denied;

    #[async_trait]
    impl Body for Denied {
        async fn open(&self, _offset: u64) -> Result<ByteStream, BodyError> {
            let denied = ohoci_registry::ErrorKind::Denied;
            Err(ohoci_registry::Error::new(denied, "no")
                .hinted("log in")
                .into())
        }
    }

    #[tokio::test]
    async fn every_reader_learns_of_which_kind_a_failure_was() {
        let directory = tempfile::tempdir().unwrap();
        let body = OneDownload {
            inner: Arc::new(Denied),
            directory: directory.path().to_owned(),
            current: Mutex::default(),
        };
        let (first, second) = futures_util::join!(read(&body, 0), read(&body, 0));
        for refused in [first, second] {
            let error = ohoci_store::Error::reading("cannot read", refused.unwrap_err());
            assert_eq!(error.kind(), ohoci_store::ErrorKind::Denied);
            assert_eq!(error.hint(), Some("log in"));
        }
    }
}
