//! Says which composed images have a base or deps that moved since.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::StreamExt as _;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::OnceCell;

use crate::recorded::{self, Recorded};
use crate::resolver::Resolver;
use ohoci_image::label::{self, Intent};
use ohoci_image::{Digest, Pointer, Reference, RegistryReference, Role};
use ohoci_store::Error;

/// Most images that are looked at side by side; the client paces what that comes to.
const AT_ONCE: usize = 16;

/// What was found about an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageState {
    /// The reference that was asked for.
    pub reference: String,
    /// What it names; `None` when it could not be read.
    pub digest: Option<Digest>,
    /// The sum of it.
    pub state: State,
    /// What it was made from.
    pub inputs: Vec<InputState>,
    /// Why it could not be looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Whether an image is outdated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Everything that it is made from is still what its names say.
    Current,
    /// Something moved or is gone.
    Outdated,
    /// It has no record of what it was made from.
    Foreign,
    /// It, or something that it is made from, could not be looked at.
    Failed,
}

/// What was found about a base or a deps image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InputState {
    /// What it is in the image.
    pub origin: Role,
    /// Its name; `None` when it was read from a place without one that others can use.
    pub name: Option<String>,
    /// What the name resolved to when the image was made.
    pub recorded: Option<Digest>,
    /// What it resolves to now.
    pub now: Option<Digest>,
    /// The difference.
    pub state: Movement,
    /// Why it could not be looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What happened to a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Movement {
    /// It names what it named.
    Same,
    /// It names something else.
    Moved,
    /// It names nothing any more.
    Gone,
    /// It is a digest, or there is no name to look up.
    Fixed,
    /// It could not be looked up.
    Failed,
}

/// The answers of the registries, each name's asked for once.
struct Answers<'a> {
    resolver: &'a Resolver,
    known: Mutex<BTreeMap<String, Arc<OnceCell<Answer>>>>,
    admitted: Mutex<BTreeMap<String, Arc<OnceCell<Admission>>>>,
}

/// What a name resolves to now, or why that is not known.
type Answer = Result<Option<Digest>, String>;

/// That the policy lets an image in, or why not.
type Admission = Result<(), String>;

/// Looks at images. Of bases and deps images only the digests are asked for, each once; and where a name has
/// moved, whether the policy lets the new image in.
///
/// What cannot be read is part of the answer, so that one image does not hide the others.
pub async fn outdated(resolver: &Resolver, references: &[Reference]) -> Vec<ImageState> {
    resolver.announce(&references.iter().collect::<Vec<_>>(), &[]);
    let answers = Answers {
        resolver,
        known: Mutex::default(),
        admitted: Mutex::default(),
    };
    futures_util::stream::iter(references)
        .map(|reference| look_at(&answers, reference))
        .buffered(AT_ONCE)
        .collect()
        .await
}

/// Every tag of a repository as a reference.
///
/// # Errors
/// When the tags cannot be listed.
pub async fn tagged(
    resolver: &Resolver,
    repository: &RegistryReference,
) -> Result<Vec<Reference>, Error> {
    let (host, name) = (repository.host(), repository.repository());
    let mut tags = resolver.client.repository(host, name).tags().await?;
    // Some registries list tags in the order of a map.
    tags.sort_unstable();
    tags.dedup();
    Ok(tags
        .iter()
        .filter_map(|tag| RegistryReference::new(host, name, Some(tag), None).ok())
        .map(Reference::Registry)
        .collect())
}

async fn look_at(answers: &Answers<'_>, reference: &Reference) -> ImageState {
    let mut found = ImageState {
        reference: reference.to_string(),
        digest: None,
        state: State::Failed,
        inputs: Vec::new(),
        why: None,
    };
    let recorded = match recorded::read(answers.resolver, reference, false).await {
        Ok(recorded) => recorded,
        Err(error) => {
            found.why = Some(error.to_string());
            return found;
        }
    };
    found.digest = Some(recorded.root.digest().clone());
    let intents = match intents(&recorded) {
        Ok(intents) if intents.is_empty() => {
            found.state = State::Foreign;
            return found;
        }
        Ok(intents) => intents,
        Err(error) => {
            found.why = Some(error.to_string());
            return found;
        }
    };
    for (origin, source) in inputs(&intents) {
        found.inputs.push(look_up(answers, origin, source).await);
    }
    found.state = sum(&found.inputs);
    found
}

fn intents(recorded: &Recorded) -> Result<Vec<Intent>, label::LabelError> {
    recorded
        .images
        .iter()
        .filter_map(|image| image.intent().transpose())
        .collect()
}

