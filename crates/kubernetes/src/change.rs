//! What composing would change of an image's config, in the terms of a container of Kubernetes.

use std::path::PathBuf;
use std::sync::Arc;

use ohoci_compose::compose::documents_of;
use ohoci_compose::job::Job;
use ohoci_compose::read::{self, Choice};
use ohoci_compose::resolver::Resolver;
use ohoci_compose::{Observer, Unwatched};
use ohoci_image::env;
use ohoci_image::{Document, Platform, Reference, shape};
use ohoci_openhands::contract::terms::Terms;
use ohoci_store::{Error, ErrorKind};
use serde_json::{Map, Value};

/// What an image's config says of its process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// `NAME=VALUE`.
    pub env: Vec<String>,
    /// Words that come before the command.
    pub entrypoint: Vec<String>,
    /// The command.
    pub cmd: Vec<String>,
    /// User, and group behind a colon.
    pub user: String,
    /// The working directory.
    pub working_dir: String,
}

/// An image's process as it is, and as it would be with the deps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// As it is.
    pub before: Process,
    /// With what the deps image and the contract say.
    pub after: Process,
}

impl Process {
    /// What the config of an image says.
    #[must_use]
    pub fn of(config: &Map<String, Value>) -> Self {
        let inner = config.get("config").and_then(Value::as_object);
        let field = |name: &str| inner.and_then(|inner| inner.get(name));
        let words = |name: &str| {
            let list = field(name).and_then(Value::as_array).into_iter().flatten();
            list.filter_map(|word| word.as_str().map(str::to_owned))
                .collect()
        };
        let text = |name: &str| {
            field(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        Self {
            env: words("Env"),
            entrypoint: words("Entrypoint"),
            cmd: words("Cmd"),
            user: text("User"),
            working_dir: text("WorkingDir"),
        }
    }

    /// The names of variables, without those that set nothing.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let entries = self.env.iter().filter(|entry| entry.contains('='));
        entries.map(|entry| env::name_of(entry))
    }

    /// The value of a variable.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        env::get(&self.env, name, env::NameCase::Sensitive)
    }
}

/// Says what deps and a contract change of an image.
///
/// # Errors
/// When the image or the deps cannot be read, or the deps do not go onto the image.
pub async fn change(
    image: &Reference,
    deps: &[Reference],
    terms: Option<Terms>,
    platform: &Platform,
    resolver: &Resolver,
    work_dir: PathBuf,
) -> Result<Change, Error> {
    let choice = Choice::Platforms(vec![platform.clone()]);
    let source = resolver.source(image).await?;
    let found = read::images(source, &choice, &|_, _| {}).await?;
    let unreadable = |why: String| {
        Error::new(
            ErrorKind::Unsupported,
            format!("cannot use the config of {image}"),
            why,
        )
    };
    let before = found.images.first();
    let before = before.ok_or_else(|| unreadable(format!("there is none for {platform}")))?;
    let job = Job {
        deps: deps.to_vec(),
        choice,
        patch: terms.map(Terms::patch).unwrap_or_default(),
        ..Job::on(image.clone(), work_dir)
    };
    let observer: Arc<dyn Observer> = Arc::new(Unwatched);
    let composed = documents_of(&job, resolver, &observer).await?;
    let (_, config) = composed
        .configs
        .first()
        .ok_or_else(|| unreadable("nothing was composed".to_owned()))?;
    let after = Document::parse(config.clone(), &shape::CONFIG)
        .map_err(|error| unreadable(error.to_string()))?;
    Ok(Change {
        before: Process::of(before.config.document().object()),
        after: Process::of(after.object()),
    })
}
