//! Several patches as one.

use super::ConfigPatch;

/// Patches one after the other as one: of single values and variables the last one counts, lists
/// add up.
#[must_use]
pub fn merged<'a>(patches: impl IntoIterator<Item = &'a ConfigPatch>) -> ConfigPatch {
    let mut all = ConfigPatch::default();
    for patch in patches {
        for name in &patch.unset_env {
            all.env.retain(|(set, _)| set != name);
            if !all.unset_env.contains(name) {
                all.unset_env.push(name.clone());
            }
        }
        for (name, value) in &patch.env {
            all.set_env(name.clone(), value.clone());
        }
        patch.unset.forget(&mut all);
        let ConfigPatch {
            env: _,
            unset_env: _,
            entrypoint,
            keep_cmd,
            cmd,
            user,
            working_dir,
            labels,
            exposed_ports,
            volumes,
            stop_signal,
            unset,
        } = patch.clone();
        all.entrypoint = entrypoint.or(all.entrypoint);
        all.keep_cmd |= keep_cmd;
        all.cmd = cmd.or(all.cmd);
        all.user = user.or(all.user);
        all.working_dir = working_dir.or(all.working_dir);
        all.labels.extend(labels);
        all.exposed_ports.extend(exposed_ports);
        all.volumes.extend(volumes);
        all.stop_signal = stop_signal.or(all.stop_signal);
        all.unset.extend(unset);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::super::{Setting, Unset};
    use super::*;

    #[test]
    fn the_last_one_counts_and_lists_add_up() {
        let patch = |env: &[(&str, &str)], user: Option<&str>, port: &str| ConfigPatch {
            env: env
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            user: user.map(str::to_owned),
            exposed_ports: [port.to_owned()].into(),
            ..ConfigPatch::default()
        };
        let one = patch(&[("A", "1"), ("B", "1")], Some("root"), "80");
        let two = patch(&[("B", "2")], None, "443");
        let all = merged([&one, &two]);
        assert_eq!(
            all.env,
            [("A", "1"), ("B", "2")].map(|(n, v)| (n.to_owned(), v.to_owned()))
        );
        assert_eq!(all.user.as_deref(), Some("root"));
        assert_eq!(all.exposed_ports.len(), 2);
        let unset = ConfigPatch {
            unset_env: vec!["A".to_owned()],
            ..ConfigPatch::default()
        };
        assert_eq!(merged([&one, &unset]).env.len(), 1);
        let unset = ConfigPatch {
            unset: Unset {
                ports: ["80/tcp".to_owned()].into(),
                settings: [Setting::User].into(),
                ..Unset::default()
            },
            ..ConfigPatch::default()
        };
        let all = merged([&one, &two, &unset]);
        assert_eq!(all.user, None);
        assert_eq!(all.exposed_ports, ["443".to_owned()].into());
        // One after the other: what is set later stays.
        assert_eq!(merged([&unset, &one]).user.as_deref(), Some("root"));
    }
}
