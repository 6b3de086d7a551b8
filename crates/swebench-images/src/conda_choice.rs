//! Environments made of conda's packages where channels have them.

use std::collections::HashMap;

use crate::builder::Order;
use crate::conda_use::CondaUse;
use crate::planned::PlannedImage;
use ohoci_conda::record::Located;
use ohoci_deps::conda::choice::{Choice, choose};
use ohoci_deps::conda::error::CondaError;
use ohoci_deps::conda::lists::Lists;
use ohoci_swebench::environment::{CondaWay, LinkedPackage};

/// Makes the environments of images of packages of conda, as far as channels have all that upstream froze.
/// All others stay with pip, and say why.
///
/// # Errors
/// When what a channel lists cannot be understood.
pub(crate) fn take(images: &mut [PlannedImage], lists: &Lists) -> Result<(), CondaError> {
    let orders = || images.iter().filter_map(|image| image.order.as_ref().ok());
    let mut places: HashMap<&CondaWay, usize> = HashMap::new();
    let mut ways: Vec<&CondaWay> = Vec::new();
    for order in orders() {
        let way = &order.environment.lock.conda;
        places.entry(way).or_insert_with(|| {
            ways.push(way);
            ways.len() - 1
        });
    }
    let environments: Vec<&[String]> = ways.iter().map(|way| way.packages.as_slice()).collect();
    let found: Vec<CondaUse> = choose(&environments, lists)?
        .into_iter()
        .map(|choice| match choice {
            Choice::Packages(packages) => CondaUse::Packages(packages.into()),
            Choice::Missing(missing) => {
                CondaUse::Missing(missing.iter().map(ToString::to_string).collect())
            }
            Choice::Unfrozen => CondaUse::Unfrozen,
        })
        .collect();
    let uses: Vec<Option<CondaUse>> = images
        .iter()
        .map(|image| {
            let order = image.order.as_ref().ok()?;
            let at = places.get(&order.environment.lock.conda)?;
            found.get(*at).cloned()
        })
        .collect();
    for (image, of_conda) in images.iter_mut().zip(uses) {
        if let (Ok(order), Some(of_conda)) = (&mut image.order, of_conda) {
            apply(order, of_conda);
        }
    }
    Ok(())
}

fn apply(order: &mut Order, of_conda: CondaUse) {
    if let CondaUse::Packages(packages) = &of_conda {
        let linked = packages.iter().map(|package| LinkedPackage {
            path: package.path(),
            digest: digest_of(package),
        });
        let lock = &mut order.environment.lock;
        *lock = lock.of_packages(linked.collect());
    }
    order.conda = Some(of_conda);
}

/// A file's digest as its channel says it.
fn digest_of(package: &Located) -> String {
    let record = &package.record;
    match (&record.sha256, &record.md5) {
        (Some(hex), _) => format!("sha256:{hex}"),
        (None, Some(hex)) => format!("md5:{hex}"),
        (None, None) => String::new(),
    }
}
