//! What signs: a key of this machine, or a program that has it elsewhere.
//!
//! The program's protocol, version 1: `PROGRAM public-key` writes the public key in PEM to stdout.
//! `PROGRAM sign` reads one JSON object from stdin, `{"version": 1, "algorithm": "sha256", "digest":
//! BASE64}`, and writes the signature of that digest to stdout in base64: ECDSA in DER, or RSA with
//! PKCS #1 v1.5. It ends with 0, or says on stderr why not. What it gives is verified before it is used.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ohoci_image::Digest;
use ohoci_store::{Error, ErrorKind};
use ohoci_trust::provenance::Builder;
use ohoci_trust::{PrivateKey, PublicKey};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Most that a program may say, in bytes.
const MAX_ANSWER: u64 = 64 << 10;

/// How images are signed.
#[derive(Clone, Debug)]
pub struct Signing {
    /// What signs; where it is left out, statements are attached without a signature.
    pub signer: Option<Arc<Signer>>,
    /// Whether the older form is written, too.
    pub with_tag: bool,
    /// What composed images are said to be made by, where provenance is asked for.
    pub provenance: Option<Builder>,
}

/// What signs.
#[derive(Debug)]
pub enum Signer {
    /// A key.
    Key(Box<PrivateKey>),
    /// A program, and the key that it says it signs with.
    Program(PathBuf, Box<PublicKey>),
}

impl Signer {
    /// A program that signs digests; it is asked for its public key.
    ///
    /// # Errors
    /// When it cannot be run, or its key cannot sign digests.
    pub async fn program(path: &Path) -> Result<Self, Error> {
        let text = answer(path, "public-key", &[]).await?;
        let key = PublicKey::parse(&text).map_err(|error| failed(path, error.to_string()))?;
        if !key.signs_digests() {
            let why = format!("{} keys do not sign digests", key.algorithm());
            return Err(failed(path, why));
        }
        Ok(Self::Program(path.to_owned(), Box::new(key)))
    }

    /// What verifies its signatures.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        match self {
            Self::Key(key) => key.public(),
            Self::Program(_, key) => key,
        }
    }

    /// Signs.
    ///
    /// # Errors
    /// When the program fails, or its signature does not verify.
    pub async fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let (path, key) = match self {
            Self::Key(key) => {
                return key.sign(message).map_err(|error| {
                    Error::new(ErrorKind::Unsupported, "cannot sign", error.to_string())
                });
            }
            Self::Program(path, key) => (path, key),
        };
        let digest = hex::decode(Digest::of(message).hex()).unwrap_or_default();
        let asked = serde_json::json!({
            "version": 1,
            "algorithm": "sha256",
            "digest": STANDARD.encode(digest),
        });
        let text = answer(path, "sign", asked.to_string().as_bytes()).await?;
        let signature = STANDARD
            .decode(text.trim())
            .map_err(|_| failed(path, "its signature is no base64".to_owned()))?;
        if !key.verifies(message, &signature) {
            let why = "its signature does not fit the public key that it gave".to_owned();
            return Err(failed(path, why));
        }
        Ok(signature)
    }
}

fn failed(path: &Path, why: String) -> Error {
    let what = format!("cannot sign with {}", path.display());
    Error::new(ErrorKind::Unsupported, what, why)
}

/// What the program writes to stdout.
async fn answer(path: &Path, command: &str, input: &[u8]) -> Result<String, Error> {
    let io = |error: std::io::Error| failed(path, error.to_string());
    let mut child = tokio::process::Command::new(path)
        .arg(command)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(io)?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let feed = async {
        if let Some(mut stdin) = stdin {
            // A program that does not read what it need not is no failure.
            let _ = stdin.write_all(input).await;
        }
    };
    let mut said = String::new();
    let mut complaint = Vec::new();
    let read = async {
        if let Some(stdout) = stdout {
            stdout.take(MAX_ANSWER).read_to_string(&mut said).await?;
        }
        Ok::<_, std::io::Error>(())
    };
    let listen = async {
        if let Some(stderr) = stderr {
            stderr.take(MAX_ANSWER).read_to_end(&mut complaint).await?;
        }
        Ok::<_, std::io::Error>(())
    };
    let ((), read, listen) = futures_util::join!(feed, read, listen);
    read.and(listen).map_err(io)?;
    let status = child.wait().await.map_err(io)?;
    if status.success() {
        return Ok(said);
    }
    let complaint = String::from_utf8_lossy(&complaint);
    let complaint = complaint.trim();
    Err(failed(
        path,
        if complaint.is_empty() {
            format!("it ended with {status} and said nothing")
        } else {
            complaint.chars().take(500).collect()
        },
    ))
}
