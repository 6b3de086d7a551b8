//! dpkg's database (dpkg(1), "FILES"): packages that are unpacked and not configured.

use std::fmt::Write as _;

use bytes::Bytes;

use super::error::RootFsError;
use super::tree::RootTree;
use super::triggers::Triggers;
use crate::deb822::{Comments, Stanzas};
use crate::debian::deb::Deb;
use crate::recipe::name::is_package_name;
use ohoci_layer::path::printable;
use ohoci_layer::{Content, Entry, Kind, LayerPath};

/// Where it is.
const DIRECTORY: &str = "var/lib/dpkg";
/// Where in it control archives are, as files that are named after their packages.
pub(super) const INFO: &str = "var/lib/dpkg/info";
/// What is run of a control archive; everything else there is read.
const SCRIPTS: [&str; 5] = ["preinst", "postinst", "prerm", "postrm", "config"];
/// Fields that say how a package stands on a machine, which is for us to say.
const OWN_FIELDS: [&str; 4] = ["Package", "Status", "Conffiles", "Config-Version"];
/// Directories that dpkg expects.
const DIRECTORIES: [&str; 5] = ["alternatives", "info", "parts", "triggers", "updates"];
/// Files that dpkg expects, which have nothing in them yet.
const EMPTY: [&str; 3] = ["available", "diversions", "statoverride"];

/// The database in the making.
#[derive(Debug, Default)]
pub(super) struct Database {
    status: String,
    triggers: Triggers,
    /// The files below `info`: their names, contents and modes.
    info: Vec<(String, Bytes, u32)>,
}

impl Database {
    /// Adds a package, and gives the name that its files have there.
    ///
    /// # Errors
    /// When it says what dpkg could not be told.
    pub(super) fn add(&mut self, deb: &Deb) -> Result<String, RootFsError> {
        let fail = |why: String| RootFsError::control(&deb.name, why);
        if !is_package_name(&deb.name) {
            return Err(fail("that is no name of a package".to_owned()));
        }
        let stanza = Stanzas::new(&deb.control, Comments::Refused).next();
        let Some(Ok(stanza)) = stanza else {
            return Err(fail("it says nothing about itself".to_owned()));
        };
        // Only of these there can be one for each architecture.
        let name = match stanza.get("Multi-Arch").map(str::trim) {
            Some("same") => format!("{}:{}", deb.name, deb.architecture),
            _ => deb.name.clone(),
        };
        if !deb
            .architecture
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        {
            return Err(fail(format!("{:?} is no architecture", deb.architecture)));
        }
        // Writing into a string cannot fail.
        let _ = writeln!(
            self.status,
            "Package: {}\nStatus: install ok unpacked",
            deb.name
        );
        for (field, value) in stanza.fields() {
            if !OWN_FIELDS.iter().any(|own| own.eq_ignore_ascii_case(field)) {
                let _ = writeln!(self.status, "{field}: {value}");
            }
        }
        self.status.push_str(&conffiles(deb).map_err(fail)?);
        self.status.push('\n');
        for (file, content) in &deb.control_files {
            let mode = if SCRIPTS.contains(&file.as_str()) {
                0o755
            } else {
                0o644
            };
            self.info
                .push((format!("{name}.{file}"), content.clone(), mode));
        }
        let list = list(deb).map_err(fail)?;
        self.info.push((format!("{name}.list"), list.into(), 0o644));
        if let Some(text) = deb.control_files.get("triggers") {
            let text = String::from_utf8_lossy(text);
            self.triggers.add(&name, &text).map_err(fail)?;
        }
        Ok(name)
    }

    /// Writes it into the tree.
    ///
    /// # Errors
    /// When something stands where it should.
    pub(super) fn write(self, tree: &mut RootTree<'_>) -> Result<(), RootFsError> {
        let path = |below: &str| {
            let text = format!("{DIRECTORY}/{below}");
            LayerPath::parse(text.as_bytes()).map_err(RootFsError::path("dpkg"))
        };
        for directory in DIRECTORIES {
            tree.directory(&path(directory)?)?;
        }
        let mut put = |below: &str, content: Bytes, mode: u32| {
            let entry = Entry::new(Kind::File(Content::Memory(content)), mode);
            tree.insert("dpkg", path(below)?, entry)
        };
        put("status", self.status.into(), 0o644)?;
        // Files are named after architectures where need be.
        put("info/format", Bytes::from_static(b"1\n"), 0o644)?;
        for name in EMPTY {
            put(name, Bytes::new(), 0o644)?;
        }
        for (name, content, mode) in self.info {
            put(&format!("info/{name}"), content, mode)?;
        }
        for (name, content) in self.triggers.into_files() {
            put(&format!("triggers/{name}"), content.into(), 0o644)?;
        }
        Ok(())
    }
}

/// The configuration files. dpkg puts them in place when it configures the package, and then keeps
/// their sums here (dpkg's `src/main/configure.c`, `NEWCONFFILEFLAG`).
fn conffiles(deb: &Deb) -> Result<String, String> {
    let mut text = String::new();
    for path in &deb.conffiles {
        let Some(entry) = deb.tree.get(path) else {
            continue;
        };
        if !matches!(entry.kind, Kind::File(_)) {
            return Err(format!("conffiles: {path} is a {}", entry.kind.noun()));
        }
        if text.is_empty() {
            text.push_str("Conffiles:\n");
        }
        let _ = writeln!(text, " {path} newconffile");
    }
    Ok(text)
}

/// The paths of a package, as it has them.
fn list(deb: &Deb) -> Result<Vec<u8>, String> {
    let mut list = b"/.\n".to_vec();
    for (path, _) in &deb.tree {
        let bytes = path.as_bytes();
        if bytes.contains(&b'\n') {
            return Err(format!("{} has a line break in it", printable(bytes)));
        }
        list.push(b'/');
        list.extend_from_slice(bytes);
        list.push(b'\n');
    }
    Ok(list)
}
