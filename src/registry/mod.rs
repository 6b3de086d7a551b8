//! The distribution client.

pub mod body;
pub mod credential;
pub mod credentials;

pub use body::{Body, ByteStream};
pub use credential::{Credential, CredentialError, CredentialSource, NoCredentials, Secret};
