//! How the registries of clouds are logged in to: by credential helpers, since their passwords end soon.

/// A cloud's registry.
struct Cloud {
    /// Whether a host is one of its registries.
    is_host: fn(&str) -> bool,
    /// What stands behind `docker-credential-` in the names of its helpers.
    helpers: &'static [&'static str],
    /// Where the helper comes from.
    install: &'static str,
    /// What logs in without a helper; `{host}` is the registry.
    login: &'static str,
}

const CLOUDS: [Cloud; 3] = [
    Cloud {
        is_host: |host| {
            host == "public.ecr.aws"
                || (host.contains(".dkr.ecr.") && host.contains(".amazonaws.com"))
        },
        helpers: &["ecr-login"],
        install: "amazon-ecr-credential-helper",
        login: "aws ecr get-login-password | ohoci login --username AWS --password-stdin {host}",
    },
    Cloud {
        is_host: |host| host == "gcr.io" || host.ends_with(".gcr.io") || host.ends_with(".pkg.dev"),
        helpers: &["gcloud", "gcr"],
        install: "the Google Cloud CLI (`gcloud auth configure-docker`) or docker-credential-gcr",
        login: "gcloud auth print-access-token | ohoci login --username oauth2accesstoken --password-stdin {host}",
    },
    Cloud {
        is_host: |host| host.ends_with(".azurecr.io"),
        helpers: &["acr-env", "acr-linux", "acr"],
        install: "the Azure CLI (`az acr login`) or acr-docker-credential-helper",
        login: "az acr login --name NAME --expose-token --output tsv --query accessToken | ohoci login --username 00000000-0000-0000-0000-000000000000 --password-stdin {host}",
    },
];

/// The command that logs in to a registry: that of its cloud, if it is one's.
pub(crate) fn login(host: &str) -> String {
    let cloud = CLOUDS.iter().find(|cloud| (cloud.is_host)(host));
    match cloud {
        Some(cloud) => cloud.login.replace("{host}", host),
        None => format!("ohoci login {host}"),
    }
}

/// Where a credential helper comes from, by what stands behind `docker-credential-` in its name.
pub(crate) fn helper(name: &str) -> Option<&'static str> {
    let mut clouds = CLOUDS.iter();
    let cloud = clouds.find(|cloud| cloud.helpers.contains(&name))?;
    Some(cloud.install)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clouds_have_their_own_logins() {
        for (host, wanted) in [
            ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "aws ecr"),
            ("europe-docker.pkg.dev", "gcloud"),
            ("eu.gcr.io", "gcloud"),
            ("team.azurecr.io", "az acr"),
            ("registry.example", "ohoci login registry.example"),
            ("pkg.dev.registry.example", "ohoci login pkg.dev"),
        ] {
            let login = login(host);
            assert!(login.starts_with(wanted), "{host}: {login}");
            assert!(login.ends_with(host), "{host}: {login}");
        }
    }

    #[test]
    fn helpers_are_known_by_name() {
        assert!(helper("ecr-login").is_some_and(|name| name.contains("ecr")));
        assert_eq!(helper("desktop"), None);
    }
}
