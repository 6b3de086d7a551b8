//! How a program is found and started: by `PATH`, through links, by interpreters and loaders.

use super::libraries;
use crate::files::head::Head;
use crate::files::machine_code::Libraries;
use crate::files::{Files, Lost, What, Who};

/// Most interpreters of interpreters that Linux starts.
const MOST_INTERPRETERS: usize = 4;
/// Most programs that start another which are looked through.
const MOST_STARTERS: usize = 8;
/// Programs that start the one that follows their options.
const STARTERS: [&str; 6] = [
    "tini",
    "tini-static",
    "dumb-init",
    "docker-init",
    "catatonit",
    "env",
];

/// Starts programs of an image, in thought.
#[derive(Clone, Copy, Debug)]
pub struct Programs<'a> {
    /// What the image shows.
    pub files: &'a Files,
    /// The value of `PATH`.
    pub path: &'a str,
    /// The working directory, from the root.
    pub directory: &'a str,
    /// The value of `LD_LIBRARY_PATH`.
    pub library_path: &'a str,
    /// Who starts them.
    pub who: &'a Who,
    /// The architecture of the platform, as OCI calls it.
    pub architecture: &'a str,
}

impl Programs<'_> {
    /// What is started by a command line, one after the other, each as it is called and where it
    /// really stands.
    ///
    /// # Errors
    /// Why it does not start.
    pub fn start(&self, words: &[String]) -> Result<Vec<String>, String> {
        let mut chain = Vec::new();
        let mut words = words;
        for _ in 0..MOST_STARTERS {
            let Some((name, rest)) = words.split_first() else {
                break;
            };
            let path = self.find(name)?;
            chain.push(self.program(&path, 0)?);
            match started(&path, rest) {
                Some(next) => words = next,
                None => break,
            }
        }
        chain.reverse();
        Ok(chain)
    }

    /// Where a program is that is called by this name.
    ///
    /// # Errors
    /// Why there is none.
    pub fn find(&self, name: &str) -> Result<String, String> {
        if name.is_empty() {
            return Err("the program's name is empty".to_owned());
        }
        if name.starts_with('/') {
            return Ok(name.to_owned());
        }
        if name.contains('/') {
            return Ok(format!("{}/{name}", self.directory.trim_end_matches('/')));
        }
        let directories = self
            .path
            .split(':')
            .filter(|directory| !directory.is_empty());
        let mut failed = None;
        for directory in directories {
            let path = format!("{}/{name}", directory.trim_end_matches('/'));
            match self.file(&path) {
                Ok(_) => return Ok(path),
                Err(why) if !matches!(self.files.follow(&path), Err(Lost::Missing(_))) => {
                    failed.get_or_insert(why);
                }
                Err(_) => {}
            }
        }
        Err(match failed {
            Some(why) => format!("{name} does not start: {why}"),
            None => format!("{name} is in no directory of PATH ({})", self.path),
        })
    }

    /// A file that may be executed, by its real path.
    fn file(&self, path: &str) -> Result<String, String> {
        let real = self.files.follow(path).map_err(|lost| lost.to_string())?;
        let Some(file) = self.files.at(&real) else {
            return Err(format!("{path} is a directory"));
        };
        match file.what {
            What::Directory | What::Implied => return Err(format!("{path} is a directory")),
            What::Special => return Err(format!("{path} is a device or a pipe")),
            _ => {}
        }
        if let Some(closed) = self.files.closed(&real, self.who) {
            let uid = self.who.uid;
            return Err(format!(
                "user {uid} may not enter {closed}, where {path} is"
            ));
        }
        if !self.who.may(file, 1) {
            return Err(match file.mode & 0o111 {
                0 => format!("{path} is not executable (chmod +x)"),
                _ => format!("user {} may not execute {path}", self.who.uid),
            });
        }
        Ok(real)
    }

    /// What starts when a path is executed.
    ///
    /// # Errors
    /// Why it does not.
    pub fn program(&self, path: &str, depth: usize) -> Result<String, String> {
        let real = self.file(path)?;
        let shown = match real == path.trim_start_matches('/') {
            true => path.to_owned(),
            false => format!("{path} (/{real})"),
        };
        match self.files.at(&real).map(|file| &file.what) {
            Some(What::Program(Head::Elf {
                machine,
                loader,
                libraries,
            })) => {
                self.machine_code(path, (*machine, loader.as_str()), libraries)?;
                Ok(shown)
            }
            Some(What::Program(Head::Script {
                interpreter,
                argument,
                cut,
            })) => {
                let by = self.script(path, interpreter, argument, *cut, depth)?;
                Ok(format!("{shown}, by {by}"))
            }
            Some(What::Program(Head::Empty)) => Err(format!("{path} has no bytes")),
            _ => Err(format!(
                "{path} is neither machine code nor a script with a first line #!…: Linux says \
                 \"exec format error\""
            )),
        }
    }

    fn machine_code(
        &self,
        path: &str,
        (machine, loader): (u16, &str),
        libraries: &Libraries,
    ) -> Result<(), String> {
        if let Some(wanted) = machines(self.architecture)
            && !wanted.contains(&machine)
        {
            return Err(format!(
                "{path} is machine code for {}, and the image is for {}",
                name_of(machine),
                self.architecture
            ));
        }
        if loader.is_empty() {
            return Ok(());
        }
        let lost = match self.files.follow(loader) {
            Ok(_) => {
                let program = libraries::Program {
                    files: self.files,
                    who: self.who,
                    library_path: self.library_path,
                    path,
                    loader,
                    machine,
                };
                return program.find_all(libraries);
            }
            Err(lost) => lost,
        };
        let library = if loader.contains("musl") {
            "musl"
        } else {
            "glibc"
        };
        Err(format!(
            "{path} is made for {library}, whose loader is missing: {lost} (Linux says \"no such \
             file or directory\" of the program)"
        ))
    }

    fn script(
        &self,
        path: &str,
        interpreter: &str,
        argument: &str,
        cut: bool,
        depth: usize,
    ) -> Result<String, String> {
        if interpreter.is_empty() {
            return Err(format!(
                "the first line of {path} names no program after #!"
            ));
        }
        if cut && argument.is_empty() {
            return Err(format!(
                "the first line of {path} is longer than the 255 bytes that Linux reads of it"
            ));
        }
        if interpreter.ends_with('\r') || argument.ends_with('\r') {
            return Err(format!(
                "the first line of {path} ends in a carriage return, as Windows writes lines: \
                 there is no program of that name (dos2unix)"
            ));
        }
        if depth >= MOST_INTERPRETERS {
            return Err(format!(
                "{path} is started by too many scripts, one by another"
            ));
        }
        let at = self.find_file(interpreter);
        let by = self
            .program(&at, depth + 1)
            .map_err(|why| format!("{path} is started by {interpreter}, but {why}"))?;
        if !at.ends_with("/env") {
            return Ok(by);
        }
        let words: Vec<String> = argument.split_whitespace().map(str::to_owned).collect();
        // Without -S, all of the rest is one name.
        if words.len() > 1 && !argument.starts_with("-S") && !argument.starts_with("--split-string")
        {
            return Err(format!(
                "the first line of {path} gives env {argument:?} as one name: env -S splits it"
            ));
        }
        let words = started("env", &words).unwrap_or_default();
        let Some(name) = words.first() else {
            return Ok(by);
        };
        let found = self
            .find(name)
            .and_then(|found| self.program(&found, depth + 1));
        found.map_err(|why| format!("{path} is started by env {name}, but {why}"))
    }

    /// The kernel does not search `PATH`.
    fn find_file(&self, path: &str) -> String {
        match path.starts_with('/') {
            true => path.to_owned(),
            false => format!("{}/{path}", self.directory.trim_end_matches('/')),
        }
    }
}

