//! What conda packages are on a Python package index, and which are not there.

use std::collections::BTreeSet;

/// What becomes of a conda package where there is no conda.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Python itself, of this version where one is named.
    Python(Option<String>),
    /// A requirement that pip can install.
    Requirement(String),
    /// A library that Python's own files or the wheels of others bring.
    LeftOut,
    /// Nothing on an index brings it.
    Unavailable,
}

/// Packages with another name on the index.
const RENAMED: [(&str, &str); 24] = [
    ("antlr-python-runtime", "antlr4-python3-runtime"),
    ("bleach-with-css", "bleach"),
    ("brotli-python", "brotli"),
    ("cached_property", "cached-property"),
    ("dask-core", "dask"),
    ("importlib_metadata", "importlib-metadata"),
    ("importlib_resources", "importlib-resources"),
    ("iris", "scitools-iris"),
    ("jupyter_client", "jupyter-client"),
    ("matplotlib-base", "matplotlib"),
    ("msgpack-python", "msgpack"),
    ("mypy_extensions", "mypy-extensions"),
    ("nbconvert-core", "nbconvert"),
    ("netcdf4", "netCDF4"),
    ("pure_eval", "pure-eval"),
    ("pyqt", "PyQt5"),
    ("pyqt5-sip", "PyQt5-sip"),
    ("pytables", "tables"),
    ("python-eccodes", "eccodes"),
    ("python-fastjsonschema", "fastjsonschema"),
    ("python-tzdata", "tzdata"),
    ("python-xxhash", "xxhash"),
    ("seaborn-base", "seaborn"),
    ("stack_data", "stack-data"),
];

/// Packages that no index has, and programs that tests start.
const UNAVAILABLE: &str = "cdat_info cdms2 cdtime esmpy libcdms libcf graphviz pandoc imagemagick \
    ffmpeg texlive-core r-base nodejs";

/// Libraries and their data by the beginning of their names.
const LIBRARY_FAMILIES: [&str; 17] = [
    "_",
    "lib",
    "xorg-",
    "xcb-",
    "font-ttf-",
    "fonts-conda-",
    "aws-c-",
    "aws-",
    "azure-",
    "gtk",
    "gst",
    "glib",
    "mysql",
    "qt-",
    "gettext",
    "atk-",
    "at-spi2-",
];

/// Python packages whose names begin like a library's.
const NO_LIBRARIES: [&str; 4] = ["libcst", "librosa", "qt-py", "libsass"];

/// Other libraries and their data. `numpy-base` and the like are halves of packages that are named
/// besides.
const LIBRARIES: &str = "adwaita-icon-theme alsa-lib aom attr blas blas-devel blosc brotli brotli-bin \
    bzip2 c-ares ca-certificates cairo curl cyrus-sasl dav1d dbus eccodes elfutils epoxy esmf expat \
    fontconfig freeglut freetype freexl fribidi g2clib gdk-pixbuf geos geotiff gflags giflib glog \
    gnutls graphite2 gts harfbuzz hdf4 hdf5 hicolor-icon-theme icu jasper jpeg json-c keyutils krb5 \
    lame lcms2 ld_impl_linux-64 ld_impl_linux-aarch64 lerc lz4-c lzo mesalib minizip mkl mpg123 \
    nbconvert-pandoc nceplibs-g2c ncurses netcdf-fortran nettle nomkl nspr nss numpy-base openblas \
    openjpeg openldap openssl orc p11-kit pango pcre pcre2 pixman proj pthread-stubs pulseaudio-client \
    pyarrow-core pybind11-global python_abi qhull qt rav1e re2 readline s2n sip snappy sqlite svt-av1 \
    tk tzdata udunits2 uriparser wayland wxwidgets x265 xerces-c xkeyboard-config xxhash xz yaml \
    zeromq zlib zstd";

