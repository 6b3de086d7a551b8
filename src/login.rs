//! `ohoci login` and `ohoci logout`: credentials where Docker's and podman's tools keep them.

use clap::Args;

use super::arguments::RegistryArguments;
use super::context::Context;
use super::exit_code;
use super::failure::Failure;
use super::{output, password};
use ohoci_config::Environment;
use ohoci_image::reference::DOCKER_HUB;
use ohoci_registry::credentials::CredentialStore;
use ohoci_registry::{Credential, CredentialError, ErrorKind};

/// Check credentials with a registry and store them where Docker and podman keep them.
#[derive(Args, Clone, Debug)]
pub struct LoginArguments {
    /// The registry, such as registry.example or registry.example:5000; Docker Hub when left out
    #[arg(value_name = "REGISTRY", default_value = DOCKER_HUB)]
    pub registry: String,

    /// User name; asked for when left out
    #[arg(long, short, value_name = "NAME")]
    pub username: Option<String>,

    /// Read the password from stdin
    #[arg(long)]
    pub password_stdin: bool,
}

/// Remove the credentials of a registry from every place that has them.
#[derive(Args, Clone, Debug)]
pub struct LogoutArguments {
    /// The registry; Docker Hub when left out
    #[arg(value_name = "REGISTRY", default_value = DOCKER_HUB)]
    pub registry: String,
}

/// Runs `login`.
pub(super) async fn login(
    arguments: &LoginArguments,
    registry: &RegistryArguments,
) -> Result<u8, Failure> {
    let username = match &arguments.username {
        Some(username) => username.clone(),
        None if arguments.password_stdin => {
            return Err(Failure::usage("--password-stdin needs --username"));
        }
        None => password::line("Username: ").await?,
    };
    let password = if arguments.password_stdin {
        password::from_stdin().await?
    } else {
        password::asked("Password: ").await?
    };
    let credential = Credential::Basic { username, password };
    let host = arguments
        .registry
        .split('/')
        .next()
        .unwrap_or(&arguments.registry);
    let client = Context::client_with(registry, credential.clone())?;
    client.authenticate(host).await.map_err(|error| {
        let refused = error.kind() == ErrorKind::Denied;
        let failure = Failure::from(ohoci_store::Error::from(error));
        if refused {
            failure.hinted("check the user name and the password; nothing was kept")
        } else {
            failure
        }
    })?;
    let store = CredentialStore::new(Environment::of_process(), registry.authfile.as_deref());
    let keeper = store.login(&arguments.registry, &credential).await?;
    output::note(&format!(
        "logged in to {}; kept in {keeper}",
        arguments.registry
    ));
    Ok(exit_code::DONE)
}

/// Runs `logout`.
pub(super) async fn logout(
    arguments: &LogoutArguments,
    registry: &RegistryArguments,
) -> Result<u8, Failure> {
    let store = CredentialStore::new(Environment::of_process(), registry.authfile.as_deref());
    let outcome = store.logout(&arguments.registry).await?;
    for keeper in &outcome.removed {
        output::note(&format!(
            "removed the credentials of {} from {keeper}",
            arguments.registry
        ));
    }
    for keeper in &outcome.remaining {
        output::warning(&format!(
            "{keeper} still has credentials of {}",
            arguments.registry
        ));
    }
    if outcome.removed.is_empty() && outcome.remaining.is_empty() {
        output::note(&format!("not logged in to {}", arguments.registry));
    }
    Ok(exit_code::DONE)
}

impl From<CredentialError> for Failure {
    fn from(error: CredentialError) -> Self {
        let failure = Self::new("cannot use the credentials", error.why());
        match error.hint() {
            Some(hint) => failure.hinted(hint),
            None => failure,
        }
    }
}
