//! What packages want to be told of (deb-triggers(5)), as dpkg keeps it (dpkg's
//! `doc/spec/triggers.txt`).

use std::collections::BTreeMap;

/// Interests by trigger. Those in files stand in one list, those with names in a file each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Triggers {
    files: Vec<String>,
    named: BTreeMap<String, Vec<String>>,
}

impl Triggers {
    /// Adds what a package's `triggers` file says; `package` is its name in dpkg's words.
    ///
    /// # Errors
    /// What dpkg could not keep.
    pub(super) fn add(&mut self, package: &str, text: &str) -> Result<(), String> {
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            let (directive, name) = (words.next().unwrap_or_default(), words.next());
            let suffix = match directive {
                "interest" | "interest-await" => "",
                "interest-noawait" => "/noawait",
                // What it tells others of, it tells when it is configured.
                "" | "activate" | "activate-await" | "activate-noawait" => continue,
                other => return Err(format!("triggers: {other:?} is not known")),
            };
            let name = name.unwrap_or_default();
            if name.starts_with('/') {
                self.files.push(format!("{name} {package}{suffix}"));
            } else if name.is_empty() || name.starts_with('.') || name.contains('/') {
                return Err(format!("triggers: {name:?} is no name"));
            } else {
                let interested = self.named.entry(name.to_owned()).or_default();
                interested.push(format!("{package}{suffix}"));
            }
        }
        Ok(())
    }

    /// The files that it comes to, by name.
    pub(super) fn into_files(self) -> BTreeMap<String, String> {
        let lines = |lines: Vec<String>| lines.into_iter().map(|line| line + "\n").collect();
        let mut files: BTreeMap<String, String> = (self.named.into_iter())
            .map(|(name, interested)| (name, lines(interested)))
            .collect();
        files.insert("File".to_owned(), lines(self.files));
        files.insert("Unincorp".to_owned(), String::new());
        files
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interests_are_kept_as_dpkg_keeps_them() {
        let mut triggers = Triggers::default();
        triggers
            .add("libc-bin", "# words\ninterest-await ldconfig\n")
            .unwrap();
        triggers
            .add("other", "interest-noawait ldconfig\nactivate-noawait x\n")
            .unwrap();
        triggers
            .add("man-db", "interest-noawait /usr/share/man\n")
            .unwrap();
        let files = triggers.into_files();
        assert_eq!(files["ldconfig"], "libc-bin\nother/noawait\n");
        assert_eq!(files["File"], "/usr/share/man man-db/noawait\n");
        assert_eq!(files.len(), 3);
        for bad in ["interest ../x", "interest", "interest .x", "guess x"] {
            assert!(Triggers::default().add("x", bad).is_err(), "{bad}");
        }
    }
}
