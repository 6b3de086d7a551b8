//! The machine that packages are chosen for: what is known of an image, and what the environment says of it.

use ohoci_conda::virtual_package::Target;
use ohoci_config::Environment;
use ohoci_config::environment::{CONDA_OVERRIDE_CUDA, CONDA_OVERRIDE_GLIBC, CONDA_OVERRIDE_LINUX};

/// A machine with packages of the directory `subdir`, whose glibc has this version where it is known. conda's own
/// variables go before. Nothing of the machine that this runs on counts.
#[must_use]
pub fn target(subdir: &str, glibc: Option<&str>, environment: &Environment) -> Target {
    let said = |variable| environment.get(variable)?.into_string().ok();
    let said = |variable| said(variable).filter(|text| !text.is_empty());
    let mut target = Target::oldest(subdir);
    let glibc = said(CONDA_OVERRIDE_GLIBC).or_else(|| glibc.map(str::to_owned));
    if let Some(glibc) = glibc {
        target.glibc = glibc;
    }
    if let Some(linux) = said(CONDA_OVERRIDE_LINUX) {
        target.linux = linux;
    }
    target.cuda = said(CONDA_OVERRIDE_CUDA);
    target
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;

    #[test]
    fn what_is_said_goes_before_what_is_known() {
        let environment = |variables: &[(_, &str)]| {
            let all = variables.iter();
            Environment::of(all.map(|(name, value)| (*name, OsString::from(value))))
        };
        let nothing = environment(&[]);
        assert_eq!(
            target("linux-64", None, &nothing),
            Target::oldest("linux-64")
        );
        assert_eq!(target("linux-64", Some("2.36"), &nothing).glibc, "2.36");
        let said = environment(&[
            (CONDA_OVERRIDE_GLIBC, "2.28"),
            (CONDA_OVERRIDE_CUDA, "12.4"),
        ]);
        let found = target("linux-64", Some("2.36"), &said);
        assert_eq!(
            (found.glibc.as_str(), found.cuda.as_deref()),
            ("2.28", Some("12.4"))
        );
    }
}
