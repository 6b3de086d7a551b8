//! Whose images are: the policy that lets them in, the signatures that it asks for, and what signs.

pub(crate) mod found;
pub(crate) mod gate;
pub(crate) mod guarded;
pub mod key_file;
pub mod policy_file;
pub mod signer;

pub use signer::Signer;
