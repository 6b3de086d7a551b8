//! Keys, certificates, signatures and statements about images, and the policy that asks for them. Pure: no
//! I/O, and whatever is random is handed in. The clock is looked at in one place only: what a transparency
//! log dates later than now is refused.

pub mod bundle;
mod certificate;
pub mod dsse;
mod encrypted_key;
mod passphrase;
mod pattern;
pub mod pem;
pub mod policy;
pub mod policy_json;
mod private_key;
pub mod provenance;
pub mod public_key;
pub mod sign;
pub mod signature;
pub mod simple_signing;
pub mod statement;
mod tag_certificate;
pub mod trusted;
pub mod trusted_root;
pub mod worthless;

pub use certificate::CertificateIdentity;
pub use passphrase::Passphrase;
pub use private_key::PrivateKey;
pub use public_key::PublicKey;
pub use signature::Signature;
pub use trusted::Trusted;
pub use trusted_root::TrustedRoot;
