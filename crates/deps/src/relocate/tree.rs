//! Relocates a whole tree.

use std::collections::BTreeSet;
use std::io::{self, Read};

use super::edit::{Edit, EditKind, Kept};
use super::elf::{Elf, ElfError, Kind as ElfKind};
use super::error::{Reason, RelocateError};
use super::interpreter::{self, Found};
use super::scripts::{FirstLine, Programs, first_line};
use super::{loader, search_path, strings, text};
use crate::place::{LOADER, Machine, Prefix};
use ohoci_layer::{Content, Entry, Kind, LayerPath, Rules, Tree};

/// The cache of character set converters, whose paths are compiled in and which comes before the
/// directory; without it the directory is read.
const GCONV_CACHE: &[u8] = b"lib/gconv/gconv-modules.cache";
/// Largest file that is edited; the largest program known is a browser of 300 MB.
const LARGEST: u64 = 2 << 30;
/// Extended attribute with rights of a program.
const CAPABILITY: &[u8] = b"security.capability";
/// How many bytes of a file tell what it is.
const START: usize = 512;

/// Where the files of a tree come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Debian: compiled-in paths are known.
    Debian,
    /// Wheels, npm packages, archives: they are made to run anywhere, and only programs'
    /// interpreters, scripts' first lines and absolute search paths are edited.
    Other,
}

/// How a tree is relocated.
#[derive(Clone, Copy, Debug)]
pub struct Relocation<'a> {
    /// What the files are built for. ELF files for other machines are left alone.
    pub machine: Machine,
    /// Where the tree will stand.
    pub prefix: &'a Prefix,
    /// The programs that scripts can name, of all layers.
    pub programs: &'a Programs,
    /// Where the files come from.
    pub origin: Origin,
}

/// Takes the new content of an edited file and says where it is kept: in memory, or in a spool.
pub type Keep<'a> = dyn FnMut(Vec<u8>) -> io::Result<Content> + 'a;

/// A relocated tree.
#[derive(Debug)]
pub struct Relocated {
    /// The tree, relative to the prefix as before.
    pub tree: Tree,
    /// What was edited, in path order.
    pub edits: Vec<Edit>,
    /// What leads out of the prefix and was left as it is, in path order.
    pub kept: Vec<Kept>,
}

/// Edits the files of a tree whose paths are relative to the prefix. Those `as_is` stay as they are, and cannot be
/// executed: they may name a loader that is not there.
///
/// Files that need no edit keep their content as it is; of the others, one at a time is in memory.
///
/// # Errors
/// [`RelocateError`], with the file: a loader or library that is not the build whose places are
/// known, a broken ELF file, a search path that leads to the base and cannot be changed.
pub fn relocate(
    tree: &Tree,
    relocation: &Relocation<'_>,
    as_is: &BTreeSet<LayerPath>,
    keep: &mut Keep<'_>,
) -> Result<Relocated, RelocateError> {
    let mut relocated = Relocated {
        tree: Tree::new(),
        edits: Vec::new(),
        kept: Vec::new(),
    };
    for (path, entry) in tree {
        if path.as_bytes() == GCONV_CACHE {
            relocated.edit(path, EditKind::Removed, "gconv-modules.cache", 1);
            continue;
        }
        let mut entry = entry.clone();
        relocated.drop_rights(path, &mut entry);
        if as_is.contains(path) {
            entry.mode &= !0o111;
        } else if let Kind::File(content) = &entry.kind {
            let executable = entry.mode & 0o111 != 0;
            let fail = |error: io::Error| RelocateError::new(path, error);
            let edited = relocated.content(path, content, executable, relocation)?;
            if let Some(bytes) = edited {
                entry.kind = Kind::File(keep(bytes).map_err(fail)?);
            }
        }
        relocated
            .tree
            .insert(path.clone(), entry, Rules::Strict)
            .map_err(|error| RelocateError::new(path, Reason::Tree(error.to_string())))?;
    }
    Ok(relocated)
}

impl Relocated {
    fn edit(&mut self, path: &LayerPath, kind: EditKind, what: impl Into<String>, count: usize) {
        self.edits.push(Edit {
            path: path.clone(),
            kind,
            what: what.into(),
            count,
        });
    }

    fn keep(&mut self, path: &LayerPath, what: String) {
        self.kept.push(Kept {
            path: path.clone(),
            what,
        });
    }