/// The command line that a program starts which exists to start another.
fn started<'a>(path: &str, words: &'a [String]) -> Option<&'a [String]> {
    let name = path.rsplit('/').next().unwrap_or(path);
    if !STARTERS.contains(&name) {
        return None;
    }
    // `tini -p SIGTERM -e 143`, `env -u NAME -C DIR`: options with a value of their own.
    let valued: &[&str] = match name {
        "env" => &["-u", "-C", "--unset", "--chdir"],
        "dumb-init" => &["-r", "--rewrite"],
        _ => &["-p", "-e"],
    };
    let mut at = 0;
    while let Some(word) = words.get(at) {
        if word == "--" {
            at += 1;
            break;
        } else if valued.contains(&word.as_str()) {
            at += 2;
        } else if word.starts_with('-') || name == "env" && word.contains('=') {
            at += 1;
        } else {
            break;
        }
    }
    words.get(at..).filter(|rest| !rest.is_empty())
}

/// `e_machine` of programs that run on an architecture; `None` where it is not known.
fn machines(architecture: &str) -> Option<&'static [u16]> {
    Some(match architecture {
        "amd64" => &[62, 3],
        "386" => &[3],
        "arm64" => &[183, 40],
        "arm" => &[40],
        "riscv64" => &[243],
        "ppc64le" | "ppc64" => &[21],
        "s390x" => &[22],
        "loong64" => &[258],
        _ => return None,
    })
}

