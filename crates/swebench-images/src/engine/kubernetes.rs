//! An Indexed Job for Kubernetes.

use serde_json::{Value, json};

use super::{Shards, name, quoted};

/// Where pods see what registries ask for, as `docker login` keeps it.
const SECRETS: &str = "/var/run/secrets/registries";

/// What a Kubernetes Job needs beside.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// An image with ohoci and bubblewrap in it.
    pub image: String,
    /// The claim of the volume that all shards see, mounted at the directory; without one, each has
    /// an empty directory there.
    pub claim: Option<String>,
    /// The secret with what registries ask for, of type `kubernetes.io/dockerconfigjson`.
    pub secret: Option<String>,
    /// The priority of the memory and processors of one shard, such as `4Gi` and `2`.
    pub memory: Option<String>,
    /// Processors of one shard.
    pub cpus: Option<String>,
}

/// A Job in Indexed mode, as JSON, which `kubectl apply -f` takes.
///
/// Source: Kubernetes' API reference, `batch/v1` Job. Sandboxes need user namespaces and a `/proc` of
/// their own, which is what `hostUsers`, `procMount` and the profiles are for.
pub(super) fn job(shards: &Shards<'_>, cluster: &Cluster) -> Value {
    let script = format!(
        "exec {} --shard \"$JOB_COMPLETION_INDEX/{}\"",
        quoted(shards.command),
        shards.count
    );
    let mut requests = serde_json::Map::new();
    for (name, value) in [("memory", &cluster.memory), ("cpu", &cluster.cpus)] {
        if let Some(value) = value {
            requests.insert(name.to_owned(), json!(value));
        }
    }
    let place = match &cluster.claim {
        Some(claim) => json!({"name": "run", "persistentVolumeClaim": {"claimName": claim}}),
        None => json!({"name": "run", "emptyDir": {}}),
    };
    let mut volumes = vec![place];
    let mut mounts = vec![json!({"name": "run", "mountPath": shards.directory})];
    let mut environment = Vec::new();
    let mut pulling = Vec::new();
    if let Some(secret) = &cluster.secret {
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
            "name": name(shards.name),
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

#[cfg(test)]
mod tests {
    use super::super::tests::{command, shards};
    use super::*;

    #[test]
    fn a_job_for_kubernetes_starts_one_shard_per_index() {
        let command = command();
        let cluster = Cluster {
            image: "registry.example/ohoci:1".to_owned(),
            claim: Some("runs".to_owned()),
            secret: None,
            memory: Some("4Gi".to_owned()),
            cpus: None,
        };
        let job = job(&shards(&command), &cluster);
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
            image: "registry.example/ohoci:1".to_owned(),
            claim: None,
            secret: Some("logins".to_owned()),
            memory: None,
            cpus: None,
        };
        let job = job(&shards(&command), &cluster);
        let pod = &job["spec"]["template"]["spec"];
        assert_eq!(pod["volumes"][0], json!({"name": "run", "emptyDir": {}}));
        assert_eq!(pod["volumes"][1]["secret"]["secretName"], "logins");
        assert_eq!(pod["imagePullSecrets"], json!([{"name": "logins"}]));
        let variable = json!([{"name": "DOCKER_CONFIG", "value": SECRETS}]);
        assert_eq!(pod["containers"][0]["env"], variable);
    }
}
