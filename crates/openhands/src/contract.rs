//! Whose launchers images are made for: what these take for granted, whether an image has it, and which deps
//! images bring it.

pub mod check;
pub mod server;
pub mod terms;

use serde_json::{Map, Value};

use ohoci_image::label;

/// Whose launchers an image is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contract {
    /// The action execution server of openhands-ai: `/openhands/micromamba/bin/micromamba run -n
    /// openhands poetry run python -m openhands.runtime.action_execution_server`, root,
    /// `/openhands/code`, `/workspace`.
    V0,
    /// The agent server of the software-agent-sdk: `/agent-server/.venv/bin/python -m
    /// openhands.agent_server`, `/usr/local/bin/openhands-agent-server`, user 10001, `/workspace`.
    V1,
}

/// The label of a deps image, among those that it gives to what is composed with it, that says which
/// contract its server belongs to.
const LABEL: &str = "ohoci.contract";

/// The label of a deps image that says where it has the ACP command lines, below the prefix.
const ACP_LABEL: &str = "ohoci.acp";

/// What a deps image gives to what is composed with it as the label of this name.
fn given_label(config: &Map<String, Value>, name: &str) -> Option<String> {
    let mut patch = label::patch(config).ok().flatten()?;
    patch.labels.remove(name).flatten()
}

impl Contract {
    /// The one that a deps image asks for, by its config.
    #[must_use]
    pub fn of_deps(config: &Map<String, Value>) -> Option<Self> {
        match given_label(config, LABEL)?.as_str() {
            "v0" => Some(Self::V0),
            "v1" => Some(Self::V1),
            _ => None,
        }
    }

    /// What of a deps image its paths lead to: the server.
    #[must_use]
    pub fn server(self) -> &'static [&'static str] {
        match self {
            Self::V0 => &[
                "/openhands/micromamba/bin/micromamba",
                "/openhands/poetry/openhands-ai/bin/python",
            ],
            Self::V1 => &[
                "/openhands/bin/oh-agent-server",
                "/openhands/poetry/oh/bin/python",
            ],
        }
    }

    /// What it is called where it is asked for.
    #[must_use]
    pub(crate) fn short_name(self) -> &'static str {
        match self {
            Self::V0 => "v0",
            Self::V1 => "v1",
        }
    }
}
