//! Where the files of a distribution go in a virtual environment (binary distribution format,
//! "Installing a wheel").

use std::collections::BTreeMap;

use super::distribution::{self, Distribution, DistributionFile};
use super::entry_points::is_program_name;
use super::layout::Layout;
use super::left_out::LeftOut;
use super::{PythonError, record};
use ohoci_layer::LayerPath;
use ohoci_layer::path::PathError;

/// A distribution's files by where they go, relative to the environment.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) files: BTreeMap<LayerPath, DistributionFile>,
    /// How many files of bytecode were left out.
    pub(super) bytecode: usize,
}

/// Places the files of a distribution, with programs and a RECORD of what is placed.
///
/// Bytecode that Python would make again is left out: it depends on when and where it was made. So are
/// the files of `left_out`.
pub(super) fn place(
    distribution: &Distribution,
    layout: &Layout,
    requested: bool,
    left_out: &LeftOut,
) -> Result<Placed, PythonError> {
    let mut files = BTreeMap::new();
    let mut bytecode = 0;
    for (path, file) in &distribution.files {
        if is_bytecode(path, distribution) {
            bytecode += 1;
            continue;
        }
        let fail = |why: &str| PythonError::member(&distribution.file, path.as_bytes(), why);
        let target = target(path, distribution, layout)?;
        let (target, file) = match target {
            Target::Plain(target) if left_out.has(path, &target, distribution, layout) => continue,
            Target::Plain(target) => (target, file.clone()),
            Target::Script(target) => {
                let generated = target.parent() == Some(layout.programs())
                    && is_stub_of_program(target.name(), distribution);
                if generated {
                    continue;
                }
                (target, script(file, layout).map_err(|why| fail(&why))?)
            }
        };
        if files.insert(target.clone(), file).is_some() {
            return Err(fail(&format!("another file goes to {target} as well")));
        }
    }
    for (name, program) in &distribution.programs {
        let fail = |why: &str| PythonError::member(&distribution.file, name.as_bytes(), why);
        let target = LayerPath::parse(name.as_bytes())
            .and_then(|name| layout.programs().join(&name))
            .map_err(|error| fail(&error.to_string()))?;
        let script = distribution::made(program.script(layout.shebang()).into_bytes(), true);
        if files.insert(target.clone(), script).is_some() {
            return Err(fail(&format!("another file goes to {target} as well")));
        }
    }
    let mut add = |name: &str, content: Vec<u8>| -> Result<(), PathError> {
        let path = format!("{}/{name}", distribution.dist_info);
        let path = LayerPath::parse(path.as_bytes())?;
        let path = layout.site_packages().join(&path)?;
        files.insert(path, distribution::made(content, false));
        Ok(())
    };
    let fail = |error: PathError| PythonError::new(&distribution.file, error.to_string());
    add("INSTALLER", b"ohoci\n".to_vec()).map_err(fail)?;
    if requested {
        add("REQUESTED", Vec::new()).map_err(fail)?;
    }
    let record = record(&files, distribution, layout);
    let path = format!("{}/RECORD", distribution.dist_info);
    let path = LayerPath::parse(path.as_bytes()).map_err(fail)?;
    let path = layout.site_packages().join(&path).map_err(fail)?;
    files.insert(path, distribution::made(record.into_bytes(), false));
    Ok(Placed { files, bytecode })
}

enum Target {
    Plain(LayerPath),
    Script(LayerPath),
}

