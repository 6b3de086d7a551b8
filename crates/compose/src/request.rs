//! What is asked of a compose run, and what the project's file says of the rest, as a job.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::fit::Fit;
use super::job::{IfExists, Job};
use super::local::LocalLayer;
use super::read::Choice;
use ohoci_config::ComposeDefaults;
use ohoci_image::Reference;
use ohoci_image::compose::{MAX_LAYERS, USUAL_LAYERS};
use ohoci_image::config_patch::{ConfigPatch, PatchError};
use ohoci_image::label::Position;

/// What is asked for. Where something is left open, the project's file has it, or else a default.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The base image.
    pub base: Option<Reference>,
    /// Where the result goes.
    pub push: Vec<Reference>,
    /// Images whose layers and patches are added, in order.
    pub deps: Vec<Reference>,
    /// Take only this path out of the deps images.
    pub deps_path: Option<String>,
    /// Layers of this machine's files, `[PLATFORM=]PATH[:DEST]` each.
    pub layers: Vec<String>,
    /// Which platforms.
    pub choice: Option<Choice>,
    /// Config changes.
    pub patch: ConfigPatch,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// Where added layers go.
    pub position: Option<Position>,
    /// What to do when a target reference exists.
    pub if_exists: Option<IfExists>,
    /// What a base is given where it lacks it.
    pub fit: Fit,
    /// Refuse images of more layers than this.
    pub max_layers: Option<usize>,
    /// Fail rather than move layer bytes.
    pub no_upload: bool,
    /// Do nothing but read.
    pub dry_run: bool,
    /// `created` of the result, RFC 3339.
    pub created: Option<String>,
}

/// What is wrong with a request, whatever images it names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// A base is given links to tools that nothing brings.
    #[error("--fit links to the tools of a deps image, and there is none")]
    NothingToFit,
    /// A limit that no image can have.
    #[error("--max-layers {0}: it is from 1 to {MAX_LAYERS}")]
    MaxLayers(usize),
    /// Config changes that contradict each other or are not of their form.
    #[error(transparent)]
    Patch(#[from] PatchError),
}

impl Request {
    /// The same, with what the project's file says where the request leaves it open. Variables,
    /// labels, annotations, ports and volumes add up.
    ///
    /// # Errors
    /// What is wrong with it whatever its images turn out to be.
    pub fn over(self, defaults: &ComposeDefaults) -> Result<Self, RequestError> {
        let or = |own: Vec<Reference>, project: &[Reference]| match own.is_empty() {
            true => project.to_vec(),
            false => own,
        };
        let deps = or(self.deps, &defaults.deps);
        let layers = match self.layers.is_empty() {
            true => defaults.layer.clone(),
            false => self.layers,
        };
        if self.fit != Fit::None && deps.is_empty() && layers.is_empty() {
            return Err(RequestError::NothingToFit);
        }
        if let Some(count) = self.max_layers
            && !(1..=MAX_LAYERS).contains(&count)
        {
            return Err(RequestError::MaxLayers(count));
        }
        let mut annotations = defaults.annotation.clone();
        annotations.extend(self.annotations);
        Ok(Self {
            base: self.base.or_else(|| defaults.base.clone()),
            push: or(self.push, &defaults.push),
            deps,
            layers,
            choice: self.choice.or_else(|| choice(defaults)),
            patch: patch_over(defaults, self.patch)?,
            annotations,
            position: self.position.or(defaults.position),
            if_exists: self.if_exists.or(defaults.if_exists),
            no_upload: self.no_upload || defaults.no_upload.unwrap_or_default(),
            ..self
        })
    }

    /// The job: with these layers, which its own have become. Without a base it is on `scratch`. What
    /// is made on the way is written into `work_dir`.
    #[must_use]
    pub fn job(self, layers: Vec<LocalLayer>, work_dir: PathBuf) -> Job {
        let base = self.base.unwrap_or(Reference::Scratch);
        Job {
            deps: self.deps,
            deps_path: self.deps_path,
            layers,
            push: self.push,
            choice: self.choice.unwrap_or(Choice::Default),
            patch: self.patch,
            annotations: self.annotations,
            position: self.position.unwrap_or_default(),
            if_exists: self.if_exists.unwrap_or_default(),
            fit: self.fit,
            max_layers: self.max_layers.unwrap_or(USUAL_LAYERS),
            no_upload: self.no_upload,
            dry_run: self.dry_run,
            created: self.created,
            ..Job::on(base, work_dir)
        }
    }
}

fn choice(defaults: &ComposeDefaults) -> Option<Choice> {
    if !defaults.platform.is_empty() {
        return Some(Choice::Platforms(defaults.platform.clone()));
    }
    let is_all = defaults.all_platforms.unwrap_or_default();
    is_all.then_some(Choice::All)
}