/// Bases, then deps, each once: the images of an index are made from the same.
fn inputs(intents: &[Intent]) -> Vec<(Role, &label::Source)> {
    let bases = intents
        .iter()
        .flat_map(|intent| &intent.base)
        .map(|source| (Role::Base, source));
    let deps = intents
        .iter()
        .flat_map(|intent| &intent.deps)
        .map(|source| (Role::Deps, source));
    let mut list = Vec::new();
    for input in bases.chain(deps) {
        if !list.contains(&input) {
            list.push(input);
        }
    }
    list
}

fn sum(inputs: &[InputState]) -> State {
    let any = |wanted: &[Movement]| inputs.iter().any(|input| wanted.contains(&input.state));
    if any(&[Movement::Moved, Movement::Gone]) {
        State::Outdated
    } else if any(&[Movement::Failed]) {
        State::Failed
    } else {
        State::Current
    }
}

async fn look_up(answers: &Answers<'_>, origin: Role, source: &label::Source) -> InputState {
    let mut found = InputState {
        origin,
        name: source.name.clone(),
        recorded: source.digest.clone(),
        now: None,
        state: Movement::Fixed,
        why: None,
    };
    let (Some(name), Some(recorded)) = (&source.name, &source.digest) else {
        return found;
    };
    let reference = match name.parse::<RegistryReference>() {
        Ok(reference) => reference,
        Err(error) => {
            found.state = Movement::Failed;
            found.why = Some(error.to_string());
            return found;
        }
    };
    if let Some(digest) = reference.digest() {
        found.now = Some(digest.clone());
        return found;
    }
    match answers.of(&reference).await {
        Ok(Some(now)) => {
            found.state = if now == *recorded {
                Movement::Same
            } else {
                Movement::Moved
            };
            found.now = Some(now);
            // What the policy does not let in is nothing to put the image on.
            if found.state == Movement::Moved
                && let Err(why) = answers.admit(&reference).await
            {
                found.state = Movement::Failed;
                found.why = Some(why);
            }
        }
        Ok(None) => found.state = Movement::Gone,
        Err(why) => {
            found.state = Movement::Failed;
            found.why = Some(why);
        }
    }
    found
}

impl Answers<'_> {
    async fn of(&self, reference: &RegistryReference) -> Answer {
        let cell = {
            let mut known = self.known.lock();
            Arc::clone(known.entry(reference.to_string()).or_default())
        };
        cell.get_or_init(|| self.ask(reference)).await.clone()
    }

    /// Whether the policy lets in what the name names now; nothing is asked for where it asks for nothing.
    async fn admit(&self, reference: &RegistryReference) -> Result<(), String> {
        let image = Reference::Registry(reference.clone());
        if !self.resolver.asks_about(&image) {
            return Ok(());
        }
        let cell = {
            let mut admitted = self.admitted.lock();
            Arc::clone(admitted.entry(reference.to_string()).or_default())
        };
        let said = |error: Error| error.to_string();
        cell.get_or_init(async || {
            let source = self.resolver.source(&image).await.map_err(said)?;
            source.root().await.map(drop).map_err(said)
        })
        .await
        .clone()
    }

    async fn ask(&self, reference: &RegistryReference) -> Answer {
        self.resolver
            .announce(&[&Reference::Registry(reference.clone())], &[]);
        let repository = self
            .resolver
            .client
            .repository(reference.host(), reference.repository());
        let pointer: Pointer = reference.pointer();
        let said = |error| Error::from(error).to_string();
        match repository
            .manifest_head_to_read(&pointer)
            .await
            .map_err(said)?
        {
            None => Ok(None),
            Some(head) => match head.digest {
                Some(digest) => Ok(Some(digest)),
                // A registry that leaves the header out: the content tells.
                None => {
                    let manifest = repository.manifest(&pointer).await.map_err(said)?;
                    Ok(Some(manifest.digest().clone()))
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(state: Movement) -> InputState {
        InputState {
            origin: Role::Base,
            name: None,
            recorded: None,
            now: None,
            state,
            why: None,
        }
    }

    #[test]
    fn one_moved_input_outdates_whatever_else_is_unknown() {
        use Movement::*;
        let of = |states: &[Movement]| {
            let inputs: Vec<InputState> = states.iter().map(|state| input(*state)).collect();
            sum(&inputs)
        };
        assert_eq!(of(&[]), State::Current);
        assert_eq!(of(&[Same, Fixed]), State::Current);
        assert_eq!(of(&[Same, Failed]), State::Failed);
        assert_eq!(of(&[Failed, Moved]), State::Outdated);
        assert_eq!(of(&[Gone, Same]), State::Outdated);
    }
}