/// Where a file goes: most to the packages, those below `….data` by the scheme that they name.
fn target(
    path: &LayerPath,
    distribution: &Distribution,
    layout: &Layout,
) -> Result<Target, PythonError> {
    let fail = |why: &str| PythonError::member(&distribution.file, path.as_bytes(), why);
    let join = |directory: LayerPath, below: &LayerPath| {
        directory
            .join(below)
            .map_err(|error| fail(&error.to_string()))
    };
    let mut names = path.names();
    if !names.next().is_some_and(|top| top.ends_with(b".data")) {
        return Ok(Target::Plain(join(layout.site_packages(), path)?));
    }
    let scheme = names.next().unwrap_or_default();
    let below: Vec<&[u8]> = names.collect();
    if below.is_empty() {
        return Err(fail("it belongs to no scheme of installation"));
    }
    let below = LayerPath::parse(&below.join(&b'/')).map_err(|error| fail(&error.to_string()))?;
    Ok(match scheme {
        b"purelib" | b"platlib" => Target::Plain(join(layout.site_packages(), &below)?),
        b"scripts" => Target::Script(join(layout.programs(), &below)?),
        b"headers" => Target::Plain(join(layout.headers(&distribution.name), &below)?),
        b"data" => Target::Plain(below),
        _ => return Err(fail("it belongs to an unknown scheme of installation")),
    })
}

/// Whether Python would write a file again: what is in `__pycache__`, or has its source beside it.
/// Bytecode without source is the module itself.
fn is_bytecode(path: &LayerPath, distribution: &Distribution) -> bool {
    let bytes = path.as_bytes();
    let Some(stem) = bytes
        .strip_suffix(b".pyc")
        .or_else(|| bytes.strip_suffix(b".pyo"))
    else {
        return false;
    };
    let in_cache = path
        .parent()
        .is_some_and(|parent| parent.name() == b"__pycache__");
    in_cache
        || distribution
            .files
            .contains_key([stem, b".py"].concat().as_slice())
}

/// Old tools put the programs of entry points into wheels, with the paths of the machine that
/// they ran on; pip leaves these out as well.
fn is_stub_of_program(name: &[u8], distribution: &Distribution) -> bool {
    let name = String::from_utf8_lossy(name);
    let stem = [".exe", "-script.py", "-script.pyw", ".pya"]
        .iter()
        .find_map(|suffix| name.strip_suffix(suffix))
        .unwrap_or(&name);
    is_program_name(stem) && distribution.programs.contains_key(stem)
}

/// A script is executable, and finds its interpreter where it will be: `#!python` and
/// `#!pythonw` stand for that.
fn script(file: &DistributionFile, layout: &Layout) -> Result<DistributionFile, String> {
    let mut start = Vec::new();
    let read = |error: std::io::Error| error.to_string();
    std::io::Read::read_to_end(
        &mut std::io::Read::take(file.content.open().map_err(read)?, 8),
        &mut start,
    )
    .map_err(read)?;
    if start != b"#!python" {
        return Ok(DistributionFile {
            executable: true,
            ..file.clone()
        });
    }
    let content = distribution::read_small(&file.content).map_err(read)?;
    let end = content
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or(content.len());
    let rest = content.get(end..).unwrap_or_default();
    let content = [b"#!", layout.shebang().as_bytes(), rest].concat();
    Ok(distribution::made(content, true))
}

/// The RECORD of what is placed: paths relative to the packages, in order.
fn record(
    files: &BTreeMap<LayerPath, DistributionFile>,
    distribution: &Distribution,
    layout: &Layout,
) -> String {
    let site = layout.site_packages();
    let upwards = "../".repeat(site.names().count());
    let relative = |path: &LayerPath| {
        let text = String::from_utf8_lossy(path.as_bytes());
        if path.is_within(&site) {
            let site = String::from_utf8_lossy(site.as_bytes());
            let below = text.strip_prefix(site.as_ref()).unwrap_or(&text);
            return below.trim_start_matches('/').to_owned();
        }
        format!("{upwards}{text}")
    };
    let mut lines: BTreeMap<String, Option<&DistributionFile>> = files
        .iter()
        .map(|(path, file)| (relative(path), Some(file)))
        .collect();
    lines.insert(format!("{}/RECORD", distribution.dist_info), None);
    let mut text = String::new();
    for (path, file) in lines {
        let hash = file.map(|file| file.sha256.as_slice());
        let size = file.map(|file| file.content.size());
        record::push_line(&mut text, &path, hash, size);
    }
    text
}
