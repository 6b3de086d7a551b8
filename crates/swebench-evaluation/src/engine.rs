//! Shards of a run for a scheduler of other machines: a job array for Slurm, an Indexed Job for
//! Kubernetes. Shards leave their files in one folder, which all of them see, or a registry carries
//! them.

use std::fmt::Write as _;
use std::str::FromStr;

use serde_json::{Value, json};

/// One of the parts that a run is divided into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Which, from 0.
    pub index: usize,
    /// Of how many.
    pub of: usize,
}

/// Why text names no shard.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no shard; write INDEX/COUNT, with an index from 0 to below the count")]
pub struct ShardError(String);

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        let read = || {
            let (index, of) = text.split_once('/')?;
            let shard = Self {
                index: index.parse().ok()?,
                of: of.parse().ok()?,
            };
            (shard.index < shard.of).then_some(shard)
        };
        read().ok_or_else(|| ShardError(text.to_owned()))
    }
}

impl Shard {
    /// Whether an instance is part of it, by its place in the dataset. Neighbours are of the same
    /// repository mostly, and take alike long: they go to different shards.
    #[must_use]
    pub fn has(&self, place: usize) -> bool {
        place % self.of == self.index
    }
}

/// What shards have in common.
#[derive(Clone, Debug)]
pub struct Shards<'a> {
    /// The run.
    pub run_id: &'a str,
    /// How many there are.
    pub count: usize,
    /// How many run at once; `None` for as many as the scheduler lets.
    pub at_once: Option<usize>,
    /// The command line of one, without the shard.
    pub command: &'a [String],
    /// The directory that it is started in.
    pub directory: &'a str,
}

/// A batch script for `sbatch`; `options` are lines for `#SBATCH`.
///
/// Source: sbatch(1), "--array" and "OUTPUT ENVIRONMENT VARIABLES".
#[must_use]
pub fn slurm_script(shards: &Shards<'_>, options: &[String], logs: &str) -> String {
    let last = shards.count.saturating_sub(1);
    let at_once = shards
        .at_once
        .map_or_else(String::new, |count| format!("%{count}"));
    let mut text = String::from("#!/bin/bash\n");
    for option in [
        format!("--job-name={}", name(shards.run_id)),
        format!("--array=0-{last}{at_once}"),
        format!("--chdir={}", shards.directory),
        format!("--output={logs}/shard-%a.log"),
    ]
    .iter()
    .chain(options)
    {
        let _ = writeln!(text, "#SBATCH {}", one_line(option));
    }
    let _ = writeln!(
        text,
        "exec {} --shard \"$SLURM_ARRAY_TASK_ID/{}\"",
        quoted(shards.command),
        shards.count
    );
    text
}

/// Where pods see what registries ask for, as `docker login` keeps it.
const SECRETS: &str = "/var/run/secrets/registries";

/// What a Kubernetes Job needs beside.
#[derive(Clone, Copy, Debug)]
pub struct Cluster<'a> {
    /// An image with ohoci and bubblewrap in it.
    pub image: &'a str,
    /// The claim of the volume that all shards see, mounted at the directory; without one, each has
    /// an empty directory there.
    pub claim: Option<&'a str>,
    /// The secret with what registries ask for, of type `kubernetes.io/dockerconfigjson`.
    pub secret: Option<&'a str>,
    /// The priority of the memory and processors of one shard, such as `4Gi` and `2`.
    pub memory: Option<&'a str>,
    /// Processors of one shard.
    pub cpus: Option<&'a str>,
}

/// A Job in Indexed mode, as JSON, which `kubectl apply -f` takes.
///
/// Source: Kubernetes' API reference, `batch/v1` Job. Sandboxes need user namespaces and a `/proc` of
/// their own, which is what `hostUsers`, `procMount` and the profiles are for.
#[must_use]
pub fn kubernetes_job(shards: &Shards<'_>, cluster: &Cluster<'_>) -> Value {
    let script = format!(
        "exec {} --shard \"$JOB_COMPLETION_INDEX/{}\"",
        quoted(shards.command),
        shards.count
    );
    let mut requests = serde_json::Map::new();
    for (name, value) in [("memory", cluster.memory), ("cpu", cluster.cpus)] {
        if let Some(value) = value {
            requests.insert(name.to_owned(), json!(value));
        }
    }
    let place = match cluster.claim {
        Some(claim) => json!({"name": "run", "persistentVolumeClaim": {"claimName": claim}}),
        None => json!({"name": "run", "emptyDir": {}}),
    };
    let mut volumes = vec![place];
    let mut mounts = vec![json!({"name": "run", "mountPath": shards.directory})];
    let mut environment = Vec::new();
    let mut pulling = Vec::new();
    if let Some(secret) = cluster.secret {
        let items = json!([{"key": ".dockerconfigjson", "path": "config.json"}]);
        volumes
            .push(json!({"name": "registries", "secret": {"secretName": secret, "items": items}}));
        mounts.push(json!({"name": "registries", "mountPath": SECRETS, "readOnly": true}));
        environment.push(json!({"name": "DOCKER_CONFIG", "value": SECRETS}));
        pulling.push(json!({"name": secret}));
    }
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name(shards.run_id),
            "labels": {"app.kubernetes.io/name": "ohoci", "app.kubernetes.io/component": "swebench"},
        },
        "spec": {
            "completionMode": "Indexed",
            "completions": shards.count,
            "parallelism": shards.at_once.unwrap_or(shards.count),
            "backoffLimitPerIndex": 2,
            "template": {
                "spec": {
                    "restartPolicy": "Never",
                    "hostUsers": false,
                    "securityContext": {
                        "seccompProfile": {"type": "Unconfined"},
                        "appArmorProfile": {"type": "Unconfined"},
                    },
                    "containers": [{
                        "name": "shard",
                        "image": cluster.image,
                        "command": ["/bin/sh", "-c", script],
                        "workingDir": shards.directory,
                        "securityContext": {"procMount": "Unmasked"},
                        "resources": {"requests": requests},
                        "env": environment,
                        "volumeMounts": mounts,
                    }],
                    "imagePullSecrets": pulling,
                    "volumes": volumes,
                },
            },
        },
    })
}

