//! What the headers of a member come to: its name, what it is, and where its holes are.

use std::io::{self, Read};

use tar::Header;

use super::{BLOCK, Extensions, Member, TarError, TarReader, padding};
use crate::entry::{Device, Entry, Kind};
use crate::path::{LayerPath, MAX_PATH, printable};
use crate::pax::{self, Records};
use crate::sparse::{self, Described, Sparse};
use crate::tar_field;
use crate::tree::Rules;
use crate::whiteout::{self, Meaning};

/// Most bytes of zeros that the holes of all files in one tar may come to.
const MOST_HOLES: u64 = 16 << 30;

impl<R: Read> TarReader<R> {
    /// A number in a header.
    pub(super) fn number(&self, field: &[u8], name: &str) -> Result<u64, TarError> {
        tar_field::number(field)
            .ok_or_else(|| self.malformed(None, format!("its {name} is no number")))
    }

    /// Puts a header and its extensions together; `None` for bookkeeping of aufs.
    pub(super) fn member(
        &mut self,
        header: &Header,
        extensions: Extensions,
    ) -> Result<Option<Member>, TarError> {
        let pax = extensions.pax.unwrap_or_default();
        let raw_path = match sparse::name(&pax) {
            Some(name) => name.clone(),
            None => self.name(&pax, b"path", extensions.long_name, || {
                tar_field::path(header)
            })?,
        };
        let raw_link = self.name(&pax, b"linkpath", extensions.long_link, || {
            tar_field::until_nul(&header.as_old().linkname)
        })?;
        let fail = |reader: &Self, reason: String| reader.malformed(Some(&raw_path), reason);

        let size = self.size(header, &pax, &raw_path)?;
        let attributes = self.attributes(header, &pax, &raw_path)?;
        let kind = match header.as_old().linkflag {
            // Before POSIX, a directory was a file with a slash behind its name.
            [0] if raw_path.ends_with(b"/") => Kind::Directory,
            // GNU tar still takes it for one, Go does not.
            [b'0'] if raw_path.ends_with(b"/") => {
                return Err(fail(
                    self,
                    "it is a file with a slash behind its name".to_owned(),
                ));
            }
            [b'0' | 0] => Kind::File(size),
            [b'1'] => match LayerPath::parse(&raw_link) {
                Ok(target) if !target.is_root() => Kind::Hardlink(target),
                Ok(_) => return Err(fail(self, "it is a hard link to the root".to_owned())),
                Err(error) => return Err(fail(self, format!("its link target: {error}"))),
            },
            [b'2'] => Kind::Symlink(raw_link.clone()),
            [b'3'] => Kind::CharDevice(self.device(header)?),
            [b'4'] => Kind::BlockDevice(self.device(header)?),
            [b'5'] => Kind::Directory,
            [b'6'] => Kind::Fifo,
            [b'S'] => return Err(fail(self, "sparse files are not supported".to_owned())),
            other => {
                let reason = format!("members of type {:?} are not supported", printable(&other));
                return Err(fail(self, reason));
            }
        };
        if let Kind::Symlink(target) = &kind
            && (target.is_empty() || target.len() > MAX_PATH || target.contains(&0))
        {
            let reason = "its link target is empty, too long or contains a NUL";
            return Err(fail(self, reason.to_owned()));
        }
        // Readers disagree on whether such a member is followed by content.
        if !matches!(kind, Kind::File(_)) && size != 0 {
            return Err(fail(self, format!("a {} cannot have a size", kind.noun())));
        }
        self.content = size;
        self.padding = padding(size);
        let kind = match self.holes(&pax, &raw_path, &kind)? {
            Some(whole) => Kind::File(whole),
            None => kind,
        };

        let path = LayerPath::parse(&raw_path).map_err(|error| fail(self, error.to_string()))?;
        if path.is_root() && !matches!(kind, Kind::Directory) {
            return Err(fail(self, "the root must be a directory".to_owned()));
        }
        let whiteout = match whiteout::meaning(&path) {
            Ok(Meaning::Entry) => None,
            Ok(Meaning::Whiteout(whiteout)) => Some(whiteout),
            Ok(Meaning::Bookkeeping) if self.rules == Rules::Foreign => return Ok(None),
            Ok(Meaning::Bookkeeping) => {
                return Err(fail(self, "the name is reserved by aufs".to_owned()));
            }
            Err(error) => return Err(fail(self, error.to_string())),
        };
        let misshapen = match self.rules {
            Rules::Strict => kind != Kind::File(0),
            Rules::Foreign => kind == Kind::Directory,
        };
        if whiteout.is_some() && misshapen {
            return Err(fail(self, "a whiteout must be an empty file".to_owned()));
        }
        let xattrs = attributes.xattrs.iter();
        let bytes = xattrs
            .map(|(name, value)| name.len() + value.len())
            .sum::<usize>()
            + raw_path.len()
            + raw_link.len();
        self.metadata = self.metadata.saturating_add(bytes as u64);
        if self.metadata > self.limits.metadata {
            return Err(fail(
                self,
                "its paths and attributes are too long".to_owned(),
            ));
        }
        Ok(Some(Member {
            path,
            entry: Entry { kind, ..attributes },
            whiteout,
            offset: self.header_at,
            is_absolute: raw_path.starts_with(b"/"),
        }))
    }

