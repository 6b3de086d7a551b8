//! Credentials that Docker, podman and their kin keep on this machine: found, kept, removed.

mod edit;
mod files;
mod helper;
mod keys;
mod locations;
mod lookup;
mod redact;
mod store;
#[cfg(test)]
mod testing;

pub use lookup::ConfiguredCredentials;
pub use store::{CredentialStore, Keeper, LoggedOut};