/// A name that Kubernetes takes (RFC 1123, labels), and Slurm anyway.
fn name(run_id: &str) -> String {
    let name: String = run_id
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(50)
        .collect();
    format!("ohoci-{}", name.trim_matches('-'))
        .trim_end_matches('-')
        .to_owned()
}

/// A command line for a shell.
#[must_use]
pub fn quoted(words: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    let quote = |word: &String| {
        if !word.is_empty() && word.chars().all(plain) {
            word.clone()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    };
    words.iter().map(quote).collect::<Vec<_>>().join(" ")
}

fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shards(command: &[String]) -> Shards<'_> {
        Shards {
            run_id: "My run_1",
            count: 3,
            at_once: Some(2),
            command,
            directory: "/work",
        }
    }

    fn command() -> Vec<String> {
        ["ohoci", "swebench", "it's", ""].map(str::to_owned).into()
    }

    #[test]
    fn every_instance_is_in_one_shard() {
        let all = [0, 1, 2].map(|index| Shard { index, of: 3 });
        for place in 0..10 {
            assert_eq!(all.iter().filter(|shard| shard.has(place)).count(), 1);
        }
        assert_eq!("2/3".parse(), Ok(all[2]));
        for wrong in ["3/3", "0/0", "1", "-1/2", "a/b"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_script_for_slurm_starts_one_shard_per_task() {
        let command = command();
        let text = slurm_script(&shards(&command), &["--partition=x".to_owned()], "/logs");
        let expected = "#!/bin/bash\n#SBATCH --job-name=ohoci-my-run-1\n#SBATCH --array=0-2%2\n#SBATCH --chdir=/work\n#SBATCH --output=/logs/shard-%a.log\n#SBATCH --partition=x\nexec ohoci swebench 'it'\\''s' '' --shard \"$SLURM_ARRAY_TASK_ID/3\"\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_job_for_kubernetes_starts_one_shard_per_index() {
        let command = command();
        let cluster = Cluster {
            image: "registry.example/ohoci:1",
            claim: Some("runs"),
            secret: None,
            memory: Some("4Gi"),
            cpus: None,
        };
        let job = kubernetes_job(&shards(&command), &cluster);
        assert_eq!(job["metadata"]["name"], "ohoci-my-run-1");
        assert_eq!(job["spec"]["completions"], 3);
        assert_eq!(job["spec"]["parallelism"], 2);
        let container = &job["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(
            container["resources"],
            json!({"requests": {"memory": "4Gi"}})
        );
        assert_eq!(
            container["command"][2],
            "exec ohoci swebench 'it'\\''s' '' --shard \"$JOB_COMPLETION_INDEX/3\""
        );
        let claim = &job["spec"]["template"]["spec"]["volumes"][0]["persistentVolumeClaim"];
        assert_eq!(claim["claimName"], "runs");
    }

    #[test]
    fn pods_whose_results_a_registry_carries_need_no_volume() {
        let command = command();
        let cluster = Cluster {
            image: "registry.example/ohoci:1",
            claim: None,
            secret: Some("logins"),
            memory: None,
            cpus: None,
        };
        let job = kubernetes_job(&shards(&command), &cluster);
        let pod = &job["spec"]["template"]["spec"];
        assert_eq!(pod["volumes"][0], json!({"name": "run", "emptyDir": {}}));
        assert_eq!(pod["volumes"][1]["secret"]["secretName"], "logins");
        assert_eq!(pod["imagePullSecrets"], json!([{"name": "logins"}]));
        let variable = json!([{"name": "DOCKER_CONFIG", "value": SECRETS}]);
        assert_eq!(pod["containers"][0]["env"], variable);
    }
}