    /// Takes setuid, setgid and capabilities away: they would let the layer give rights on any
    /// base.
    fn drop_rights(&mut self, path: &LayerPath, entry: &mut Entry) {
        let rights = match entry.kind {
            // A directory's setgid bit only says who owns new files in it.
            Kind::Directory => 0,
            _ => entry.mode & 0o6000,
        };
        if rights != 0 {
            entry.mode &= !rights;
            self.edit(path, EditKind::Privilege, format!("mode {rights:04o}"), 1);
        }
        if entry.xattrs.remove(CAPABILITY).is_some() {
            self.edit(path, EditKind::Privilege, "capabilities", 1);
        }
    }

    /// The new content of a file; `None` when it stays.
    fn content(
        &mut self,
        path: &LayerPath,
        content: &Content,
        executable: bool,
        relocation: &Relocation<'_>,
    ) -> Result<Option<Vec<u8>>, RelocateError> {
        let fail = |error: io::Error| RelocateError::new(path, error);
        let mut reader = content.open().map_err(fail)?;
        let mut bytes = Vec::new();
        reader
            .by_ref()
            .take(START as u64)
            .read_to_end(&mut bytes)
            .map_err(fail)?;
        let script = executable && bytes.starts_with(b"#!");
        let known_text = relocation.origin == Origin::Debian && text::is_known(path);
        if !script && !known_text && !Elf::has_magic(&bytes) {
            return Ok(None);
        }
        if content.size() > LARGEST {
            return Err(RelocateError::new(path, Reason::TooLarge(content.size())));
        }
        if known_text {
            reader.read_to_end(&mut bytes).map_err(fail)?;
            let edited = text::edit(&bytes, relocation.prefix)
                .map_err(|why| RelocateError::new(path, Reason::Text(why)))?;
            return Ok(edited.map(|(bytes, what)| {
                self.edit(path, EditKind::CompiledInPath, what, 1);
                bytes
            }));
        }
        if script {
            let line = first_line(&bytes, relocation.prefix, relocation.programs);
            return match line {
                FirstLine::Fine => Ok(None),
                FirstLine::Missing(what) => {
                    self.keep(path, format!("needs {what}, which no layer has"));
                    Ok(None)
                }
                FirstLine::Replace { old, new } => {
                    let was = bytes.get(..old).unwrap_or_default();
                    let was = ohoci_layer::path::printable(was);
                    self.edit(path, EditKind::Shebang, was, 1);
                    reader.read_to_end(&mut bytes).map_err(fail)?;
                    bytes.splice(..old.min(bytes.len()), new);
                    Ok(Some(bytes))
                }
            };
        }
        let size = usize::try_from(content.size()).unwrap_or_default();
        bytes.reserve_exact(size.saturating_sub(bytes.len()));
        reader.read_to_end(&mut bytes).map_err(fail)?;
        let done = relocate_elf(&mut bytes, path, relocation)?;
        for what in done.kept {
            self.keep(path, what);
        }
        let edited = !done.edits.is_empty();
        for (kind, what, count) in done.edits {
            self.edit(path, kind, what, count);
        }
        Ok(edited.then_some(bytes))
    }
}

/// What was done to an ELF file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ElfEdits {
    /// Kind, what was replaced, at how many places.
    pub edits: Vec<(EditKind, String, usize)>,
    /// What leads out of the prefix and was left.
    pub kept: Vec<String>,
}

/// Edits one ELF file in place; `path` is below the prefix and tells the loader and libraries
/// whose places are known.
///
/// Files for other machines and object files are left as they are, and so are broken ones that
/// are not Debian's: test data of a wheel may be broken on purpose.
///
/// # Errors
/// See [`relocate`]. The bytes may be edited in part then, and when nothing is said to be edited.
pub fn relocate_elf(
    bytes: &mut [u8],
    path: &LayerPath,
    relocation: &Relocation<'_>,
) -> Result<ElfEdits, RelocateError> {
    match edit_elf(bytes, path, relocation) {
        Ok(done) => Ok(done),
        Err(Reason::Elf(error)) if relocation.origin == Origin::Other => Ok(ElfEdits {
            edits: Vec::new(),
            kept: vec![error.to_string()],
        }),
        Err(reason) => Err(RelocateError::new(path, reason)),
    }
}