/// The request's patch over the project's: lists add up, single values are replaced.
fn patch_over(defaults: &ComposeDefaults, own: ConfigPatch) -> Result<ConfigPatch, PatchError> {
    let is_own = |name: &String| own.env.iter().any(|(given, _)| given == name);
    let mut env: Vec<(String, String)> = defaults
        .env
        .iter()
        .filter(|(name, _)| !own.unset_env.contains(name) && !is_own(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    env.extend(own.env);
    let mut unset_env: Vec<String> = defaults
        .unset_env
        .iter()
        .filter(|name| !env.iter().any(|(set, _)| set == *name))
        .cloned()
        .collect();
    for name in own.unset_env {
        if !unset_env.contains(&name) {
            unset_env.push(name);
        }
    }
    let labels = defaults.label.iter();
    let mut labels: BTreeMap<String, Option<String>> = labels
        .map(|(key, value)| (key.clone(), Some(value.clone())))
        .collect();
    labels.extend(own.labels);
    // What the project's file sets is not what a flag takes away.
    let mut set = ConfigPatch {
        user: defaults.user.clone(),
        working_dir: defaults.workdir.clone(),
        exposed_ports: defaults.expose.iter().cloned().collect(),
        volumes: defaults.volume.iter().cloned().collect(),
        stop_signal: defaults.stop_signal.clone(),
        ..ConfigPatch::default()
    };
    own.unset.forget(&mut set);
    let mut exposed_ports = own.exposed_ports;
    exposed_ports.extend(set.exposed_ports);
    let mut volumes = own.volumes;
    volumes.extend(set.volumes);
    let patch = ConfigPatch {
        env,
        unset_env,
        entrypoint: own.entrypoint.or_else(|| defaults.entrypoint.clone()),
        keep_cmd: own.keep_cmd || defaults.keep_cmd.unwrap_or_default(),
        cmd: own.cmd.or_else(|| defaults.cmd.clone()),
        user: own.user.or(set.user),
        working_dir: own.working_dir.or(set.working_dir),
        labels,
        exposed_ports,
        volumes,
        stop_signal: own.stop_signal.or(set.stop_signal),
        unset: own.unset,
    };
    patch.check()?;
    Ok(patch)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults(text: &str) -> ComposeDefaults {
        let directory = tempfile::tempdir().unwrap();
        fs_err::write(
            directory.path().join(ohoci_config::PROJECT_FILE),
            format!("[compose]\n{text}"),
        )
        .unwrap();
        let environment = ohoci_config::Environment::of([]);
        let config = ohoci_config::Config::load(&environment, directory.path()).unwrap();
        config.compose().clone()
    }

    fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn what_is_left_open_is_the_projects_to_say() {
        let defaults = defaults(
            "base = \"registry.example/base:1\"\npush = [\"registry.example/out:1\"]\n\
             user = \"1000\"\nexpose = [\"80\"]\nno-upload = true\nplatform = [\"linux/arm64\"]\n",
        );
        let own = Request {
            push: vec!["registry.example/mine:2".parse().unwrap()],
            patch: ConfigPatch {
                exposed_ports: ["443".to_owned()].into(),
                ..ConfigPatch::default()
            },
            ..Request::default()
        };
        let job = own.over(&defaults).unwrap().job(Vec::new(), "/tmp".into());
        assert_eq!(job.base.to_string(), "registry.example/base:1");
        assert_eq!(job.push.len(), 1);
        assert_eq!(job.push[0].to_string(), "registry.example/mine:2");
        assert_eq!(job.patch.user.as_deref(), Some("1000"));
        assert_eq!(job.patch.exposed_ports.len(), 2);
        assert!(job.no_upload);
        assert!(matches!(job.choice, Choice::Platforms(list) if list.len() == 1));
    }

    #[test]
    fn variables_of_the_request_replace_those_of_the_project() {
        let defaults = defaults("env = { A = \"1\", B = \"1\", C = \"1\" }\nunset-env = [\"D\"]\n");
        let own = Request {
            patch: ConfigPatch {
                env: env(&[("B", "2"), ("D", "2")]),
                unset_env: vec!["C".to_owned()],
                ..ConfigPatch::default()
            },
            ..Request::default()
        };
        let patch = own.over(&defaults).unwrap().patch;
        assert_eq!(patch.env, env(&[("A", "1"), ("B", "2"), ("D", "2")]));
        assert_eq!(patch.unset_env, ["C"]);
    }

    #[test]
    fn a_request_that_no_image_can_fulfil_is_refused() {
        let refused = |request: Request| request.over(&ComposeDefaults::default()).unwrap_err();
        let fit = |fit: &str| fit.parse::<Fit>().unwrap();
        let nothing = Request {
            fit: fit("auto"),
            ..Request::default()
        };
        assert_eq!(refused(nothing.clone()), RequestError::NothingToFit);
        let project = defaults("layer = [\"tools\"]\n");
        assert!(nothing.over(&project).is_ok());
        for count in [0, MAX_LAYERS + 1] {
            let many = Request {
                max_layers: Some(count),
                ..Request::default()
            };
            assert_eq!(refused(many), RequestError::MaxLayers(count));
        }
    }
}
