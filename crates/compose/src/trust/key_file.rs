//! Keys in files of this machine.

use std::io::{ErrorKind as IoKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use fs_err::os::unix::fs::OpenOptionsExt as _;
use ohoci_files::regular;
use ohoci_store::{Error, ErrorKind};
use ohoci_trust::pem::MAX_PEM;
use ohoci_trust::{Passphrase, PrivateKey, PublicKey};
use zeroize::Zeroizing;

/// The text of a key file.
///
/// # Errors
/// When it cannot be read, is no text or larger than a key.
pub fn read(path: &Path) -> Result<Zeroizing<String>, Error> {
    let what = || format!("cannot read the key {}", path.display());
    let file = regular::open(path).map_err(|error| Error::io(what(), error))?;
    let mut text = Zeroizing::new(String::new());
    let read = file.take(MAX_PEM + 1).read_to_string(&mut text);
    read.map_err(|error| Error::io(what(), error))?;
    if text.len() as u64 > MAX_PEM {
        return Err(Error::new(
            ErrorKind::Unsupported,
            what(),
            "it is larger than any key",
        ));
    }
    Ok(text)
}

/// Reads a public key.
///
/// # Errors
/// When it cannot be read or is none.
pub fn public(path: &Path) -> Result<PublicKey, Error> {
    PublicKey::parse(&read(path)?).map_err(|error| unusable(path, &error))
}

/// Reads a private key from its text.
///
/// # Errors
/// When it is none, or the passphrase does not fit.
pub fn private(
    path: &Path,
    text: &str,
    passphrase: Option<&Passphrase>,
) -> Result<PrivateKey, Error> {
    PrivateKey::parse(text, passphrase).map_err(|error| unusable(path, &error))
}

fn unusable(path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!("cannot use the key {}", path.display()),
        error.to_string(),
    )
}

/// Makes a new key pair: `PREFIX.key`, encrypted and readable by its owner alone, and `PREFIX.pub`.
/// No file is replaced.
///
/// # Errors
/// When a file is there already or cannot be written, or the machine has no random numbers.
pub fn generate(prefix: &Path, passphrase: &Passphrase) -> Result<(PathBuf, PublicKey), Error> {
    let with = |ending: &str| {
        let mut name = prefix.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    };
    let (private_file, public_file) = (with(".key"), with(".pub"));
    let what = || format!("cannot make the key {}", private_file.display());
    let key = loop {
        if let Some(key) = PrivateKey::from_random(&random(&what)?) {
            break key;
        }
    };
    let pem = key
        .to_encrypted_pem(passphrase, &random(&what)?, &random(&what)?)
        .map_err(|error| Error::new(ErrorKind::Unsupported, what(), error.to_string()))?;
    if public_file.exists() {
        return Err(is_there(&what(), &public_file));
    }
    create(&private_file, 0o600, &pem, &what)?;
    create(&public_file, 0o644, &key.public().to_pem(), &what)?;
    Ok((private_file, key.public().clone()))
}

fn is_there(what: &str, path: &Path) -> Error {
    let why = format!("{} is there already", path.display());
    Error::new(ErrorKind::Io, what, why).hinted("--out names other files")
}

fn create(path: &Path, mode: u32, text: &str, what: &dyn Fn() -> String) -> Result<(), Error> {
    let file = fs_err::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path);
    let mut file = match file {
        Err(error) if error.kind() == IoKind::AlreadyExists => {
            return Err(is_there(&what(), path));
        }
        file => file.map_err(|error| Error::io(what(), error))?,
    };
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all());
    written.map_err(|error| Error::io(what(), error))
}

fn random<const N: usize>(what: &dyn Fn() -> String) -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    let mut rest = bytes.as_mut_slice();
    while !rest.is_empty() {
        let flags = rustix::rand::GetRandomFlags::empty();
        let count = rustix::rand::getrandom(&mut *rest, flags)
            .map_err(|error| Error::io(what(), error.into()))?;
        rest = rest.get_mut(count..).unwrap_or_default();
    }
    Ok(bytes)
}
