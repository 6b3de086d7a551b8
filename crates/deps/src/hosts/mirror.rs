//! A place to download from.

use std::fmt;

use url::Url;

/// The root of a mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// Its URL, without credentials, with a slash behind.
    pub base: Url,
    /// What it wants to know about us.
    pub login: Option<Login>,
}

/// How we say who we are.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    /// A user and a password.
    Password {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// The whole value of the header `Authorization`.
    Header(String),
}

impl fmt::Debug for Login {
    /// Leaves out what is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password { user, .. } => f
                .debug_struct("Password")
                .field("user", user)
                .finish_non_exhaustive(),
            Self::Header(_) => f.debug_struct("Header").finish_non_exhaustive(),
        }
    }
}

impl Mirror {
    /// A mirror at a URL, which may carry a user and a password.
    #[must_use]
    pub fn new(mut base: Url) -> Self {
        let decode = |text: &str| {
            let pairs = format!("x={}", text.replace('+', "%2B"));
            url::form_urlencoded::parse(pairs.as_bytes())
                .next()
                .map(|(_, value)| value.into_owned())
                .unwrap_or_default()
        };
        let login = (!base.username().is_empty()).then(|| Login::Password {
            user: decode(base.username()),
            password: decode(base.password().unwrap_or_default()),
        });
        // Only URLs that cannot have a host refuse, and those have no user either.
        let _ = base.set_username("");
        let _ = base.set_password(None);
        Self { base, login }
    }

    /// The URL of a path below the root, which [`is_relative`](crate::lock::is_relative).
    #[must_use]
    pub fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        let whole = format!("{}{path}", url.path());
        // Some servers take a `+` for a space; apt escapes it, too.
        url.set_path(&whole.replace('+', "%2B"));
        url
    }

    /// What a person knows it by: its host and path.
    #[must_use]
    pub fn name(&self) -> String {
        let host = self.base.host_str().unwrap_or_default();
        let port = self.base.port().map(|port| format!(":{port}"));
        let path = without_token(self.base.path().trim_end_matches('/'));
        format!("{host}{}{path}", port.unwrap_or_default())
    }
}

/// A path without the token that channels of conda have in it, `/t/TOKEN/`.
fn without_token(path: &str) -> String {
    match path
        .strip_prefix("/t/")
        .and_then(|rest| rest.split_once('/'))
    {
        Some((_, rest)) => format!("/t/…/{rest}"),
        None => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_taken_out_of_the_url() {
        let mirror = Mirror::new(
            "http://me:a%40b+c@mirror.example:80/debian/"
                .parse()
                .unwrap(),
        );
        assert_eq!(mirror.base.as_str(), "http://mirror.example/debian/");
        let login = Login::Password {
            user: "me".to_owned(),
            password: "a@b+c".to_owned(),
        };
        assert_eq!(mirror.login.as_ref(), Some(&login));
        assert!(!format!("{mirror:?}").contains("a@b"));
        assert_eq!(mirror.name(), "mirror.example/debian");
    }

    #[test]
    fn paths_are_below_the_root() {
        let mirror = Mirror::new("http://mirror.example:81/debian/".parse().unwrap());
        assert_eq!(
            mirror.url("pool/main/g/g++_1:2~3.deb").as_str(),
            "http://mirror.example:81/debian/pool/main/g/g%2B%2B_1:2~3.deb"
        );
        assert_eq!(mirror.name(), "mirror.example:81/debian");
        let token = Mirror::new("https://mirror.example/t/secret/conda/".parse().unwrap());
        assert_eq!(token.name(), "mirror.example/t/…/conda");
    }
}
