//! `ohoci batch --rebase`: composed images from a list, made anew from their own records.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use super::arguments::Arguments;
use super::list::{lines, parsed_templates, unreadable};
use crate::context::Context;
use crate::failure::Failure;
use ohoci_compose::batch::{Item, Rebasing, Work};
use ohoci_compose::recompose::{BaseChoice, DepsChoice, Rebase};
use ohoci_image::{Digest, Reference};

/// The images of a list.
pub(super) fn items(
    text: &str,
    path: &Path,
    arguments: &Arguments,
    context: &Context,
) -> Result<Vec<Item>, Failure> {
    let templates = parsed_templates(arguments)?;
    if templates.iter().any(|template| template.needs_digest()) {
        return Err(
            Failure::usage("--push: with --rebase, targets cannot be named by digest")
                .hinted("leave out --push: each image then goes back to its own tag"),
        );
    }
    let deps = if arguments.keep_deps {
        DepsChoice::Recorded
    } else if arguments.compose.deps.is_empty() {
        DepsChoice::Current
    } else {
        DepsChoice::Other(
            arguments
                .compose
                .deps
                .iter()
                .map(|text| text.parse().map_err(Failure::from))
                .collect::<Result<_, _>>()?,
        )
    };
    let base = if arguments.keep_base {
        BaseChoice::Recorded
    } else {
        BaseChoice::Current
    };
    let mut items = Vec::new();
    let mut seen = HashSet::new();
    for (at, line) in lines(text) {
        let at_line = |error: String| Failure::usage(format!("{}:{at}: {error}", path.display()));
        let reference: Reference = line
            .parse()
            .map_err(|error| at_line(unreadable(line, &error)))?;
        let Some(registry) = reference.registry() else {
            return Err(at_line(format!("{reference} is not in a registry")));
        };
        if !seen.insert(reference.to_string()) {
            continue;
        }
        let push = if templates.is_empty() {
            if registry.digest().is_some() {
                return Err(at_line(format!(
                    "{reference} names content by digest, which cannot be pushed to; name a tag, or \
                     give --push"
                )));
            }
            vec![reference.clone()]
        } else {
            templates
                .iter()
                .map(|template| template.expand(registry, None))
                .collect::<Result<_, _>>()
                .map_err(|error| at_line(error.to_string()))?
        };
        let host = registry.host().to_owned();
        let work = Rebasing {
            rebase: Rebase {
                reference: reference.clone(),
                base: base.clone(),
                deps: deps.clone(),
                remembered: !arguments.verify_targets,
                work_dir: context.work_dir.clone(),
            },
            push,
            no_upload: arguments.compose.no_upload,
        };
        items.push(Item {
            base: reference.to_string(),
            host,
            key: key(&work),
            work: Work::Rebase(Arc::new(work)),
        });
    }
    Ok(items)
}

/// Equal for equal wishes.
fn key(work: &Rebasing) -> String {
    let names = |list: &[Reference]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    let text = serde_json::json!([
        "rebase",
        work.rebase.reference.to_string(),
        work.rebase.base == BaseChoice::Recorded,
        match &work.rebase.deps {
            DepsChoice::Current => vec!["current".to_owned()],
            DepsChoice::Recorded => vec!["recorded".to_owned()],
            DepsChoice::Other(deps) => names(deps),
        },
        names(&work.push),
    ])
    .to_string();
    Digest::of(text.as_bytes()).short().to_owned()
}
