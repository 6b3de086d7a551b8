//! Keys, signatures and statements about images, and the policy that asks for them. Pure: no I/O, no
//! clock, and whatever is random is handed in.

pub mod bundle;
pub mod dsse;
pub mod encrypted_key;
pub mod passphrase;
pub mod pem;
pub mod policy;
pub mod policy_json;
pub mod private_key;
pub mod provenance;
pub mod public_key;
pub mod sign;
pub mod signature;
pub mod simple_signing;
pub mod statement;

pub use passphrase::Passphrase;
pub use private_key::PrivateKey;
pub use public_key::PublicKey;
pub use signature::Signature;
