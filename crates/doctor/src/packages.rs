//! Where packages for layers come from: what apt, pip or uv, and npm are set up with.

use std::path::Path;

use super::{Finding, Machine, State};
use ohoci_deps::hosts::DebianHosts;
use ohoci_deps::npm::registry::Registries;
use ohoci_deps::python::configuration::{Indexes, shown};

const AREA: &str = "packages";

/// Where the machine's configuration is.
const ETC: &str = "/etc";

pub(super) fn examine(machine: &Machine<'_>) -> Vec<Finding> {
    vec![debian(machine), python(machine), npm(machine)]
}

fn debian(machine: &Machine<'_>) -> Finding {
    let hosts = DebianHosts::read(Path::new("/"), machine.config.mirrors());
    let mut names: Vec<String> = hosts
        .candidates("")
        .iter()
        .map(|candidate| candidate.mirror.name())
        .collect();
    names.dedup();
    match names.as_slice() {
        [] => {
            let mut what =
                "no mirror is set up: no layers can be made of Debian's packages".to_owned();
            for note in hosts.notes() {
                what.push_str("; ");
                what.push_str(note);
            }
            Finding::new(AREA, "Debian", State::Lacking, what)
                .mended_by("`debian` in [mirrors] of ohoci/config.toml, or sources in /etc/apt")
        }
        names => Finding::new(AREA, "Debian", State::Fine, names.join(", ")),
    }
}

fn python(machine: &Machine<'_>) -> Finding {
    let indexes = Indexes::of_machine(machine.environment, Path::new(ETC));
    let mut places: Vec<String> = indexes.urls().map(shown).collect();
    let directories = indexes.directories.iter();
    places.extend(directories.map(|directory| directory.display().to_string()));
    match places.as_slice() {
        [] => {
            let what = "nothing is set up: the default of uv or pip counts";
            Finding::new(AREA, "Python", State::Known, what)
        }
        places => Finding::new(AREA, "Python", State::Fine, places.join(", ")),
    }
}

fn npm(machine: &Machine<'_>) -> Finding {
    let registries = Registries::of_machine(machine.environment, Path::new(ETC));
    match registries.locate("") {
        None => {
            let what = "nothing is set up: the default of npm counts";
            Finding::new(AREA, "npm", State::Known, what)
        }
        Some(location) => Finding::new(AREA, "npm", State::Fine, shown(&location.url)),
    }
}
