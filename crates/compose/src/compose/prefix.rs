//! Bases that have files of their own where deps images put theirs: both would be in the image, mixed.

use serde_json::{Map, Value};

use crate::fit::{cheap_listing, stands};
use crate::job::Job;
use crate::read::{Found, Image};
use crate::resolver::Resolver;
use ohoci_image::label;
use ohoci_store::{Error, ErrorKind};

/// Where deps images put everything.
const PREFIX: &str = "/openhands";

/// Refuses to put deps on a base that has the prefix already, where that can be known: by the base's
/// record, by what its config says of the prefix, or by its layers, where they have been read or are
/// small and lie on this machine.
///
/// # Errors
/// When the base has it.
pub(super) async fn expect_free(
    job: &Job,
    base: Option<&Found>,
    resolver: &Resolver,
) -> Result<(), Error> {
    let Some(found) = base else {
        return Ok(());
    };
    // A single path of a deps image lies elsewhere, most likely.
    let is_elsewhere = |path: &String| !is_within(path);
    if job.deps.is_empty() || job.deps_path.as_ref().is_some_and(is_elsewhere) {
        return Ok(());
    }
    for image in &found.images {
        expect_free_in(job, found, image, resolver).await?;
    }
    Ok(())
}

async fn expect_free_in(
    job: &Job,
    found: &Found,
    image: &Image,
    resolver: &Resolver,
) -> Result<(), Error> {
    let document = image.config.document().object();
    let refuse = |why: String, hint: String| {
        let what = format!("cannot put deps on {}", job.base);
        Err(Error::new(ErrorKind::Unsupported, what, why).hinted(hint))
    };
    let intent = label::intent(document).ok().flatten();
    let deps = intent.map(|intent| intent.deps).unwrap_or_default();
    let is_prefix = |deps: &&label::Source| deps.path.as_deref().is_none_or(is_within);
    if let Some(deps) = deps.iter().find(is_prefix) {
        let name = deps.name.as_deref().unwrap_or("a deps image");
        return refuse(
            format!("it was composed with {name} already, and the files of both would mix"),
            format!(
                "`ohoci rebase {} --deps REF` replaces its deps; several deps images go on one \
                 base in one run",
                job.base
            ),
        );
    }
    let why = format!("it has {PREFIX} already, and its files and those of the deps would mix");
    if label::patch(document).ok().flatten().is_some() {
        let hint = "it is a deps image itself: --deps names it, and --base what it is put on";
        return refuse(why, hint.to_owned());
    }
    let source = found.source.as_ref();
    let reader = resolver.reader();
    let has_it = match cheap_listing(source, image, reader).await {
        Some(listing) => listing.has(PREFIX),
        None if mentions(document.get("config")) => stands(source, image, PREFIX, reader).await?,
        None => false,
    };
    if !has_it {
        return Ok(());
    }
    let hint = "compose on the image that it was made from; of what lies there, --layer puts files \
                into the result";
    refuse(why, hint.to_owned())
}

/// Whether a path of an image is the prefix or below it.
fn is_within(path: &str) -> bool {
    let path = path.trim_matches('/');
    path.is_empty() || path == "openhands" || path.starts_with("openhands/")
}

/// Whether the settings of an image name something below the prefix, as those of upstream's runtime
/// images do.
fn mentions(config: Option<&Value>) -> bool {
    let settings = config.and_then(Value::as_object);
    settings.is_some_and(|settings| {
        ["Env", "Entrypoint", "Cmd"]
            .iter()
            .any(|key| list(settings, key))
    }) || settings
        .and_then(|settings| settings.get("WorkingDir")?.as_str())
        .is_some_and(is_named)
}

fn list(settings: &Map<String, Value>, key: &str) -> bool {
    let words = settings.get(key).and_then(Value::as_array);
    let mut words = words.into_iter().flatten().filter_map(Value::as_str);
    words.any(is_named)
}

fn is_named(text: &str) -> bool {
    text.contains("/openhands/")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_of_an_upstream_image_name_the_prefix() {
        for config in [
            json!({"Env": ["MAMBA_ROOT_PREFIX=/openhands/micromamba"]}),
            json!({"WorkingDir": "/openhands/code"}),
            json!({"Entrypoint": ["/openhands/bin/x"]}),
        ] {
            assert!(mentions(Some(&config)), "{config}");
        }
        let other = json!({"Env": ["HOME=/home/openhands"], "Cmd": null});
        assert!(!mentions(Some(&other)) && !mentions(None));
        assert!(is_within("/openhands/") && is_within("/") && !is_within("/openhands-x"));
    }
}