    /// A name that can be in the PAX header, in a GNU extension, or in the header itself.
    fn name(
        &self,
        pax: &Records,
        key: &[u8],
        gnu: Option<Vec<u8>>,
        plain: impl FnOnce() -> Vec<u8>,
    ) -> Result<Vec<u8>, TarError> {
        // POSIX: an empty value takes back what a global header said.
        let pax = pax.get(key).filter(|value| !value.is_empty());
        match (pax, gnu) {
            (Some(pax), Some(gnu)) if *pax != gnu => Err(self.malformed(
                Some(pax),
                "its PAX header and its GNU extension give it different names",
            )),
            (Some(name), _) => Ok(name.clone()),
            (None, Some(name)) => Ok(name),
            (None, None) => Ok(plain()),
        }
    }

    fn size(&self, header: &Header, pax: &Records, path: &[u8]) -> Result<u64, TarError> {
        /// The largest size that eleven octal digits can say.
        const LARGEST: u64 = 0o777_7777_7777;
        let plain = self.number(&header.as_old().size, "size")?;
        let Some(text) = pax.get(b"size".as_slice()) else {
            return Ok(plain);
        };
        let size = pax::decimal(text)
            .ok_or_else(|| self.malformed(Some(path), "the size in its PAX header is no number"))?;
        // Go writes 0 into the header where the size does not fit.
        if size == plain || (plain == 0 && size > LARGEST) {
            Ok(size)
        } else {
            Err(self.malformed(
                Some(path),
                format!("its header says {plain} bytes, its PAX header {size}"),
            ))
        }
    }

    /// Finds the holes of a member whose content comes next, and says how long it is with them;
    /// `None` where it has none.
    fn holes(
        &mut self,
        pax: &Records,
        path: &[u8],
        kind: &Kind<u64>,
    ) -> Result<Option<u64>, TarError> {
        let described = sparse::described(pax).map_err(|why| self.malformed(Some(path), why))?;
        let (size, pieces) = match described {
            Described::No => return Ok(None),
            _ if !matches!(kind, Kind::File(_)) => {
                return Err(self.malformed(Some(path), "only files have holes"));
            }
            Described::Inline { size, pieces } => (size, pieces),
            Described::InContent { size } => {
                let mut left = self.content;
                let read = sparse::read_map(|| {
                    let mut block = [0; BLOCK];
                    left = left.checked_sub(BLOCK as u64).ok_or(MapError::CutOff)?;
                    match self.fill(&mut block).map_err(MapError::Io)? {
                        BLOCK => Ok(block),
                        _ => Err(MapError::CutOff),
                    }
                });
                let (pieces, _) = read.map_err(|error| match error {
                    MapError::Io(error) => error.into(),
                    MapError::CutOff => self.malformed(Some(path), "its map of holes is cut off"),
                    MapError::Broken(why) => self.malformed(Some(path), why),
                })?;
                self.content = left;
                (size, pieces)
            }
        };
        let sparse = Sparse::new(size, pieces, self.content)
            .map_err(|why| self.malformed(Some(path), why))?;
        self.holes = self.holes.saturating_add(size.saturating_sub(self.content));
        if self.holes > MOST_HOLES {
            let reason = format!("the holes of its files come to more than {MOST_HOLES} bytes");
            return Err(self.malformed(Some(path), reason));
        }
        self.sparse = Some(sparse);
        Ok(Some(size))
    }

    fn attributes(
        &self,
        header: &Header,
        pax: &Records,
        path: &[u8],
    ) -> Result<Entry<u64>, TarError> {
        let old = header.as_old();
        let id = |key: &str, field: &[u8]| {
            let value = match pax.get(key.as_bytes()).filter(|text| !text.is_empty()) {
                Some(text) => pax::decimal(text),
                None => tar_field::number(field),
            };
            value
                .and_then(|value| u32::try_from(value).ok())
                .ok_or_else(|| self.malformed(Some(path), format!("its {key} is out of range")))
        };
        let mtime = match pax.get(b"mtime".as_slice()).filter(|text| !text.is_empty()) {
            Some(text) => pax::seconds(text),
            None => tar_field::signed(&old.mtime),
        };
        let xattrs = pax
            .iter()
            .filter_map(|(key, value)| {
                let name = key
                    .strip_prefix(pax::XATTR)
                    .filter(|name| !name.is_empty())?;
                Some((name.to_vec(), value.clone()))
            })
            .collect();
        let mode = self.number(&old.mode, "mode")? & 0o7777;
        Ok(Entry {
            kind: Kind::Fifo,
            mode: u32::try_from(mode).unwrap_or_default(),
            uid: id("uid", &old.uid)?,
            gid: id("gid", &old.gid)?,
            mtime: mtime.ok_or_else(|| self.malformed(Some(path), "its time is out of range"))?,
            xattrs,
        })
    }

    fn device(&self, header: &Header) -> Result<Device, TarError> {
        // GNU and POSIX headers have the numbers in the same place.
        let part = |range| {
            tar_field::number(header.as_bytes().get(range).unwrap_or_default())
                .filter(|part| *part <= 0o777_7777)
                .and_then(|part| u32::try_from(part).ok())
                .ok_or_else(|| self.malformed(None, "its device number is out of range"))
        };
        Ok(Device {
            major: part(329..337)?,
            minor: part(337..345)?,
        })
    }
}

/// Why a map of holes in the content cannot be read.
enum MapError {
    Io(io::Error),
    CutOff,
    Broken(&'static str),
}

impl From<&'static str> for MapError {
    fn from(why: &'static str) -> Self {
        Self::Broken(why)
    }
}