fn edit_elf(
    bytes: &mut [u8],
    path: &LayerPath,
    relocation: &Relocation<'_>,
) -> Result<ElfEdits, Reason> {
    let Relocation {
        machine, prefix, ..
    } = *relocation;
    let mut done = ElfEdits::default();
    let elf = match Elf::parse(bytes) {
        Ok(elf) if elf.machine == machine.elf() && elf.kind == ElfKind::Loadable => elf,
        Ok(_) | Err(ElfError::OtherClass) => return Ok(done),
        Err(error) => return Err(error.into()),
    };
    let found = interpreter::find(&elf, machine, prefix)?;
    let dynamic = elf.dynamic()?;
    let alone = dynamic.is_none_or(|dynamic| dynamic.needed.is_empty());
    let is_static = found == Found::None && alone;
    match found {
        Found::None | Found::Done => {}
        Found::Other(other) => done.kept.push(format!("names the interpreter {other}")),
        Found::Replace { offset, bytes: new } => {
            overwrite(bytes, offset, &new);
            let old = machine.interpreter().to_owned();
            done.edits.push((EditKind::Interpreter, old, 1));
        }
    }
    if relocation.origin == Origin::Debian {
        if path.as_bytes() == LOADER.as_bytes() {
            done.push(EditKind::Loader, loader::edit(bytes, machine, prefix)?);
            return Ok(done);
        }
        if is_static {
            let edits = loader::edit_static(bytes, machine, prefix);
            done.push(EditKind::Loader, edits);
        }
        let edits = strings::edit(bytes, path, machine, prefix)?;
        done.push(EditKind::CompiledInPath, edits);
    }
    let elf = Elf::parse(bytes)?;
    for (old, place) in search_path::find(&elf, machine, prefix)?? {
        overwrite(bytes, place.offset, &place.bytes);
        done.edits.push((EditKind::SearchPath, old, 1));
    }
    Ok(done)
}

impl ElfEdits {
    fn push(&mut self, kind: EditKind, edits: Vec<(String, usize)>) {
        let edits = edits.into_iter().map(|(what, count)| (kind, what, count));
        self.edits.extend(edits);
    }
}

