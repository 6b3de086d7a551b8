//! What a contract comes to with the deps that keep it: a layer and a patch of the config.
//!
//! Source of v1: the paths in `openhands-workspace` of the software-agent-sdk and the config of its
//! agent-server images (`openhands/agent_server/docker/Dockerfile` in the package openhands-agent-server
//! 1.58.2). Of v0:
//! `openhands/runtime/impl/docker/docker_runtime.py` and `utils/runtime_templates/Dockerfile.j2` of
//! openhands-ai.

use std::path::Path;

use super::Contract;
use ohoci_compose::local::LocalLayer;
use ohoci_image::config_patch::ConfigPatch;
use ohoci_layer::path::PathError;
use ohoci_layer::tree::TreeError;
use ohoci_layer::{Content, Entry, Kind, LayerPath, PackOptions, Rules, Tree};

/// Whether deps bring the ACP command lines, for which upstream's images have a directory of their own (V1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acp {
    /// They do.
    There,
    /// They do not.
    Absent,
}

/// A contract with certain deps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    contract: Contract,
    acp: Acp,
}

/// The user and group of upstream's images (V1).
const USER: u32 = 10001;

/// What Claude Code may do without asking, since a sandbox has no user to ask; as in upstream's images (V1).
const CLAUDE_CODE: &str = r#"{"permissions":{"allow":["Edit","Read","Bash"]}}"#;

/// Why there is no layer.
#[derive(Debug, thiserror::Error)]
pub enum ContractError {
    /// A path that cannot be in a layer.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A tree that contradicts itself.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// It cannot be written.
    #[error("{}: {}", .0.what(), .0.why())]
    Pack(ohoci_store::Error),
}

impl Terms {
    /// A contract, with the ACP command lines of a deps image or without.
    #[must_use]
    pub fn new(contract: Contract, acp: Acp) -> Self {
        Self { contract, acp }
    }

