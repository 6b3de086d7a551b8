//! Whether every program, library and script finds what it needs inside the prefix.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

use super::audited::{Layer, Options};
use super::finding::{Finding, Rule, Severity};
use super::locations::is_inside;
use crate::files::Files;
use crate::relocate::{Elf, ElfError, ElfKind};
use ohoci_layer::path::printable;
use ohoci_layer::{Content, Kind, LayerPath};

/// How many bytes of a file tell what it is.
const START: usize = 512;

/// What the programs and libraries of a layer ask for.
#[derive(Clone, Debug, Default)]
pub(super) struct Floor {
    pub(super) elf_files: usize,
    /// The newest version of glibc.
    pub(super) glibc: Option<Vec<u32>>,
    /// The newest of the oldest versions of Linux.
    pub(super) kernel: Option<[u32; 3]>,
}

/// What matters of an ELF file, without its bytes.
#[derive(Debug)]
struct Program {
    executable: bool,
    interpreter: Option<Vec<u8>>,
    needed: Vec<Vec<u8>>,
    soname: Option<Vec<u8>>,
    search: Vec<Vec<u8>>,
    needs: Vec<(Vec<u8>, Vec<u8>)>,
    defines: BTreeSet<Vec<u8>>,
    stack: Option<bool>,
    kernel: Option<[u32; 3]>,
}

