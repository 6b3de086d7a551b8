//! `--contract`: the paths and settings that OpenHands' launchers take for granted.
//!
//! Source of v1: the paths in `openhands-workspace` of the software-agent-sdk and the config of its
//! agent-server images (`openhands-agent-server/openhands/agent_server/docker/Dockerfile`).

use clap::ValueEnum;

use crate::layer::path::PathError;
use crate::layer::tree::TreeError;
use crate::layer::{Entry, Kind, LayerPath, Rules, Tree};
use crate::oci::config_patch::ConfigPatch;

/// Whose launchers an image is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Contract {
    /// The agent server of the software-agent-sdk: `/agent-server/.venv/bin/python -m
    /// openhands.agent_server`, `/usr/local/bin/openhands-agent-server`, user 10001, `/workspace`
    V1,
}

/// The user and group of upstream's images.
const USER: u32 = 10001;

/// Why there is no layer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ContractError {
    /// A path that cannot be in a layer.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A tree that contradicts itself.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

impl Contract {
    /// What its layer is called in an image's record.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::V1 => "contract v1",
        }
    }

    /// Its layer: links to what a deps image has below `/openhands`, and the workspace.
    pub(super) fn tree(self) -> Result<Tree, ContractError> {
        let mut tree = Tree::new();
        let mut put = |path: &str, entry: Entry| -> Result<(), ContractError> {
            let path = LayerPath::parse(path.as_bytes())?;
            tree.insert(path, entry, Rules::Foreign)?;
            Ok(())
        };
        let link = |target: &str| Entry::new(Kind::Symlink(target.as_bytes().to_vec()), 0o777);
        // Whatever uid a launcher chooses can work there.
        let workspace = Entry {
            uid: USER,
            gid: USER,
            ..Entry::new(Kind::Directory, 0o777)
        };
        put("agent-server", Entry::new(Kind::Directory, 0o755))?;
        put("agent-server/.venv", link("/openhands/poetry/oh"))?;
        put(
            "usr/local/bin/openhands-agent-server",
            link("/openhands/bin/oh-agent-server"),
        )?;
        put("home/openhands", workspace.clone())?;
        put("workspace", workspace.clone())?;
        put("workspace/project", workspace)?;
        Ok(tree)
    }

    /// What it changes in the config, below what the flags say.
    pub(super) fn patch(self) -> ConfigPatch {
        let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect();
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
            env: [
                ("HOME", "/home/openhands"),
                ("OPENHANDS_BUILD_GIT_SHA", "unknown"),
                ("OPENHANDS_BUILD_GIT_REF", "unknown"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
            ..ConfigPatch::default()
        }
    }
}
