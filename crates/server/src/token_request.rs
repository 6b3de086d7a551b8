//! Requests for tokens: by GET with a password in the header (distribution, `docs/spec/auth/token.md`), or by
//! POST with a form (`docs/spec/auth/oauth2.md`), as containerd and Docker send it.

use std::fmt;

use axum::http::request::Parts;
use axum::http::{Method, header};

use super::claim::{Claim, Password};
use super::failure::{Code, Failure};
use super::payload::Payload;
use super::route;

/// Largest form, in bytes.
const MAX_FORM: u64 = 64 << 10;

/// What a form's media type is.
const FORM: &str = "application/x-www-form-urlencoded";

/// A request for a token.
#[derive(Debug)]
pub(super) struct TokenRequest {
    pub(super) grant: Grant,
    /// What the token is to permit.
    pub(super) scopes: Vec<String>,
    /// Whether the client wants to keep something that it gets further tokens for, instead of the password.
    pub(super) keeps: bool,
}

/// What a token is given for.
pub(super) enum Grant {
    /// A user's password; none where none is shown.
    Password(Option<Claim>),
    /// What the client was given for the password to keep.
    Refresh(String),
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password(claim) => f.debug_tuple("Password").field(claim).finish(),
            Self::Refresh(_) => f.write_str("Refresh(redacted)"),
        }
    }
}

impl TokenRequest {
    /// Reads it.
    ///
    /// # Errors
    /// When it is asked for in another way.
    pub(super) async fn read(parts: &Parts, payload: &mut Payload) -> Result<Self, Failure> {
        match parts.method {
            Method::GET => {
                let query = Pairs(route::query(parts));
                Ok(Self {
                    grant: Grant::Password(Claim::shown(&parts.headers)),
                    scopes: query.all("scope"),
                    keeps: query.is("offline_token", "true"),
                })
            }
            Method::POST => {
                let kind = parts.headers.get(header::CONTENT_TYPE);
                let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
                let essence = kind.split(';').next().unwrap_or_default().trim();
                if !essence.eq_ignore_ascii_case(FORM) {
                    return Err(refused(&format!("a token is asked for by a form ({FORM})")));
                }
                let form = payload.whole(MAX_FORM).await?;
                Self::of_form(&form)
            }
            _ => Err(Failure::method_not_allowed("GET, POST")),
        }
    }

    fn of_form(form: &[u8]) -> Result<Self, Failure> {
        let form = Pairs(url::form_urlencoded::parse(form).into_owned().collect());
        let grant = match form.one("grant_type") {
            Some("password") => {
                let claim = form.one("username").zip(form.one("password"));
                Grant::Password(claim.map(|(user, password)| Claim {
                    user: user.to_owned(),
                    password: Password::new(password.to_owned()),
                }))
            }
            Some("refresh_token") => match form.one("refresh_token") {
                Some(token) => Grant::Refresh(token.to_owned()),
                None => return Err(refused("there is no refresh_token")),
            },
            _ => return Err(refused("grant_type is to be password or refresh_token")),
        };
        Ok(Self {
            grant,
            scopes: form.all("scope"),
            keeps: form.is("access_type", "offline"),
        })
    }
}

/// The pairs of a query or a form.
struct Pairs(Vec<(String, String)>);

impl Pairs {
    fn one(&self, wanted: &str) -> Option<&str> {
        let mut pairs = self.0.iter();
        pairs.find_map(|(key, value)| (key == wanted).then_some(value.as_str()))
    }

    fn all(&self, wanted: &str) -> Vec<String> {
        let pairs = self.0.iter().filter(|(key, _)| key == wanted);
        pairs.map(|(_, value)| value.clone()).collect()
    }

    fn is(&self, key: &str, value: &str) -> bool {
        self.one(key) == Some(value)
    }
}

fn refused(why: &str) -> Failure {
    Failure::bad_request(Code::Unsupported, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_say_what_is_shown_and_what_is_wanted() {
        let form = b"grant_type=password&service=ohoci&client_id=c&username=u&password=p%26%3D&\
            scope=repository%3Aa%3Apull+repository%3Ab%3Apull&scope=x&access_type=offline";
        let asked = TokenRequest::of_form(form).unwrap();
        assert_eq!(
            asked.scopes,
            ["repository:a:pull repository:b:pull", "x"].map(str::to_owned)
        );
        assert!(asked.keeps);
        assert!(!format!("{asked:?}").contains("p&="), "{asked:?}");
        let Grant::Password(Some(claim)) = asked.grant else {
            panic!("no password")
        };
        assert_eq!((claim.user.as_str(), claim.password.expose()), ("u", "p&="));
        let asked = TokenRequest::of_form(b"grant_type=refresh_token&refresh_token=secret");
        let asked = asked.unwrap();
        assert!(!asked.keeps && !format!("{asked:?}").contains("secret"));
        assert!(matches!(asked.grant, Grant::Refresh(token) if token == "secret"));
        for wrong in ["", "grant_type=code", "grant_type=refresh_token"] {
            assert!(TokenRequest::of_form(wrong.as_bytes()).is_err(), "{wrong}");
        }
        let incomplete = TokenRequest::of_form(b"grant_type=password&username=u").unwrap();
        assert!(matches!(incomplete.grant, Grant::Password(None)));
    }
}
