//! The two formats of packages: a zip that holds two tars (`.conda`), and a tar (`.tar.bz2`).

use std::io::{Read as _, Seek as _};

use bzip2::read::MultiBzDecoder;
use rawzip::FileReader;
use sha2::{Digest as _, Sha256};

use crate::archive::tar::read_tar;
use crate::archive::zip::{Limits, Zip};
use crate::archive::{ArchiveError, Spool, growth};
use ohoci_layer::{Rules, Tree};

/// Most bytes that a package may have when it is decompressed.
const MAX_PACKAGE: u64 = 16 << 30;

/// A package's file, of which the SHA-256 digest is known.
pub(crate) fn read(
    mut file: fs_err::File,
    sha256: &str,
    spool: &Spool,
) -> Result<Tree, ArchiveError> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        hash.update(buffer.get(..count).unwrap_or_default());
    }
    let found = hex::encode(hash.finalize());
    if found != sha256 {
        let why = format!("what is kept of it hashes to {found}, not to {sha256}");
        return Err(ArchiveError::Malformed(why));
    }
    file.rewind()?;
    let length = file.metadata()?.len();
    let mut start = [0; 4];
    file.read_exact(&mut start)?;
    file.rewind()?;
    match &start {
        b"PK\x03\x04" => of_zip(file, length, spool),
        _ if start.starts_with(b"BZh") => {
            let tar = MultiBzDecoder::new(std::io::BufReader::new(file));
            read_tar(tar, growth::largest(length, MAX_PACKAGE), spool)
        }
        _ => Err(ArchiveError::Malformed(
            "it is neither a zip nor a tar that bzip2 compressed".to_owned(),
        )),
    }
}

fn of_zip(file: fs_err::File, length: u64, spool: &Spool) -> Result<Tree, ArchiveError> {
    let limits = Limits {
        members: 64,
        total: length,
    };
    let (file, _) = file.into_parts();
    let zip = Zip::open(FileReader::from(file), length, limits)?;
    let mut tree = Tree::new();
    let mut parts = 0;
    for member in zip.members() {
        let name = member.path.as_bytes();
        let is_part = name.ends_with(b".tar.zst")
            && (name.starts_with(b"info-") || name.starts_with(b"pkg-"));
        if !is_part {
            continue;
        }
        parts += 1;
        let limit = growth::largest(member.size, MAX_PACKAGE);
        let mut part = read_tar(zip.reader(member)?, limit, spool)?;
        // The smaller goes into the larger: what a package says of itself into its files.
        if part.len() > tree.len() {
            std::mem::swap(&mut part, &mut tree);
        }
        for (path, entry) in &part {
            let both = tree.get(path).is_some_and(ohoci_layer::Entry::is_directory);
            if !(both && entry.is_directory()) {
                tree.insert(path.clone(), entry.clone(), Rules::Strict)?;
            }
        }
    }
    if parts != 2 {
        let why = format!("it has {parts} of the two archives info-….tar.zst and pkg-….tar.zst");
        return Err(ArchiveError::Malformed(why));
    }
    Ok(tree)
}
