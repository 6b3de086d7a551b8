//! What a batch is asked to make: bases from a list, or whole jobs from a plan.

use std::collections::{HashMap, HashSet};
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use clap::{Args as _, FromArgMatches as _};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Map, Value};

use super::arguments::Arguments;
use super::list::{lines, parsed_templates, unreadable};
use crate::compose;
use crate::context::Context;
use crate::failure::Failure;
use ohoci_compose::batch::{Item, Template, Work};
use ohoci_compose::job::{Job, Pins};
use ohoci_config::text;
use ohoci_image::{Digest, Reference};

/// Largest list of bases or plan that is read, in bytes.
const MAX_INPUT: u64 = 256 << 20;

/// Bases that are looked at side by side, where their digests are part of their targets.
const READ_AHEAD: usize = 16;

/// Every image to make, checked: no two go to one reference.
pub(super) async fn items(arguments: &Arguments, context: &Context) -> Result<Vec<Item>, Failure> {
    let mut items = Vec::new();
    if let Some(path) = &arguments.plan {
        let text = read(path)?;
        let mut seen = HashSet::new();
        for (at, line) in lines(&text) {
            let place = format!("{}:{at}", path.display());
            let item = planned(line, &place, context).await?;
            if seen.insert(item.key.clone()) {
                items.push(item);
            }
        }
    } else if let Some(path) = &arguments.rebase {
        items = super::rebase::items(&read(path)?, path, arguments, context)?;
    } else if let Some(path) = &arguments.bases {
        let text = read(path)?;
        items = from_bases(&text, path, arguments, context).await?;
    }
    if items.is_empty() {
        return Err(Failure::usage(
            "there is no image to make: the list is empty",
        ));
    }
    check_targets(&items)?;
    Ok(items)
}

async fn from_bases(
    text: &str,
    path: &Path,
    arguments: &Arguments,
    context: &Context,
) -> Result<Vec<Item>, Failure> {
    let templates = templates(arguments, context)?;
    let naming = compose::naming(&arguments.compose, context)?;
    let shared = compose::common(&arguments.compose, context).await?;
    let mut bases = Vec::new();
    let mut seen = HashSet::new();
    for (at, line) in lines(text) {
        let at_line = |error: String| Failure::usage(format!("{}:{at}: {error}", path.display()));
        let base: Reference = line
            .parse()
            .map_err(|error| at_line(unreadable(line, &error)))?;
        let Some(registry) = base.registry().cloned() else {
            return Err(at_line(format!("{base} is not in a registry")));
        };
        if seen.insert(base.to_string()) {
            bases.push((at, line, base, registry));
        }
    }
    let (templates, shared, naming) = (&templates, &shared, &naming);
    let items = bases
        .into_iter()
        .map(|(at, line, base, registry)| async move {
            let at_line =
                |error: String| Failure::usage(format!("{}:{at}: {error}", path.display()));
            let mut pins = Pins::default();
            let digest =
                if templates.iter().any(Template::needs_digest) && registry.digest().is_none() {
                    context.resolver.announce(&[&base], &[]);
                    let source = context.resolver.source(&base).await?;
                    // What the name says is then what is composed, whatever moves meanwhile.
                    pins.base = Some(source.root().await?.digest().clone());
                    pins.base.clone()
                } else {
                    None
                };
            let mut push = templates
                .iter()
                .map(|template| template.expand(&registry, digest.as_ref()))
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| at_line(error.to_string()))?;
            if push.is_empty() {
                push = context.config.compose().push.clone();
            }
            let mut job = Job {
                base,
                push,
                pins,
                ..shared.clone()
            };
            if let Some(naming) = naming {
                job = compose::named(naming, line, job, context).await?;
            }
            Ok(item(job))
        });
    stream::iter(items).buffered(READ_AHEAD).try_collect().await
}

fn templates(arguments: &Arguments, context: &Context) -> Result<Vec<Template>, Failure> {
    if arguments.compose.push.is_empty() && context.config.compose().push.is_empty() {
        return Err(Failure::usage("no target is given")
            .hinted("--push TEMPLATE, such as registry.example/runtime:{name}"));
    }
    parsed_templates(arguments)
}

/// A line of a plan: compose's flags as the fields of an object.
async fn planned(line: &str, place: &str, context: &Context) -> Result<Item, Failure> {
    let at_line = |error: String| Failure::usage(format!("{place}: {error}"));
    let fields: Map<String, Value> =
        serde_json::from_str(line).map_err(|error| at_line(error.to_string()))?;
    let command =
        compose::Arguments::augment_args(clap::Command::new("compose").no_binary_name(true));
    let matches = command
        .try_get_matches_from(words(&fields).map_err(at_line)?)
        .map_err(|error| at_line(first_line(&error.to_string())))?;
    let arguments = compose::Arguments::from_arg_matches(&matches)
        .map_err(|error| at_line(first_line(&error.to_string())))?;
    let job = compose::job(&arguments, context).await?;
    if job.dry_run {
        return Err(at_line("dry_run is for compose alone".to_owned()));
    }
    Ok(item(job))
}

