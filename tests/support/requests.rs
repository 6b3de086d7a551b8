//! What went over the wire, in words that tests can list.

use testbed::Relay;

/// Writes requests with names in place of digests and of upload identifiers.
#[derive(Debug, Default)]
pub(crate) struct Words {
    names: Vec<(String, String)>,
}

impl Words {
    /// Calls a digest by a name.
    pub(crate) fn name(mut self, digest: &str, name: &str) -> Self {
        self.names.push((digest.to_owned(), format!("<{name}>")));
        self
    }

    /// Every request, such as `GET base/manifests/1` or `PUT app/blobs/uploads/*`.
    ///
    /// Fails on a request for `/v2/` itself: nothing needs it, and every run would pay for it.
    #[track_caller]
    pub(crate) fn of(&self, requests: &[(String, String)]) -> Vec<String> {
        requests
            .iter()
            .map(|(method, target)| self.one(method, target))
            .collect()
    }

    #[track_caller]
    fn one(&self, method: &str, target: &str) -> String {
        let mut path = target.replace("%3A", ":").replace("%2F", "/");
        path = path.strip_prefix("/v2/").unwrap_or(&path).to_owned();
        assert!(!path.is_empty(), "a ping: {method} {target}");
        if let Some((place, rest)) = path.split_once("/blobs/uploads/")
            && !rest.is_empty()
            && !rest.starts_with('?')
        {
            path = format!("{place}/blobs/uploads/*");
        }
        // A small document, which registries take at once or open an upload for.
        if let Some((place, _)) = path.split_once("/blobs/uploads/?digest=") {
            path = format!("{place}/blobs/uploads/?digest=*");
        }
        for (digest, name) in &self.names {
            path = path.replace(digest, name);
        }
        format!("{method} {path}")
    }

    /// The same, in alphabetical order: what goes at once arrives in any order.
    #[track_caller]
    pub(crate) fn sorted(&self, requests: &[(String, String)]) -> Vec<String> {
        let mut lines = self.of(requests);
        lines.sort();
        lines
    }
}

/// What passed a relay since it was last asked, as method and target.
pub(crate) fn take(relay: &Relay) -> Vec<(String, String)> {
    relay
        .take_traffic()
        .exchanges
        .into_iter()
        .map(|exchange| (exchange.method, exchange.path))
        .collect()
}

/// How many requests used this method.
pub(crate) fn count(requests: &[(String, String)], method: &str) -> usize {
    requests.iter().filter(|(used, _)| used == method).count()
}
