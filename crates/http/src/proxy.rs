//! Which proxy a request goes through, as the HTTP client reads it from the environment, so that
//! a proxy's faults are not taken for a registry's.

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::Url;

use super::error::TransportError;

/// Variables that name proxies, for one scheme or for both, as the HTTP client reads them: the
/// first spelling that is set counts.
const VARIABLES: [[&str; 2]; 3] = [
    ["HTTP_PROXY", "http_proxy"],
    ["HTTPS_PROXY", "https_proxy"],
    ["ALL_PROXY", "all_proxy"],
];

/// The proxies of the environment.
#[derive(Debug)]
pub(crate) struct Proxies {
    used: Matcher,
    /// Matches what would go through a proxy if every setting could be used.
    wanted: Matcher,
    http: Option<Setting>,
    https: Option<Setting>,
    all: Option<Setting>,
}

/// A variable that names a proxy.
#[derive(Debug)]
struct Setting {
    variable: &'static str,
    value: String,
}

impl Proxies {
    /// Reads variables by `lookup`.
    pub(crate) fn read(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let [http, https, all] = VARIABLES.map(|names| {
            let mut set = names.into_iter().filter_map(|variable| {
                let value = lookup(variable)?;
                Some(Setting { variable, value })
            });
            set.next().filter(|setting| !setting.value.is_empty())
        });
        let no = ["NO_PROXY", "no_proxy"].into_iter().find_map(&lookup);
        let no = no.unwrap_or_default();
        let value = |setting: &Option<Setting>| {
            let setting = setting.as_ref();
            setting.map_or_else(String::new, |setting| setting.value.clone())
        };
        let any = |setting: &Option<Setting>| {
            let is_set = setting.is_some() || all.is_some();
            if is_set { "http://proxy.invalid" } else { "" }
        };
        Self {
            used: Matcher::builder()
                .http(value(&http))
                .https(value(&https))
                .all(value(&all))
                .no(no.clone())
                .build(),
            wanted: Matcher::builder()
                .http(any(&http))
                .https(any(&https))
                .no(no)
                .build(),
            http,
            https,
            all,
        }
    }

    /// The host names of the proxies.
    pub(crate) fn hosts(&self) -> Vec<String> {
        let settings = [&self.http, &self.https, &self.all];
        let settings = settings.into_iter().flatten();
        settings.filter_map(Setting::host).collect()
    }

    /// The proxy that a request to `url` goes through, without its password.
    ///
    /// # Errors
    /// When a variable names one for it that is no URL, or of a kind that cannot be used: the
    /// client would pass it over and ask directly.
    pub(crate) fn of(&self, url: &Url) -> Result<Option<String>, TransportError> {
        let Ok(target) = url.as_str().parse() else {
            return Ok(None);
        };
        if self.wanted.intercept(&target).is_none() {
            return Ok(None);
        }
        let own = if url.scheme() == "https" {
            &self.https
        } else {
            &self.http
        };
        let setting = own.as_ref().or(self.all.as_ref());
        if let Some(setting) = setting {
            setting.check()?;
        }
        let used = self.used.intercept(&target);
        if let (Some(setting), None) = (setting, &used) {
            return Err(setting.unusable("is no URL of a proxy"));
        }
        Ok(used.map(|proxy| {
            let uri = proxy.uri();
            let authority = uri.authority().map_or("", |authority| authority.as_str());
            match authority.rsplit_once('@') {
                Some((_, host)) => host.to_owned(),
                None => authority.to_owned(),
            }
        }))
    }
}

impl Setting {
    fn url(&self) -> Option<Url> {
        if self.value.contains("://") {
            return Url::parse(&self.value).ok().filter(Url::has_host);
        }
        Url::parse(&format!("http://{}", self.value)).ok()
    }

    fn host(&self) -> Option<String> {
        self.url()?.host_str().map(str::to_owned)
    }

    fn unusable(&self, why: impl Into<String>) -> TransportError {
        TransportError::Proxy {
            variable: self.variable,
            why: why.into(),
        }
    }

    fn check(&self) -> Result<(), TransportError> {
        match self.url() {
            None => Err(self.unusable("is no URL of a proxy")),
            Some(url) if !matches!(url.scheme(), "http" | "https") => Err(self.unusable(format!(
                "names a proxy of the kind {}, which ohoci cannot use",
                url.scheme()
            ))),
            Some(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(variables: &[(&str, &str)], url: &str) -> Result<Option<String>, String> {
        let lookup = |name: &str| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Proxies::read(lookup)
            .of(&url.parse().unwrap())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_proxy_of_a_request_is_known() {
        let secure = "https://registry.example/v2/";
        let through = |value: &str| asked(&[("HTTPS_PROXY", value)], secure).unwrap();
        assert_eq!(asked(&[], secure), Ok(None));
        for (value, wanted) in [
            ("http://proxy.example:3128", "proxy.example:3128"),
            ("proxy.example:3128", "proxy.example:3128"),
            ("https://u:p@proxy.example/", "proxy.example"),
        ] {
            assert_eq!(through(value).as_deref(), Some(wanted), "{value}");
        }
        let others = [
            ("https_proxy", "http://low.example"),
            ("ALL_PROXY", "http://all.example"),
            ("NO_PROXY", "inside.example,.corp.example"),
        ];
        let asked_with = |url| asked(&others, url).unwrap();
        assert_eq!(asked_with(secure).as_deref(), Some("low.example"));
        assert_eq!(
            asked_with("http://registry.example/").as_deref(),
            Some("all.example")
        );
        assert_eq!(asked_with("https://inside.example/"), None);
        assert_eq!(asked_with("https://a.corp.example/"), None);
    }

    #[test]
    fn a_setting_that_is_no_proxys_url_is_an_error_where_it_would_count() {
        let secure = "https://registry.example/";
        for bad in ["not a url", "http://", "http://:3128", "::", "http://a b"] {
            let error = asked(&[("HTTPS_PROXY", bad)], secure).unwrap_err();
            assert!(error.contains("$HTTPS_PROXY"), "{bad}: {error}");
            assert_eq!(asked(&[("HTTP_PROXY", bad)], secure), Ok(None));
            let spared = [("ALL_PROXY", bad), ("NO_PROXY", "registry.example")];
            assert_eq!(asked(&spared, secure), Ok(None));
            assert!(asked(&[("all_proxy", bad)], secure).is_err());
        }
        for other in ["socks5://proxy.example:1080", "ftp://proxy.example"] {
            let error = asked(&[("ALL_PROXY", other)], secure).unwrap_err();
            assert!(error.contains("of the kind"), "{error}");
        }
        assert_eq!(asked(&[("HTTPS_PROXY", "")], secure), Ok(None));
    }
}
