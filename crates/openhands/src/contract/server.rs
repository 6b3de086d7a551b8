//! Which contract deps images have the server of.

use super::terms::{Acp, Terms};
use super::{ACP_LABEL, Contract, given_label};
use ohoci_compose::resolver::Resolver;
use ohoci_image::Reference;
use ohoci_store::Error;

/// Why images cannot be made for a contract.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The deps images have servers of several contracts.
    #[error("the deps images have servers of V0 and of V1")]
    Several,
    /// No deps image says that it has a server.
    #[error("the deps image does not say which contract its server belongs to")]
    Unsaid,
    /// No deps image has the contract's server.
    #[error("--contract {} is for images that have the server, and {missing}", contract.short_name())]
    Missing {
        /// The contract.
        contract: Contract,
        /// Which deps image lacks which path.
        missing: String,
    },
    /// A deps image that cannot be read.
    #[error("{}: {}", .0.what(), .0.why())]
    Read(Error),
}

/// The contract that deps images ask for.
///
/// # Errors
/// When they ask for several or none, or cannot be read.
pub async fn asked_for(deps: &[Reference], resolver: &Resolver) -> Result<Contract, ServerError> {
    let mut found: Option<Contract> = None;
    for reference in deps {
        let deps = resolver.deps(reference).await.map_err(ServerError::Read)?;
        let image = deps.first_image().await.map_err(ServerError::Read)?;
        let asked = Contract::of_deps(image.config.document().object());
        if let (Some(one), Some(other)) = (found, asked)
            && one != other
        {
            return Err(ServerError::Several);
        }
        found = found.or(asked);
    }
    found.ok_or(ServerError::Unsaid)
}

/// What a contract comes to with deps images. Where none says what it brings, all of the contract is made.
///
/// # Errors
/// When one cannot be read.
pub async fn terms(
    contract: Contract,
    deps: &[Reference],
    resolver: &Resolver,
) -> Result<Terms, ServerError> {
    let mut acp = Acp::There;
    for reference in deps {
        let deps = resolver.deps(reference).await.map_err(ServerError::Read)?;
        let image = deps.first_image().await.map_err(ServerError::Read)?;
        let config = image.config.document().object();
        if given_label(config, ACP_LABEL).is_some() {
            return Ok(Terms::new(contract, Acp::There));
        }
        if Contract::of_deps(config).is_some() {
            acp = Acp::Absent;
        }
    }
    Ok(Terms::new(contract, acp))
}

/// Refuses a contract whose server no deps image has. One that says itself that it has the server is
/// believed; of any other, layers are read, the smallest first, until the server is found.
///
/// # Errors
/// When none has it, or one cannot be read.
pub async fn expect(
    contract: Contract,
    deps: &[Reference],
    resolver: &Resolver,
) -> Result<(), ServerError> {
    let mut missing = None;
    for reference in deps {
        let one = resolver.deps(reference).await.map_err(ServerError::Read)?;
        let image = one.first_image().await.map_err(ServerError::Read)?;
        if Contract::of_deps(image.config.document().object()) == Some(contract) {
            return Ok(());
        }
        let lacked = one.first_missing(&image, contract.server(), resolver.reader());
        match lacked.await.map_err(ServerError::Read)? {
            None => return Ok(()),
            Some(path) => missing = missing.or(Some(format!("{reference} has no {path}"))),
        }
    }
    match missing {
        Some(missing) => Err(ServerError::Missing { contract, missing }),
        None => Ok(()),
    }
}