/// What becomes of one line of a conda environment: `name=version=build` as conda freezes it, or
/// `name`, `name>=1,<2` as a person writes it.
#[must_use]
pub(crate) fn fate(line: &str) -> Fate {
    // A channel may be named in front.
    let line = line.rsplit("::").next().unwrap_or(line).trim();
    let end = line
        .find([' ', '=', '<', '>', '!', '~', '['])
        .unwrap_or(line.len());
    let (name, wanted) = line.split_at(end);
    let name = name.to_lowercase();
    let wanted = wanted.trim();
    if name == "python" {
        let version = wanted.trim_start_matches(['=', '>', '<', '~', ' ']);
        let version = version
            .split(['=', ',', '<', '*'])
            .next()
            .unwrap_or_default();
        let version = version.trim_end_matches('.');
        return Fate::Python((!version.is_empty()).then(|| version.to_owned()));
    }
    if UNAVAILABLE.split_whitespace().any(|known| known == name) {
        return Fate::Unavailable;
    }
    let is_family = LIBRARY_FAMILIES.iter().any(|start| name.starts_with(start));
    if (is_family && !NO_LIBRARIES.contains(&name.as_str()))
        || LIBRARIES.split_whitespace().any(|known| known == name)
    {
        return Fate::LeftOut;
    }
    let name = RENAMED
        .iter()
        .find(|(conda, _)| *conda == name)
        .map_or(name.as_str(), |(_, index)| index);
    Fate::Requirement(format!("{name}{}", specifier(wanted)))
}

/// conda's words for versions in those of pip: `=1.2=build` names one, `=1.2` a series.
fn specifier(wanted: &str) -> String {
    let Some(version) = wanted.strip_prefix('=') else {
        return wanted.replace(' ', "");
    };
    if version.starts_with('=') {
        return wanted.to_owned();
    }
    match version.split_once('=') {
        Some((version, _build)) => format!("=={version}"),
        None if version.ends_with('*') => format!("=={version}"),
        None => format!("=={version}.*"),
    }
}

/// A conda environment, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CondaEnvironment {
    /// Python's version, where it is named.
    pub python: Option<String>,
    /// What pip is to install: conda's packages by their names there, then pip's own.
    pub requirements: Vec<String>,
    /// What is left out because something else brings it.
    pub left_out: Vec<String>,
    /// What nothing brings.
    pub unavailable: Vec<String>,
    /// Whether conda froze it: then it names everything that it needs.
    pub is_frozen: bool,
    /// What conda is to install, as it is written.
    pub packages: Vec<String>,
    /// What pip is to install once conda has.
    pub pip: Vec<String>,
}

/// Reads an `environment.yml`, of which it understands what upstream's and the repositories' own
/// use: a list `dependencies` of strings, with a list `pip` in it.
#[must_use]
pub(crate) fn environment(text: &str) -> CondaEnvironment {
    let mut found = CondaEnvironment::default();
    let (mut in_dependencies, mut pip_indent) = (false, None);
    let (mut of_conda, mut of_pip) = (Vec::new(), Vec::new());
    let mut frozen = 0;
    for line in text.lines() {
        let line = line.split(" #").next().unwrap_or(line).trim_end();
        let content = line.trim_start();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        let indent = line.len() - content.len();
        let Some(item) = content.strip_prefix('-') else {
            in_dependencies = content == "dependencies:";
            pip_indent = None;
            continue;
        };
        if !in_dependencies {
            continue;
        }
        if pip_indent.is_some_and(|pip| indent <= pip) {
            pip_indent = None;
        }
        let item = item.trim().trim_matches(['"', '\'']);
        if item == "pip:" {
            pip_indent = Some(indent);
        } else if pip_indent.is_some() {
            of_pip.push(item.to_owned());
        } else {
            frozen += usize::from(item.matches('=').count() == 2 && !item.contains("=="));
            of_conda.push(item.to_owned());
        }
    }
    found.is_frozen = frozen > 0 && frozen == of_conda.len();
    found.packages.clone_from(&of_conda);
    found.pip.clone_from(&of_pip);
    let pip_names: BTreeSet<String> = of_pip.iter().map(|line| package(line)).collect();
    let mut named = BTreeSet::new();
    for line in of_conda {
        match fate(&line) {
            Fate::Python(version) => found.python = version,
            // What pip installs comes later and replaces it.
            Fate::Requirement(requirement) => {
                let name = package(&requirement);
                if !pip_names.contains(&name) && named.insert(name) {
                    found.requirements.push(requirement);
                }
            }
            Fate::LeftOut => found.left_out.push(line),
            Fate::Unavailable => found.unavailable.push(line),
        }
    }
    found.requirements.extend(of_pip);
    found
}