/// What a file is.
enum Looked {
    Program(Box<Program>),
    Script(Vec<u8>),
    Broken(Severity, String, &'static str),
    Data,
}

pub(super) fn check(
    layers: &[Layer<'_>],
    options: &Options,
    files: &Files<'_>,
    findings: &mut Vec<Finding>,
) -> io::Result<Vec<Floor>> {
    let mut floors = vec![Floor::default(); layers.len()];
    let mut programs: BTreeMap<&LayerPath, (usize, Program)> = BTreeMap::new();
    for (index, layer) in layers.iter().enumerate() {
        for (path, entry) in layer.tree {
            let Kind::File(content) = &entry.kind else {
                continue;
            };
            let mut tell = |severity, rule, what: String, why| {
                findings.push(finding(severity, rule, path, layer.name, what, why));
            };
            match read(content, entry.mode & 0o111 != 0, options)? {
                Looked::Data => {}
                Looked::Broken(severity, what, why) => tell(severity, Rule::Elf, what, why),
                Looked::Script(interpreter) => {
                    shebang(&interpreter, options, files, &mut tell);
                }
                Looked::Program(program) => {
                    programs.insert(path, (index, *program));
                }
            }
        }
    }
    let mut by_soname: BTreeMap<&[u8], &LayerPath> = BTreeMap::new();
    for (path, (_, program)) in &programs {
        by_soname.entry(path.name()).or_insert(path);
        if let Some(soname) = &program.soname {
            by_soname.entry(soname).or_insert(path);
        }
    }
    for (path, (index, program)) in &programs {
        let layer = layers.get(*index).map_or("", |layer| layer.name);
        let mut tell = |severity, rule, what: String, why| {
            findings.push(finding(severity, rule, path, layer, what, why));
        };
        if let Some(floor) = floors.get_mut(*index) {
            floor.elf_files += 1;
            floor.kernel = floor.kernel.max(program.kernel);
            let glibc = program.needs.iter().filter_map(|(_, name)| glibc(name));
            floor.glibc = glibc.max().max(floor.glibc.take());
        }
        interpreter(program, options, files, &mut tell);
        stack(program, &mut tell);
        let directories = search(path, program, options, &mut tell);
        let mut found: BTreeMap<&[u8], LayerPath> = BTreeMap::new();
        for library in &program.needed {
            let at = directories.iter().find_map(|directory| {
                let name = LayerPath::parse(library).ok()?;
                let at = files.resolve_file(&directory.join(&name).ok()?)?;
                programs.contains_key(&at).then_some(at)
            });
            if let Some(at) = at {
                found.insert(library, at);
                continue;
            }
            match by_soname.get(library.as_slice()) {
                Some(elsewhere) => tell(
                    Severity::Warning,
                    Rule::Library,
                    format!("needs {}, which is at {elsewhere}", printable(library)),
                    "it is not searched there, so something else has to have loaded it before",
                ),
                None => tell(
                    Severity::Error,
                    Rule::Library,
                    format!("needs {}, which is in no layer", printable(library)),
                    "it would not start",
                ),
            }
        }
        for (library, version) in &program.needs {
            let library_at = found.get(library.as_slice());
            let Some((_, Program { defines, .. })) = library_at.and_then(|at| programs.get(at))
            else {
                continue;
            };
            // A library without versions is taken for one that has them all.
            if !defines.is_empty() && !defines.contains(version) {
                tell(
                    Severity::Error,
                    Rule::Version,
                    format!(
                        "needs {} of {}, which does not have it",
                        printable(version),
                        printable(library)
                    ),
                    "it would not start",
                );
            }
        }
    }
    Ok(floors)
}

fn finding(
    severity: Severity,
    rule: Rule,
    path: &LayerPath,
    layer: &str,
    what: String,
    why: &'static str,
) -> Finding {
    Finding {
        severity,
        rule,
        file: path.to_string(),
        layer: layer.to_owned(),
        what,
        why: why.to_owned(),
    }
}

fn read(content: &Content, executable: bool, options: &Options) -> io::Result<Looked> {
    let mut reader = content.open()?;
    let mut bytes = Vec::new();
    reader.by_ref().take(START as u64).read_to_end(&mut bytes)?;
    if executable && let Some(line) = bytes.strip_prefix(b"#!") {
        let end = line.iter().position(|byte| *byte == b'\n');
        let line = line.get(..end.unwrap_or(line.len())).unwrap_or_default();
        return Ok(Looked::Script(line.trim_ascii().to_vec()));
    }
    if !Elf::has_magic(&bytes) {
        return Ok(Looked::Data);
    }
    reader.read_to_end(&mut bytes)?;
    let other = || {
        let what = format!("is not for {}", options.machine.triplet());
        Looked::Broken(Severity::Note, what, "it is of no use here")
    };
    let broken = |error: ElfError| match error {
        ElfError::OtherClass => other(),
        error => Looked::Broken(Severity::Warning, error.to_string(), "nothing can load it"),
    };
    let elf = match Elf::parse(&bytes) {
        Ok(elf) if elf.kind != ElfKind::Loadable => return Ok(Looked::Data),
        Ok(elf) if elf.machine != options.machine.elf() => return Ok(other()),
        Ok(elf) => elf,
        Err(error) => return Ok(broken(error)),
    };
    let (interpreter, dynamic) = match (elf.interpreter(), elf.dynamic()) {
        (Ok(interpreter), Ok(dynamic)) => (interpreter, dynamic.unwrap_or_default()),
        (Err(error), _) | (_, Err(error)) => return Ok(broken(error)),
    };
    // The loader ignores DT_RPATH beside DT_RUNPATH.
    let search = dynamic.runpath.or(dynamic.rpath);
    Ok(Looked::Program(Box::new(Program {
        executable,
        interpreter: interpreter.map(|(text, _)| text.bytes.to_vec()),
        needed: dynamic.needed.iter().map(|name| name.to_vec()).collect(),
        soname: dynamic.soname.map(<[u8]>::to_vec),
        search: search.map_or_else(Vec::new, |text| {
            text.bytes
                .split(|byte| *byte == b':')
                .map(<[u8]>::to_vec)
                .collect()
        }),
        needs: dynamic
            .needs
            .iter()
            .filter(|version| !version.weak)
            .map(|version| (version.library.to_vec(), version.name.to_vec()))
            .collect(),
        defines: dynamic.defines.iter().map(|name| name.to_vec()).collect(),
        stack: elf.executable_stack(),
        kernel: elf.kernel(),
    })))
}

fn interpreter(
    program: &Program,
    options: &Options,
    files: &Files<'_>,
    tell: &mut impl FnMut(Severity, Rule, String, &'static str),
) {
    let Some(interpreter) = &program.interpreter else {
        return;
    };
    let path = LayerPath::parse(interpreter).ok();
    if path.is_some_and(|path| is_inside(&path, options) && files.resolve_file(&path).is_some()) {
        return;
    }
    let (severity, why) = match program.executable {
        true => (
            Severity::Error,
            "that is not in these layers, and bases have none or an older one",
        ),
        false => (
            Severity::Note,
            "it cannot be executed, so that only a loader which is named to start it can",
        ),
    };
    let what = format!("names the loader {}", printable(interpreter));
    tell(severity, Rule::Interpreter, what, why);
}

fn stack(program: &Program, tell: &mut impl FnMut(Severity, Rule, String, &'static str)) {
    match program.stack {
        Some(false) => {}
        Some(true) => tell(
            Severity::Error,
            Rule::Stack,
            "asks for an executable stack".to_owned(),
            "hardened kernels and glibc since 2.41 refuse to load it",
        ),
        None => tell(
            Severity::Warning,
            Rule::Stack,
            "does not say that its stack is not executable".to_owned(),
            "loaders take that for a wish",
        ),
    }
}

/// The directories that the loader searches for a program's libraries, in order.
fn search(
    path: &LayerPath,
    program: &Program,
    options: &Options,
    tell: &mut impl FnMut(Severity, Rule, String, &'static str),
) -> Vec<LayerPath> {
    let mut directories = Vec::new();
    let origin = path.parent().unwrap_or_default();
    for directory in &program.search {
        let resolved = expand(directory, &origin);
        match resolved {
            Some(resolved) if is_inside(&resolved, options) => directories.push(resolved),
            _ => tell(
                Severity::Error,
                Rule::SearchPath,
                format!("searches {:?} for libraries", printable(directory)),
                "libraries of the base would be mixed in",
            ),
        }
    }
    let default = LayerPath::parse(b"lib").and_then(|lib| options.prefix.path().join(&lib));
    directories.extend(default);
    directories
}

/// The directory of an entry of a search path: absolute, or relative to the file's.
fn expand(directory: &[u8], origin: &LayerPath) -> Option<LayerPath> {
    let below = directory
        .strip_prefix(b"$ORIGIN")
        .or_else(|| directory.strip_prefix(b"${ORIGIN}"));
    let mut names: Vec<&[u8]> = match below {
        Some(_) => origin.names().collect(),
        None if directory.starts_with(b"/") => Vec::new(),
        // What is relative is relative to the working directory.
        None => return None,
    };
    for name in below.unwrap_or(directory).split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => {
                names.pop();
            }
            name => names.push(name),
        }
    }
    LayerPath::parse(&names.join(&b'/')).ok()
}

fn shebang(
    line: &[u8],
    options: &Options,
    files: &Files<'_>,
    tell: &mut impl FnMut(Severity, Rule, String, &'static str),
) {
    let end = line.iter().position(|byte| matches!(byte, b' ' | b'\t'));
    let program = line.get(..end.unwrap_or(line.len())).unwrap_or_default();
    let Ok(path) = LayerPath::parse(program) else {
        return;
    };
    if !is_inside(&path, options) {
        tell(
            Severity::Warning,
            Rule::Shebang,
            format!("is a script for {}", printable(line)),
            "it works only where the base has that",
        );
    } else if files.resolve(&path).is_none() {
        tell(
            Severity::Error,
            Rule::Shebang,
            format!("is a script for {}", printable(line)),
            "that is in no layer",
        );
    }
}

/// The numbers of a version such as `GLIBC_2.34`.
fn glibc(name: &[u8]) -> Option<Vec<u32>> {
    let numbers = std::str::from_utf8(name).ok()?.strip_prefix("GLIBC_")?;
    numbers.split('.').map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::report::{Audit, audit};
    use super::*;
    use crate::place::Machine;
    use crate::relocate::testing::ElfBuilder;
    use ohoci_layer::{Entry, Rules, Tree};

    const LOADER: &str = "/openhands/lib/ld-linux-oh";

    fn run(files: &[(&str, Vec<u8>)]) -> Audit {
        run_with(files, 0o755)
    }

    fn run_with(files: &[(&str, Vec<u8>)], mode: u32) -> Audit {
        let mut tree = Tree::new();
        let libc = ElfBuilder::amd64()
            .soname("libc.so.6")
            .defines(&["libc.so.6", "GLIBC_2.2.5", "GLIBC_2.34"])
            .kernel([3, 2, 0])
            .build();
        let own = [
            ("openhands/lib/libc.so.6", libc),
            ("openhands/lib/ld-linux-oh", ElfBuilder::amd64().build()),
        ];
        for (at, bytes) in own.iter().chain(files) {
            let path = LayerPath::parse(at.as_bytes()).unwrap();
            let content = Content::Memory(bytes.clone().into());
            tree.insert(path, Entry::new(Kind::File(content), mode), Rules::Strict)
                .unwrap();
        }
        let layer = Layer {
            name: "core",
            tree: &tree,
        };
        let options = Options {
            machine: Machine::Amd64,
            prefix: Default::default(),
        };
        audit(&[layer], &options).unwrap()
    }

    fn program() -> ElfBuilder {
        ElfBuilder::amd64()
            .interpreter(LOADER)
            .needed(&["libc.so.6"])
    }

    fn of(at: &str, builder: &ElfBuilder) -> Vec<(Severity, Rule)> {
        let audit = run(&[(at, builder.build())]);
        let pairs = audit.findings.iter();
        pairs
            .map(|finding| (finding.severity, finding.rule))
            .collect()
    }

    #[test]
    fn a_program_that_finds_everything_passes_and_counts() {
        let builder = program().needs("libc.so.6", &["GLIBC_2.2.5", "GLIBC_2.34"]);
        let audit = run(&[("openhands/tools/bin/x", builder.build())]);
        assert!(audit.passed() && audit.findings.is_empty(), "{audit:?}");
        let layer = &audit.layers[0];
        assert_eq!(layer.elf_files, 3);
        assert_eq!(layer.glibc.as_deref(), Some("2.34"));
        assert_eq!(layer.kernel.as_deref(), Some("3.2.0"));
    }

    #[test]
    fn each_gate_closes() {
        let bin = "openhands/tools/bin/x";
        for (builder, severity, rule) in [
            (
                ElfBuilder::amd64().interpreter("/lib64/ld-linux-x86-64.so.2"),
                Severity::Error,
                Rule::Interpreter,
            ),
            (
                program().needed(&["libz.so.1"]),
                Severity::Error,
                Rule::Library,
            ),
            (
                program().needs("libc.so.6", &["GLIBC_2.99"]),
                Severity::Error,
                Rule::Version,
            ),
            (
                program().runpath("/usr/lib"),
                Severity::Error,
                Rule::SearchPath,
            ),
            (
                program().runpath("$ORIGIN/../../.."),
                Severity::Error,
                Rule::SearchPath,
            ),
            (program().runpath("lib"), Severity::Error, Rule::SearchPath),
            (program().stack(true), Severity::Error, Rule::Stack),
            (program().no_stack_header(), Severity::Warning, Rule::Stack),
            (ElfBuilder::arm64(), Severity::Note, Rule::Elf),
        ] {
            assert_eq!(of(bin, &builder), [(severity, rule)], "{builder:?}");
        }
    }

    #[test]
    fn what_cannot_be_executed_may_name_any_loader() {
        let foreign = ElfBuilder::amd64().interpreter("/lib64/ld-linux-x86-64.so.2");
        let audit = run_with(&[("openhands/x", foreign.build())], 0o644);
        let found = audit.findings.iter();
        let found: Vec<_> = found.map(|one| (one.severity, one.rule)).collect();
        assert_eq!(found, [(Severity::Note, Rule::Interpreter)]);
        assert!(audit.passed());
    }

    #[test]
    fn search_paths_are_followed_as_the_loader_does() {
        let library = ElfBuilder::amd64().soname("libx.so.1").build();
        let with = |path: &str| {
            let wheel = ElfBuilder::amd64().needed(&["libx.so.1"]);
            let wheel = if path.is_empty() {
                wheel
            } else {
                wheel.rpath(path)
            };
            let audit = run(&[
                ("openhands/w/x.libs/libx.so.1", library.clone()),
                ("openhands/w/x/ext.so", wheel.build()),
            ]);
            let rules = audit.findings.iter();
            rules
                .map(|finding| (finding.severity, finding.rule))
                .collect::<Vec<_>>()
        };
        assert_eq!(with("$ORIGIN/../x.libs"), []);
        assert_eq!(with("${ORIGIN}/../x.libs/"), []);
        assert_eq!(with("/openhands/w/x.libs"), []);
        assert_eq!(with(""), [(Severity::Warning, Rule::Library)]);
        assert_eq!(with("$ORIGIN"), [(Severity::Warning, Rule::Library)]);
    }

    #[test]
    fn scripts_need_an_interpreter_that_is_there() {
        for (line, expected) in [
            ("#!/openhands/lib/ld-linux-oh\n", vec![]),
            (
                "#!/usr/bin/perl -w\n",
                vec![(Severity::Warning, Rule::Shebang)],
            ),
            (
                "#!/openhands/bin/none\n",
                vec![(Severity::Error, Rule::Shebang)],
            ),
        ] {
            let audit = run(&[("openhands/tools/bin/x", line.as_bytes().to_vec())]);
            let found = audit.findings.iter();
            let found: Vec<_> = found.map(|one| (one.severity, one.rule)).collect();
            assert_eq!(found, expected, "{line}");
        }
    }
}
