//! What stands where upstream's scripts look for conda: just enough for them to run verbatim. As with conda, what
//! packages want to have sourced with the environment (`etc/conda/activate.d`) is.

use std::io;
use std::path::Path;

use ohoci_layer::Directory;

/// Where environments lie.
pub(crate) const ENVIRONMENTS: &str = "opt/miniconda3/envs";

/// `conda activate` and `conda deactivate`, which are functions of the shell; all else is refused.
const FUNCTIONS: &str = r#"# Stands in for conda: environments are activated as conda does, and never changed.
conda() {
    case "${1:-}" in
        activate)
            local name="${2:-base}" prefix
            case "$name" in
                base) prefix=/opt/miniconda3 ;;
                /*) prefix="$name" ;;
                *) prefix="/opt/miniconda3/envs/$name" ;;
            esac
            if [ ! -d "$prefix/bin" ]; then
                echo "conda: there is no environment $name" >&2
                return 1
            fi
            conda deactivate
            export CONDA_PREFIX="$prefix" CONDA_DEFAULT_ENV="$name" CONDA_SHLVL=1
            export PATH="$prefix/bin:$PATH"
            local script
            for script in "$prefix"/etc/conda/activate.d/*.sh; do
                if [ -f "$script" ]; then . "$script"; fi
            done
            hash -r 2>/dev/null || true
            ;;
        deactivate)
            if [ -n "${CONDA_PREFIX:-}" ]; then
                local script
                for script in "$CONDA_PREFIX"/etc/conda/deactivate.d/*.sh; do
                    if [ -f "$script" ]; then . "$script"; fi
                done
                PATH=":$PATH:"
                PATH="${PATH//:$CONDA_PREFIX\/bin:/:}"
                PATH="${PATH#:}"
                export PATH="${PATH%:}"
                unset CONDA_PREFIX CONDA_DEFAULT_ENV
                export CONDA_SHLVL=0
            fi
            ;;
        *)
            command conda "$@"
            ;;
    esac
}
"#;

/// What is sourced.
const ACTIVATE: &str = r#". /opt/miniconda3/etc/profile.d/conda.sh
conda activate "${1:-base}"
"#;

/// The program.
const PROGRAM: &str = r#"#!/bin/sh
# Stands in for conda: it runs programs in environments, and changes none.
set -eu
case "${1:-}" in
    run)
        shift
        name=testbed
        while [ $# -gt 0 ]; do
            case "$1" in
                -n|--name) name="$2"; shift 2 ;;
                --no-capture-output|--live-stream) shift ;;
                *) break ;;
            esac
        done
        PATH="/opt/miniconda3/envs/$name/bin:$PATH" exec "$@"
        ;;
    --version|-V) echo "conda 0 (a stand-in)" ;;
    *)
        echo "conda: this stand-in knows activate, deactivate and run, not ${1:-nothing}" >&2
        exit 1
        ;;
esac
"#;

/// As upstream's environment images have it.
const BASHRC: &str = "source /opt/miniconda3/etc/profile.d/conda.sh && conda activate testbed\n";

/// The files, below the root, and who may do what with them.
const FILES: [(&str, &str, u32); 4] = [
    ("opt/miniconda3/bin/activate", ACTIVATE, 0o644),
    ("opt/miniconda3/bin/conda", PROGRAM, 0o755),
    ("opt/miniconda3/etc/profile.d/conda.sh", FUNCTIONS, 0o644),
    ("root/.bashrc", BASHRC, 0o644),
];

/// All of their text, for keys of what holds them.
#[must_use]
pub(crate) fn fingerprint() -> String {
    FILES.map(|(_, text, _)| text).concat()
}

/// Writes the files below a directory that stands for the root.
///
/// # Errors
/// When they cannot be written.
pub(crate) fn write(root: &Directory) -> io::Result<()> {
    root.make_directory(ENVIRONMENTS)?;
    for (path, text, mode) in FILES {
        if let Some(parent) = Path::new(path).parent() {
            root.make_directory(parent)?;
        }
        root.write(path, text.as_bytes(), mode)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Upstream's own lines, with the directories moved, in the strictest shell that it uses.
    #[test]
    fn upstreams_lines_activate_the_environment() {
        let root = tempfile::tempdir().unwrap();
        let at = root.path().display().to_string();
        let bin = root.path().join("opt/miniconda3/envs/testbed/bin");
        fs_err::create_dir_all(&bin).unwrap();
        fs_err::create_dir_all(root.path().join("opt/miniconda3/bin")).unwrap();
        let moved = |text: &str| text.replace("/opt/miniconda3", &format!("{at}/opt/miniconda3"));
        for (kind, script) in [
            ("activate", "export SET_BY_PACKAGE=yes"),
            ("deactivate", "unset SET_BY_PACKAGE"),
        ] {
            let directory = bin.with_file_name("etc/conda").join(format!("{kind}.d"));
            fs_err::create_dir_all(&directory).unwrap();
            fs_err::write(directory.join("package.sh"), script).unwrap();
        }
        for (path, text) in [
            ("opt/miniconda3/bin/activate", ACTIVATE),
            ("opt/miniconda3/etc/profile.d/conda.sh", FUNCTIONS),
        ] {
            let path = root.path().join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, moved(text)).unwrap();
        }
        let script = moved(
            "set -euo pipefail; source /opt/miniconda3/bin/activate; conda activate testbed; \
             source /opt/miniconda3/bin/activate; conda activate testbed; \
             echo $CONDA_DEFAULT_ENV $SET_BY_PACKAGE $PATH; conda activate other || echo refused; \
             conda deactivate; echo ${CONDA_PREFIX:-none} ${SET_BY_PACKAGE:-no} $PATH",
        );
        let output = std::process::Command::new("bash")
            .args(["-c", &script])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let path = bin.display();
        assert_eq!(
            said,
            format!("testbed yes {path}:/usr/bin:/bin\nrefused\nnone no /usr/bin:/bin\n"),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