/// `{"base": "x", "env": ["A=1"], "all-platforms": true}` as a command line.
fn words(fields: &Map<String, Value>) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    for (name, value) in fields {
        let flag = format!("--{}", name.replace('_', "-"));
        let values = match value {
            Value::Array(list) => list.as_slice(),
            one => std::slice::from_ref(one),
        };
        for value in values {
            match value {
                Value::Bool(true) => words.push(flag.clone()),
                Value::Bool(false) | Value::Null => {}
                Value::String(text) => words.push(format!("{flag}={text}")),
                Value::Number(number) => words.push(format!("{flag}={number}")),
                Value::Array(_) | Value::Object(_) => {
                    return Err(format!("{name:?} is neither a text nor a list of texts"));
                }
            }
        }
    }
    Ok(words)
}

fn first_line(text: &str) -> String {
    text.lines()
        .next()
        .unwrap_or_default()
        .trim_start_matches("error: ")
        .to_owned()
}

fn item(job: Job) -> Item {
    Item {
        base: job.base.to_string(),
        host: job
            .base
            .registry()
            .map_or_else(String::new, |registry| registry.host().to_owned()),
        key: key(&job),
        work: Work::Compose(Arc::new(job)),
    }
}

/// Equal for jobs that ask for the same.
fn key(job: &Job) -> String {
    let layers: Vec<String> = job
        .layers
        .iter()
        .map(|layer| layer.descriptor.digest.to_string())
        .collect();
    let text = serde_json::json!([
        job.base.to_string(),
        job.deps.iter().map(ToString::to_string).collect::<Vec<_>>(),
        job.deps_path,
        layers,
        job.push.iter().map(ToString::to_string).collect::<Vec<_>>(),
        format!("{:?}", job.choice),
        serde_json::to_value(&job.patch).unwrap_or_default(),
        job.annotations,
        job.position,
        job.created,
        job.fit.to_string(),
        job.pins.base.as_ref().map(ToString::to_string),
        job.pins
            .deps
            .iter()
            .flatten()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        format!("{:?}", job.family),
    ])
    .to_string();
    Digest::of(text.as_bytes()).short().to_owned()
}

/// No two images may land on one reference.
fn check_targets(items: &[Item]) -> Result<(), Failure> {
    let mut seen: HashMap<String, &Item> = HashMap::new();
    for item in items {
        for target in item.work.push() {
            let Some(other) = seen.insert(target.to_string(), item) else {
                continue;
            };
            if other.key == item.key {
                continue;
            }
            return Err(if other.base == item.base {
                Failure::usage(format!(
                    "two different images on {} would both become {target}",
                    item.base
                ))
            } else {
                Failure::usage(format!(
                    "{} and {} would both become {target}",
                    other.base, item.base
                ))
                .hinted("tell them apart in --push, with {name}, {tag}, {slug} or {short_digest}")
            });
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<String, Failure> {
    let fail = |error: std::io::Error| {
        Failure::new(format!("cannot read {}", path.display()), error.to_string())
    };
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        std::io::stdin()
            .lock()
            .take(MAX_INPUT)
            .read_to_end(&mut bytes)
            .map_err(fail)?;
    } else {
        fs_err::File::open(path)
            .map_err(fail)?
            .take(MAX_INPUT)
            .read_to_end(&mut bytes)
            .map_err(fail)?;
    }
    text::decode(bytes).map_err(fail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_flags() {
        let fields = serde_json::from_str(
            r#"{"base":"debian","env":["A=1","B=-x"],"all_platforms":true,"no-upload":false,"user":1000}"#,
        )
        .unwrap();
        assert_eq!(
            words(&fields).unwrap(),
            [
                "--base=debian",
                "--env=A=1",
                "--env=B=-x",
                "--all-platforms",
                "--user=1000"
            ]
        );
        let nested = serde_json::from_str(r#"{"env":{"A":"1"}}"#).unwrap();
        assert!(words(&nested).is_err());
    }

    #[test]
    fn comments_and_blank_lines_are_passed_over() {
        let found: Vec<_> = lines("# bases\n\n a:1 \r\nb:2\n").collect();
        assert_eq!(found, [(3, "a:1"), (4, "b:2")]);
    }
}