/// The name that a requirement is about, spelled as indexes compare it (PEP 503).
fn package(requirement: &str) -> String {
    let end = requirement
        .find([' ', '=', '<', '>', '!', '~', '[', ';', '@'])
        .unwrap_or(requirement.len());
    let name = requirement.get(..end).unwrap_or_default().to_lowercase();
    name.replace(['_', '.'], "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_what_pip_understands() {
        for (line, expected) in [
            ("pytest=7.4.4=py39h06a4308_0", "pytest==7.4.4"),
            ("matplotlib-base=3.9.2=py311h2b939e6_2", "matplotlib==3.9.2"),
            ("numpy", "numpy"),
            ("pandas >=1.3, <2", "pandas>=1.3,<2"),
            ("conda-forge::dask=2024.1", "dask==2024.1.*"),
            ("scipy==1.5.2", "scipy==1.5.2"),
        ] {
            assert_eq!(fate(line), Fate::Requirement(expected.to_owned()), "{line}");
        }
        for line in [
            "_libgcc_mutex=0.1=main",
            "libffi=3.4.4=h6a678d5_1",
            "zlib=1.2.13=h5eee18b_1",
        ] {
            assert_eq!(fate(line), Fate::LeftOut, "{line}");
        }
        assert_eq!(fate("graphviz=12.0.0=hba01fac_0"), Fate::Unavailable);
        let python = |version: &str| Fate::Python(Some(version.to_owned()));
        assert_eq!(fate("python=3.9.20=he870216_1"), python("3.9.20"));
        assert_eq!(fate("python>=3.11"), python("3.11"));
        assert_eq!(fate("python"), Fate::Python(None));
    }

    #[test]
    fn a_frozen_environment_is_told_from_one_that_a_person_wrote() {
        let frozen = environment(include_str!(
            "../../../fixtures/swebench/pallets__flask-5014/environment.yml"
        ));
        assert!(frozen.is_frozen);
        assert_eq!(frozen.python.as_deref(), Some("3.11.10"));
        assert!(frozen.requirements.contains(&"pytest==7.3.0".to_owned()));
        assert!(frozen.requirements.contains(&"pip==24.2".to_owned()));
        assert_eq!(frozen.unavailable, [""; 0]);
        assert!(
            frozen
                .packages
                .contains(&"python=3.11.10=he870216_0".to_owned())
        );
        assert_eq!(frozen.packages.len() + frozen.pip.len(), 83);
        let own = environment(
            "name: x\ndependencies:\n  # comment\n  - python=3.10\n  - numpy>=1.2  # why\n  - six\n  \
             - pip\n  - pip:\n    - six==1.16\n  - graphviz\nvariables:\n  - no\n",
        );
        assert!(!own.is_frozen);
        assert_eq!(own.python.as_deref(), Some("3.10"));
        assert_eq!(own.requirements, ["numpy>=1.2", "pip", "six==1.16"]);
        assert_eq!(own.unavailable, ["graphviz"]);
        assert_eq!(
            own.packages,
            ["python=3.10", "numpy>=1.2", "six", "pip", "graphviz"]
        );
        assert_eq!(own.pip, ["six==1.16"]);
    }
}
