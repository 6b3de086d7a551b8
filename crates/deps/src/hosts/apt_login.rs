//! Credentials of apt (`apt_auth.conf(5)`).

use std::path::Path;

use url::Url;

use super::mirror::Login;

/// Every entry of `auth.conf` and `auth.conf.d`.
#[derive(Clone, Debug, Default)]
pub(crate) struct AptLogins {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, Default)]
struct Entry {
    machine: String,
    user: String,
    password: String,
}

impl AptLogins {
    /// Reads the files below `root`, which is `/` but in tests. Files that cannot be read are
    /// passed over: they are often for the superuser only.
    #[must_use]
    pub(crate) fn read(root: &Path) -> Self {
        let apt = root.join("etc/apt");
        let mut files = vec![apt.join("auth.conf")];
        files.extend(super::apt::files_in(&apt.join("auth.conf.d"), &["conf"]));
        let mut entries = Vec::new();
        for file in files {
            if let Ok(text) = fs_err::read_to_string(&file) {
                entries.extend(parse(&text));
            }
        }
        Self { entries }
    }

    /// The credentials for a URL. They are for HTTPS, unless the entry names the scheme.
    #[must_use]
    pub(crate) fn for_url(&self, url: &Url) -> Option<Login> {
        let entry = self.entries.iter().find(|entry| entry.matches(url))?;
        Some(Login::Password {
            user: entry.user.clone(),
            password: entry.password.clone(),
        })
    }
}

impl Entry {
    fn matches(&self, url: &Url) -> bool {
        let (scheme, rest) = match self.machine.split_once("://") {
            Some((scheme, rest)) => (scheme, rest),
            None => ("https", self.machine.as_str()),
        };
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at_checked(at).unwrap_or((rest, "")),
            None => (rest, ""),
        };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().ok()),
            None => (authority, None),
        };
        let path = path.trim_end_matches('/');
        let below = url
            .path()
            .strip_prefix(path)
            .is_some_and(|rest| path.is_empty() || rest.is_empty() || rest.starts_with('/'));
        scheme == url.scheme() && Some(host) == url.host_str() && port == url.port() && below
    }
}

/// The format is that of netrc: words in any distribution over lines.
fn parse(text: &str) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut words = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default())
        .flat_map(str::split_whitespace);
    while let Some(word) = words.next() {
        let Some(value) = words.next() else {
            break;
        };
        let value = value.to_owned();
        match (word, entries.last_mut()) {
            ("machine", _) => entries.push(Entry {
                machine: value,
                ..Entry::default()
            }),
            ("login", Some(entry)) => entry.user = value,
            ("password", Some(entry)) => entry.password = value,
            _ => {}
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_for_a_host_its_scheme_and_a_path() {
        let logins = AptLogins {
            entries: parse(
                "# ours\nmachine mirror.example/debian/ login a password p1\n\
                 machine http://plain.example:81\n  login b\n  password p2\n",
            ),
        };
        let user = |url: &str| match logins.for_url(&url.parse().unwrap())? {
            Login::Password { user, .. } => Some(user),
            Login::Header(_) => None,
        };
        assert_eq!(user("https://mirror.example/debian/").as_deref(), Some("a"));
        assert_eq!(
            user("https://mirror.example/debian/dists/x").as_deref(),
            Some("a")
        );
        assert_eq!(user("https://mirror.example/debian-security/"), None);
        assert_eq!(user("http://mirror.example/debian/"), None);
        assert_eq!(user("http://plain.example:81/x").as_deref(), Some("b"));
        assert_eq!(user("http://plain.example/x"), None);
    }
}
