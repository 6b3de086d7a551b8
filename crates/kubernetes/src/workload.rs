//! Where manifests describe pods, and what is changed there.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use ohoci_layer::Kind;
use ohoci_openhands::contract::terms::Terms;

use crate::change::{Change, Process};

/// The volume's name.
const VOLUME: &str = "openhands";

/// Where the deps are, in their image and in every container.
const PREFIX: &str = "/openhands";

/// Where the container that copies the deps has the volume.
const COPY_TO: &str = "/copy";

/// What copies the deps, by the interpreter that they bring.
const COPY: &str =
    "import shutil; shutil.copytree('/openhands', '/copy', symlinks=True, dirs_exist_ok=True)";

/// The volume of a contract's links, and where the container that makes them has it.
const LINKS_VOLUME: &str = "openhands-links";
const LINKS_TO: &str = "/links";

/// What makes links: pairs of paths and what they lead to.
const LINK: &str = "import os, sys\nwords = sys.argv[1:]\n\
    for path, target in zip(words[::2], words[1::2]):\n    \
    os.makedirs(os.path.dirname(path), exist_ok=True)\n    os.symlink(target, path)\n";

/// The interpreter that deps images bring.
const PYTHON: &str = "/openhands/bin/oh-python";

/// How the deps come into a pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// As an image volume: Kubernetes 1.33 and later, where the feature gate `ImageVolume` is on.
    #[default]
    ImageVolume,
    /// Copied into an empty directory before the containers start, on any cluster.
    Copy,
}

/// What is to be done with the pods of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The deps image, as a cluster reads it.
    pub deps: String,
    /// How it comes in.
    pub way: Way,
    /// The containers that get it; empty is all of them.
    pub containers: BTreeSet<String>,
    /// What a contract has besides the deps.
    pub links: Links,
}

/// The files of a contract, as far as a pod can have them beside an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// Symlinks below directories that are a contract's own, and what they lead to.
    pub own: BTreeMap<String, String>,
    /// What lies in directories that are an image's own, and does not come in.
    pub left: Vec<String>,
}

/// Directories of an image's own, into which no single file can be mounted from outside.
const OF_IMAGES: [&str; 6] = ["/usr", "/etc", "/home", "/workspace", "/openhands", "/opt"];

impl Links {
    /// The files of a contract with certain deps.
    #[must_use]
    pub fn of(terms: Terms) -> Self {
        let mut links = Self::default();
        // No contract's files are refused.
        let Ok(tree) = terms.tree() else {
            return links;
        };
        for (path, entry) in tree.iter() {
            let path = path.to_string();
            match &entry.kind {
                Kind::Symlink(target) if top(&path).is_some() => {
                    let target = String::from_utf8_lossy(target).into_owned();
                    links.own.insert(path, target);
                }
                _ if top(&path).is_none() => links.left.push(path),
                _ => {}
            }
        }
        links
    }

    /// The directories that links are mounted at.
    fn tops(&self) -> BTreeSet<&str> {
        self.own.keys().filter_map(|path| top(path)).collect()
    }
}

/// The first directory of a path, where that is no image's own.
fn top(path: &str) -> Option<&str> {
    let end = path
        .get(1..)?
        .find('/')
        .map_or(path.len(), |at| at.saturating_add(1));
    let first = path.get(..end)?;
    (!OF_IMAGES.contains(&first)).then_some(first)
}

/// A container of a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// `Deployment/NAME`, say.
    pub workload: String,
    /// The container's name.
    pub container: String,
}

/// What was done, or cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Where.
    pub place: Location,
    /// What.
    pub text: String,
    /// Whether the container will not work as it should.
    pub is_problem: bool,
}

/// Where a kind keeps the description of its pods; `None` for kinds that have none.
fn path_of(kind: &str) -> Option<&'static [&'static str]> {
    Some(match kind {
        "Pod" => &["spec"],
        "Deployment"
        | "StatefulSet"
        | "DaemonSet"
        | "ReplicaSet"
        | "ReplicationController"
        | "Job" => &["spec", "template", "spec"],
        "CronJob" => &["spec", "jobTemplate", "spec", "template", "spec"],
        "PodTemplate" => &["template", "spec"],
        _ => return None,
    })
}