    /// What its layer is called in an image's record.
    #[must_use]
    pub fn name(self) -> &'static str {
        match (self.contract, self.acp) {
            (Contract::V0, _) => "ohoci-contract:v0",
            (Contract::V1, Acp::There) => "ohoci-contract:v1",
            (Contract::V1, Acp::Absent) => "ohoci-contract:v1-without-acp",
        }
    }

    /// Its layer, packed.
    ///
    /// # Errors
    /// When it cannot be written into `work_dir`.
    pub fn layer(
        self,
        options: &PackOptions,
        work_dir: &Path,
    ) -> Result<LocalLayer, ContractError> {
        let created_by = format!("ohoci: contract {}", self.contract.short_name());
        let name = self.name().to_owned();
        LocalLayer::of_tree(name, self.tree()?, created_by, options, work_dir)
            .map_err(ContractError::Pack)
    }

    /// What is in the layer of a contract that is called this in an image's record; `None` for any
    /// other layer.
    #[must_use]
    pub fn known_layer(name: &str) -> Option<Tree> {
        let all = [
            Self::new(Contract::V0, Acp::Absent),
            Self::new(Contract::V1, Acp::Absent),
            Self::new(Contract::V1, Acp::There),
        ];
        let terms = all.into_iter().find(|terms| terms.name() == name)?;
        terms.tree().ok()
    }

    /// The files of its layer: links to what a deps image has below `/openhands`, and the workspace.
    ///
    /// # Errors
    /// When a path or the tree is refused, which no contract's is.
    pub fn tree(self) -> Result<Tree, ContractError> {
        let mut tree = Tree::new();
        let mut put = |path: &str, entry: Entry| -> Result<(), ContractError> {
            let path = LayerPath::parse(path.as_bytes())?;
            tree.insert(path, entry, Rules::Foreign)?;
            Ok(())
        };
        let directory = |mode| Entry::new(Kind::Directory, mode);
        let link = |target: &str| Entry::new(Kind::Symlink(target.as_bytes().to_vec()), 0o777);
        match self.contract {
            Contract::V0 => {
                // Launchers start there, whether or not the project's source is in the image.
                put("openhands/code", directory(0o755))?;
                put("workspace", directory(0o777))?;
            }
            Contract::V1 => {
                // Whatever uid a launcher chooses can work there.
                let workspace = Entry {
                    uid: USER,
                    gid: USER,
                    ..directory(0o777)
                };
                for path in [
                    "agent-server",
                    "agent-server/.venv",
                    "agent-server/.venv/bin",
                ] {
                    put(path, directory(0o755))?;
                }
                // By way of the wrapper, which knows the server: a base's PYTHONHOME does not stop it,
                // and the first process of a container waits for orphans.
                for python in ["python", "python3"] {
                    let path = format!("agent-server/.venv/bin/{python}");
                    put(&path, link("/openhands/bin/oh-python"))?;
                }
                for name in ["lib", "pyvenv.cfg"] {
                    let path = format!("agent-server/.venv/{name}");
                    put(&path, link(&format!("/openhands/poetry/oh/{name}")))?;
                }
                put(
                    "usr/local/bin/openhands-agent-server",
                    link("/openhands/bin/oh-agent-server"),
                )?;
                if self.acp == Acp::There {
                    put("acp-node", directory(0o755))?;
                    for name in ["bin", "lib"] {
                        let target = format!("/openhands/acp-node/{name}");
                        put(&format!("acp-node/{name}"), link(&target))?;
                    }
                }
                let file = |text: String, mode| {
                    let content = Content::Memory(text.into_bytes().into());
                    Entry::new(Kind::File(content), mode)
                };
                let settings = file(format!("{CLAUDE_CODE}\n"), 0o644);
                put("etc/claude-code/managed-settings.json", settings)?;
                // As upstream's images have it; by number, since the name is the base's to give.
                let rule = format!("#{USER} ALL=(ALL:ALL) NOPASSWD: ALL\n");
                put("etc/sudoers.d/openhands", file(rule, 0o440))?;
                put("home/openhands", workspace.clone())?;
                put("workspace", workspace.clone())?;
                put("workspace/project", workspace)?;
            }
        }
        Ok(tree)
    }

    /// What it changes in the config, below what the flags say.
    #[must_use]
    pub fn patch(self) -> ConfigPatch {
        let env = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter();
            let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            pairs.map(owned).collect()
        };
        let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect();
        match self.contract {
            // Launchers give the whole command, so that entrypoint and command stay the base's.
            Contract::V0 => ConfigPatch {
                // The server adds the user that it works as.
                user: Some("0:0".to_owned()),
                working_dir: Some("/openhands/code".to_owned()),
                // Upstream's `EDITOR=code` comes with the feature that has such a program.
                env: env(&[
                    ("LANG", "C.UTF-8"),
                    ("LC_ALL", "C.UTF-8"),
                    ("POETRY_VIRTUALENVS_PATH", "/openhands/poetry"),
                    ("MAMBA_ROOT_PREFIX", "/openhands/micromamba"),
                    ("OPENVSCODE_SERVER_ROOT", "/openhands/.openvscode-server"),
                ]),
                ..ConfigPatch::default()
            },
            Contract::V1 => {
                let mut settings = env(&[
                    ("HOME", "/home/openhands"),
                    // The terminal fails with any other character set.
                    ("LANG", "C.UTF-8"),
                    ("LC_ALL", "C.UTF-8"),
                    // As upstream's images say. Their `EDITOR=code` comes with the feature that
                    // has such a program.
                    ("LOG_JSON", "true"),
                    ("OH_ACP_SKILL_SOURCING", "openhands_managed"),
                    ("OH_ENABLE_VSCODE", "true"),
                    ("OPENVSCODE_SERVER_ROOT", "/openhands/.openvscode-server"),
                    ("OPENHANDS_BUILD_GIT_SHA", "unknown"),
                    ("OPENHANDS_BUILD_GIT_REF", "unknown"),
                ]);
                if self.acp == Acp::There {
                    settings.extend(env(&[("ACP_NODE_DIR", "/acp-node")]));
                }
                ConfigPatch {
                    entrypoint: Some(words(&[
                        "/agent-server/.venv/bin/python",
                        "-m",
                        "openhands.agent_server",
                    ])),
                    user: Some(format!("{USER}:{USER}")),
                    working_dir: Some("/".to_owned()),
                    exposed_ports: ["8000/tcp".to_owned()].into(),
                    // Upstream's images say the home in /etc/passwd, which is the base's here.
                    env: settings,
                    ..ConfigPatch::default()
                }
            }
        }
    }
}
