//! What foreign content may cost: the `[limits]`, `[network]` and `[store]` tables, and the variables
//! that go before them.

use std::path::PathBuf;

use serde::Deserialize;

use super::environment::{
    Environment, OHOCI_MAX_ENTRIES, OHOCI_MAX_NAME_BYTES, OHOCI_MAX_UNPACKED_BYTES, Variable,
};

/// What an image may unpack to. A field that is `None` leaves it to the code that unpacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct LimitSettings {
    /// Most bytes of all layers together, decompressed.
    pub unpacked_bytes: Option<u64>,
    /// Most files, directories, links and the like of all layers together.
    pub entries: Option<u64>,
    /// Most bytes of their names, link targets and extended attributes.
    pub name_bytes: Option<u64>,
}

/// How slow a server may be. A field that is `None` leaves it to the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct NetworkSettings {
    /// For how many seconds nothing at all may come.
    pub idle_seconds: Option<u64>,
    /// How many seconds a manifest, a config or a token may take.
    pub document_seconds: Option<u64>,
    /// Fewest bytes per second that a body may come at; 0 for no limit.
    pub least_bytes_per_second: Option<u64>,
}

/// Where unpacked layers are kept, and how much of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct StoreSettings {
    /// The directory; in the cache where there is none.
    pub directory: Option<PathBuf>,
    /// Most bytes that may stay there.
    pub most_bytes: Option<u64>,
}

impl LimitSettings {
    /// These settings, with what the environment says in their place where it says something.
    ///
    /// # Errors
    /// The variable whose value is no number.
    pub fn overridden_by(self, environment: &Environment) -> Result<Self, Variable> {
        let number = |variable: Variable, or: Option<u64>| match environment.get(variable) {
            None => Ok(or),
            Some(value) => {
                let number = value.to_str().and_then(|text| text.trim().parse().ok());
                number.map(Some).ok_or(variable)
            }
        };
        Ok(Self {
            unpacked_bytes: number(OHOCI_MAX_UNPACKED_BYTES, self.unpacked_bytes)?,
            entries: number(OHOCI_MAX_ENTRIES, self.entries)?,
            name_bytes: number(OHOCI_MAX_NAME_BYTES, self.name_bytes)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_go_before_the_file_and_have_to_be_numbers() {
        let file = LimitSettings {
            unpacked_bytes: Some(1),
            entries: Some(2),
            name_bytes: None,
        };
        let of = |value: &str| {
            let environment = Environment::of([(OHOCI_MAX_ENTRIES, value.into())]);
            file.overridden_by(&environment)
        };
        assert_eq!(of("5").unwrap().entries, Some(5));
        assert_eq!(of("5").unwrap().unpacked_bytes, Some(1));
        assert_eq!(of("").unwrap(), file);
        for bad in ["x", "-1", "1G"] {
            assert_eq!(of(bad), Err(OHOCI_MAX_ENTRIES), "{bad}");
        }
    }
}