/// Does something with each description of pods, lists of objects included.
fn each_pod(document: &mut Value, work: &mut dyn FnMut(&str, &mut Map<String, Value>)) {
    let kind = document
        .get("kind")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    if kind.ends_with("List") {
        let items = document.get_mut("items").and_then(Value::as_array_mut);
        for item in items.into_iter().flatten() {
            // A list in a list is none that a cluster takes.
            if item.get("items").is_none() {
                each_pod(item, work);
            }
        }
        return;
    }
    let Some(path) = path_of(&kind) else {
        return;
    };
    let meta = document.get("metadata");
    let text = |name: &str| meta.and_then(|meta| meta.get(name)?.as_str());
    let name = text("name")
        .or(text("generateName"))
        .unwrap_or("without a name");
    let workload = format!("{kind}/{name}");
    let pointer = format!("/{}", path.join("/"));
    if let Some(Value::Object(spec)) = document.pointer_mut(&pointer) {
        work(&workload, spec);
    }
}

fn containers(spec: &Map<String, Value>) -> impl Iterator<Item = &Map<String, Value>> {
    let list = spec.get("containers").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_object)
}

fn text<'a>(map: &'a Map<String, Value>, name: &str) -> &'a str {
    map.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The images of the containers that a wish is about.
#[must_use]
pub fn images(documents: &[Value], wish: &Wish) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for document in documents {
        each_pod(&mut document.clone(), &mut |_, spec| {
            let wanted = containers(spec).filter(|container| wish.is_about(container));
            found.extend(wanted.map(|container| text(container, "image").to_owned()));
        });
    }
    found
}

impl Wish {
    fn is_about(&self, container: &Map<String, Value>) -> bool {
        self.containers.is_empty() || self.containers.contains(text(container, "name"))
    }
}

/// Changes the pods of documents; `changes` are by image, with the reason where there is none.
pub fn rewrite(
    documents: &mut [Value],
    wish: &Wish,
    changes: &BTreeMap<String, Result<Change, String>>,
) -> Vec<Note> {
    let mut notes = Vec::new();
    for document in documents {
        each_pod(document, &mut |workload, spec| {
            Pod {
                workload,
                wish,
                changes,
                notes: &mut notes,
            }
            .rewrite(spec);
        });
    }
    notes
}

struct Pod<'a> {
    workload: &'a str,
    wish: &'a Wish,
    changes: &'a BTreeMap<String, Result<Change, String>>,
    notes: &'a mut Vec<Note>,
}

