//! The distribution client against scripted registries: exact sequences of requests, every quirk
//! that registries are known for, and hostility.

#[cfg(test)]
mod authentication;
#[cfg(test)]
mod connections;
#[cfg(test)]
mod downloads;
#[cfg(test)]
mod echoes;
#[cfg(test)]
mod lists;
#[cfg(test)]
mod manifests;
#[cfg(test)]
mod mounts;
#[cfg(test)]
mod patience;
#[cfg(test)]
#[path = "../support/scripted_registry.rs"]
mod scripted_registry;
#[cfg(test)]
mod support;
#[cfg(test)]
mod uploads;
