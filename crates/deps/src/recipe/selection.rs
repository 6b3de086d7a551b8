//! Parts of a recipe.

use std::collections::BTreeSet;

use super::Recipe;
use ohoci_config::error::did_you_mean;

/// Which features of a recipe are meant.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Only these, and what they require; empty for all.
    pub only: Vec<String>,
    /// Not these.
    pub without: Vec<String>,
}

/// Why a recipe has no such part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    /// There is no such feature.
    #[error("{recipe} has no feature {name}")]
    Unknown {
        /// The recipe.
        recipe: String,
        /// The feature.
        name: String,
        /// What may have been meant.
        hint: Option<String>,
    },
    /// A feature needs one that is left out.
    #[error("feature {feature} needs {required}, which is left out")]
    LeftOut {
        /// The feature.
        feature: String,
        /// What it needs.
        required: String,
    },
    /// No feature is left.
    #[error("no feature is left to build")]
    Empty,
}

impl Recipe {
    /// The recipe with the features that are meant, and no others.
    ///
    /// # Errors
    /// See [`SelectionError`].
    pub(crate) fn selected(mut self, selection: &Selection) -> Result<Self, SelectionError> {
        let Selection { only, without } = selection;
        let names: BTreeSet<String> = self
            .features
            .iter()
            .map(|feature| feature.name.get_ref().to_string())
            .collect();
        if let Some(name) = only
            .iter()
            .chain(without)
            .find(|name| !names.contains(*name))
        {
            return Err(SelectionError::Unknown {
                recipe: self.name.to_string(),
                name: name.clone(),
                hint: did_you_mean(name, names.iter().map(String::as_str)),
            });
        }
        let mut wanted: BTreeSet<String> = match only.as_slice() {
            [] => names,
            only => only.iter().cloned().collect(),
        };
        // Features stand behind those that they require.
        for feature in self.features.iter().rev() {
            if !only.is_empty() && wanted.contains(feature.name.get_ref().as_str()) {
                let required = feature.requires.iter();
                wanted.extend(required.map(|name| name.get_ref().to_string()));
            }
        }
        for name in without {
            wanted.remove(name);
        }
        for feature in &self.features {
            let name = feature.name.get_ref().as_str();
            let missing = feature
                .requires
                .iter()
                .find(|required| !wanted.contains(required.get_ref().as_str()));
            if let (true, Some(missing)) = (wanted.contains(name), missing) {
                return Err(SelectionError::LeftOut {
                    feature: name.to_owned(),
                    required: missing.get_ref().to_string(),
                });
            }
        }
        self.features
            .retain(|feature| wanted.contains(feature.name.get_ref().as_str()));
        match self.features.is_empty() {
            true => Err(SelectionError::Empty),
            false => Ok(self),
        }
    }
}