fn overwrite(bytes: &mut [u8], offset: usize, new: &[u8]) {
    let place = offset
        .checked_add(new.len())
        .and_then(|end| bytes.get_mut(offset..end));
    if let Some(place) = place {
        place.copy_from_slice(new);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::ElfBuilder;
    use super::*;

    fn path(raw: &str) -> LayerPath {
        LayerPath::parse(raw.as_bytes()).unwrap()
    }

    fn file(bytes: &[u8], mode: u32) -> Entry {
        let content = Content::Memory(bytes.to_vec().into());
        Entry::new(Kind::File(content), mode)
    }

    fn run(entries: &[(&str, Entry)], origin: Origin) -> Result<Relocated, RelocateError> {
        let mut tree = Tree::new();
        for (at, entry) in entries {
            tree.insert(path(at), entry.clone(), Rules::Strict).unwrap();
        }
        let programs = Programs::of([&tree]);
        let relocation = Relocation {
            machine: Machine::Amd64,
            prefix: &Prefix::default(),
            programs: &programs,
            origin,
        };
        let as_is = [path("x/as-is")].into();
        relocate(&tree, &relocation, &as_is, &mut |bytes| {
            Ok(Content::Memory(bytes.into()))
        })
    }

    fn bytes(relocated: &Relocated, at: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        match &relocated.tree.get(&path(at)).unwrap().kind {
            Kind::File(content) => content.open().unwrap().read_to_end(&mut bytes).unwrap(),
            other => panic!("{other:?}"),
        };
        bytes
    }

    fn kinds(relocated: &Relocated) -> Vec<EditKind> {
        relocated.edits.iter().map(|edit| edit.kind).collect()
    }

    fn program() -> ElfBuilder {
        ElfBuilder::amd64()
            .interpreter(Machine::Amd64.interpreter())
            .needed(&["libc.so.6"])
            .runpath("/usr/lib/x86_64-linux-gnu")
            .data(b"\0/usr/lib/ssl/certs\0")
    }

    #[test]
    fn a_program_of_debians_is_edited_in_place_and_once() {
        let before = program().build();
        let one = run(&[("tools/bin/x", file(&before, 0o4755))], Origin::Debian).unwrap();
        assert_eq!(
            kinds(&one),
            [
                EditKind::Privilege,
                EditKind::Interpreter,
                EditKind::CompiledInPath,
                EditKind::CompiledInPath
            ]
        );
        let after = bytes(&one, "tools/bin/x");
        assert_eq!(after.len(), before.len());
        assert_eq!(one.tree.get(&path("tools/bin/x")).unwrap().mode, 0o755);
        let elf = Elf::parse(&after).unwrap();
        let (text, _) = elf.interpreter().unwrap().unwrap();
        assert_eq!(text.bytes, b"/openhands/lib/ld-linux-oh");
        let runpath = elf.dynamic().unwrap().unwrap().runpath.unwrap().show();
        assert!(runpath.starts_with("/openhands/") && runpath.ends_with("/lib"));
        let again = run(&[("tools/bin/x", file(&after, 0o755))], Origin::Debian).unwrap();
        assert_eq!(again.edits, []);
    }

    #[test]
    fn files_made_to_run_anywhere_keep_their_strings() {
        let before = ElfBuilder::amd64()
            .needed(&["libc.so.6"])
            .data(b"\0/usr/lib/ssl\0")
            .build();
        let entries = [("poetry/x.so", file(&before, 0o644))];
        let relocated = run(&entries, Origin::Other).unwrap();
        assert_eq!(bytes(&relocated, "poetry/x.so"), before);
        let node = program().build();
        let relocated = run(&[("x/node", file(&node, 0o755))], Origin::Other).unwrap();
        assert_eq!(
            kinds(&relocated),
            [EditKind::Interpreter, EditKind::SearchPath]
        );
    }

    #[test]
    fn files_for_other_machines_stay() {
        let arm = ElfBuilder::arm64()
            .interpreter(Machine::Arm64.interpreter())
            .build();
        let mut old = program().build();
        old[4] = 1;
        let entries = [("x/arm", file(&arm, 0o755)), ("x/old", file(&old, 0o755))];
        assert_eq!(run(&entries, Origin::Debian).unwrap().edits, []);
        let musl = ElfBuilder::amd64().interpreter("/lib/ld-musl-x86_64.so.1");
        let relocated = run(&[("x/musl", file(&musl.build(), 0o755))], Origin::Debian).unwrap();
        assert_eq!(relocated.kept.len(), 1);
    }

    #[test]
    fn what_stays_as_it_is_can_be_read_alone() {
        let before = program().build();
        let entries = [
            ("x/as-is", file(&before, 0o4755)),
            ("x/y", file(&before, 0o755)),
        ];
        let one = run(&entries, Origin::Other).unwrap();
        assert_eq!(bytes(&one, "x/as-is"), before);
        assert_eq!(one.tree.get(&path("x/as-is")).unwrap().mode, 0o644);
        assert_ne!(bytes(&one, "x/y"), before);
        assert_eq!(one.tree.get(&path("x/y")).unwrap().mode, 0o755);
    }

    #[test]
    fn scripts_and_caches_are_seen_to() {
        let script = b"#!/bin/sh\necho \xff\n".to_vec();
        let long = [b"#!/usr/bin/perl\n".as_slice(), &[b'x'; 2000]].concat();
        let relocated = run(
            &[
                ("lib/gconv/gconv-modules.cache", file(b"x", 0o644)),
                ("tools/bin/dash", file(b"", 0o755)),
                ("tools/bin/script", file(&script, 0o755)),
                ("share/text", file(&script, 0o644)),
                ("tools/bin/perlscript", file(&long, 0o755)),
            ],
            Origin::Debian,
        )
        .unwrap();
        assert_eq!(kinds(&relocated), [EditKind::Removed, EditKind::Shebang]);
        assert_eq!(
            bytes(&relocated, "tools/bin/script"),
            b"#!/openhands/tools/bin/dash\necho \xff\n"
        );
        assert_eq!(bytes(&relocated, "share/text"), script);
        assert_eq!(relocated.tree.len(), 4);
        assert_eq!(relocated.kept.len(), 1);
    }

    #[test]
    fn no_file_makes_an_edit_go_astray() {
        let whole = program().needs("libc.so.6", &["GLIBC_2.34"]).build();
        let programs = Programs::default();
        for origin in [Origin::Debian, Origin::Other] {
            let relocation = Relocation {
                machine: Machine::Amd64,
                prefix: &Prefix::default(),
                programs: &programs,
                origin,
            };
            for at in 0..whole.len() {
                for value in [0, 1, 0x2f, 0x80, 0xff] {
                    let mut bytes = whole.clone();
                    bytes[at] = value;
                    let _ = relocate_elf(&mut bytes, &path("lib/x.so"), &relocation);
                    assert_eq!(bytes.len(), whole.len());
                }
            }
        }
    }

    #[test]
    fn errors_name_the_file() {
        let broken = &program().build()[..100];
        let error = run(&[("lib/x.so", file(broken, 0o644))], Origin::Debian).unwrap_err();
        assert!(error.to_string().starts_with("/lib/x.so: "), "{error}");
        let other = run(&[("x/x.so", file(broken, 0o644))], Origin::Other).unwrap();
        assert_eq!((other.edits.len(), other.kept.len()), (0, 1));
        let loader = ElfBuilder::amd64().build();
        let entries = [("lib/ld-linux-oh", file(&loader, 0o755))];
        let error = run(&entries, Origin::Debian).unwrap_err().to_string();
        assert!(error.contains("not known"), "{error}");
    }
}