fn name_of(machine: u16) -> String {
    let known = [
        (3, "386"),
        (21, "ppc64le"),
        (22, "s390x"),
        (40, "arm"),
        (62, "amd64"),
        (183, "arm64"),
        (243, "riscv64"),
        (258, "loong64"),
    ];
    let found = known.into_iter().find(|(number, _)| *number == machine);
    found.map_or_else(
        || format!("another machine (e_machine {machine})"),
        |(_, name)| name.to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::tests::files;

    fn start(entries: &[(&str, &str)], words: &[&str]) -> Result<Vec<String>, String> {
        let found = files(entries);
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        Programs {
            files: &found,
            path: "/usr/local/bin:/usr/bin",
            directory: "/app",
            library_path: "/opt/lib",
            who: &Who::default(),
            architecture: "amd64",
        }
        .start(&words)
    }

    const BASE: [(&str, &str); 4] = [
        ("usr/bin/env", "elf:62:/lib64/ld-linux-x86-64.so.2"),
        ("usr/bin/python3.11", "elf:62:/lib64/ld-linux-x86-64.so.2"),
        ("usr/bin/python3", "->python3.11"),
        ("lib64/ld-linux-x86-64.so.2", "elf:62:"),
    ];

    fn with(more: &[(&'static str, &'static str)], words: &[&str]) -> Result<Vec<String>, String> {
        start(&[&BASE[..], more].concat(), words)
    }

    #[test]
    fn programs_are_found_as_the_kernel_and_runtimes_find_them() {
        let found = with(&[], &["python3", "-m", "x"]).unwrap();
        assert_eq!(found, ["/usr/bin/python3 (/usr/bin/python3.11)"]);
        let script = ("app/run", "#!/usr/bin/env python3\n");
        let found = with(&[script], &["./run"]).unwrap();
        assert_eq!(
            found,
            ["/app/./run (/app/run), by /usr/bin/python3 (/usr/bin/python3.11)"]
        );
        let tini = ("usr/bin/tini", "elf:62:");
        let words = ["tini", "-g", "--", "python3"];
        assert_eq!(with(&[tini], &words).unwrap().len(), 2);
        let split = ("app/run", "#!/usr/bin/env -S A=1 python3 -u\n");
        with(&[split], &["/app/run"]).unwrap();
    }

    #[test]
    fn libraries_are_found_where_the_loader_looks() {
        const GLIBC: &str = "/lib64/ld-linux-x86-64.so.2";
        let program = |rest: &str| -> &'static str {
            Box::leak(format!("elf:62:{GLIBC}:{rest}").into_boxed_str())
        };
        let c = (
            "lib/x86_64-linux-gnu/libc.so.6",
            "elf:62::ld-linux-x86-64.so.2",
        );
        for (more, is_found) in [
            (vec![("x", program("libc.so.6"))], true),
            (vec![("x", program("libz.so.1"))], false),
            // Only its own machine's count.
            (
                vec![("x", program("libz.so.1")), ("lib/libz.so.1", "elf:183:")],
                false,
            ),
            (
                vec![
                    ("x", program("libz.so.1")),
                    ("opt/lib/libz.so.1", "elf:62:"),
                ],
                true,
            ),
            // DT_RUNPATH is for what the file itself needs, DT_RPATH for all below it, too.
            (
                vec![
                    ("app/bin/x", program("liba.so:$ORIGIN/../own")),
                    ("app/own/liba.so", "elf:62::libb.so"),
                    ("app/own/libb.so", "elf:62:"),
                ],
                false,
            ),
            (
                vec![
                    ("app/bin/x", program("liba.so:;$ORIGIN/../own")),
                    ("app/own/liba.so", "elf:62::libb.so"),
                    ("app/own/libb.so", "elf:62:"),
                ],
                true,
            ),
            (
                vec![("x", program("/srv/liba.so")), ("srv/liba.so", "elf:62:")],
                true,
            ),
        ] {
            let files: Vec<(&str, &str)> = more.iter().copied().chain([c]).collect();
            let path = format!("/{}", files[0].0);
            let started = with(&files, &[&path]);
            assert_eq!(started.is_ok(), is_found, "{files:?}: {started:?}");
        }
        let missing = with(&[("x", program("liba.so,libc.so.6")), c], &["/x"]).unwrap_err();
        assert!(missing.contains("/x needs liba.so"), "{missing}");
    }

    #[test]
    fn musl_is_its_own_c_library_and_has_directories_of_its_own() {
        const MUSL: &str = "elf:62:/lib/ld-musl-x86_64.so.1:libc.musl-x86_64.so.1,liba.so";
        let loader = ("lib/ld-musl-x86_64.so.1", "elf:62:");
        let at = |path: &'static str| with(&[("x", MUSL), loader, (path, "elf:62:")], &["/x"]);
        at("usr/local/lib/liba.so").unwrap();
        at("lib64/liba.so").unwrap_err();
        let listed = [
            ("x", MUSL),
            loader,
            ("etc/ld-musl-x86_64.path", "/srv/lib\n"),
            ("srv/lib/liba.so", "elf:62:"),
        ];
        with(&listed, &["/x"]).unwrap();
        // In glibc's place, as gcompat has it.
        const GLIBC: &str = "elf:62:/lib/ld-linux-x86-64.so.2:libc.so.6,liba.so";
        let in_place = [
            ("x", GLIBC),
            (
                "lib/ld-linux-x86-64.so.2",
                "elf:62:/lib/ld-musl-x86_64.so.1",
            ),
            loader,
            ("usr/local/lib/liba.so", "elf:62:"),
        ];
        with(&in_place, &["/x"]).unwrap();
    }

    #[test]
    fn what_does_not_start_is_explained() {
        let long = format!("#!/{}\n", "a".repeat(300));
        let long: &'static str = Box::leak(long.into_boxed_str());
        for (more, words, why) in [
            (&[][..], &["/start.sh"][..], "/start.sh is not there"),
            (&[], &["node"], "node is in no directory of PATH"),
            (
                &[("x", "->/y")],
                &["/x"],
                "/x is a link to /y, and /y is not there",
            ),
            (&[("x", "/")], &["/x"], "/x is a directory"),
            (&[("x", "text")], &["/x"], "exec format error"),
            (&[("x", "elf:183:")], &["/x"], "machine code for arm64"),
            (
                &[("x", "elf:62:/lib/ld-musl-x86_64.so.1")],
                &["/x"],
                "made for musl, whose loader is missing",
            ),
            (
                &[("x", "#!/bin/bash\n")],
                &["/x"],
                "started by /bin/bash, but /bin is not there",
            ),
            (
                &[("x", "#!/usr/bin/python3\r\n")],
                &["/x"],
                "carriage return",
            ),
            (&[("x", "#!\n")], &["/x"], "names no program"),
            (&[("x", long)], &["/x"], "longer than the 255 bytes"),
            (&[("x", "#!/x\n")], &["/x"], "too many scripts"),
            (
                &[("x", "#!/usr/bin/env node\n")],
                &["/x"],
                "started by env node, but node is in no",
            ),
            (
                &[("x", "#!/usr/bin/env python3 -u\n")],
                &["/x"],
                "as one name: env -S",
            ),
            (
                &[("usr/bin/tini", "elf:62:")],
                &["tini", "--", "/gone"],
                "/gone is not there",
            ),
        ] {
            let said = with(more, words).unwrap_err();
            assert!(said.contains(why), "{words:?}: {said}");
        }
    }
}