impl Pod<'_> {
    fn note(&mut self, container: &str, is_problem: bool, text: impl Into<String>) {
        self.notes.push(Note {
            place: Location {
                workload: self.workload.to_owned(),
                container: container.to_owned(),
            },
            text: text.into(),
            is_problem,
        });
    }

    fn rewrite(&mut self, spec: &mut Map<String, Value>) {
        let security = spec.get("securityContext").cloned().unwrap_or_default();
        let names_user = security.get("runAsUser").is_some();
        let taken = spec
            .get("volumes")
            .and_then(Value::as_array)
            .is_some_and(|volumes| {
                volumes
                    .iter()
                    .any(|volume| volume.get("name").and_then(Value::as_str) == Some(VOLUME))
            });
        if taken {
            self.note(
                "",
                true,
                format!("the pod has a volume {VOLUME} already; it is left as it is"),
            );
            return;
        }
        let mut changed = false;
        let list = spec.get_mut("containers").and_then(Value::as_array_mut);
        for container in list.into_iter().flatten() {
            if let Value::Object(container) = container
                && self.wish.is_about(container)
            {
                changed |= self.container(container, names_user);
            }
        }
        if !changed {
            return;
        }
        let deps = &self.wish.deps;
        let volume = match self.wish.way {
            Way::ImageVolume => json!({
                "name": VOLUME,
                "image": { "reference": deps, "pullPolicy": "IfNotPresent" },
            }),
            Way::Copy => json!({ "name": VOLUME, "emptyDir": {} }),
        };
        push(spec, "volumes", volume);
        let links = &self.wish.links.own;
        if !links.is_empty() {
            push(
                spec,
                "volumes",
                json!({ "name": LINKS_VOLUME, "emptyDir": {} }),
            );
            let mut command = vec![PYTHON.to_owned(), "-c".to_owned(), LINK.to_owned()];
            for (path, target) in links {
                command.extend([format!("{LINKS_TO}{path}"), target.clone()]);
            }
            let make = json!({
                "name": LINKS_VOLUME,
                "image": deps,
                "command": command,
                "volumeMounts": [{ "name": LINKS_VOLUME, "mountPath": LINKS_TO }],
            });
            first(spec, make);
        }
        if self.wish.way == Way::Copy {
            let copy = json!({
                "name": "openhands-copy",
                "image": deps,
                "command": [PYTHON, "-c", COPY],
                "volumeMounts": [{ "name": VOLUME, "mountPath": COPY_TO }],
            });
            first(spec, copy);
        }
    }

    /// Whether the container was changed.
    fn container(&mut self, container: &mut Map<String, Value>, pod_names_user: bool) -> bool {
        let name = text(container, "name").to_owned();
        let image = text(container, "image").to_owned();
        let change = match self.changes.get(&image) {
            Some(Ok(change)) => change.clone(),
            Some(Err(why)) => {
                self.note(&name, true, why.clone());
                return false;
            }
            None => {
                self.note(&name, true, format!("the image {image:?} was not read"));
                return false;
            }
        };
        let mounts = container.get("volumeMounts").and_then(Value::as_array);
        let over = mounts.into_iter().flatten().find_map(|mount| {
            let path = mount.get("mountPath")?.as_str()?.trim_end_matches('/');
            let is_over = path == PREFIX || PREFIX.starts_with(&format!("{path}/"));
            is_over.then(|| path.to_owned())
        });
        if let Some(path) = over {
            self.note(
                &name,
                true,
                format!("something is mounted at {path} already"),
            );
            return false;
        }
        let mut mount = json!({ "name": VOLUME, "mountPath": PREFIX, "readOnly": true });
        if self.wish.way == Way::ImageVolume
            && let Value::Object(mount) = &mut mount
        {
            mount.insert("subPath".to_owned(), PREFIX.trim_start_matches('/').into());
        }
        push(container, "volumeMounts", mount);
        self.note(
            &name,
            false,
            format!("{} is mounted at {PREFIX}", self.wish.deps),
        );
        for top in self.wish.links.tops() {
            let mount = json!({
                "name": LINKS_VOLUME,
                "mountPath": top,
                "subPath": top.trim_start_matches('/'),
                "readOnly": true,
            });
            push(container, "volumeMounts", mount);
            self.note(
                &name,
                false,
                format!("links to the deps are mounted at {top}"),
            );
        }
        if !self.wish.links.left.is_empty() {
            let left = self.wish.links.left.join(", ");
            self.note(
                &name,
                false,
                format!("of the contract these do not come in: {left}"),
            );
        }
        self.environment(container, &name, &change);
        self.command(container, &name, &change);
        self.user(container, &name, &change, pod_names_user);
        let (before, after) = (&change.before.working_dir, &change.after.working_dir);
        if before != after && !container.contains_key("workingDir") {
            container.insert("workingDir".to_owned(), after.clone().into());
            self.note(&name, false, format!("workingDir: {after}"));
        }
        true
    }

    fn environment(&mut self, container: &mut Map<String, Value>, name: &str, change: &Change) {
        let has_sources = container.get("envFrom").is_some();
        for variable in differing(&change.before, &change.after) {
            let wanted = change.after.variable(&variable);
            let entries = container.get("env").and_then(Value::as_array);
            let said = entries
                .into_iter()
                .flatten()
                .find(|entry| entry.get("name").and_then(Value::as_str) == Some(variable.as_str()));
            if let Some(said) = said {
                let is_the_same = said.get("value").and_then(Value::as_str) == wanted;
                if !is_the_same {
                    let text = format!(
                        "{variable} is set in the manifest and stays so; with the deps it would be {}",
                        wanted.unwrap_or("unset")
                    );
                    self.note(name, true, text);
                }
                continue;
            }
            let Some(wanted) = wanted else {
                let text = format!("{variable} would be unset, which a manifest cannot say");
                self.note(name, true, text);
                continue;
            };
            // `$(NAME)` would be replaced by the kubelet; `$$` is a dollar.
            let value = wanted.replace("$(", "$$(");
            push(
                container,
                "env",
                json!({ "name": variable, "value": value }),
            );
            self.note(name, false, format!("{variable}={wanted}"));
            if has_sources {
                let text =
                    format!("{variable} goes before the same name in envFrom, if it is there");
                self.note(name, false, text);
            }
        }
    }

    fn command(&mut self, container: &mut Map<String, Value>, name: &str, change: &Change) {
        let (before, after) = (&change.before, &change.after);
        if container.contains_key("command")
            || (before.entrypoint == after.entrypoint && before.cmd == after.cmd)
        {
            return;
        }
        let words = |list: &[String]| -> Value {
            list.iter()
                .map(|word| word.replace("$(", "$$("))
                .collect::<Vec<_>>()
                .into()
        };
        if before.entrypoint != after.entrypoint {
            if after.entrypoint.is_empty() {
                self.note(
                    name,
                    true,
                    "the entrypoint would be none, which a manifest cannot say",
                );
                return;
            }
            container.insert("command".to_owned(), words(&after.entrypoint));
            self.note(
                name,
                false,
                format!("command: {}", after.entrypoint.join(" ")),
            );
        }
        // A command of the manifest takes the image's arguments away.
        if !container.contains_key("args") && !after.cmd.is_empty() {
            container.insert("args".to_owned(), words(&after.cmd));
            self.note(name, false, format!("args: {}", after.cmd.join(" ")));
        }
    }

    fn user(
        &mut self,
        container: &mut Map<String, Value>,
        name: &str,
        change: &Change,
        pod_names_user: bool,
    ) {
        let (before, after) = (&change.before.user, &change.after.user);
        let own = container.get("securityContext");
        if before == after
            || pod_names_user
            || own.is_some_and(|own| own.get("runAsUser").is_some())
        {
            return;
        }
        let (user, group) = after.split_once(':').unwrap_or((after, ""));
        let number = |text: &str| text.parse::<u32>().ok();
        let Some(user) = number(user) else {
            let text = format!("it would run as {after:?}, and a manifest names users by number");
            self.note(name, true, text);
            return;
        };
        let entry = container
            .entry("securityContext")
            .or_insert_with(|| json!({}));
        if let Value::Object(security) = entry {
            security.insert("runAsUser".to_owned(), user.into());
            if let Some(group) = number(group)
                && !security.contains_key("runAsGroup")
            {
                security.insert("runAsGroup".to_owned(), group.into());
            }
        }
        self.note(name, false, format!("runAsUser: {after}"));
    }
}

/// Variables that differ, in the order of the new ones, then of those that are gone.
fn differing(before: &Process, after: &Process) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for name in after.names().chain(before.names()) {
        if before.variable(name) != after.variable(name) && !found.iter().any(|known| known == name)
        {
            found.push(name.to_owned());
        }
    }
    found
}

/// Puts a container before those that prepare the pod.
fn first(spec: &mut Map<String, Value>, container: Value) {
    let entry = spec.entry("initContainers").or_insert_with(|| json!([]));
    if entry.is_null() {
        *entry = json!([]);
    }
    if let Value::Array(list) = entry {
        list.insert(0, container);
    }
}

fn push(map: &mut Map<String, Value>, list: &str, value: Value) {
    let entry = map.entry(list).or_insert_with(|| json!([]));
    // `volumes: null` is as good as none.
    if entry.is_null() {
        *entry = json!([]);
    }
    if let Value::Array(list) = entry {
        list.push(value);
    }
}

#[cfg(test)]
mod tests;
